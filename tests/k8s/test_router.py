"""The router on a cluster: callers reach it, it reaches the doors, and it starts with routes that hold."""

from pathlib import Path

import pytest

from bentos.router import settings
from bentos.router.routes import Routes
from pipelines.manifests import release_overlay

LOCAL = Path(__file__).resolve().parents[2] / "k8s" / "overlays" / "local"


@pytest.fixture(scope="module")
def objects():
    return {f"{o['kind']}/{o['metadata']['name']}": o for o in release_overlay.render(LOCAL)}


def test_callers_reach_the_router_and_the_router_reaches_the_doors(objects):
    labels = {
        name: objects[f"Deployment/{name}"]["spec"]["template"]["metadata"]["labels"]
        for name in ("router", "recommender")
    }
    for service, pods in (("recommender", "router"), ("recommender-stable", "recommender"), ("router", "router")):
        assert objects[f"Service/{service}"]["spec"]["selector"].items() <= labels[pods].items()
    doors = objects["NetworkPolicy/router"]["spec"]["egress"][1]["to"][0]["podSelector"]["matchLabels"]
    assert doors.items() <= labels["recommender"].items()


def test_the_routers_start_with_routes_to_the_stable_doors(objects):
    (config,) = [o for name, o in objects.items() if name.startswith("ConfigMap/recommender-first-routes-")]
    routes = Routes.model_validate_json(config["data"]["routes.json"])
    assert (routes.mode, routes.stable.url) == ("stable", "http://recommender-stable")
    (container,) = objects["Deployment/router"]["spec"]["template"]["spec"]["containers"]
    mount, first, scratch = container["volumeMounts"]
    assert "subPath" not in mount
    given = {entry["name"]: entry.get("value", "0" * 64) for entry in container["env"]}
    read = settings.Settings.read(given)
    assert read.routes == Path(mount["mountPath"], "routes.json")
    assert (read.scratch, read.popular_s) == (Path(scratch["mountPath"]), settings.Settings(read.routes, "").popular_s)
    assert "readOnly" not in scratch
    assert read.first_routes == Path(first["mountPath"], "routes.json")
    pod = objects["Deployment/router"]["spec"]["template"]["spec"]
    volumes = {volume["name"]: volume.get("configMap") for volume in pod["volumes"]}
    assert volumes[mount["name"]] == {"name": "recommender-routes", "optional": True}
    assert volumes[first["name"]]["name"] == config["metadata"]["name"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert (read.port, read.admin_port) == (ports["http"], ports["admin"])
    assert pod["terminationGracePeriodSeconds"] > 3 + read.drain_s + read.linger_s


def test_no_manifest_holds_the_routes_that_a_rollout_writes(objects):
    assert not [name for name in objects if name.endswith("/recommender-routes")]

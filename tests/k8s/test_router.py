"""The router on a cluster: callers reach it, it reaches the doors, and it starts with routes that hold."""

import os
from pathlib import Path

import pytest
import yaml

from bentos.router import settings
from bentos.router.routes import Routes
from bentos.router.settings import SERVING
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
    read = settings.Settings.read(given | {SERVING: doors_block(objects)})
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


def doors_block(objects):
    """Return what the routers' reference to the doors' settings gives."""
    (container,) = objects["Deployment/router"]["spec"]["template"]["spec"]["containers"]
    (given,) = [entry["valueFrom"]["configMapKeyRef"] for entry in container["env"] if entry["name"] == SERVING]
    (door,) = [c for c in objects["Deployment/recommender"]["spec"]["template"]["spec"]["containers"] if "envFrom" in c]
    assert given["name"] in [one["configMapRef"]["name"] for one in door["envFrom"] if "configMapRef" in one]
    return objects[f"ConfigMap/{given['name']}"]["data"][given["key"]]


def test_an_overlay_that_asks_the_doors_for_keys_asks_the_routers_too(tmp_path):
    block = '{"auth":"keys"}'
    overlay = {
        "resources": [os.path.relpath(LOCAL, tmp_path)],
        "configMapGenerator": [{"name": "recommender", "behavior": "merge", "literals": [f"{SERVING}={block}"]}],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    rendered = {f"{o['kind']}/{o['metadata']['name']}": o for o in release_overlay.render(tmp_path)}
    assert doors_block(rendered) == block


def test_no_manifest_holds_the_routes_that_a_rollout_writes(objects):
    assert not [name for name in objects if name.endswith("/recommender-routes")]

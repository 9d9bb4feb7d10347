"""The actuator of a cluster, against a server that keeps objects and refuses what Kubernetes would refuse."""

import copy
import itertools
import json
import os
from types import SimpleNamespace

import pytest
import yaml
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from bentos.router.observations import Observations
from bentos.router.routes import Backend, Routes
from feature_repo import checkout
from feature_repo.errors import Refused, ServerError
from pipelines.manifests import release_overlay
from pipelines.rollout import cluster as clusters
from pipelines.rollout import release_objects
from pipelines.rollout.cluster import ClusterActuator
from tests import kubernetes_server

ROOT = checkout.ROOT
ID = "0a1b2c3d4e5f"
RELEASE = {"id": ID, "name": "grocery", "intent": {"version": 7}, "ranking": {"version": 12}}
PLURAL = {
    "ConfigMap": "configmaps",
    "Service": "services",
    "Deployment": "deployments",
    "NetworkPolicy": "networkpolicies",
    "PodDisruptionBudget": "poddisruptionbudgets",
    "HorizontalPodAutoscaler": "horizontalpodautoscalers",
}
CRASHED = {
    "phase": "Pending",
    "initContainerStatuses": [
        {
            **{"name": "fetch-release", "restartCount": 4, "ready": False, "image": "i", "imageID": "i"},
            "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 1m20s"}},
            "lastState": {"terminated": {"exitCode": 1, "message": "release.json in the registry is broken"}},
        }
    ],
}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    """The overlay with its router and loop, and the release on top of it."""
    made = {}
    for name, overlay in (("seed", None), ("released", RELEASE)):
        folder = tmp_path_factory.mktemp(name)
        if overlay:
            release_overlay.write(RELEASE, folder / "k8s", version=3, overlay="local")
        base = "k8s" if overlay else _relative(folder, ROOT / "k8s" / "overlays" / "local")
        options = [_relative(folder, ROOT / "k8s" / "components" / "reconciler")]
        document = {"namespace": "intentflow", "resources": [base], "components": options}
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(document))
        made[name] = release_overlay.render(folder)
    return SimpleNamespace(**made)


def _relative(folder, target):
    return os.path.relpath(target, folder.resolve())


@pytest.fixture(scope="module")
def applied(rendered):
    """A namespace to which the overlay was applied."""
    found = kubernetes_server.Cluster()
    for one in rendered.seed:
        if one["kind"] in PLURAL:
            found.put(PLURAL[one["kind"]], one)
    return found.objects


@pytest.fixture
def actuator(cluster, place, rendered, applied, monkeypatch):
    """An actuator with the rights of the reconciler's Role over that namespace."""
    cluster.cluster.objects = copy.deepcopy(applied)
    cluster.cluster._version = itertools.count(100_000)
    (role,) = [found for found in rendered.seed if found["kind"] == "Role"]
    cluster.cluster.role = role["rules"]
    monkeypatch.setattr(clusters, "ROUTED_S", 0.0)
    monkeypatch.setattr(clusters, "POLL_S", 0.05)
    made = ClusterActuator(place(namespace="intentflow"))
    monkeypatch.setattr(release_objects, "render", lambda folder: rendered.released)
    (made.place.home / "releases" / ID / "k8s").mkdir(parents=True)
    return made


def test_a_door_is_the_overlay_s_own_under_the_release_s_name(actuator, cluster, rendered):
    assert actuator.start(ID) == f"http://recommender-{ID}"
    made = cluster.cluster.get("deployments", f"recommender-{ID}")
    (released,) = [o for o in rendered.released if (o["kind"], o["metadata"]["name"]) == ("Deployment", "recommender")]
    ours, theirs = made["spec"]["template"]["spec"], released["spec"]["template"]["spec"]
    assert ours["containers"][0]["resources"] == theirs["containers"][0]["resources"]
    assert ours["serviceAccountName"] == "recommender"
    sources = ours["initContainers"][0]["envFrom"]
    named = [source["configMapRef"]["name"] for source in sources if "configMapRef" in source]
    assert {"secretRef": {"name": "mlflow-reader", "optional": True}} in sources
    assert all(name.startswith(f"recommender-{ID}-") for name in named)
    assert cluster.cluster.get("configmaps", named[1])["data"]["INTENTFLOW_RELEASE_VERSION"] == "3"
    assert made["spec"]["selector"]["matchLabels"] == {"app.kubernetes.io/name": f"recommender-{ID}"}
    assert cluster.cluster.get("services", f"recommender-{ID}")["spec"]["selector"] == {
        "app.kubernetes.io/name": f"recommender-{ID}"
    }


def test_no_deployment_takes_the_other_release_s_pods(actuator, cluster):
    actuator.start(ID)
    pods = [cluster.cluster.get("pods", name) for name in cluster.cluster.names("pods")]
    for name in ("recommender", f"recommender-{ID}"):
        wanted = cluster.cluster.get("deployments", name)["spec"]["selector"]["matchLabels"].items()
        chosen = [pod["metadata"]["name"] for pod in pods if wanted <= pod["metadata"]["labels"].items()]
        assert chosen == [f"{name}-pod-0"]


def test_starting_again_changes_nothing(actuator, cluster):
    actuator.start(ID)
    before = cluster.cluster.get("deployments", f"recommender-{ID}")["metadata"]["resourceVersion"]
    for wanted in release_objects.objects(release_objects.render(None), ID):
        actuator.api.apply(wanted)
    assert actuator.start(ID) == f"http://recommender-{ID}"
    assert cluster.cluster.get("deployments", f"recommender-{ID}")["metadata"]["resourceVersion"] == before


def test_a_door_that_does_not_come_up_is_told_in_the_pod_s_words(actuator, cluster):
    cluster.cluster.pod_status = lambda pod: CRASHED
    with pytest.raises(Refused) as said:
        actuator.start(ID)
    assert str(said.value) == (
        f"Deployment/recommender-{ID}: not ready: Pod/recommender-{ID}-pod-0 fetch-release: CrashLoopBackOff, "
        "back-off 1m20s, release.json in the registry is broken, exit code 1"
    )


def test_a_door_whose_pods_are_not_admitted_is_told_in_the_api_server_s_words(actuator, cluster, monkeypatch):
    monkeypatch.setattr(clusters, "READY_S", 0.2)
    cluster.cluster.refused_pods = 'pods "x" is forbidden: violates PodSecurity "restricted:latest": hostPath volumes'
    with pytest.raises(Refused, match=r'not ready in 0 s: pods "x" is forbidden: violates PodSecurity .*hostPath'):
        actuator.start(ID)


def test_stop_leaves_nothing_of_a_release_and_everything_of_the_others(actuator, cluster):
    before = {kind: cluster.cluster.names(kind) for kind in PLURAL.values()}
    actuator.start(ID)
    assert ID in actuator.running()
    actuator.stop(ID)
    actuator.stop(ID)
    assert {kind: cluster.cluster.names(kind) for kind in PLURAL.values()} == before
    assert dict(actuator.running()) == {"seed": "http://recommender-stable"}


def test_the_overlay_s_own_door_goes_to_no_pods_and_runs_no_more(actuator, cluster):
    actuator.stop("seed")  # has no door of its own
    assert dict(actuator.running()) == {"seed": "http://recommender-stable"}
    actuator.retire()
    assert cluster.cluster.get("deployments", "recommender")["spec"]["replicas"] == 0
    assert dict(actuator.running()) == {}


def routes(share):
    stable = Backend(release="seed", url="http://recommender-stable")
    candidate = Backend(release=ID, url=f"http://recommender-{ID}")
    return Routes(rollout="r1", mode="canary", share=share, stable=stable, candidate=candidate)


def test_routes_are_written_and_every_router_is_synced_at_once(actuator, cluster):
    actuator.route(routes(0.25))
    assert actuator.routed() == routes(0.25)
    pods = [cluster.cluster.get("pods", name) for name in cluster.cluster.names("pods") if name.startswith("router")]
    marks = {pod["metadata"]["annotations"][clusters.SYNCED] for pod in pods}
    assert (len(pods), len(marks)) == (2, 1)
    version = cluster.cluster.get("configmaps", "recommender-routes")["metadata"]["resourceVersion"]
    actuator.route(routes(0.25))
    assert cluster.cluster.get("configmaps", "recommender-routes")["metadata"]["resourceVersion"] == version


def test_routers_are_synced_again_after_somebody_else_wrote_the_routes_in_between(actuator, cluster):
    def marks():
        pods = [
            cluster.cluster.get("pods", name) for name in cluster.cluster.names("pods") if name.startswith("router")
        ]
        return {pod["metadata"]["annotations"][clusters.SYNCED] for pod in pods}

    actuator.route(routes(0.25))
    before = marks()
    cluster.cluster.put(
        "configmaps", cluster.cluster.get("configmaps", clusters.ROUTES) | {"data": {"routes.json": "{}"}}
    )
    actuator.route(routes(0.25))  # the same text, another version
    assert len(marks()) == 1
    assert marks() != before


def test_after_an_undo_the_pods_say_what_runs_and_not_the_deployment(actuator, cluster):
    base = cluster.cluster.get("deployments", "recommender")
    base["metadata"]["labels"]["app.kubernetes.io/version"] = ID  # the labels of what was applied stay
    cluster.cluster.put("deployments", base)
    assert dict(actuator.running()) == {"seed": "http://recommender-stable"}
    base = cluster.cluster.get("deployments", "recommender")
    base["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/version"] = ID
    cluster.cluster.put("deployments", base)
    assert dict(actuator.running()) == {ID: "http://recommender-stable"}


def test_routes_that_another_writes_meanwhile_are_read_again(actuator, cluster):
    actuator.route(routes(0.1))
    original, raced = actuator.api.get, []

    def get(kind, name):
        found = original(kind, name)
        if name == clusters.ROUTES and not raced:
            raced.append(name)
            other = cluster.cluster.get("configmaps", name) | {"data": {"routes.json": "{}"}}
            cluster.cluster.put("configmaps", other)
        return found

    actuator.api.get = get
    actuator.route(routes(0.5))
    assert actuator.routed() == routes(0.5)
    patches = [r for r in cluster.cluster.requests if r == ("patch", "configmaps", "recommender-routes")]
    assert len(patches) == 2


def seen(boot, requests, *, rollout="r1"):
    arm = {"requests": requests, "errors": 1, "buckets_ms": {"5": requests}}
    return Observations.model_validate({"boot": boot, "rollout": rollout, "arms": {"stable": arm, "candidate": arm}})


def test_what_every_router_saw_is_added_up(actuator, cluster, monkeypatch):
    asked = {"127.0.0.2": seen("a", 10), "127.0.0.3": seen("b", 5)}

    def router(host):
        async def observations(request):
            return Response(asked[host].model_dump_json(), media_type="application/json")

        return Starlette(routes=[Route("/router/observations", observations)])

    for number, host in enumerate(asked):
        pod = cluster.cluster.get("pods", f"router-pod-{number}")
        pod["status"]["podIP"] = host
        cluster.cluster.objects["pods", f"router-pod-{number}"] = pod
    with (
        kubernetes_server.listening(router("127.0.0.2"), host="127.0.0.2") as url,
        kubernetes_server.listening(router("127.0.0.3"), host="127.0.0.3", port=int(url.rpartition(":")[2])),
    ):
        monkeypatch.setattr(clusters, "ROUTER_PORT", int(url.rpartition(":")[2]))
        first = actuator.observe()
        asked |= {"127.0.0.2": seen("a", 13), "127.0.0.3": seen("restarted", 4)}
        second = actuator.observe()
    assert first.arms["candidate"].requests == 0  # another loop may have counted these
    assert second.boot == first.boot
    assert second.arms["candidate"].requests == 3 + 4
    assert second.arms["stable"].buckets_ms == {"5": 7}
    assert actuator.observe() is None  # the routers are away


def test_a_job_of_the_overlay_brings_the_profiles_where_there_is_one(actuator, cluster, monkeypatch):
    assert actuator.materialise(ID) == "profiles stay as the training pipeline left them"
    container = cluster.cluster.get("deployments", "recommender")["spec"]["template"]["spec"]["initContainers"][0]
    pod = cluster.cluster.get("deployments", "recommender")["spec"]["template"]["spec"]
    spec = {key: pod[key] for key in ("securityContext", "volumes")} | {"restartPolicy": "Never"}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": spec | {"containers": [container]}}
    job = {"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": template}}
    metadata = {"name": clusters.TEMPLATE}
    cluster.cluster.put(
        "configmaps",
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"job.json": json.dumps(job)}},
    )
    monkeypatch.setattr(actuator, "_version", lambda release_id: "3")
    monkeypatch.setattr(clusters, "JOB_S", 0.2)
    with pytest.raises(ServerError, match="not done in"):
        actuator.materialise(ID)
    made = cluster.cluster.get("jobs", f"materialise-{ID}")
    variables = {e["name"]: e["value"] for e in made["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert variables == {"INTENTFLOW_RELEASE_ID": ID, "INTENTFLOW_RELEASE_VERSION": "3"}
    done = {"conditions": [{"type": "Complete", "status": "True"}]}
    cluster.cluster.objects["jobs", f"materialise-{ID}"] = made | {"status": done}
    assert actuator.materialise(ID) == f"Job/materialise-{ID} brought the profiles into the store"

    gone = {"conditions": [{"type": "Failed", "status": "True", "message": "the image lacks a file"}]}
    cluster.cluster.objects["jobs", f"materialise-{ID}"] = made | {"status": gone}
    with pytest.raises(ServerError, match=f"Job/materialise-{ID}-2: not done in"):  # the try after a failure is its own
        actuator.materialise(ID)
    cluster.cluster.objects["jobs", f"materialise-{ID}-2"] |= {"status": gone}
    with pytest.raises(ServerError, match=f"Job/materialise-{ID}-3: not done in"):
        actuator.materialise(ID)
    assert cluster.cluster.get("jobs", f"materialise-{ID}")["status"] == gone, "its record stays"


def test_a_right_that_is_missing_is_one_line_with_the_file_that_gives_it(actuator, cluster):
    cluster.cluster.role = []
    with pytest.raises(ServerError, match=r"^GET ConfigMap/recommender-routes: .* is forbidden: .*role.yaml\)$"):
        actuator.routed()

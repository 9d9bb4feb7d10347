"""The loop on a cluster where people apply, undo, scale and edit beside it: what runs is what the routes say."""

import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import sleep
from types import SimpleNamespace

import mlflow
import pytest
import yaml

from bentos.router.observations import ArmSeen, Observations, ShadowSeen
from bentos.router.routes import Backend, Routes
from components.registry.release import model_name
from feature_repo.checkout import ROOT
from feature_repo.errors import ServerError, SpecError
from pipelines.environment import Installation
from pipelines.environment import place as find_place
from pipelines.leases.place_lease import held
from pipelines.manifests import release_overlay
from pipelines.releases.release import variables
from pipelines.rollout import cluster as clusters
from pipelines.rollout import loop, release_objects, restore
from pipelines.rollout.cluster import ClusterActuator
from pipelines.rollout.state import ReleaseRef, State
from tests import kubectl
from tests.kubernetes_server import Cluster, Object
from tests.patience import patient

OVERLAY = "http://recommender-stable"
QUICK = "promotion: {mode: manual, rollout: {hold_s: 0, steps: [0.5, 1.0], keep_previous_s: 600}}\n"


class Actuator(ClusterActuator):
    """The cluster's, with releases that are there already and routers that saw plenty of good traffic."""

    looks = 0

    def prepare(self, version: str) -> str:
        (self.place.home / "releases" / f"r{version}" / "k8s").mkdir(parents=True, exist_ok=True)
        return f"r{version}"

    def check(self, release_id: str) -> str:
        return "nothing to replay"

    def observe(self) -> Observations:
        self.looks += 1
        quick = {"500": 400 * self.looks, "+Inf": 400 * self.looks}
        arm, routes = ArmSeen(requests=400 * self.looks, buckets_ms=quick), self.routed()
        shadow = ShadowSeen(mirrored=400 * self.looks, buckets_ms=quick, compared=400 * self.looks, overlap_sum=1)
        return Observations(
            boot="b", rollout=routes.rollout if routes else "", arms={"stable": arm, "candidate": arm}, shadow=shadow
        )

    def _version(self, release_id: str) -> str:
        return release_id[1:]


@dataclass
class World:
    """A namespace, a registry, and the loop that looks when it is asked to."""

    place: Installation
    cluster: Cluster
    manifests: dict[str, list[Object]]  # of the overlay by the release that it names
    actuator: Actuator
    said: list[str] = field(default_factory=list)

    def look(self, times: int = 1) -> State:
        for _ in range(times):
            with held(self.place) as lease:
                found = loop.once(self.place, self.actuator, lease, say=self.said.append)
        return found.state

    def move(self, version: str) -> None:
        """Move the champion, or delete its alias, as MLflow's UI does."""
        with variables(self.place):
            client = mlflow.MlflowClient(os.environ["MLFLOW_TRACKING_URI"], os.environ["MLFLOW_TRACKING_URI"])
            if version:
                client.set_registered_model_alias(model_name("grocery"), "champion", version)
            else:
                client.delete_registered_model_alias(model_name("grocery"), "champion")

    @property
    def routed(self) -> tuple[str, str]:
        routes = self.actuator.routed()
        assert routes is not None
        return routes.stable.release, routes.stable.url

    @property
    def base_pods(self) -> int:
        return int(self.cluster.get("deployments", "recommender")["spec"].get("replicas", 1))

    def served_by(self, release: str) -> None:
        """Users are led to the release's own door, whose pods run it, and the overlay's door has none."""
        assert self.routed == (release, f"http://recommender-{release}")
        assert self.actuator.running()[release] == f"http://recommender-{release}"
        assert self.base_pods == 0


@pytest.fixture(scope="module")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Object]]:
    """The small cluster's overlay with the loop, and the folders of three releases."""
    made = {}
    for version in ("", "1", "2", "3"):
        folder = tmp_path_factory.mktemp(f"overlay{version}")
        base = os.path.relpath(ROOT / "k8s" / "overlays" / "local", folder.resolve())
        if version:
            about = {"id": f"r{version}", "name": "grocery", "intent": {"version": 1}, "ranking": {"version": 1}}
            release_overlay.write(about, folder / "k8s", version=version, overlay="local")
            base = "k8s"
        options = [os.path.relpath(ROOT / "k8s" / "components" / "reconciler", folder.resolve())]
        document = {"namespace": "intentflow", "resources": [base], "components": options}
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(document))
        made[f"r{version}" if version else "seed"] = release_overlay.render(folder)
    return made


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry of three releases that passed, the first of them the champion."""
    file = tmp_path_factory.mktemp("registry") / "mlflow.db"
    client = mlflow.MlflowClient(f"sqlite:///{file}", f"sqlite:///{file}")
    client.create_registered_model(model_name("grocery"))
    for number in (1, 2, 3):
        tags = {"id": f"r{number}", "gates": "passed", "vocabulary": "one"}
        client.create_model_version(model_name("grocery"), str(file.parent), tags=tags)
    client.set_registered_model_alias(model_name("grocery"), "champion", "1")
    return file


@pytest.fixture
def world(tmp_path, registry, manifests, cluster, monkeypatch) -> World:
    """Release 1 was applied by hand, and serves; the loop has not looked yet."""
    text = (ROOT / "pipelines" / "specs" / "grocery.yaml").read_text()
    start, end = text.index("promotion:"), text.index("serving:")
    (tmp_path / "grocery.yaml").write_text(text[:start] + QUICK + text[end:])
    place = find_place(tmp_path / "grocery.yaml", "local", variables={"INTENTFLOW_STATE": str(tmp_path / "state")})
    settings = place.environment.kubernetes.model_copy(update={"namespace": "intentflow"})
    place = replace(place, environment=place.environment.model_copy(update={"kubernetes": settings}))
    place.home.joinpath("mlflow").mkdir(parents=True)
    shutil.copy(registry, place.home / "mlflow" / "mlflow.db")
    (role,) = [found for found in manifests["seed"] if found["kind"] == "Role"]
    cluster.cluster.role = role["rules"]
    kubectl.apply(cluster.cluster, manifests["r1"])
    monkeypatch.setattr(clusters, "ROUTED_S", 0.0)
    monkeypatch.setattr(clusters, "POLL_S", 0.02)
    monkeypatch.setattr(release_objects, "render", lambda folder: manifests[folder.parent.name])
    made = World(place, cluster.cluster, manifests, Actuator(place))
    monkeypatch.setattr(loop, "actuator_of", lambda _: made.actuator)
    return made


@pytest.fixture
def adopted(world: World) -> World:
    """The loop has looked."""
    world.look()
    world.said.clear()
    return world


def test_adoption_gives_the_champion_a_door_of_its_own_and_empties_the_overlay_s(world: World) -> None:
    kubectl.scale(world.cluster, "recommender", 2)
    world.look()
    world.served_by("r1")
    assert world.cluster.get("deployments", "recommender-r1")["spec"]["replicas"] == 2  # its users came all at once
    assert "Deployment/recommender has 2 pods of release r1" in world.said[-1]


@pytest.mark.parametrize(("manifest", "server_side"), [("seed", False), ("seed", True), ("r2", False)])
def test_an_apply_beside_the_loop_changes_nothing_that_users_meet(
    adopted: World, manifest: str, server_side: bool
) -> None:
    before = adopted.cluster.get("configmaps", clusters.ROUTES)["data"]
    for _ in range(2):  # the second one finds what the first one wrote
        if server_side:
            # What client-side apply wrote before is another manager's, as kubectl itself says.
            conflicts = kubectl.apply_server_side(adopted.cluster, adopted.manifests[manifest], force=True)
            assert conflicts == []
        else:
            kubectl.apply(adopted.cluster, adopted.manifests[manifest])
        assert adopted.routed == ("r1", "http://recommender-r1")
        adopted.look()
    adopted.served_by("r1")
    assert adopted.cluster.get("configmaps", clusters.ROUTES)["data"] == before
    assert adopted.said == []


def test_the_overlay_s_door_that_serves_and_turns_into_another_release_is_replaced_before_it_has_turned(
    world: World,
) -> None:
    """A loop of before routed to the overlay's own Deployment; then somebody applies the overlay."""
    stable = State(number=1, stable=ReleaseRef("1", "r1"))
    with variables(world.place):
        loop.registry.write("grocery", stable.document() | {"token": 0})
        loop.aliases.notice("grocery")
    world.actuator.route(Routes(stable=Backend(release="r1", url=OVERLAY)))
    world.cluster.slow = True
    kubectl.apply_server_side(world.cluster, world.manifests["seed"], force=True)
    assert dict(world.actuator.running()) == {"r1": OVERLAY}  # its pods are still those of before
    world.look()
    assert world.said[0] == (
        "noticed: version 1 (release r1) has only the overlay's Deployment/recommender, "
        "which turns into release seed (written by kubectl); it gets a door of its own"
    )
    assert world.routed == ("r1", "http://recommender-r1")
    world.look()
    world.served_by("r1")


def test_a_door_that_turned_into_another_release_behind_its_route_is_told_and_left(world: World) -> None:
    stable = State(number=1, stable=ReleaseRef("1", "r1"))
    with variables(world.place):
        loop.registry.write("grocery", stable.document() | {"token": 0})
    world.actuator.route(Routes(stable=Backend(release="r1", url=OVERLAY)))
    kubectl.apply(world.cluster, world.manifests["r2"])
    with variables(world.place):
        shown = loop.summary(world.place)["notice"]
    wrong = f"the routes call {OVERLAY} release r1, and it runs release r2 (written by kubectl-client-side-apply)"
    assert shown == wrong
    world.look(2)
    assert world.said[0] == f"noticed: {wrong}"
    world.served_by("r1")


def scaled(world: World) -> None:
    kubectl.scale(world.cluster, "recommender-r1", 0)


def deleted(world: World) -> None:
    kubectl.delete(world.cluster, "deployments", "recommender-r1")


def changed(world: World) -> None:
    """Give the release's own door the template of another one."""
    door = world.cluster.get("deployments", "recommender-r1")
    labels = door["spec"]["template"]["metadata"]["labels"]
    labels["app.kubernetes.io/version"] = "r2"
    world.cluster.put("deployments", door, manager="kubectl-edit")


def rerouted(world: World) -> None:
    text = Routes(stable=Backend(release="seed", url=OVERLAY)).model_dump_json()
    kubectl.edit(world.cluster, "configmaps", clusters.ROUTES, **{"routes.json": text})


def garbled(world: World) -> None:
    kubectl.edit(world.cluster, "configmaps", clusters.ROUTES, **{"routes.json": "{"})


def unrouted(world: World) -> None:
    kubectl.delete(world.cluster, "configmaps", clusters.ROUTES)


def revived(world: World) -> None:
    kubectl.scale(world.cluster, "recommender", 2)


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (scaled, "release r1, which the routes lead to, has no door that is ready"),
        (deleted, "release r1, which the routes lead to, has no door that is ready"),
        (changed, "release r1, which the routes lead to, has no door that is ready"),
        (rerouted, "release seed, which the routes lead to (written by kubectl-edit), has no door that is ready"),
        (garbled, ""),
        (unrouted, ""),
        (
            revived,
            "the overlay's Deployment/recommender has 2 pods of release r1 (written by kubectl); "
            "no route leads to it, and it goes to 0 again",
        ),
    ],
)
def test_what_a_person_did_is_told_and_mended(adopted: World, act, said: str) -> None:
    act(adopted)
    adopted.look()
    assert adopted.said == ([f"noticed: {said}"] if said else [])
    adopted.served_by("r1")
    adopted.said.clear()
    adopted.look()
    assert adopted.said == []


@pytest.mark.parametrize("act", [scaled, rerouted])
def test_the_command_mends_it_where_no_loop_runs(adopted: World, act) -> None:
    act(adopted)
    found = restore.restore(adopted.place, "by hand")
    assert (found["champion"], found["moved"], found["serving"]) == ("1", False, "r1")
    adopted.served_by("r1")


def test_the_command_waits_for_the_loop_that_holds_the_lease(adopted: World, monkeypatch) -> None:
    for name, value in adopted.place.variables.items():  # of the process: two threads share them
        monkeypatch.setenv(name, value)
    rerouted(adopted)
    with held(adopted.place) as lease, ThreadPoolExecutor(1) as pool:
        told = pool.submit(restore.restore, adopted.place, "by hand")
        sleep(0.5)
        assert not told.done()
        loop.once(adopted.place, Actuator(adopted.place), lease)
        assert told.result(patient(60))["serving"] == "r1"


def test_while_stable_is_started_again_users_are_led_to_the_release_before(adopted: World) -> None:
    adopted.move("2")
    assert adopted.look(3).stable == ReleaseRef("2", "r2")
    kubectl.scale(adopted.cluster, "recommender-r2", 0)
    led, original = [], adopted.actuator.api.apply

    def apply(body: Object) -> Object:
        led.append(adopted.routed)
        return original(body)

    adopted.actuator.under = lambda token: None  # type: ignore[method-assign]
    adopted.actuator.api.apply = apply  # type: ignore[method-assign]
    adopted.look()
    assert set(led) == {("r1", "http://recommender-r1")}
    adopted.served_by("r2")


def test_a_door_of_another_recommender_is_never_what_users_are_led_to(adopted: World) -> None:
    base = adopted.cluster.get("deployments", "recommender")
    base["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/instance"] = "toys"
    base["spec"]["replicas"] = 1
    adopted.cluster.put("deployments", base)
    kubectl.delete(adopted.cluster, "deployments", "recommender-r1")
    assert dict(adopted.actuator.running()) == {}
    adopted.look(2)
    adopted.served_by("r1")


def test_a_lost_champion_comes_back_with_what_serves(adopted: World) -> None:
    adopted.move("")
    kubectl.delete(adopted.cluster, "deployments", "recommender-r1")
    found = restore.restore(adopted.place, "lost")
    assert (found["champion"], found["note"], found["serving"]) == (
        "1",
        "champion nobody -> 1, which held it last",
        "r1",
    )
    adopted.served_by("r1")
    found = restore.restore(adopted.place, "again")
    assert (found["champion"], found["moved"], found["serving"]) == ("1", False, "r1")
    assert "no version holds 'previous'" in found["note"]


def test_a_rollback_goes_to_the_release_before_and_mends_it_on_the_way(adopted: World) -> None:
    adopted.move("2")
    adopted.look(3)
    adopted.served_by("r2")
    kubectl.scale(adopted.cluster, "recommender-r1", 0)
    kubectl.scale(adopted.cluster, "recommender-r2", 0)
    assert restore.restore(adopted.place, "bad")["serving"] == "r1"
    adopted.served_by("r1")


def test_what_cannot_be_brought_back_is_one_line_with_the_reason(adopted: World, monkeypatch) -> None:
    monkeypatch.setattr(clusters.pods, "HOPELESS_S", {"CreateContainerConfigError": 0.0})
    words = "couldn't find key INTENTFLOW_PSEUDONYM_KEY in Secret intentflow/recommender"
    waits = {"name": "recommender", "restartCount": 0, "ready": False, "image": "i", "imageID": "i"}
    waits |= {"state": {"waiting": {"reason": "CreateContainerConfigError", "message": words}}}
    adopted.cluster.pod_status = lambda pod: {"phase": "Pending", "containerStatuses": [waits]}
    kubectl.delete(adopted.cluster, "deployments", "recommender-r1")
    with pytest.raises(ServerError, match=f"what serves cannot be kept up: Deployment/recommender-r1: .*{words}"):
        restore.restore(adopted.place, "by hand")


def test_a_first_release_that_is_held_is_tried_at_once_by_the_command(world: World) -> None:
    world.cluster.pod_status = lambda pod: {"phase": "Failed", "reason": "Evicted", "message": "disk is full"}
    kubectl.delete(world.cluster, "deployments", "recommender")
    clusters.READY_S, ready_s = 0.1, clusters.READY_S
    try:
        assert world.look().held == 1
        with pytest.raises(ServerError, match=r"serving did not follow .* Evicted, disk is full"):
            restore.restore(world.place, "by hand")
    finally:
        clusters.READY_S = ready_s
    world.cluster.pod_status = Cluster.pod_status
    world.cluster.delete("deployments", "recommender-r1")
    assert restore.restore(world.place, "by hand")["serving"] == "r1"


def test_an_undo_leaves_conflicts_that_force_ends_and_that_take_nothing_of_the_loop_s(world: World) -> None:
    """The fields that an undo takes are the manifest's own, so whoever applies may take them back."""
    assert len(kubectl.apply_server_side(world.cluster, world.manifests["r2"], force=True)) == 0
    world.look()
    assert kubectl.apply_server_side(world.cluster, world.manifests["r2"]) == []  # the loop owns none of its fields
    kubectl.undo(world.cluster, "recommender")
    (conflict,) = kubectl.apply_server_side(world.cluster, world.manifests["r2"])
    assert 'conflict with "kubectl-rollout": .spec.template' in conflict
    assert 'conflict with "intentflow"' not in conflict
    assert kubectl.apply_server_side(world.cluster, world.manifests["r2"], force=True) == []
    assert kubectl.apply_server_side(world.cluster, world.manifests["r2"]) == []
    world.look()
    world.served_by("r1")


SCHEDULING = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes: no cpu"}


def container(reason: str, message: str, restarts: int = 0) -> Object:
    about = {"name": "recommender", "restartCount": restarts, "ready": False, "image": "i", "imageID": "i"}
    return {"containerStatuses": [about | {"state": {"waiting": {"reason": reason, "message": message}}}]}


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (container("ImagePullBackOff", "manifest unknown"), "ImagePullBackOff, manifest unknown"),
        (container("CrashLoopBackOff", "back-off", 3), "CrashLoopBackOff, back-off"),
        ({"conditions": [SCHEDULING]}, "not ready in 0 s: .*Unschedulable, 0/1 nodes: no cpu"),
    ],
)
def test_a_candidate_that_never_starts_is_taken_back_while_stable_serves_on(
    adopted: World, monkeypatch, status: Object, why: str
) -> None:
    monkeypatch.setattr(clusters.pods, "HOPELESS_S", {"ImagePullBackOff": 0.0})
    monkeypatch.setattr(clusters, "READY_S", 0.3)
    ready = Cluster.pod_status

    def status_of(pod: Object) -> Object:
        of_candidate = pod["metadata"]["labels"]["app.kubernetes.io/name"] == "recommender-r2"
        return {"phase": "Pending", **status} if of_candidate else ready(pod)

    adopted.cluster.pod_status = status_of
    adopted.move("2")
    adopted.look(3)
    adopted.served_by("r1")
    assert "recommender-r2" not in adopted.cluster.names("deployments")
    with variables(adopted.place):
        assert loop.aliases.status("grocery").holders["champion"] == "1"
        assert re.search(why, loop.aliases.rolled_back("grocery", "2"))


def test_a_version_that_is_another_recommender_s_is_refused(world: World, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(clusters.releases, "assembled", lambda place, version: tmp_path)
    monkeypatch.setattr(clusters.ReleaseFolder, "read", lambda folder: SimpleNamespace(document={"name": "toys"}))
    with pytest.raises(SpecError, match="version 2 of grocery-release: it is a release of 'toys'; give the champion"):
        ClusterActuator.prepare(world.actuator, "2")


def test_while_a_door_is_waited_for_users_are_led_on_and_a_new_champion_is_heard(adopted: World) -> None:
    adopted.move("2")
    adopted.look(3)
    state = State(stable=ReleaseRef("2", "r2"), previous=ReleaseRef("1", "r1"))
    kubectl.scale(adopted.cluster, "recommender-r2", 0)
    with held(adopted.place) as lease, variables(adopted.place):
        look = loop._Meanwhile(adopted.place, adopted.actuator, lease, state, "2")
        look._looked_at -= loop.EVERY_S
        look()
        assert adopted.routed == ("r1", "http://recommender-r1")
        adopted.move("3")
        look._looked_at -= loop.EVERY_S
        with pytest.raises(loop.Superseded, match="the champion moved to version 3 meanwhile"):
            look()


def test_an_overlay_of_another_namespace_is_refused_before_anything_is_done() -> None:
    with pytest.raises(SpecError, match=r"kubernetes.namespace: 'shop' is not where kubernetes.overlay 'local' puts"):
        release_overlay.require_namespace("local", "shop")
    release_overlay.require_namespace("local", "intentflow")

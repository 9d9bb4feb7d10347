"""`intentflow rollback` on a cluster, and what the loop does where a release does not start."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import sleep
from types import SimpleNamespace

import pytest

from feature_repo.errors import ServerError, SpecError
from pipelines.leases.place_lease import held
from pipelines.releases.release import variables
from pipelines.rollout import cluster as clusters
from pipelines.rollout import loop, restore
from pipelines.rollout.cluster import ClusterActuator
from pipelines.rollout.state import ReleaseRef, State
from tests import kubectl
from tests.kubernetes_objects import Object
from tests.kubernetes_server import Cluster
from tests.patience import patient
from tests.pipelines.rollout.namespace import Actuator, World, rerouted, scaled


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

"""The loop on a cluster where people apply, undo, scale and edit beside it: what runs is what the routes say."""

import pytest

from bentos.router.routes import Backend, Routes
from feature_repo.errors import SpecError
from pipelines.manifests import release_overlay
from pipelines.releases.release import variables
from pipelines.rollout import cluster as clusters
from pipelines.rollout import loop
from pipelines.rollout.state import ReleaseRef, State
from tests import kubectl
from tests.kubernetes_objects import Object
from tests.pipelines.rollout.namespace import OVERLAY, World, rerouted, scaled


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


def deleted(world: World) -> None:
    kubectl.delete(world.cluster, "deployments", "recommender-r1")


def changed(world: World) -> None:
    """Give the release's own door the template of another one."""
    door = world.cluster.get("deployments", "recommender-r1")
    labels = door["spec"]["template"]["metadata"]["labels"]
    labels["app.kubernetes.io/version"] = "r2"
    world.cluster.put("deployments", door, manager="kubectl-edit")


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


def test_an_overlay_of_another_namespace_is_refused_before_anything_is_done() -> None:
    with pytest.raises(SpecError, match=r"kubernetes.namespace: 'shop' is not where kubernetes.overlay 'local' puts"):
        release_overlay.require_namespace("local", "shop")
    release_overlay.require_namespace("local", "intentflow")

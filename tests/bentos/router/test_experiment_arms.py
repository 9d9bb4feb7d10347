"""An experiment's arms in the routes: who is in which, and what the router does about them."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from bentos.router.requests import arm_for
from bentos.router.routes import ArmDoor, Backend, Routes, arm_of, place_of
from tests.bentos.router.conftest import Door, World, until

A, URL = Backend(release="aaa", url="http://127.0.0.1:1"), "http://127.0.0.1:2"


def arm(name: str, share: float, url: str = URL) -> ArmDoor:
    return ArmDoor(arm=name, share=share, release=name * 3, url=url)


def tried(*arms: ArmDoor, experiment: str = "e-1", **more: Any) -> Routes:
    return Routes(stable=A, experiment=experiment, arms=arms, **more)


def test_each_user_is_in_one_arm_for_good_and_arms_hold_their_shares() -> None:
    routes, users = tried(arm("b", 0.3), arm("c", 0.2)), 4000
    fell = [arm_of(str(user), routes) for user in range(users)]
    for name, share in (("stable", 0.5), ("b", 0.3), ("c", 0.2)):
        assert abs(fell.count(name) / users - share) < 6 * (share * (1 - share) / users) ** 0.5
    assert fell == [arm_of(str(user), routes) for user in range(users)]
    assert fell != [arm_of(str(user), tried(*routes.arms, experiment="e-2")) for user in range(users)]
    assert [arm_of(u, routes) == "b" for u in "abcdef"] == [place_of(u, "e-1") < 0.3 for u in "abcdef"]


def test_users_stay_where_they_are_while_the_door_of_another_arm_is_away() -> None:
    b = ArmDoor(arm="b", share=0.3, begins=0.0, release="bbb", url=URL)
    c = ArmDoor(arm="c", share=0.2, begins=0.3, release="ccc", url=URL)
    both, users = tried(b, c), [str(user) for user in range(1000)]
    fell = [arm_of(user, both) for user in users]
    assert fell == [arm_of(user, tried(arm("b", 0.3), arm("c", 0.2))) for user in users]
    alone = [arm_of(user, tried(c)) for user in users]
    assert alone == ["stable" if one == "b" else one for one in fell]


def test_an_arm_without_a_share_has_nobody() -> None:
    assert {arm_of(str(user), tried(arm("b", 0.0))) for user in range(500)} == {"stable"}


def test_events_of_users_of_one_arm_go_there_and_of_several_to_stable() -> None:
    routes = tried(arm("b", 0.5))
    inside = [str(u) for u in range(50) if arm_of(str(u), routes) == "b"]
    outside = next(str(u) for u in range(50) if arm_of(str(u), routes) == "stable")

    def events(*users: str) -> bytes:
        return json.dumps({"events": [{"user_id": user} for user in users]}).encode()

    assert arm_for("/events", events(*inside[:3]), routes) == "b"
    assert arm_for("/events", events(*inside[:3], outside), routes) == "stable"
    assert arm_for("other", b'{"user_id": "1"}', routes) == "stable"


def test_routes_without_an_experiment_are_written_as_before() -> None:
    before = ["rollout", "mode", "share", "mirror", "shared", "stable", "candidate"]
    assert list(Routes(stable=A).model_dump(mode="json")) == before
    routes = tried(arm("b", 0.5))
    assert Routes.model_validate_json(routes.model_dump_json()) == routes


def test_the_processes_of_an_arm_s_door_are_named() -> None:
    routes = tried(arm("b", 0.5)).over({URL: ("http://127.0.0.1:7", "http://127.0.0.1:8")})
    assert routes.spread
    assert routes.arms[0].processes(1)[0] == "http://127.0.0.1:8"
    assert routes.over({}) == tried(arm("b", 0.5))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"experiment": ""}, "arms: go with mode stable and the experiment's name"),
        ({"mode": "canary", "candidate": A}, "arms: go with mode stable and the experiment's name"),
        ({"arms": (arm("b", 0.6), arm("c", 0.6))}, "their shares sum to more than 1"),
        ({"arms": (arm("stable", 0.5),)}, "are doors of their own"),
    ],
)
def test_arms_that_make_no_sense_are_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Routes(**{"stable": A, "experiment": "e-1", "arms": (arm("b", 0.5),)} | change)


def test_users_are_answered_by_their_arm_and_each_event_reaches_every_door(play) -> None:
    async def scene(world: World) -> None:
        third = await Door("ccc").open()
        doors = {"stable": "aaa", "b": "bbb", "c": "ccc"}
        arms = [
            {"arm": "b", "share": 0.3, **world.candidate.backend.model_dump(mode="json")},
            {"arm": "c", "share": 0.4, **third.backend.model_dump(mode="json")},
        ]
        world.route(candidate=False, rollout="", experiment="e-1", arms=arms)
        for user in map(str, range(30)):
            status, body, _ = await world.post("/recommend", {"user_id": user})
            assert (status, body["release"]) == (200, doors[arm_of(user, world.router.file.routes)])
        events = {"events": [{"user_id": "1", "event_id": "e1"}]}
        assert (await world.post("/events", events))[0] == 200
        await until(lambda: world.router.counts.copies["sent"] == 2)
        assert [door.of("/events") for door in (world.stable, world.candidate, third)] == [[events]] * 3
        third.status = 500  # stable answers in the place of an arm that fails
        user = next(str(u) for u in range(30) if arm_of(str(u), world.router.file.routes) == "c")
        assert (await world.post("/recommend", {"user_id": user}))[1]["release"] == "aaa"
        seen = (await world.seen())["arms"]
        assert (seen["c"]["errors"], seen["b"]["errors"], seen["stable"]["errors"]) == (1, 0, 0)
        await third.kill()

    play(scene)

"""What is otherwise than it must be, and where users are led meanwhile."""

from dataclasses import replace
from typing import Any

import pytest

from bentos.router.routes import Backend, Routes
from pipelines.rollout import mending
from pipelines.rollout.actuator import OverlayDoor
from pipelines.rollout.state import ReleaseRef, State
from pipelines.rollout.state_machine import Act, Decision, backends, decide
from tests.pipelines.rollout.test_decisions import BACK, BEGUN, PROMOTING, RULES, SHADOW, WARM, facts, led
from tests.pipelines.rollout.test_decisions import CANARY as CANARY_STATE
from tests.pipelines.rollout.test_decisions import IDLE as SETTLED

A, B, C = ReleaseRef("1", "aaaa"), ReleaseRef("2", "bbbb"), ReleaseRef("3", "cccc")
BASE = "http://base"
IDLE = State(stable=A)
SERVED = Routes(stable=Backend(release="aaaa", url="http://aaaa"))
OWN = {"aaaa": "http://aaaa"}


def base(runs: str = "aaaa", becomes: str = "aaaa", pods: int = 2, **by: Any) -> OverlayDoor:
    return OverlayDoor(BASE, runs, becomes, pods, **by)


def to(release: str, url: str) -> Routes:
    return Routes(stable=Backend(release=release, url=url))


@pytest.mark.parametrize(
    ("running", "led"),
    [
        ("aaaa bbbb cccc zzzz", "aaaa"),
        ("bbbb cccc zzzz", "bbbb"),  # the one before stable
        ("cccc zzzz", "zzzz"),  # whatever else somebody runs
        ("cccc", "cccc"),  # the candidate, last
        ("", None),
    ],
)
def test_users_are_led_to_the_door_that_is_trusted_most(running: str, led: str | None) -> None:
    state = State(stable=A, previous=B, candidate=C)
    found = mending.stand_in(state, {release: f"http://{release}/" for release in running.split()})
    assert (found and found.release) == led
    assert found is None or found.url == f"http://{led}"


@pytest.mark.parametrize(
    ("routes", "running", "true"),
    [
        (None, OWN, False),
        (SERVED, OWN, True),
        (SERVED, {"aaaa": "http://aaaa/"}, True),
        (SERVED, {}, False),
        (SERVED, {"aaaa": BASE}, False),
        (SERVED, {"bbbb": "http://aaaa"}, False),  # the door is there, and runs another release
    ],
)
def test_routes_are_true_where_a_ready_door_runs_what_they_name(
    routes: Routes | None, running: dict[str, str], true: bool
) -> None:
    assert mending.leads(routes, running) is true
    assert mending.turned(IDLE, running, routes) is (not true and bool(running))


@pytest.mark.parametrize(
    ("state", "door", "routes", "running", "needless"),
    [
        (IDLE, base(), SERVED, OWN, True),
        (IDLE, base(pods=0), SERVED, OWN, False),
        (IDLE, None, SERVED, OWN, False),
        (IDLE, base(), to("aaaa", BASE), OWN, False),
        (IDLE, base(), SERVED, {"aaaa": BASE}, False),
        (IDLE, base(), SERVED, {}, False),
        (IDLE, base(), None, OWN, False),
        (State(), base(), SERVED, OWN, False),
        (
            IDLE,
            base(),
            Routes(mode="canary", stable=SERVED.stable, candidate=Backend(release="zzzz", url=BASE)),
            OWN,
            False,
        ),
    ],
)
def test_the_overlay_s_door_is_needless_only_while_stable_s_own_serves(
    state: State, door: OverlayDoor | None, routes: Routes | None, running: dict[str, str], needless: bool
) -> None:
    assert mending.beside(state, running, door, routes) is needless


CANARY = Routes(mode="canary", rollout="r", stable=SERVED.stable, candidate=Backend(release="bbbb", url="http://bbbb"))


@pytest.mark.parametrize(
    ("state", "running", "door", "routes", "said"),
    [
        (IDLE, OWN, base(pods=0), SERVED, ""),
        (IDLE, OWN, None, SERVED, ""),
        (State(), {}, base(pods=0), SERVED, ""),
        (State(stable=A, candidate=B), OWN, None, CANARY, ""),
        (
            IDLE, {"seed": BASE}, base("seed", "seed", by="kubectl"), to("aaaa", BASE),
            "the routes call http://base release aaaa, and it runs release seed (written by kubectl)",
        ),
        (
            IDLE, {}, base("", "seed"), to("aaaa", BASE),
            "the routes call http://base release aaaa, and it has no pods of one release ready (next: seed)",
        ),
        (
            IDLE, {}, base("", "seed", 0, routes_by="kubectl-edit"), to("aaaa", BASE),
            "release aaaa, which the routes lead to (written by kubectl-edit), has no door that is ready",
        ),
        (IDLE, OWN, None, to("aaaa", "http://old"), "the routes lead to http://old; release aaaa is at http://aaaa"),
        (
            IDLE, OWN | {"bbbb": "http://bbbb"}, base(pods=0, routes_by="me"), CANARY,
            "the routes lead to release aaaa in mode canary (written by me); version 1 (release aaaa) is stable",
        ),
        (
            IDLE, {"bbbb": "http://bbbb"}, None, to("bbbb", "http://bbbb"),
            "the routes lead to release bbbb in mode stable; version 1 (release aaaa) is stable",
        ),
        (IDLE, {}, None, None, "version 1 (release aaaa) is stable, and no door that is ready runs it"),
        (
            IDLE, {"aaaa": BASE}, base(), to("aaaa", BASE),
            "version 1 (release aaaa) has only the overlay's Deployment/recommender; it gets a door of its own",
        ),
        (
            IDLE, {"aaaa": BASE}, base(becomes="seed", by="kubectl"), to("aaaa", BASE),
            "version 1 (release aaaa) has only the overlay's Deployment/recommender, which turns into release seed "
            "(written by kubectl); it gets a door of its own",
        ),
        (
            IDLE, OWN, base("seed", "seed", by="kubectl", scaled_by="hpa"), SERVED,
            "the overlay's Deployment/recommender has 2 pods of release seed (written by hpa); no route leads to it, "
            "and it goes to 0 again",
        ),
    ],
)  # fmt: skip
def test_what_differs_is_one_line_that_names_who_did_it(
    state: State, running: dict[str, str], door: OverlayDoor | None, routes: Routes | None, said: str
) -> None:
    assert mending.noticed(state, running, door, routes) == said


def test_a_door_that_neither_serves_nor_is_kept_is_ended() -> None:
    assert decide(SETTLED, facts("1", running="aaaa cccc zzzz yyyy"), RULES) == Decision(
        SETTLED, (Act("stop", "yyyy"), Act("stop", "zzzz"))
    )


def test_stable_gets_a_door_of_its_own_where_only_the_overlay_s_runs_it() -> None:
    borrowed = replace(facts("1"), running={"aaaa": BASE}, overlay_door=OverlayDoor(BASE, "aaaa", "seed", 1))
    decision = decide(SETTLED, replace(borrowed, routes=led("aaaa").model_copy(update={"stable": over_there()})), RULES)
    assert decision.acts == (Act("prepare", "1"), Act("start", "aaaa"), Act("route", mode="stable"))
    assert "which turns into release seed" in decision.notice


def test_the_overlay_s_door_goes_once_stable_s_own_serves_and_before_the_release_that_is_kept() -> None:
    seen = replace(facts("1", running="aaaa cccc"), overlay_door=OverlayDoor(BASE, "seed", "seed", 1))
    assert decide(SETTLED, seen, RULES).acts == (Act("retire"),)
    led_there = replace(seen, routes=Routes(stable=over_there()), running={"aaaa": "http://aaaa"})
    assert decide(SETTLED, led_there, RULES).acts == (Act("route", mode="meanwhile"),)


@pytest.mark.parametrize("state", [SETTLED, BEGUN, WARM, SHADOW, CANARY_STATE, PROMOTING, BACK])
def test_whatever_the_phase_users_are_led_to_a_door_that_is_ready_first(state: State) -> None:
    champion = "1" if state is SETTLED else "2"
    decision = decide(state, facts(champion, running="cccc"), RULES)
    notice = "release aaaa, which the routes lead to, has no door that is ready"
    assert decision == Decision(state, (Act("route", mode="meanwhile"),), again=True, notice=notice)
    assert backends(state, decision.acts[0], {"cccc": "http://cccc"}) == led("cccc")
    assert backends(state, decision.acts[0], {}) is None


def test_without_a_rollout_or_a_release_nobody_is_led_anywhere() -> None:
    assert decide(State(), facts("", running="cccc"), RULES).acts == ()


def over_there() -> Backend:
    return Backend(release="aaaa", url=BASE)

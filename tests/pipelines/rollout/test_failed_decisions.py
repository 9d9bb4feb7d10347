"""What the state machine decides of a rollout that fails, is left, or has nothing to go back to."""

from dataclasses import replace

import pytest

from components.registry.rollout_tags import Registry, Version
from pipelines.rollout.state import Seen, State
from pipelines.rollout.state_machine import Act, Decision, decide, failed
from tests.pipelines.rollout.test_decisions import (
    BACK,
    BEGUN,
    CANARY,
    NOTICE,
    NOW,
    RULES,
    SHADOW_SEEN,
    V2,
    V3,
    facts,
    led,
    outcome,
    over,
)


@pytest.mark.parametrize(
    ("champion", "why", "aliases"),
    [
        ("1", "champion moved back to version 1", (NOTICE, Act("previous", "3", why="the rollout of 2 ended"))),
        ("3", "champion moved on to version 3", ()),
        ("", "champion was taken away", ()),
    ],
)
def test_a_rollout_whose_champion_moved_is_left(champion: str, why: str, aliases: tuple[Act, ...]) -> None:
    acts = (Act("route", mode="stable"), *aliases, Act("stop", "bbbb"))
    done = over(last=outcome(V2, "abandoned", why))
    assert decide(CANARY, facts(champion), RULES) == Decision(done, acts, "2", f"abandoned: {why}", again=True)


def test_a_first_rollout_that_is_left_goes_on_serving_until_another_release_does() -> None:
    state = replace(BEGUN, stable=None, previous=None)
    assert decide(state, facts("3"), RULES).acts == ()


def test_a_failed_release_gives_users_back_then_the_alias_then_its_door() -> None:
    acts = (
        Act("route", mode="stable"),
        Act("take_back", "2", to="1", why="it errs"),
        Act("previous", "3", why="the rollout of 2 failed"),
        Act("stop", "bbbb"),
    )
    done = over(last=outcome(V2, "rolled_back", "it errs"))
    expected = Decision(done, acts, "2", "rolled back: it errs", again=True)
    assert decide(BACK, facts(), RULES) == expected
    assert decide(BACK, facts("3"), RULES) == expected  # a rollback that began is finished, wherever the alias is


def test_a_failed_release_that_was_the_one_before_keeps_its_door() -> None:
    assert decide(replace(BACK, previous=V2), facts(), RULES).acts[-1].verb == "previous"


ONLY = replace(BEGUN, stable=None, previous=None, earlier="", attempts=0)


@pytest.mark.parametrize(("held", "pause_s"), [(0, 15), (1, 30), (5, 480), (6, 600), (60, 600)])
def test_the_only_release_is_held_when_it_fails_and_tried_again_later(held: int, pause_s: int) -> None:
    before = replace(ONLY, phase="warm", held=held, seen=Seen("b", {}, SHADOW_SEEN))
    waits = replace(ONLY, held=held + 1, retry_at=NOW + pause_s, since=NOW, why="no answer", seen=Seen("b", {}, {}))
    line = f"waits {pause_s} s: no answer; no other release serves, so it stays the champion and what runs stays"
    assert failed(before, "no answer", now=NOW, passing=False) == Decision(waits, (), "2", line)


def test_a_release_that_is_held_waits_for_its_time() -> None:
    waits = replace(ONLY, held=1, retry_at=NOW + 1)
    assert decide(waits, facts(), RULES) == Decision(waits)
    assert decide(replace(waits, retry_at=NOW), facts(), RULES).acts == (Act("prepare", "2"),)
    assert decide(waits, facts("3"), RULES).state.last["result"] == "abandoned"  # whoever moves the alias is heard


def test_a_rollback_that_an_earlier_loop_began_without_anything_to_go_back_to_is_none() -> None:
    decision = decide(replace(BACK, stable=None), facts(), RULES)
    assert (decision.acts, decision.state.phase, decision.state.candidate) == ((), "build", V2)


def test_a_first_release_that_its_gates_refused_is_left_as_it_is() -> None:
    registry = Registry("2", True, {"2": Version("2", "bbbb", False, "map is low")})
    decision = decide(State(number=4), facts(registry=registry, running="bbbb"), RULES)
    why = "its gates refused it (map is low)"
    assert decision.state == State(number=5, last=outcome(V2, "refused", why))
    assert decision.acts == (NOTICE,)
    assert decision.line == f"not started: {why}; it stays the champion, since no other release serves"
    assert decide(decision.state, facts(registry=registry), RULES) == Decision(decision.state)
    assert decide(decision.state, facts(), RULES).state.candidate == V2  # its gates were judged again
    assert decide(decision.state, facts("3"), RULES).state.candidate == V3


def test_a_dead_stable_door_is_started_before_users_are_given_back() -> None:
    acts = decide(BACK, facts(running="bbbb", routes=led("bbbb")), RULES).acts
    assert acts[:3] == (Act("prepare", "1"), Act("start", "aaaa"), Act("route", mode="stable"))


def test_work_that_may_pass_is_tried_again_and_work_that_cannot_is_not() -> None:
    state = replace(BEGUN, attempts=0)
    assert failed(state, "away", now=NOW, passing=True) == Decision(replace(state, attempts=1))
    assert failed(state, "away", now=NOW, passing=False) == failed(BEGUN, "away", now=NOW, passing=True)
    failing = replace(state, phase="rolling_back", why="away", since=NOW)
    assert failed(BEGUN, "away", now=NOW, passing=True) == Decision(failing, (), "2", "failed: away", again=True)

"""The state machine of retraining: each reason's answer, what a budget and a cooldown hold back, and when it stops."""

import json

import pytest

from monitoring.retraining.machine import (
    DAY_S,
    GAIN,
    HOLD,
    LOST,
    NO_GAIN,
    NOTHING,
    OVER_BUDGET,
    REFUSED,
    SHADOW,
    STOP,
    TRAIN,
    UNKNOWN,
    WAIT,
    Rule,
    State,
    decide,
    judged,
    resumed,
    settled,
)
from monitoring.retraining.reason import CLASSES, Reason

RULE = Rule(cooldown_s=7 * DAY_S, budget=2, after_failures=2)


def world(key: str = "k", since: str = "") -> Reason:
    return Reason("world", "prices doubled", key, since)


def tried(state: State, key: str, result: str, *, day: int) -> State:
    """Train for a reason on a day, to a result."""
    state, found = decide(state, world(key), RULE, at=day * DAY_S)
    assert found.trains, found
    return settled(state, result, RULE, at=day * DAY_S)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "action"),
    [
        ("data_fault", HOLD),
        ("performance", SHADOW),
        ("world", SHADOW),
        ("grown", TRAIN),
        ("undecided", NOTHING),
        ("none", NOTHING),
    ],
)
def test_each_class_of_reason_has_its_answer(kind: str, action: str) -> None:
    state, found = decide(State(), Reason(kind, "as it is", "k"), RULE, at=0)  # type: ignore[arg-type]
    assert (found.action, found.reason) == (action, kind)
    assert found.trains == (action in (SHADOW, TRAIN)) == (state.running is not None)
    assert found.pages == (action == HOLD)
    assert state.last == found


def test_every_class_has_been_asked() -> None:
    assert set(CLASSES) == {"data_fault", "performance", "world", "grown", "undecided", "none"}


def test_more_to_learn_from_that_brings_no_gain_is_no_failure() -> None:
    state = State()
    for number in range(4):
        state, found = decide(state, Reason("grown", "18 steps", f"g{number}"), RULE, at=40 * number * DAY_S)
        assert found.action == TRAIN
        state = settled(judged(state, NO_GAIN, said="", version="2"), NO_GAIN, RULE, at=40 * number * DAY_S)
    assert (state.failures, state.stopped) == (0, "")
    state, _ = decide(state, Reason("grown", "18 steps", "g5"), RULE, at=400 * DAY_S)
    assert settled(state, REFUSED, RULE, at=400 * DAY_S).failures == 1, "a gate that refuses is one"


def test_without_a_shadow_the_gates_alone_promote() -> None:
    assert decide(State(), world(), Rule(0.0, shadow=False), at=0)[1].action == TRAIN


def test_a_decision_that_is_taken_again_is_the_same_attempt() -> None:
    """The run was killed after the state was written."""
    state, first = decide(State(), world(), RULE, at=0)
    state, again = decide(State.read(json.loads(json.dumps(state.document()))), world(), RULE, at=0)
    assert (first.action, again.action, len(state.attempts)) == (SHADOW, SHADOW, 1)


def test_evidence_that_a_training_answered_is_not_trained_on_twice() -> None:
    state, found = decide(tried(State(), "k", NO_GAIN, day=0), world("k"), RULE, at=400 * DAY_S)
    assert found.action == WAIT
    assert "answered this evidence already (no_gain)" in found.why
    assert len(state.attempts) == 1


@pytest.mark.parametrize(("day", "action"), [(6, WAIT), (7, SHADOW)])
def test_a_cooldown_begins_when_a_training_ends(day: int, action: str) -> None:
    state = tried(State(), "first", GAIN, day=0)
    _, found = decide(state, world("second"), RULE, at=day * DAY_S)
    assert found.action == action
    assert found.until == (7 * DAY_S if action == WAIT else None)


@pytest.mark.parametrize(("day", "action"), [(29, OVER_BUDGET), (30, SHADOW)])
def test_a_budget_is_of_thirty_days(day: int, action: str) -> None:
    state = tried(tried(State(), "a", GAIN, day=0), "b", GAIN, day=10)
    assert decide(state, world("c"), RULE, at=day * DAY_S)[1].action == action


def test_what_no_training_row_shows_yet_is_waited_for() -> None:
    """Labels until day 20 are learnt from, and the change began on day 21."""
    _, found = decide(State(), world(since="1970-01-22T00:00:00+00:00"), RULE, at=30 * DAY_S, learnable=20 * DAY_S)
    assert (found.action, found.why.rpartition("; ")[2]) == (
        WAIT,
        "since 1970-01-22, and a training now would learn until 1970-01-21",
    )
    _, found = decide(State(), world(since="1970-01-22T00:00:00+00:00"), RULE, at=30 * DAY_S, learnable=22 * DAY_S)
    assert found.action == SHADOW


@pytest.mark.parametrize("result", [NO_GAIN, REFUSED, LOST])
def test_two_trainings_without_gain_stop_it_until_somebody_resumes(result: str) -> None:
    state = tried(State(), "a", result, day=0)
    assert (state.failures, state.stopped) == (1, "")
    state = tried(state, "b", result, day=8)
    assert state.failures == 2
    assert "2 trainings in a row brought no gain" in state.stopped
    state, found = decide(state, world("c"), RULE, at=100 * DAY_S)
    assert (found.action, found.pages, state.running) == (STOP, True, None)
    assert decide(state, Reason("none"), RULE, at=100 * DAY_S)[1].action == NOTHING  # no reason, nobody is told again
    state = resumed(state)
    assert (state.failures, state.stopped) == (0, "")
    state, found = decide(state, world("c"), RULE, at=100 * DAY_S)
    assert found.action == SHADOW
    assert settled(state, result, RULE, at=101 * DAY_S).stopped == ""  # the first of two more tries  # type: ignore[arg-type]


def test_what_could_not_be_compared_is_no_failure_and_no_gain() -> None:
    """With `promotion.refit` a champion has always learnt from the newest rows: retraining must not end by that."""
    state = tried(tried(State(), "a", UNKNOWN, day=0), "b", UNKNOWN, day=40)
    assert (state.failures, state.stopped) == (0, "")
    state = tried(tried(state, "c", NO_GAIN, day=80), "d", UNKNOWN, day=120)
    assert (state.failures, state.stopped) == (1, "")
    stopped = tried(state, "e", NO_GAIN, day=160).stopped
    said = (
        f"2 trainings in a row brought no gain (1970-03-22 {NO_GAIN}; 1970-06-10 {NO_GAIN}), so retraining has stopped"
    )
    assert stopped.startswith(said)


def test_a_gain_forgives_what_was_before() -> None:
    state = tried(tried(State(), "a", NO_GAIN, day=0), "b", GAIN, day=8)
    state = tried(state, "c", NO_GAIN, day=40)
    assert (state.failures, state.stopped) == (1, "")


def test_a_fault_holds_even_a_retraining_that_has_stopped() -> None:
    state = tried(tried(State(), "a", NO_GAIN, day=0), "b", NO_GAIN, day=8)
    assert decide(state, Reason("data_fault", "nulls", "f"), RULE, at=9 * DAY_S)[1].action == HOLD


def test_an_attempt_that_never_ended_is_lost_and_counts_as_a_try() -> None:
    state, _ = decide(State(), world("a"), RULE, at=0)
    state, found = decide(state, world("b"), RULE, at=3 * DAY_S)
    assert (state.attempts[0].result, found.action, state.failures) == (LOST, WAIT, 1)
    state, _ = decide(state, world("b"), RULE, at=10 * DAY_S)
    state, found = decide(state, world("c"), RULE, at=40 * DAY_S)
    assert (found.action, [one.result for one in state.attempts]) == (STOP, [LOST, LOST])


def test_what_was_judged_before_a_kill_is_how_an_attempt_ended() -> None:
    state, _ = decide(State(), world("a"), RULE, at=0)
    state = judged(state, GAIN, said="map +.1", version="7")
    state, _ = decide(state, world("b"), RULE, at=DAY_S)
    assert (state.attempts[0].result, state.attempts[0].version, state.failures) == (GAIN, "7", 0)


def test_settling_and_judging_twice_changes_nothing() -> None:
    state = tried(State(), "a", NO_GAIN, day=0)
    assert settled(state, GAIN, RULE, at=DAY_S) == state
    assert judged(state, GAIN, said="", version="") == state


def test_the_state_is_read_back_as_it_was() -> None:
    state = tried(tried(State(), "a", NO_GAIN, day=0), "b", NO_GAIN, day=8)
    state, _ = decide(state, world("c"), RULE, at=9 * DAY_S)
    assert State.read(json.loads(json.dumps(state.document()))) == state
    assert State.read({}) == State()

"""What the state machine decides at each moment of a rollout: what to do, what is kept, and what is said."""

from dataclasses import replace
from typing import Any

import pytest

from bentos.router.observations import ArmSeen, Observations
from bentos.router.routes import Backend, Routes
from components.registry.rollout_tags import Registry, Version
from components.registry.spec import Rollout, Shadow
from pipelines.rollout.state import ReleaseRef, Seen, State
from pipelines.rollout.state_machine import Act, Decision, Facts, backends, decide, failed

RULES = Rollout(steps=(0.1, 1.0), step_requests=20, hold_s=5, wait_s=100, shadow=Shadow(requests=30))
V1, V2, V3 = ReleaseRef("1", "aaaa"), ReleaseRef("2", "bbbb"), ReleaseRef("3", "cccc")
NOW = 1000.12345
NOTICE = Act("notice")
SHADOW_SEEN = {"shadow.requests": 30, "shadow.answers": 30, "shadow.compared": 30, "shadow.overlap": 15}
OTHERS_SEEN = {"stable.requests": 900, "stable.answers": 900, "candidate.answers": 25}

IDLE = State(number=4, stable=V1, previous=V3, keep_until=5000.0, earlier="3", last={"result": "promoted"})
BEGUN = replace(IDLE, phase="build", rollout="5-bbbb", number=5, candidate=V2, since=990.0, attempts=2)
WARM = replace(BEGUN, phase="warm")
SHADOW = replace(BEGUN, phase="shadow", seen=Seen("b", {}, SHADOW_SEEN))
CANARY = replace(BEGUN, phase="canary", began=900.0, seen=Seen("b", {}, {**OTHERS_SEEN, "candidate.requests": 25}))
PROMOTING = replace(BEGUN, phase="promoting")
BACK = replace(BEGUN, phase="rolling_back", why="it errs")


def door(release: str) -> Backend:
    return Backend(release=release, url=f"http://{release}")


def routes(mode: str = "stable", share: float = 0.0, **changed: Any) -> Routes:
    second = {} if mode == "stable" else {"rollout": "5-bbbb", "candidate": door("bbbb")}
    return Routes.model_validate({"mode": mode, "share": share, "stable": door("aaaa"), **second, **changed})


def led(release: str) -> Routes:
    """Routes to whichever door is ready, while stable's is not."""
    return Routes(stable=door(release))


def facts(champion: str = "2", *, running: str = "aaaa bbbb cccc", **changed: Any) -> Facts:
    known = {v: Version(v, r, passed=True) for v, r in (("1", "aaaa"), ("2", "bbbb"), ("3", "cccc"))}
    urls = {release: f"http://{release}" for release in running.split()}
    given = {"routes": routes(), "seen": None, "now": NOW} | changed
    registry = given.pop("registry", Registry(champion, True, known))
    return Facts(registry=registry, running=urls, **given)


def outcome(at: ReleaseRef, result: str, why: str) -> dict[str, object]:
    return {"version": at.version, "release": at.release, "result": result, "why": why, "at": 1000.123}


def over(**last: Any) -> State:
    """The state after a rollout that did not end well."""
    return replace(IDLE, number=5, **last)


def test_nothing_is_decided_without_a_champion_or_where_all_is_well() -> None:
    assert decide(State(), facts("", running=""), RULES) == Decision(State())
    assert decide(IDLE, facts("1", running="aaaa cccc"), RULES) == Decision(IDLE)
    assert decide(IDLE, facts("1", running="aaaa cccc"), RULES).idle
    assert not Decision(IDLE, line="said").idle
    assert not Decision(IDLE, (NOTICE,)).idle


def test_a_move_that_nobody_recorded_is_recorded() -> None:
    moved = facts("1", running="aaaa cccc", registry=Registry("1", recorded=False))
    assert decide(IDLE, moved, RULES) == Decision(IDLE, (NOTICE,))


@pytest.mark.parametrize(("now", "kept"), [(4999.9, True), (5000.0, False)])
def test_the_door_before_is_kept_for_its_time(now: float, kept: bool) -> None:
    ended = Decision(replace(IDLE, previous=None), (Act("stop", "cccc"), Act("prune")))
    assert decide(IDLE, facts("1", running="aaaa cccc", now=now), RULES) == (Decision(IDLE) if kept else ended)


def test_the_same_release_under_another_version_serves_on() -> None:
    registry = Registry("9", True, {"9": Version("9", "aaaa", True)})
    serves = replace(IDLE, stable=ReleaseRef("9", "aaaa"))
    expected = Decision(serves, (NOTICE,), "9", "serves: the same release did")
    assert decide(IDLE, facts(registry=registry), RULES) == expected


def begun(phase: str, candidate: ReleaseRef, *, direct: bool, **changed: Any) -> State:
    fresh = {"phase": phase, "rollout": f"5-{candidate.release}", "number": 5, "candidate": candidate, "since": NOW}
    return replace(IDLE, direct=direct, **fresh, **changed)


def test_a_rollout_begins() -> None:
    acts = (NOTICE, Act("previous", "1", why="serves until the rollout's end"))
    line = "champion moved here from version 1: rollout 5-bbbb begins"
    expected = Decision(begun("build", V2, direct=False), acts, "2", line, again=True)
    assert decide(IDLE, facts(), RULES) == expected


def test_the_first_release_has_nothing_to_be_compared_with() -> None:
    first = State(phase="build", rollout="1-aaaa", number=1, candidate=V1, direct=True, since=NOW)
    line = "champion moved here from nobody: rollout 1-aaaa begins"
    assert decide(State(), facts("1"), RULES) == Decision(first, (NOTICE,), "1", line, again=True)


def test_a_release_that_the_gates_refused_goes_back() -> None:
    registry = Registry("2", True, {"2": Version("2", "bbbb", False, "map is low")})
    decision = decide(IDLE, facts(registry=registry), RULES)
    assert decision.state == begun("rolling_back", V2, direct=False, why="its gates refused it (map is low)")
    assert (decision.about, decision.again) == ("2", True)
    assert decision.line == "champion moved here from version 1: rollout 5-bbbb begins"


@pytest.mark.parametrize(
    ("state", "running", "phase"),
    [
        (IDLE, "aaaa cccc", "promoting"),
        (IDLE, "aaaa", "build"),
        (replace(IDLE, previous=None), "aaaa cccc", "promoting"),  # `earlier` is its version
        (replace(IDLE, earlier=""), "aaaa cccc", "promoting"),  # `previous` is its release
        (replace(IDLE, earlier="", previous=ReleaseRef("7", "cccc")), "aaaa", "build"),
    ],
)
def test_the_one_before_needs_no_comparison(state: State, running: str, phase: str) -> None:
    decision = decide(state, facts("3", running=running), RULES)
    expected = begun(phase, V3, direct=True, earlier=state.earlier, previous=state.previous)
    line = "champion moved here from version 1: rollout 5-cccc begins"
    assert decision == Decision(expected, (NOTICE,), "3", line, again=True)


def test_a_release_is_built_and_then_warmed() -> None:
    warm = replace(BEGUN, phase="warm", since=NOW, attempts=0)
    assert decide(BEGUN, facts(), RULES) == Decision(
        warm, (Act("prepare", "2"),), "2", "built and verified", again=True
    )
    shadow = replace(warm, phase="shadow")
    acts = (Act("start", "bbbb"), Act("route", mode="warm"), Act("materialise", "bbbb"))
    line = "shadow: ready; 30 of stable's answers are asked of it as well"
    assert decide(WARM, facts(), RULES) == Decision(shadow, acts, "2", line, again=True)


def test_a_phase_begins_without_what_was_seen_before() -> None:
    seen = Seen("b", {"x": 1.0}, {"x": 2.0})
    assert decide(replace(WARM, seen=seen), facts(), RULES).state.seen == Seen("b", {"x": 1.0}, {})


def test_a_stable_door_that_died_is_started_before_the_candidate_is_warmed() -> None:
    acts = decide(WARM, facts(running="bbbb", routes=led("bbbb")), RULES).acts
    stable = (Act("prepare", "1"), Act("start", "aaaa"), Act("route", mode="warm"))
    assert acts == (Act("start", "bbbb"), *stable, Act("materialise", "bbbb"))


def test_without_a_shadow_the_canary_begins_at_once() -> None:
    rules = RULES.model_copy(update={"shadow": Shadow(requests=0)})
    decision = decide(replace(WARM, step=1, base=7.0), facts(), rules)
    assert decision.state == replace(WARM, phase="canary", since=NOW, began=NOW, attempts=0)
    assert (decision.about, decision.line, decision.again) == ("2", "canary: answers 10% of users", True)


@pytest.mark.parametrize(
    ("stable", "acts", "line"),
    [
        (V1, ("start", "route", "materialise"), "ready; it served before"),
        (None, ("start", "materialise"), "ready; nothing to compare with"),
    ],
)
def test_a_release_without_comparison_is_promoted_once_it_is_ready(
    stable: ReleaseRef | None, acts: tuple[str, ...], line: str
) -> None:
    warm = replace(WARM, direct=True, stable=stable)
    decision = decide(warm, facts(), RULES)
    assert decision.state == replace(warm, phase="promoting", since=NOW, attempts=0)
    assert (tuple(act.verb for act in decision.acts), decision.about, decision.line) == (acts, "2", line)
    assert decision.again


@pytest.mark.parametrize("state", [SHADOW, CANARY])
def test_a_candidate_whose_door_died_is_started_again_and_evidence_begins_anew(state: State) -> None:
    first = replace(state, attempts=0, base=7.0)
    fresh = replace(first, attempts=1, base=0.0, since=NOW, seen=Seen("b", {}, {}))
    line = f"{state.phase}: its door was lost and is started again; what was seen before does not count"
    expected = Decision(fresh, (Act("start", "bbbb"),), "2", line, again=True)
    assert decide(first, facts(running="aaaa"), RULES) == expected
    shared = routes(state.phase, 0.1 if state is CANARY else 0.0)
    routed = decide(first, facts(running="aaaa", routes=shared), RULES)  # its users go to stable meanwhile
    assert routed.acts == (Act("route", mode="stable"), Act("start", "bbbb"))


@pytest.mark.parametrize("state", [SHADOW, CANARY])
def test_a_candidate_whose_door_died_a_third_time_fails(state: State) -> None:
    assert decide(replace(state, attempts=1), facts(running="aaaa"), RULES).state.attempts == 2
    why = f"{state.phase}: its door died 3 times"
    failing = replace(state, phase="rolling_back", why=why, since=NOW, attempts=0)
    assert decide(state, facts(running="aaaa"), RULES) == Decision(failing, (), "2", f"failed: {why}", again=True)


@pytest.mark.parametrize(
    ("state", "route"),
    [
        (SHADOW, Act("route", mode="shadow")),
        (CANARY, Act("route", mode="canary", share=0.1)),
        (replace(CANARY, step=1), Act("route", mode="canary", share=1.0)),
        (replace(CANARY, step=7), Act("route", mode="canary", share=1.0)),  # the spec has fewer steps by now
    ],
)
def test_routes_are_put_right_first(state: State, route: Act) -> None:
    assert decide(state, facts(), RULES) == Decision(state, (route,), again=True)
    started = (Act("prepare", "1"), Act("start", "aaaa"), route)
    notice = "version 1 (release aaaa) is stable, and no door that is ready runs it"
    expected = Decision(state, started, again=True, notice=notice)
    assert decide(state, facts(running="bbbb", routes=led("bbbb")), RULES) == expected


def test_whether_profiles_are_shared_is_the_routers_own_knowledge() -> None:
    shared = facts("1", running="aaaa cccc", routes=routes(shared=True))
    assert decide(IDLE, shared, RULES).acts == ()


def test_a_shadow_that_saw_enough_is_checked_and_becomes_a_canary() -> None:
    line = "shadow: 30 mirrored answers, overlap 50%; canary: answers 10% of users"
    after = replace(SHADOW, phase="canary", since=NOW, began=NOW, attempts=0, seen=Seen("b"))
    decision = decide(SHADOW, facts(routes=routes("shadow")), RULES)
    assert decision == Decision(after, (Act("check", "bbbb"),), "2", line, again=True)


@pytest.mark.parametrize(("since", "goes_on"), [(NOW - 4.9, False), (NOW - 5.0, True), (NOW - 500.0, True)])
def test_a_canarys_step_takes_its_time(since: float, goes_on: bool) -> None:
    state = replace(CANARY, since=since)
    decision = decide(state, facts(routes=routes("canary", 0.1)), RULES)
    after = replace(state, step=1, since=NOW, base=25)
    line = "canary: 25 answers at 10% of users, errors -1.2% to +35.5% against stable's; canary: answers 100% of users"
    assert decision == (Decision(after, (), "2", line, again=True) if goes_on else Decision(state))


def test_after_the_last_step_the_candidate_becomes_stable() -> None:
    state = replace(CANARY, step=1, base=5.0)
    decision = decide(state, facts(routes=routes("canary", 1.0)), RULES)
    after = replace(state, phase="promoting", since=NOW, attempts=0, seen=Seen("b"))
    line = "canary: 20 answers at 100% of users, errors -1.2% to +35.5% against stable's; becomes stable"
    assert decision == Decision(after, (), "2", line, again=True)


def test_answers_of_the_steps_before_do_not_count_in_a_step() -> None:
    state = replace(CANARY, base=6.0)
    assert decide(state, facts(routes=routes("canary", 0.1)), RULES) == Decision(state)


@pytest.mark.parametrize(("rollout", "counted"), [("5-bbbb", 40), ("4-cccc", None)])
def test_only_what_the_router_saw_of_this_rollout_counts(rollout: str, counted: int | None) -> None:
    arm = ArmSeen(requests=40, buckets_ms={"250": 30, "500": 36, "+Inf": 40})
    seen = Observations(boot="c", rollout=rollout, arms={"candidate": arm})
    state = replace(SHADOW, seen=Seen("b"))
    decision = decide(state, facts(routes=routes("shadow"), seen=seen), RULES)
    assert decision.state.seen.sums.get("candidate.requests") == counted
    assert decision.state.seen.sums.get("candidate.slow") == (counted and 4)
    assert replace(decision.state, seen=state.seen) == state


WHY = "shadow: 29 of 30 mirrored answers in 100 s"


@pytest.mark.parametrize(
    ("declared", "phase", "line"),
    [
        ("rollback", "rolling_back", f"failed: {WHY}, and on_missing is rollback"),
        ("promote", "promoting", f"{WHY}, and on_missing is promote; becomes stable"),
        ("hold", "shadow", ""),
    ],
)
def test_too_little_traffic_ends_as_declared_once_the_time_is_over(declared: str, phase: str, line: str) -> None:
    rules = RULES.model_copy(update={"on_missing": declared})
    seen = Seen("b", {}, {**SHADOW_SEEN, "shadow.requests": 29})
    waiting = replace(SHADOW, seen=seen, since=NOW - 99.9)
    assert decide(waiting, facts(routes=routes("shadow")), rules) == Decision(waiting)
    late = replace(waiting, since=NOW - 100)
    decision = decide(late, facts(routes=routes("shadow")), rules)
    assert (decision.state.phase, decision.line, decision.acts) == (phase, line, ())
    assert (decision.about, decision.again) == (("2", True) if line else ("", False))
    assert decision.state.since == (late.since if declared == "hold" else NOW)


def test_the_candidate_becomes_stable_and_the_one_before_runs_on() -> None:
    acts = (Act("route", mode="promoted"), Act("settle", "2"), Act("stop", "cccc"))
    done = State(number=5, stable=V2, previous=V1, keep_until=NOW + 600, earlier="1", last=outcome(V2, "promoted", ""))
    assert decide(PROMOTING, facts(), RULES) == Decision(done, acts, "2", "promoted: it is stable", again=True)


def test_a_release_that_came_back_leaves_no_one_before_it() -> None:
    state = replace(PROMOTING, candidate=V3, direct=True)
    decision = decide(state, facts("3"), RULES)
    assert decision.acts == (Act("route", mode="promoted"), Act("settle", "3"))  # its own door is not stopped
    assert (decision.state.stable, decision.state.previous, decision.state.earlier) == (V3, V1, "")


def test_the_first_stable_release_ends_every_other_door() -> None:
    state = replace(PROMOTING, stable=None, previous=None)
    decision = decide(state, facts(running="zzzz bbbb yyyy", routes=led("zzzz")), RULES)
    assert decision.acts[2:] == (Act("stop", "yyyy"), Act("stop", "zzzz"))
    assert (decision.state.previous, decision.state.earlier) == (None, "")


def test_a_door_that_died_does_not_become_stable() -> None:
    decision = decide(PROMOTING, facts(running="aaaa"), RULES)
    assert (decision.state.phase, decision.state.why) == ("rolling_back", "its door died before it became stable")


def test_a_long_reason_is_kept_to_500_characters_and_said_whole() -> None:
    decision = failed(BEGUN, "x" * 501, now=NOW, passing=False)
    assert (decision.state.why, decision.line) == ("x" * 500, f"failed: {'x' * 501}")


@pytest.mark.parametrize(
    ("state", "act", "running", "expected"),
    [
        (CANARY, Act("route", mode="canary", share=0.1), "aaaa bbbb", routes("canary", 0.1)),
        (CANARY, Act("route", mode="shadow"), "aaaa bbbb", routes("shadow")),
        (CANARY, Act("route", mode="warm"), "aaaa bbbb", routes(rollout="5-bbbb", candidate=door("bbbb"))),
        (CANARY, Act("route", mode="canary", share=0.1), "aaaa", routes(share=0.1)),  # its door died
        (CANARY, Act("route", mode="stable"), "aaaa bbbb", routes()),
        (CANARY, Act("route", mode="promoted"), "aaaa bbbb", routes(stable=door("bbbb"))),
        (CANARY, Act("route", mode="canary", share=0.1), "bbbb", None),
        (replace(CANARY, stable=None), Act("route", mode="canary"), "aaaa bbbb", routes(stable=door("bbbb"))),
        (State(), Act("route", mode="stable"), "aaaa", None),
    ],
)
def test_routes_follow_the_mode_and_the_doors_that_run(
    state: State, act: Act, running: str, expected: Routes | None
) -> None:
    assert backends(state, act, {release: f"http://{release}" for release in running.split()}) == expected

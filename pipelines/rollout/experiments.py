"""What the state machine does about an experiment, while no rollout is under way. Pure; a part of the state machine.

A person asks for one in the registry (`intentflow experiments`); the loop brings the arms' doors up, splits the users,
judges what they did at each look, and ends it: by its verdict, where it is broken, on request, or when the champion
moves, since the control then is not what serves. Why it ends is recorded before anything is taken down.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bentos.router.routes import ArmDoor
from components.registry.experiment_spec import DAY_S
from components.verdicts import PASSED, REFUSED
from pipelines.rollout.decision import Act, Decision, Facts
from pipelines.rollout.experiment_analysis import Findings, judge
from pipelines.rollout.experiment_state import ExperimentState
from pipelines.rollout.outcomes import Outcomes
from pipelines.rollout.state import State

WARM, SPLIT, WHOLE = "warm", "experiment", "whole"  # modes of `route`: arms see events; have users; are gone
SETTLED_S = 10.0  # routers follow new routes by then; answers of before are not of the experiment
ATTEMPTS = 3
LOST_USERS = 0.05  # share of users whose first answers the log lost: it cannot be judged any more
RESULTS = {PASSED: "better", REFUSED: "worse"}


def step(state: State, facts: Facts) -> Decision | None:
    """Decide on the next step of an experiment; None where there is nothing to do or to record."""
    asked, running = facts.registry.experiment, state.experiment
    if running is None:
        return _begun(state, asked)
    if running.phase == "ending":
        return _ended(state, running, facts)
    if asked.get("number") != running.number or asked.get("stop"):
        why = str(asked.get("stop") or "another one was asked for")
        return _ending(state, running, "stopped", why)
    if running.phase == "start":
        acts = tuple(
            act for arm in running.treatments for act in (Act("prepare", arm.version), Act("start", arm.release))
        )
        return _say(state, replace(running, phase="warm", attempts=0), "built and started", acts, again=True)
    if running.phase == "warm":
        fill = tuple(Act("materialise", arm.release) for arm in running.treatments)
        fresh = replace(running, phase="filled", attempts=0)
        return _say(state, fresh, "its arms have their profiles", (Act("route", mode=WARM), *fill), again=True)
    if running.phase == "filled":
        return _split(state, running, facts)
    return _watched(state, running, facts)


def arms(running: ExperimentState, doors: Mapping[str, str], mode: str) -> tuple[ArmDoor, ...]:
    """Return the arms' doors for the routes; with share 0 while they are only warmed up, so that they see events."""
    if mode not in (WARM, SPLIT) and (running.phase not in ("filled", "running") or mode == WHOLE):
        return ()
    answers = mode == SPLIT or (mode != WARM and running.phase == "running")
    found, begins = [], 0.0
    for arm in running.treatments:
        if arm.release in doors:
            share = arm.share if answers else 0.0
            door = ArmDoor(arm=arm.name, share=share, begins=begins, release=arm.release, url=doors[arm.release])
            found.append(door)
        begins += arm.share  # also of one whose door is away: the users of the others stay where they are
    return tuple(found)


def failed(state: State, act: Act, why: str, *, passing: bool) -> Decision | None:
    """Decide on what follows when an act for an arm failed; None where it was none of the experiment's."""
    running = state.experiment
    if running is None or act.what not in {name for arm in running.treatments for name in (arm.version, arm.release)}:
        return None
    if passing and running.attempts + 1 < ATTEMPTS:
        return Decision(replace(state, experiment=replace(running, attempts=running.attempts + 1)))
    return _ending(state, running, "failed", why)


def abandoned(state: State, why: str, now: float) -> Mapping[str, Any]:
    """Return what is kept of an experiment that a rollout ends; of the one before where none is under way."""
    running = state.experiment
    return state.tried if running is None else _outcome(replace(running, result="abandoned", why=why), now)


def _begun(state: State, asked: Mapping[str, Any]) -> Decision | None:
    if not asked or asked.get("stop") or asked["number"] <= state.tried.get("number", 0):
        return None
    running = ExperimentState.of(asked)
    split = ", ".join(f"{arm.name} {arm.share:.0%} (version {arm.version})" for arm in running.arms)
    return _say(state, running, f"begins: {split}", again=True)


def _split(state: State, running: ExperimentState, facts: Facts) -> Decision:
    """Give the arms their users. A step of its own: profiles take long, and answers count from this moment on."""
    fresh = replace(running, phase="running", since=facts.now + SETTLED_S, attempts=0)
    return _say(state, fresh, "its arms answer their users", (Act("route", mode=SPLIT),), again=True)


def _watched(state: State, running: ExperimentState, facts: Facts) -> Decision | None:
    """Keep the doors alive, judge, and end it where that is due."""
    if gone := [arm for arm in running.treatments if arm.release not in facts.running]:
        if running.attempts + 1 >= ATTEMPTS:
            return _ending(state, running, "failed", f"the door of {gone[0].name} died {ATTEMPTS} times")
        acts = (*(Act("start", arm.release) for arm in gone), Act("route", mode=SPLIT))
        fresh = replace(running, attempts=running.attempts + 1)
        return _say(state, fresh, f"the door of {gone[0].name} was lost and is started again", acts, again=True)
    over = facts.now >= running.since + running.rules.days * DAY_S
    if facts.outcomes is None:
        return _ending(state, running, "no difference", "its time is over; nothing was measured") if over else None
    if lost := facts.outcomes.broken or _lost(running, facts.outcomes):
        return _ending(state, running, "broken", lost)
    found = judge(facts.outcomes, running.rules)
    fresh = replace(running, seen=_seen(facts.outcomes, found))
    if found.broken:
        return _ending(state, fresh, "broken", found.broken)
    if result := RESULTS.get(found.word, ""):
        best = found.best or next(iter(found.judged))
        return _ending(state, fresh, result, f"{best}: {found.judged[best].why}", best=found.best)
    users = running.rules.users
    whole = users is not None and sum(len(arm.kpi) for arm in facts.outcomes.arms.values()) >= users
    if over or whole:
        told = "; ".join(f"{name}: {one.why}" for name, one in found.judged.items())
        end = f"{users} users are judged" if whole else f"{running.rules.days:g} days are over"
        return _ending(state, fresh, "no difference", f"{end}; {told}")
    return None if fresh == running else Decision(replace(state, experiment=fresh))


def _lost(running: ExperimentState, found: Outcomes) -> str:
    """Say that the log holds fewer users than it did: it dropped its beginning, and first answers are not the first."""
    before = sum(one["users"] for one in running.seen.values())
    now = sum(one.users for one in found.arms.values())
    if now < (1 - LOST_USERS) * before:
        return f"the request log lost first answers: {before} users were seen, {now} are left; keep more of the log"
    return ""


def _ending(state: State, running: ExperimentState, result: str, why: str, *, best: str = "") -> Decision:
    fresh = replace(running, phase="ending", result=result, why=why[:500], best=best)
    return _say(state, fresh, f"{result}: {why[:500]}", again=True)


def _ended(state: State, running: ExperimentState, facts: Facts) -> Decision:
    """Give all users back to stable, then end the arms' doors; a better release is promoted where the spec says so."""
    kept = {served.release for served in (state.stable, state.previous) if served is not None}
    wins = [arm for arm in running.treatments if arm.name == running.best and running.rules.on_winner == "promote"]
    stops = tuple(Act("stop", arm.release) for arm in running.treatments if arm.release not in kept and arm not in wins)
    why = f"experiment {running.name}: {running.why}"
    promotes = tuple(Act("promote", arm.version, why=why) for arm in wins)
    acts = (Act("route", mode=WHOLE), *stops, *promotes)
    done = replace(state, experiment=None, tried=_outcome(running, facts.now))
    return Decision(done, acts, running.treatments[0].version, f"experiment {running.name} is over", again=True)


def _say(
    state: State, running: ExperimentState, text: str, acts: tuple[Act, ...] = (), *, again: bool = False
) -> Decision:
    named = next((arm for arm in running.treatments if arm.name == running.best), running.treatments[0])
    line = f"experiment {running.name}: {text}"
    return Decision(replace(state, experiment=running), acts, named.version, line, again=again)


def _seen(found: Outcomes, judged: Findings) -> dict[str, Any]:
    """Return the figures of each arm as the registry keeps them."""
    figures: dict[str, Any] = {}
    for name, arm in found.arms.items():
        figures[name] = {"users": arm.users, "judged": len(arm.kpi)}
        if len(arm.kpi):
            figures[name]["mean"] = round(float(arm.kpi.mean()), 6)
        if one := judged.judged.get(name):
            figures[name] |= {"word": one.word, "why": one.why[:200]}
            if one.estimate is not None and one.interval is not None:
                ends = [round(end, 6) for end in one.interval]
                figures[name] |= {"difference": round(one.estimate, 6), "interval": ends}
    return figures


def _outcome(running: ExperimentState, now: float) -> dict[str, Any]:
    """Return what is kept of an experiment."""
    versions = {arm.name: arm.version for arm in running.arms}
    told = {"result": running.result, "why": running.why, "best": running.best}
    return {
        "number": running.number,
        "name": running.name,
        "versions": versions,
        **told,
        "arms": {name: {k: v for k, v in one.items() if k != "why"} for name, one in running.seen.items()},
        "at": round(now, 3),
    }

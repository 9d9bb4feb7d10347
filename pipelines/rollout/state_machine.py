"""The rollout's state machine: from the facts to the acts, and the state once they are done. Pure.

The loop reads the facts, executes the acts in order, and records the new state only then. After a kill an act may run
twice, never be skipped; each is idempotent. What the facts do not show again (that a candidate failed, and why) is
recorded before it is acted upon: the phases `promoting` and `rolling_back`.
"""

from collections.abc import Mapping
from dataclasses import replace

from bentos.router.routes import Backend, Routes
from components import verdicts
from components.registry.spec import Rollout
from pipelines.rollout import experiments, mending
from pipelines.rollout.analysis import judge_canary, judge_shadow
from pipelines.rollout.decision import Act, Decision, Facts
from pipelines.rollout.state import ReleaseRef, State

REFUSED = verdicts.REFUSED  # result of a first release whose gates refused it
HOLD_S, LONGEST_HOLD_S = 15.0, 600.0  # before the only release is tried again; twice as long each time
ATTEMPTS = 3  # of work that failed for a reason that may pass, such as a registry that does not answer


def decide(state: State, facts: Facts, rules: Rollout) -> Decision:
    """Decide on the next step; before any other, users are led to a door that is ready."""
    notice = mending.noticed(state, facts.running, facts.overlay_door, facts.routes)
    if (state.stable or state.candidate) and mending.turned(state, facts.running, facts.routes):
        return Decision(state, (Act("route", mode=mending.ANY),), again=True, notice=notice)
    return replace(_decided(state, facts, rules), notice=notice)


def _decided(state: State, facts: Facts, rules: Rollout) -> Decision:
    if state.candidate is None:
        return _idle(state, facts, rules)
    if state.phase == "rolling_back":
        return _rolled_back(state, facts) if state.stable else _held(state, state.why, facts.now)
    if facts.registry.champion != state.candidate.version:
        return _abandoned(state, facts)
    if facts.now < state.retry_at:
        return Decision(state)
    if state.phase == "build":
        return _built(state, facts)
    if state.phase == "warm":
        return _warmed(state, facts, rules)
    if state.phase == "promoting":
        return _promoted(state, facts, rules)
    return _watched(state, facts, rules)


def failed(state: State, why: str, *, now: float, passing: bool) -> Decision:
    """Decide on what follows when an action failed. What may pass is tried again, a few times."""
    if passing and state.attempts + 1 < ATTEMPTS:
        return Decision(replace(state, attempts=state.attempts + 1))
    return _fail(state, why, now)


def backends(state: State, act: Act, running: Mapping[str, str]) -> Routes | None:
    """Return the routes that an act asks for; None while the door that must answer does not run."""
    stable, candidate = state.stable, state.candidate
    if act.mode == mending.ANY:
        found = mending.stand_in(state, running)
        return None if found is None else Routes(stable=found)
    if act.mode == "promoted" or stable is None:
        stable, candidate = state.candidate, None
    if act.mode == "stable":
        candidate = None
    first = _backend(stable, running)
    if first is None:
        return None
    if state.experiment is not None and state.candidate is None:
        doors = experiments.arms(state.experiment, running, act.mode)
        return Routes(stable=first, experiment=state.experiment.key if doors else "", arms=doors)
    second = _backend(candidate, running)
    mode = act.mode if act.mode in ("shadow", "canary") and second is not None else "stable"
    rollout = state.rollout if second is not None else ""
    return Routes.model_validate(
        {"rollout": rollout, "mode": mode, "share": act.share, "stable": first, "candidate": second}
    )


def _backend(served: ReleaseRef | None, running: Mapping[str, str]) -> Backend | None:
    if served is None or served.release not in running:
        return None
    return Backend(release=served.release, url=running[served.release])


def _idle(state: State, facts: Facts, rules: Rollout) -> Decision:
    """Follow the champion, keep what serves alive, end what was kept long enough."""
    champion = facts.registry.champion
    refused = state.stable is None and (state.last.get("version"), state.last.get("result")) == (champion, REFUSED)
    refused = refused and not facts.registry.versions[champion].passed  # gates may be judged again
    if champion and not refused and (state.stable is None or champion != state.stable.version):
        version = facts.registry.versions[champion]
        if state.stable is not None and version.release == state.stable.release:
            served = ReleaseRef(champion, version.release)
            return Decision(replace(state, stable=served), (Act("notice"),), champion, "serves: the same release did")
        return _begun(state, facts)
    stable, previous = state.stable, state.previous
    if stable is None:
        return Decision(state)
    if mends := _mended(state, facts, Act("route", mode="stable")):
        return Decision(state, mends, again=state.experiment is not None)
    if mending.beside(state, facts.running, facts.overlay_door, facts.routes):
        return Decision(state, (Act("retire"),))
    if (tried := experiments.step(state, facts)) is not None:
        return tried
    if previous is not None and facts.now >= state.keep_until and state.experiment is None:
        return Decision(replace(state, previous=None), (Act("stop", previous.release), Act("prune")))
    if needless := mending.needless(state, facts.running, facts.overlay_door):
        return Decision(state, tuple(Act("stop", release) for release in needless))
    return Decision(state, () if facts.registry.recorded else (Act("notice"),))


def _begun(state: State, facts: Facts) -> Decision:
    """Begin a rollout of the champion."""
    version = facts.registry.versions[facts.registry.champion]
    candidate, before = ReleaseRef(version.version, version.release), state.previous
    restores = candidate.version == state.earlier or (before is not None and before.release == candidate.release)
    number = state.number + 1
    fresh = State(
        phase="build",
        rollout=f"{number}-{candidate.release}",
        number=number,
        stable=state.stable,
        candidate=candidate,
        previous=before,
        keep_until=state.keep_until,
        earlier=state.earlier,
        direct=state.stable is None or restores,
        since=facts.now,
        last=state.last,
        tried=experiments.abandoned(state, f"the champion moved to version {candidate.version}", facts.now),
    )
    acts = [Act("notice")]
    if state.stable is not None and not restores:  # a rollback has put `previous` where it belongs
        acts.append(Act("previous", state.stable.version, why="serves until the rollout's end"))
    origin = f"from version {state.stable.version}" if state.stable else "from nobody"
    line = f"champion moved here {origin}: rollout {fresh.rollout} begins"
    if not version.passed:
        why = f"its gates {'left it undecided' if version.undecided else 'refused it'} ({version.refusals})"
        if state.stable is None:  # nothing else could answer: what a person deployed serves on, and is not started here
            last = _outcome(candidate, REFUSED, why, facts.now)
            line = f"not started: {why}; it stays the champion, since no other release serves"
            return Decision(replace(state, number=number, last=last), (Act("notice"),), candidate.version, line)
        return Decision(replace(fresh, phase="rolling_back", why=why), (*acts,), candidate.version, line, again=True)
    if restores and mending.own(candidate.release, facts.running, facts.overlay_door):
        fresh = replace(fresh, phase="promoting")
    return Decision(fresh, (*acts,), candidate.version, line, again=True)


def _built(state: State, facts: Facts) -> Decision:
    assert state.candidate is not None
    version = state.candidate.version
    acts = (Act("prepare", version),)
    return Decision(_entered(state, "warm", facts.now), acts, version, "built and verified", again=True)


def _warmed(state: State, facts: Facts, rules: Rollout) -> Decision:
    """Start the candidate; it sees every event from before its profiles are brought in, so that none is missed."""
    assert state.candidate is not None
    release, version = state.candidate.release, state.candidate.version
    stable = () if state.stable is None else (*_alive(state, facts), Act("route", mode="warm"))
    acts = (Act("start", release), *stable, Act("materialise", release))
    if state.direct:
        why = "nothing to compare with" if state.stable is None else "it served before"
        return Decision(_entered(state, "promoting", facts.now), acts, version, f"ready; {why}", again=True)
    if rules.shadow.requests:
        line = f"shadow: ready; {rules.shadow.requests} of stable's answers are asked of it as well"
        return Decision(_entered(state, "shadow", facts.now), acts, version, line, again=True)
    return Decision(_canary(state, 0, facts.now), acts, version, _step_line(rules, 0), again=True)


def _watched(state: State, facts: Facts, rules: Rollout) -> Decision:
    """Shadow and canary: count, judge, wait, go on."""
    assert state.candidate is not None
    if state.candidate.release not in facts.running:
        return _revived(state, facts)
    shadow = state.phase == "shadow"
    share = 0.0 if shadow else rules.steps[min(state.step, len(rules.steps) - 1)]
    if mends := _mended(state, facts, Act("route", mode=state.phase, share=share)):
        return Decision(state, mends, again=True)
    if facts.seen is not None and facts.seen.rollout == state.rollout:
        state = replace(state, seen=state.seen.grown(facts.seen, slow_ms=rules.slow_ms))
    verdict = judge_shadow(state, rules) if shadow else judge_canary(state, rules, facts.rewards)
    if verdict.word == verdicts.REFUSED:
        return _fail(state, f"{state.phase}: {verdict.why}", facts.now)
    held = facts.now - state.since
    if verdict.word == verdicts.PASSED and held >= (0 if shadow else rules.hold_s):
        return _advanced(state, facts, rules, why=verdict.why)
    if held >= rules.wait_s and verdict.word == verdicts.UNDECIDED:
        return _missing(state, facts, rules, why=f"{state.phase}: {verdict.why} in {held:.0f} s")
    return Decision(state)


def _advanced(state: State, facts: Facts, rules: Rollout, *, why: str) -> Decision:
    assert state.candidate is not None
    step = 0 if state.phase == "shadow" else state.step + 1
    if step >= len(rules.steps):
        line = f"canary: {why}; becomes stable"
        return Decision(_entered(state, "promoting", facts.now), (), state.candidate.version, line, again=True)
    line = f"{state.phase}: {why}; {_step_line(rules, step)}"
    # What it answered in the shadow is in its log by now, and can be replayed before any user meets it.
    acts = (Act("check", state.candidate.release),) if state.phase == "shadow" else ()
    return Decision(_canary(state, step, facts.now), acts, state.candidate.version, line, again=True)


def _missing(state: State, facts: Facts, rules: Rollout, *, why: str) -> Decision:
    """Do what the spec declares for too little traffic."""
    assert state.candidate is not None
    if rules.on_missing == "hold":
        return Decision(state)
    if rules.on_missing == "rollback":
        return _fail(state, f"{why}, and on_missing is rollback", facts.now)
    line = f"{why}, and on_missing is promote; becomes stable"
    return Decision(_entered(state, "promoting", facts.now), (), state.candidate.version, line, again=True)


def _promoted(state: State, facts: Facts, rules: Rollout) -> Decision:
    """Make the candidate stable; the one before runs on for a while."""
    candidate, before = state.candidate, state.stable
    assert candidate is not None
    if candidate.release not in facts.running:
        return _fail(state, "its door died before it became stable", facts.now)
    acts = [Act("route", mode="promoted"), Act("settle", candidate.version)]
    if state.previous is not None and state.previous not in (before, candidate):
        acts.append(Act("stop", state.previous.release))
    if before is None:  # what was started before there was a loop
        acts += [Act("stop", release) for release in sorted(facts.running) if release != candidate.release]
    done = State(
        number=state.number,
        stable=candidate,
        previous=before,
        keep_until=facts.now + rules.keep_previous_s,
        earlier=before.version if before is not None and not state.direct else "",
        last=_outcome(candidate, "promoted", "", facts.now),
        tried=state.tried,
    )
    return Decision(done, (*acts,), candidate.version, "promoted: it is stable", again=True)


def _abandoned(state: State, facts: Facts) -> Decision:
    """Leave a rollout whose version is not the champion any more."""
    candidate, stable, champion = state.candidate, state.stable, facts.registry.champion
    assert candidate is not None
    if stable is not None and champion == stable.version:
        why = f"champion moved back to version {champion}"
    else:
        why = f"champion moved on to version {champion}" if champion else "champion was taken away"
    acts = (*_alive(state, facts), Act("route", mode="stable")) if stable else ()
    if stable is not None and champion == stable.version:
        acts = (*acts, Act("notice"), Act("previous", state.earlier, why=f"the rollout of {candidate.version} ended"))
    done = _over(state, _outcome(candidate, "abandoned", why, facts.now))
    return Decision(done, (*acts, *_ended(state)), candidate.version, f"abandoned: {why}", again=True)


def _rolled_back(state: State, facts: Facts) -> Decision:
    """Give everybody back to stable, then the alias, then end the door."""
    candidate, stable = state.candidate, state.stable
    assert candidate is not None
    to = stable.version if stable else ""
    routes = (*_alive(state, facts), Act("route", mode="stable")) if stable else ()
    registry = [Act("take_back", candidate.version, to=to, why=state.why)]
    registry += [Act("previous", state.earlier, why=f"the rollout of {candidate.version} failed")]
    acts = (*routes, *registry, *_ended(state))
    done = _over(state, _outcome(candidate, "rolled_back", state.why, facts.now))
    return Decision(done, acts, candidate.version, f"rolled back: {state.why}", again=True)


def _revived(state: State, facts: Facts) -> Decision:
    """Start a candidate's door again: a pod that was lost is no verdict on its release, three in one phase are.

    Its users go to stable until then. What was seen while the door was gone speaks of the machine: evidence restarts.
    """
    assert state.candidate is not None
    if state.attempts + 1 >= ATTEMPTS:
        return _fail(state, f"{state.phase}: its door died {ATTEMPTS} times", facts.now)
    fresh = replace(state, attempts=state.attempts + 1, seen=state.seen.anew(), base=0.0, since=facts.now)
    line = f"{state.phase}: its door was lost and is started again; what was seen before does not count"
    routed = facts.routes is not None and facts.routes.candidate is not None
    without = (Act("route", mode="stable"),) if routed and backends(state, Act("route"), facts.running) else ()
    acts = (*without, Act("start", state.candidate.release))
    return Decision(fresh, acts, state.candidate.version, line, again=True)


def _held(state: State, why: str, now: float) -> Decision:
    """Keep the only release and try it again later: taken back it would leave nobody to serve, and no champion."""
    assert state.candidate is not None
    pause_s = min(HOLD_S * 2**state.held, LONGEST_HOLD_S)
    waits = _entered(replace(state, held=state.held + 1, retry_at=now + pause_s, why=why[:500]), "build", now)
    line = f"waits {pause_s:.0f} s: {why}; no other release serves, so it stays the champion and what runs stays"
    return Decision(waits, (), state.candidate.version, line)


def _fail(state: State, why: str, now: float) -> Decision:
    """Keep the reason first; the next look acts on it. The only release is held instead."""
    assert state.candidate is not None
    if state.stable is None:
        return _held(state, why, now)
    failing = replace(state, phase="rolling_back", why=why[:500], since=now, attempts=0)
    return Decision(failing, (), state.candidate.version, f"failed: {why}", again=True)


def _mended(state: State, facts: Facts, route: Act) -> tuple[Act, ...]:
    """Return what brings stable's door and the routes back, nothing where both are as they must be."""
    if alive := _alive(state, facts):
        return (*alive, route)
    wanted = backends(state, route, facts.running)
    if wanted is not None and facts.routes is not None:
        wanted = wanted.model_copy(update={"shared": facts.routes.shared})  # whoever routes finds that out
    return () if wanted is None or wanted == facts.routes else (route,)


def _alive(state: State, facts: Facts) -> tuple[Act, ...]:
    if state.stable is None or mending.own(state.stable.release, facts.running, facts.overlay_door):
        return ()
    return (Act("prepare", state.stable.version), Act("start", state.stable.release))


def _ended(state: State) -> tuple[Act, ...]:
    """End the candidate's door, unless it is kept as the one before, or nothing else serves yet."""
    assert state.candidate is not None
    if state.stable is None:  # whatever becomes stable ends the others
        return ()
    kept = {served.release for served in (state.stable, state.previous) if served is not None}
    return () if state.candidate.release in kept else (Act("stop", state.candidate.release),)


def _over(state: State, last: Mapping[str, object]) -> State:
    kept = ("number", "stable", "previous", "keep_until", "earlier", "tried")
    return State(**{name: getattr(state, name) for name in kept}, last=last)


def _entered(state: State, phase: str, now: float) -> State:
    return replace(state, phase=phase, since=now, attempts=0, seen=state.seen.anew())  # type: ignore[arg-type]


def _canary(state: State, step: int, now: float) -> State:
    if step == 0:
        return replace(_entered(state, "canary", now), step=0, base=0.0, began=now)
    return replace(state, step=step, since=now, base=state.seen.total("candidate.requests"))


def _step_line(rules: Rollout, step: int) -> str:
    return f"canary: answers {rules.steps[step]:.0%} of users"


def _outcome(served: ReleaseRef, result: str, why: str, now: float) -> dict[str, object]:
    return {"version": served.version, "release": served.release, "result": result, "why": why, "at": round(now, 3)}

"""`intentflow experiments`: start one that the spec declares, say how it stands, stop it.

It only asks the registry; the rollout's loop (`intentflow reconcile --watch`) does the rest, on a laptop and on a
cluster alike. What an alias meant at the start holds for the whole experiment. (`intentflow experiment` is another
verb: Katib's search for a model's settings.)
"""

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any

from components.registry.experiment_spec import CONTROL, Experiment
from feature_repo.errors import Refused, SpecError, nearest
from pipelines.environment import Installation
from pipelines.rollout.experiment_state import ArmRelease, ExperimentState
from pipelines.rollout.state import State

START, STATUS, STOP = ACTIONS = ("start", "status", "stop")


def act(place: Installation, action: str, name: str = "", *, why: str = "by hand") -> dict[str, Any]:
    """Do one of ACTIONS; return where the experiment stands."""
    from pipelines.releases.release import variables

    if action == STATUS and place.unmade:
        return _stands(place)
    if action == START:
        declared = _declared(place, name)
        with variables(place):
            return _started(place, declared)
    with variables(place):
        return _stopped(place, name, why) if action == STOP else _standing(place)


def text(found: Mapping[str, Any]) -> str:
    """Return it as a person reads it."""
    return "\n".join(_lines(found))


def _declared(place: Installation, name: str) -> Experiment:
    """Return what the spec says of an experiment; refuse one that could never be judged."""
    declared = {one.name: one for one in place.spec.experiments}
    if not declared:
        raise SpecError(f"experiments: {place.spec_path.name} declares none; add `experiments:` (docs/experiments.md)")
    if not name and len(declared) == 1:
        name = next(iter(declared))
    if name not in declared:
        raise SpecError(
            f"experiments start: '{name}' is not declared; have {', '.join(declared)}{nearest(name, list(declared))}"
        )
    if place.environment.kubernetes.namespace and not place.environment.requests.url:
        raise SpecError(
            f"experiments start: environment '{place.environment.name}' leaves request logs in the doors' pods, where "
            "nobody can judge by them; set requests.url"
        )
    return declared[name]


def _started(place: Installation, rules: Experiment) -> dict[str, Any]:
    """Ask for an experiment, with what its aliases mean now."""
    from components.registry import rollout_tags as registry

    name, now = place.spec.name, registry.read(place.spec.name)
    state = State.of(now.state)
    if state.stable is None:
        raise Refused("experiments start: nothing serves yet; run `intentflow reconcile` first")
    if state.candidate is not None:
        raise Refused(f"experiments start: rollout {state.rollout} is under way; wait for its end")
    if state.experiment is not None or _waits(now.experiment, state):
        running = state.experiment.name if state.experiment else now.experiment["document"]["name"]
        raise Refused(f"experiments start: '{running}' is under way; one at a time: stop it first")
    arms = _arms(rules, registry.versions(name, *(arm.release for arm in rules.arms)), state)
    number = max(int(state.tried.get("number", 0)), int(now.experiment.get("number", 0))) + 1
    asked = ExperimentState(number, rules.model_dump(mode="json"), arms).asked()
    registry.ask(name, asked | {"at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds")})
    return _standing(place)


def _arms(rules: Experiment, versions: Mapping[str, Any], state: State) -> tuple[ArmRelease, ...]:
    """Return the arms' releases; refuse those that may not meet users, or are one release under two names."""
    assert state.stable is not None
    found: dict[str, str] = {}
    for place, arm in enumerate(rules.arms):
        version = versions[arm.release]
        if arm.release == CONTROL and version.version != state.stable.version:
            raise Refused(f"experiments start: champion {version.version} does not serve yet; let the loop roll it out")
        if not version.passed:
            raise Refused(
                f"experiments start: arms[{place}]: version {version.version} may not meet users: its gates "
                f"{'left it undecided' if version.undecided else 'refused it'} ({version.refusals})"
            )
        if version.release in found:
            raise SpecError(
                f"experiments[{rules.name}].arms[{place}].release: '{arm.release}' is release {version.release}, as "
                f"{found[version.release]} is: there is nothing to compare; name another version"
            )
        found[version.release] = arm.name
    return tuple(
        ArmRelease(arm.name, versions[arm.release].version, versions[arm.release].release, arm.share)
        for arm in rules.arms
    )


def _stopped(place: Installation, name: str, why: str) -> dict[str, Any]:
    """Ask for the end of what is under way."""
    from components.registry import rollout_tags as registry

    now = registry.read(place.spec.name)
    state = State.of(now.state)
    if state.experiment is None and not _waits(now.experiment, state):
        raise SpecError("experiments stop: none is under way")
    running = str(now.experiment.get("document", {}).get("name", ""))
    if name and name != running:
        raise SpecError(f"experiments stop: '{name}' is not under way, '{running}' is")
    registry.ask(place.spec.name, {**now.experiment, "stop": why[:200] or "by hand"})
    return _standing(place)


def _waits(asked: Mapping[str, Any], state: State) -> bool:
    """Tell whether an experiment was asked for that the loop has not begun."""
    return bool(asked) and not asked.get("stop") and asked["number"] > state.tried.get("number", 0)


def _standing(place: Installation) -> dict[str, Any]:
    """Return what is asked for, what runs and what came of the last one."""
    from components.registry import rollout_tags as registry

    now = registry.read(place.spec.name)
    state = State.of(now.state)
    waits = state.experiment is None and _waits(now.experiment, state)
    document = state.document()
    asked = str(now.experiment["document"]["name"]) if waits else ""
    return _stands(place, waits=asked, running=document.get("experiment"), last=dict(state.tried) or None)


def _stands(place: Installation, *, waits: str = "", running: Any = None, last: Any = None) -> dict[str, Any]:
    return {"declared": [one.name for one in place.spec.experiments], "waits": waits, "running": running, "last": last}


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    if found["waits"]:
        yield f"{found['waits']}: waits for the loop (`intentflow reconcile --watch`)"
    if running := found["running"]:
        name = running["document"]["name"]
        yield f"{name}: {running['phase']}"
        yield from _figures(running["seen"])
    if last := found["last"]:
        yield f"last: {last['name']}: {last['result']}: {last['why']}"
        yield from _figures(last["arms"])
    if not (found["waits"] or found["running"] or found["last"]):
        declared = ", ".join(found["declared"])
        yield f"none so far; declared: {declared}" if declared else "none declared (docs/experiments.md)"


def _figures(arms: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for name, arm in arms.items():
        mean = f", mean {arm['mean']:g}" if "mean" in arm else ""
        ends = f", difference {arm['interval'][0]:+.4g} to {arm['interval'][1]:+.4g}" if "interval" in arm else ""
        word = f", {arm['word']}" if "word" in arm else ""
        yield f"  {name:<16} {arm['users']} users, {arm['judged']} judged{mean}{ends}{word}"

"""What retraining decided and where it stands, for `intentflow retraining` and `status`; and a person's word to go on.

The state is the registry's (components/registry/retraining.py), the decisions are monitoring/retraining's. Nothing is
trained here.
"""

from typing import Any

from feature_repo.errors import SpecError
from pipelines.environment import Installation
from pipelines.releases.release import variables


def shown(place: Installation) -> dict[str, Any]:
    """Return the rule, the state and the last decision; {} where the spec asks for none and none was ever decided."""
    from components.registry import retraining as kept
    from monitoring.retraining import machine

    with variables(place):
        state = machine.State.read(kept.read(place.spec.name))
    rule = place.spec.monitoring.retrain
    if rule is None and state.last is None:
        return {}
    return document(state) | {"rule": None if rule is None else rule.model_dump(mode="json")}


def document(state: Any) -> dict[str, Any]:
    """Return a state with its last decision as people and alerts are told of it."""
    from monitoring.retraining import steps

    if state.last is None:
        return {"action": "", "stopped": False, "failures": 0, "attempts": []}
    return steps.mark(state, state.last) | {"attempts": state.document()["attempts"]}


def resume(place: Installation) -> dict[str, Any]:
    """Let retraining go on after it stopped itself; SpecError where it has not stopped."""
    from components.registry import retraining as kept
    from monitoring.retraining import machine, steps
    from pipelines.runs import local

    with local.alone(place.home), variables(place):
        state = machine.State.read(kept.read(place.spec.name))
        if not state.stopped:
            raise SpecError(f"retraining: it has not stopped, so there is nothing to resume: {place.spec.name}")
        steps.resume(place.spec.name, state)
    return shown(place)


def text(found: dict[str, Any]) -> str:
    """Return it as a person reads it."""
    if not found:
        return "retraining: the spec has no monitoring.retrain; the pipeline `retrain` trains on every drift"
    return "\n".join([line(found), *(f"  {one}" for one in map(_attempt, found["attempts"][-10:]))])


def line(found: dict[str, Any]) -> str:
    """Return the one line that `status` shows."""
    if not found["action"]:
        return "retraining  nothing was decided yet; `intentflow run SPEC --pipeline retrain` looks"
    stopped = "stopped" if found["stopped"] else found["action"]
    tries = found["failures"]
    failures = f"; {tries} {'try' if tries == 1 else 'tries'} without gain" if tries and not found["stopped"] else ""
    return f"retraining  {stopped} ({found['reason']}): {found['why']}{failures}"


def _attempt(one: dict[str, Any]) -> str:
    from monitoring.retraining.machine import day

    version = f" version {one['version']}" if one["version"] else ""
    said = f": {one['said']}" if one["said"] else ""
    return f"{day(one['began'])} {one['action']:<7} {one['reason']:<11} {one['result']:<8}{version}{said}"

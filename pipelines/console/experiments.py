"""The port of experiments: what `intentflow experiments` knows, with shares of users and power beside it."""

import dataclasses
import datetime as dt
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bentos.console.ports.watch import Arm, Experiments, Shares
from bentos.console.ports.watch import Experiment as Shown
from components.registry.experiment_spec import DAY_S, Experiment
from pipelines.console.recent import Recent
from pipelines.environment import Installation

if TYPE_CHECKING:
    from pipelines.rollout.experiment_state import ArmRelease

KEPT_S = 5.0
WATCH = 20.0  # odds against the declared shares from which a person should look
BROKEN = "broken"
Figures = Mapping[str, Mapping[str, Any]]


class Registered(Experiments):
    """The port over an installation, which is read anew."""

    def __init__(self, place: Callable[[], Installation]) -> None:
        self._place = place
        self._found: Recent[tuple[Shown, ...]] = Recent(KEPT_S)

    def all(self) -> tuple[Shown, ...]:
        """Return what is under way, then the last that ended, then the declared others."""
        return self._found.of("", lambda: found(self._place()))


def port(place: Callable[[], Installation]) -> Experiments:
    """Return the port over an installation, which is read anew at each call."""
    return Registered(place)


def found(place: Installation, *, now_s: float | None = None) -> tuple[Shown, ...]:
    """Return every experiment that is known, each once."""
    from pipelines import experiments

    return of(
        experiments.act(place, experiments.STATUS), place.spec.experiments, time.time() if now_s is None else now_s
    )


def of(stands: Mapping[str, Any], declared: Sequence[Experiment], now_s: float) -> tuple[Shown, ...]:
    """Sort what `intentflow experiments status` says (`stands`) and what the spec declares."""
    rules, shown = {one.name: one for one in declared}, list[Shown]()
    if running := stands["running"]:
        shown.append(_running(running, now_s))
    if name := stands["waits"]:
        shown.append(_declared(rules[name], "waits") if name in rules else Shown(name, "waits"))
    if last := stands["last"]:
        shown.append(_over(last, rules.get(str(last["name"]))))
    named = {one.name for one in shown}
    return (*shown, *(_declared(one, "declared") for one in declared if one.name not in named))


def _about(rules: Experiment) -> dict[str, Any]:
    """Return what the spec says of an experiment."""
    return {
        "event": rules.kpi.event,
        "measure": rules.kpi.measure,
        "within_hours": rules.kpi.within_hours,
        "better": rules.kpi.better,
        "smallest_effect": rules.smallest_effect,
        "alpha": rules.alpha,
        "min_users": rules.min_users,
        "on_winner": rules.on_winner,
        "days": rules.days,
    }


def _declared(rules: Experiment, state: Any) -> Shown:
    control = rules.control.name
    arms = tuple(Arm(one.name, one.release, one.share, one.name == control) for one in rules.arms)
    return Shown(rules.name, state, arms=arms, **_about(rules))


def _running(document: Mapping[str, Any], now_s: float) -> Shown:
    from pipelines.rollout.experiment_state import ExperimentState

    state = ExperimentState.of(document)
    began = state.phase in ("running", "ending") and state.since > 0
    day = max(0.0, (now_s - state.since) / DAY_S) if began else None
    arms = tuple(_arm(one, state.rules, state.seen, day) for one in state.arms)
    return Shown(
        state.name,
        "running",
        phase=state.phase,
        arms=arms,
        day=day,
        shares=shares([one.users for one in arms], [one.share for one in arms]),
        result=state.result,
        why=state.why,
        **_about(state.rules),
    )


def _over(last: Mapping[str, Any], rules: Experiment | None) -> Shown:
    """Return the experiment that ended last; what the spec no longer declares has its figures alone."""
    declared = {one.name: one for one in rules.arms} if rules else {}
    control = rules.control.name if rules else ""
    arms = []
    for name, version in last["versions"].items():
        share = declared[name].share if name in declared else math.nan
        arms.append(_figures(Arm(name, str(version), share, name == control), last["arms"].get(name, {})))
    known = [one.share for one in arms]
    judged = shares([one.users for one in arms], known) if not any(map(math.isnan, known)) else Shares("unknown")
    return Shown(
        str(last["name"]),
        "over",
        arms=tuple(arms),
        shares=judged,
        result=str(last["result"]),
        why=str(last["why"]),
        ended=dt.datetime.fromtimestamp(float(last["at"]), dt.UTC).isoformat(timespec="seconds")
        if last.get("at")
        else "",
        **(_about(rules) if rules else {}),
    )


def _arm(one: "ArmRelease", rules: Experiment, seen: Figures, day: float | None) -> Arm:
    control = rules.control.name
    arm = _figures(Arm(one.name, one.version, one.share, one.name == control), seen.get(one.name, {}))
    judged = sum(figures.get("judged", 0) for figures in seen.values())
    return arm if arm.control or day is None else _powered(arm, rules, seen.get(control, {}), day, judged)


def _figures(arm: Arm, said: Mapping[str, Any]) -> Arm:
    """Fill in what the last look saw of an arm."""
    low, high = said.get("interval", (None, None))
    return dataclasses.replace(
        arm,
        users=said.get("users"),
        judged=said.get("judged"),
        mean=said.get("mean"),
        difference=said.get("difference"),
        low=low,
        high=high,
        word=said.get("word"),
        why=str(said.get("why", "")),
    )


def _powered(arm: Arm, rules: Experiment, control: Mapping[str, Any], day: float, judged: int) -> Arm:
    """Say what the arm may still show by the experiment's end, where the spread of the KPI is known by now.

    `judged` are the users of all arms.
    """
    from pipelines.rollout import experiment_power
    from pipelines.rollout.sequential import LOOKS

    usual = abs(float(control.get("mean") or 0.0))
    effect, alpha = rules.smallest_effect * usual, rules.alpha / len(rules.treatments)
    growth = experiment_power.grown(day=day, days=rules.days, within=rules.kpi.within_s / DAY_S)
    if not effect or not growth:
        return arm
    share = None if rules.users is None else min(judged * LOOKS // rules.users, LOOKS) / LOOKS
    if (variance := _variance(arm, rules, control, effect=effect, alpha=alpha, share=share)) is None:
        return arm
    if share is not None and rules.users is not None:  # it ends by users, or by days
        counted = share * rules.users or judged  # of whom the variance is
        growth = min(growth * judged, rules.users) / counted
        share = min(growth * counted / rules.users, 1.0)
    at_end = variance / growth
    return dataclasses.replace(
        arm,
        power=experiment_power.power(at_end, effect=effect, alpha=alpha, share=share),
        least_effect=experiment_power.least_effect(at_end, effect=effect, alpha=alpha, share=share) / usual,
    )


def _variance(
    arm: Arm, rules: Experiment, control: Mapping[str, Any], *, effect: float, alpha: float, share: float | None
) -> float | None:
    """Return the variance of the difference: of its interval, or of two shares of users where there is none yet."""
    from pipelines.rollout import experiment_power

    if arm.low is not None and arm.high is not None:
        return experiment_power.variance_of((arm.low, arm.high), effect=effect, alpha=alpha, share=share)
    if rules.kpi.measure != "converted" or arm.mean is None or not arm.judged or not control.get("judged"):
        return None
    other = float(control["mean"])
    found = arm.mean * (1 - arm.mean) / arm.judged + other * (1 - other) / int(control["judged"])
    return found or None


def shares(users: "list[int | None]", declared: "list[float]") -> Shares:
    """Say whether users fell to the arms as declared.

    >>> shares([5000, 5050], [0.5, 0.5]).state, shares([5000, 5600], [0.5, 0.5]).state
    ('as_declared', 'broken')
    >>> shares([None, None], [0.5, 0.5]).state
    'unknown'
    """
    from pipelines.rollout.experiment_analysis import MISMATCH_ALPHA
    from pipelines.rollout.sequential import log_e_shares

    if any(one is None for one in users) or not sum(one or 0 for one in users):
        return Shares("unknown")
    evidence = log_e_shares([one or 0 for one in users], declared)
    odds = math.exp(min(evidence, 700.0))
    return Shares("broken" if odds >= 1 / MISMATCH_ALPHA else "watch" if odds >= WATCH else "as_declared", odds)

"""The spec's gates applied to measured numbers: what holds, what does not, and why, in words.

Pure: numbers in, a verdict out. Reads no file and no registry, moves no alias; report.py writes it for people.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from components.registry.gate_inputs import Champion, Group, Measurements, ResourceUse
from components.registry.gate_metrics import lower_is_better
from components.registry.spec import Gate, Parity

PARITY = "parity"


@dataclass(frozen=True)
class Outcome:
    """What one gate said, of all rows or of one cohort."""

    metric: str
    value: float | None
    against: str
    compared: float | None  # the other's value, None where there is none
    limit: float | None  # the worst value that passes
    passed: bool
    reason: str
    cohort: str = ""
    rows: int | None = None  # of the cohort
    skipped: bool = False  # nothing was judged, and it does not refuse
    used: ResourceUse | None = None  # the tolerance: what the next release finds

    @property
    def name(self) -> str:
        """Name what was judged, as 'ranking.ndcg_at_10 of segment 3'."""
        return f"{self.metric} of {self.cohort}" if self.cohort else self.metric


@dataclass(frozen=True)
class Verdict:
    """What all gates said together."""

    outcomes: tuple[Outcome, ...]

    @property
    def passed(self) -> bool:
        """Whether every gate passed."""
        return all(outcome.passed for outcome in self.outcomes)

    @property
    def refusals(self) -> str:
        """Join the reasons of the gates that did not pass."""
        return "; ".join(outcome.reason for outcome in self.outcomes if not outcome.passed)

    def document(self) -> dict[str, Any]:
        """Return the verdict as JSON values."""
        return {"passed": self.passed, "gates": [asdict(outcome) for outcome in self.outcomes]}

    def tolerance(self) -> dict[str, Any]:
        """Return as JSON values how often tolerances were used up to this release."""
        return {o.name: asdict(o.used) for o in self.outcomes if o.used is not None and o.used.times}


@dataclass(frozen=True)
class _Case:
    """One gate on one group of rows."""

    gate: Gate
    group: Group
    champion: Champion | None
    cohort: str = ""

    @property
    def lower(self) -> bool:
        return lower_is_better(self.gate.metric)

    @property
    def name(self) -> str:
        return f"{self.gate.metric} of {self.cohort}" if self.cohort else self.gate.metric

    @property
    def rows(self) -> int | None:
        return self.group.rows(self.gate.metric) if self.cohort else None

    def at_least(self, value: float, other: float) -> bool:
        """Tell whether a value is as good as another."""
        return value <= other if self.lower else value >= other


def evaluate(gates: Sequence[Gate], candidate: Measurements, *, champion: Champion | None) -> Verdict:
    """Judge what a candidate was measured to be; without a champion, gates against it pass."""
    return Verdict(tuple(outcome for gate in gates for outcome in _judged(gate, candidate, champion)))


def parity(document: Mapping[str, Any], rules: Parity) -> Outcome:
    """Judge a replay of logged answers, {checked, mismatches, first: {field, online, offline}}.

    >>> first = {"field": "sessions_28d", "online": 3.0, "offline": 4.0}
    >>> parity({"checked": 9, "mismatches": 1, "first": first}, Parity()).reason
    '1 of 9 logged answers differ when they are replayed: first sessions_28d, online 3.0, offline 4.0'
    """
    checked, mismatches = int(document["checked"]), int(document["mismatches"])
    passed = False
    if mismatches:
        first = document.get("first") or {"field": "an unnamed field", "online": "?", "offline": "?"}
        reason = (
            f"{mismatches} of {checked} logged answers differ when they are replayed: "
            f"first {first['field']}, online {first['online']}, offline {first['offline']}"
        )
    elif checked < rules.min_checked:
        reason = f"{checked} logged answers were replayed, fewer than promotion.parity.min_checked, {rules.min_checked}"
    else:
        reason, passed = f"{checked} logged answers were replayed and none differs", True
        reason = reason if checked else "not checked: no answer is logged yet, so none was replayed"
    return Outcome(PARITY, float(mismatches), "replay", None, 0.0, passed, reason, skipped=passed and not checked)


def _judged(gate: Gate, candidate: Measurements, champion: Champion | None) -> Iterator[Outcome]:
    """Judge a gate on all rows, or on each group of its cohort."""
    if gate.cohort is None:
        yield _one(_Case(gate, candidate.overall, champion))
        return
    groups = candidate.of_kind(gate.cohort, gate.metric)
    if not groups:
        yield _refused(_Case(gate, Group(), champion, gate.cohort), f"no {gate.cohort} was measured")
    for name, group in groups.items():
        case = _Case(gate, group, champion and champion.cohort(name), name)
        if (rows := group.rows(gate.metric)) < gate.min_rows:
            yield _skipped(case, f"{name} has {rows} rows, fewer than {gate.min_rows}: skipped")
        elif _others(gate, candidate, champion):
            yield _skipped(case, "the champion's segments are other groups of users: skipped")
        else:
            yield _one(case)


def _others(gate: Gate, candidate: Measurements, champion: Champion | None) -> bool:
    """Tell whether segments are numbered anew, so that the champion's 'segment 3' is not the candidate's."""
    against = gate.cohort == "segment" and gate.against == "champion"
    return against and champion is not None and champion.segments != candidate.segments


def _one(case: _Case) -> Outcome:
    gate = case.gate
    value = finite(case.group.values.get(gate.metric))
    if value is None:
        return _refused(case, f"{case.name} was not measured")
    compared = _compared(case)
    if compared is None:
        if gate.against == "baseline":
            return _refused(case, f"the baseline has no {case.name}", value=value)
        absent = "there is no champion yet" if case.champion is None else f"the champion has no {case.name}"
        return _outcome(case, passed=True, reason=absent, value=value)
    limit = _limit(gate, compared)
    passed = case.at_least(value, limit)
    found = _outcome(
        case,
        passed=passed,
        reason=_words(case, value, compared, limit, passed),
        value=value,
        compared=compared,
        limit=limit,
    )
    return found if gate.repeats is None else _counted(case, found, value, compared)


def _compared(case: _Case) -> float | None:
    gate = case.gate
    if gate.against == "value":
        return gate.limit
    if gate.against == "baseline":
        return finite(case.group.baseline.get(gate.metric))
    return None if case.champion is None else finite(case.champion.values.get(gate.metric))


def _counted(case: _Case, found: Outcome, value: float, compared: float) -> Outcome:
    """Count the uses of a tolerance up to the champion, so that many small steps down do not add up.

    The count begins anew only once a release is as good as the champion was before the first of them.
    """
    before = (case.champion.used.get(case.name) if case.champion else None) or ResourceUse()
    since = compared if before.since is None else before.since
    if case.at_least(value, since):
        return dataclasses.replace(found, used=ResourceUse())
    if case.at_least(value, compared):
        return dataclasses.replace(found, used=dataclasses.replace(before, since=since))
    most = case.gate.repeats or 0
    if found.passed and before.times >= most:
        reason = (
            f"{case.name} {shown(value)} is worse than the champion's {shown(compared)}, and the tolerance was used "
            f"{before.times} of {most} times since {shown(since)}"
        )
        return dataclasses.replace(found, passed=False, limit=compared, reason=reason, used=before)
    if not found.passed:
        return dataclasses.replace(found, used=before)
    used = ResourceUse(before.times + 1, since)
    return dataclasses.replace(found, used=used, reason=f"{found.reason}; use {used.times} of {most}")


def _limit(gate: Gate, compared: float) -> float:
    """Return the worst value that passes: the tolerance is a share of the size of what is compared with."""
    slack = gate.tolerance * abs(compared)
    return compared + slack if lower_is_better(gate.metric) else compared - slack


def _words(case: _Case, value: float, compared: float, limit: float, passed: bool) -> str:
    gate, ceiling = case.gate, case.lower
    relation = ("at most" if ceiling else "at least") if passed else ("above" if ceiling else "below")
    if gate.against == "value":
        whose = f"the {'ceiling' if ceiling else 'floor'} {shown(compared)}"
    else:
        whose = f"the {gate.against}'s {shown(compared)}"
    slack = f" less the tolerance of {gate.tolerance:.0%} ({shown(limit)})" if gate.tolerance else ""
    slack = slack.replace("less", "plus") if ceiling else slack
    return f"{case.name} {shown(value)} is {relation} {whose}{slack}"


def _refused(case: _Case, reason: str, *, value: float | None = None) -> Outcome:
    return _outcome(case, passed=False, reason=reason, value=value)


def _skipped(case: _Case, reason: str) -> Outcome:
    value = finite(case.group.values.get(case.gate.metric))
    return dataclasses.replace(_outcome(case, passed=True, reason=reason, value=value), skipped=True)


def _outcome(
    case: _Case,
    *,
    passed: bool,
    reason: str,
    value: float | None,
    compared: float | None = None,
    limit: float | None = None,
) -> Outcome:
    return Outcome(
        case.gate.metric,
        value,
        case.gate.against,
        compared,
        limit,
        passed,
        reason,
        cohort=case.cohort,
        rows=case.rows,
    )


def finite(value: float | None) -> float | None:
    """Return a number that compares, else None."""
    return value if value is not None and math.isfinite(value) else None


def shown(value: float | None) -> str:
    """Return a number as reasons and reports show it."""
    return "-" if value is None else f"{value:.6g}"

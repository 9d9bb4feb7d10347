"""The spec's gates applied to measured numbers: what holds, what does not, and why, in words.

Pure: numbers in, a verdict out. Reads no file and no registry, moves no alias.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from components.registry.spec import LOWER_IS_BETTER, Gate

Metrics = Mapping[str, float]


@dataclass(frozen=True)
class Outcome:
    """What one gate said."""

    metric: str
    value: float | None
    against: str
    compared: float | None  # the other's value, None where there is none
    limit: float | None  # the worst value that passes
    passed: bool
    reason: str


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

    def markdown(self, *, title: str) -> str:
        """Return the verdict as a Markdown report."""
        head = f"# {title}: {'passed' if self.passed else 'refused'}\n\n"
        table = "| gate | value | against | limit | verdict | why |\n| --- | --- | --- | --- | --- | --- |\n"
        rows = (
            f"| {o.metric} | {_shown(o.value)} | {o.against} {_shown(o.compared)} | {_shown(o.limit)} "
            f"| {'passed' if o.passed else '**refused**'} | {o.reason} |\n"
            for o in self.outcomes
        )
        return head + table + "".join(rows)


def evaluate(gates: Sequence[Gate], candidate: Metrics, *, baseline: Metrics, champion: Metrics | None) -> Verdict:
    """Judge a candidate's test metrics; without a champion, gates against it pass."""
    return Verdict(tuple(_judged(gate, candidate, baseline, champion) for gate in gates))


def measured(metrics: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, float]]:
    """Name the test metrics of both parts as gates do; of the baselines the best one speaks, metric by metric.

    >>> intent = {"test": {"map": 0.3}, "baselines": {"global_rate": {"map": 0.1}, "decayed_rate": {"map": 0.2}}}
    >>> measured({"intent": intent})
    ({'intent.map': 0.3}, {'intent.map': 0.2})
    """
    candidate: dict[str, float] = {}
    baseline: dict[str, float] = {}
    for part, document in metrics.items():
        candidate |= _numbers(part, document.get("test", {}))
        for other in document.get("baselines", {}).values():
            for name, value in _numbers(part, other).items():
                best = min if name in LOWER_IS_BETTER else max
                baseline[name] = best(baseline.get(name, value), value)
    return candidate, baseline


def _judged(gate: Gate, candidate: Metrics, baseline: Metrics, champion: Metrics | None) -> Outcome:
    value = _finite(candidate.get(gate.metric))
    if value is None:
        return _outcome(gate, None, None, passed=False, reason=f"{gate.metric} was not measured")
    if gate.against == "champion":
        compared = _finite((champion or {}).get(gate.metric))
        if compared is None:
            absent = "there is no champion yet" if champion is None else f"the champion has no {gate.metric}"
            return _outcome(gate, value, None, passed=True, reason=absent)
    else:
        compared = _finite(gate.limit if gate.against == "value" else baseline.get(gate.metric))
        if compared is None:
            return _outcome(gate, value, None, passed=False, reason=f"the baseline has no {gate.metric}")
    lower = gate.metric in LOWER_IS_BETTER
    limit = _limit(gate, compared)
    passed = value <= limit if lower else value >= limit
    return _outcome(
        gate, value, compared, passed=passed, limit=limit, reason=_words(gate, value, compared, limit, passed)
    )


def _limit(gate: Gate, compared: float) -> float:
    """Return the worst value that passes: the tolerance is a share of the size of what is compared with."""
    slack = gate.tolerance * abs(compared)
    return compared + slack if gate.metric in LOWER_IS_BETTER else compared - slack


def _words(gate: Gate, value: float, compared: float, limit: float, passed: bool) -> str:
    ceiling = gate.metric in LOWER_IS_BETTER
    relation = ("at most" if ceiling else "at least") if passed else ("above" if ceiling else "below")
    if gate.against == "value":
        whose = f"the {'ceiling' if ceiling else 'floor'} {_shown(compared)}"
    else:
        whose = f"the {gate.against}'s {_shown(compared)}"
    slack = f" less the tolerance of {gate.tolerance:.0%} ({_shown(limit)})" if gate.tolerance else ""
    slack = slack.replace("less", "plus") if ceiling else slack
    return f"{gate.metric} {_shown(value)} is {relation} {whose}{slack}"


def _outcome(
    gate: Gate, value: float | None, compared: float | None, *, passed: bool, reason: str, limit: float | None = None
) -> Outcome:
    return Outcome(gate.metric, value, gate.against, compared, limit, passed, reason)


def _numbers(part: str, metrics: Mapping[str, Any]) -> dict[str, float]:
    return {f"{part}.{name}": float(value) for name, value in metrics.items() if isinstance(value, int | float)}


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"

"""What a release was measured to be, under the gates' names: metrics.json and served.json of both parts in one.

Pure. `Measured` is of the candidate, `Champion` of the release that it is compared with; gates.py judges.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from components.registry.gate_metrics import lower_is_better, with_derived

Metrics = Mapping[str, float]
ROWS = "rows"
BUDGETED = ("latency", "memory", "variant")  # groups of served.json


@dataclass(frozen=True)
class ResourceUse:
    """Uses of a tolerance by releases that followed each other."""

    times: int = 0
    since: float | None = None  # the champion's value before the first


@dataclass(frozen=True)
class Group:
    """Numbers of one group of rows, and of the best baseline on them."""

    values: Metrics = field(default_factory=dict)
    baseline: Metrics = field(default_factory=dict)

    def rows(self, metric: str) -> int:
        """Return the rows behind a metric."""
        return int(self.values.get(f"{metric.split('.')[0]}.{ROWS}", 0))


@dataclass(frozen=True)
class Measurements:
    """A candidate's numbers: over all rows, and by cohort as in 'segment 3'."""

    overall: Group
    cohorts: Mapping[str, Group] = field(default_factory=dict)
    segments: str = ""  # digest of the segments that cohorts go by

    def of_kind(self, kind: str, metric: str) -> dict[str, Group]:
        """Return the cohorts of a kind in which a metric's rows were counted."""
        return {
            name: group
            for name, group in self.cohorts.items()
            if name.startswith(f"{kind} ") and group.rows(metric) > 0
        }


@dataclass(frozen=True)
class Champion:
    """The champion's numbers, and how often tolerances were used up to it."""

    values: Metrics
    cohorts: Mapping[str, Metrics] = field(default_factory=dict)
    segments: str = ""
    used: Mapping[str, ResourceUse] = field(default_factory=dict)

    def cohort(self, name: str) -> "Champion":
        """Return the same champion with the numbers of one cohort."""
        return Champion(self.cohorts.get(name, {}), segments=self.segments, used=self.used)


def measured(
    metrics: Mapping[str, Any], served: Mapping[str, Any] | None = None, *, segments: str = ""
) -> Measurements:
    """Name the numbers of both parts as gates do; of the baselines the best one speaks, metric by metric.

    >>> intent = {"test": {"map": 0.3}, "baselines": {"global_rate": {"map": 0.1}, "decayed_rate": {"map": 0.2}}}
    >>> measured({"intent": intent}).overall
    Group(values={'intent.map': 0.3}, baseline={'intent.map': 0.2})
    """
    values: dict[str, float] = {}
    baseline: dict[str, float] = {}
    for part, document in metrics.items():
        values |= numbers(part, document.get("test", {}))
        for other in document.get("baselines", {}).values():
            _keep_best(baseline, with_derived(numbers(part, other)))
    return Measurements(Group(with_derived(values | budgets(served or {})), baseline), cohorts(metrics), segments)


def cohorts(metrics: Mapping[str, Any]) -> dict[str, Group]:
    """Join the cohorts of both parts: 'decayed_rate_map' in one is its baseline's 'map'."""
    values: dict[str, dict[str, float]] = {}
    baseline: dict[str, dict[str, float]] = {}
    for part, document in metrics.items():
        others = tuple(document.get("baselines", {}))
        for name, found in document.get("cohorts", {}).items():
            mine = values.setdefault(name, {})
            theirs = baseline.setdefault(name, {})
            for key, value in numbers(part, found).items():
                metric = key.removeprefix(f"{part}.")
                other = next((o for o in others if metric.startswith(f"{o}_")), None)
                if other is None:
                    mine[key] = value
                else:
                    _keep_best(theirs, {f"{part}.{metric.removeprefix(f'{other}_')}": value})
    return {name: Group(with_derived(values[name]), baseline[name]) for name in values}


def budgets(served: Mapping[str, Any]) -> dict[str, float]:
    """Name what both parts cost to serve: memory adds up, the rest is of one part.

    >>> one, two = {"memory": {"rss_mib": 3.0}}, {"memory": {"rss_mib": 4.0}, "latency": {"recommend_ms_p50": 2.0}}
    >>> budgets({"intent": one, "ranking": two})
    {'memory.rss_mib': 7.0, 'latency.recommend_ms_p50': 2.0}
    """
    found: dict[str, float] = {}
    for document in served.values():
        for group in BUDGETED:
            for key, value in numbers(group, document.get(group, {})).items():
                found[key] = found.get(key, 0.0) + value if group == "memory" else value
    return found


def numbers(part: str, metrics: Mapping[str, Any]) -> dict[str, float]:
    """Keep the numbers of a part, by the gates' names."""
    return {f"{part}.{name}": float(value) for name, value in metrics.items() if isinstance(value, int | float)}


def _keep_best(best: dict[str, float], found: Mapping[str, float]) -> None:
    for name, value in found.items():
        better = min if lower_is_better(name) else max
        best[name] = better(best.get(name, value), value)

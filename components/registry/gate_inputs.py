"""What a release was measured to be, under the gates' names: metrics.json and served.json of both parts in one.

Pure. `Measured` is of the candidate, `Champion` of the release that it is compared with; gates.py judges.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from components.registry.gate_metrics import lower_is_better, with_derived
from components.resamples import ACROSS, ALL, MODEL, WITHIN, Resamples
from components.verdicts import Sample

Metrics = Mapping[str, float]
Samples = Mapping[str, Sample]
ROWS = "rows"
WORST = "cohorts.worst"  # of a part: a figure of the cohort that metrics.json names as `worst_cohort`
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
    samples: Samples = field(default_factory=dict, compare=False)  # the values with their resamples, where there are
    baseline_samples: Samples = field(default_factory=dict, compare=False)  # likewise, by the same draws
    across: Samples = field(default_factory=dict, compare=False)  # of the values, by draws that releases share
    notes: Mapping[str, str] = field(default_factory=dict, compare=False)  # by metric: what its name does not say

    def rows(self, metric: str) -> int:
        """Return the rows behind a metric."""
        return self.sample(metric).rows or 0

    def sample(self, metric: str) -> Sample:
        """Return a value with what is known of its spread, and of the rows and users behind it."""
        return self.samples.get(metric) or self._bare(self.values, metric)

    def baseline_sample(self, metric: str) -> Sample:
        """Return the best baseline's value likewise."""
        return self.baseline_samples.get(metric) or self._bare(self.baseline, metric)

    def shared_sample(self, metric: str) -> Sample:
        """Return a value by the draws that releases share."""
        return self.across.get(metric) or self._bare(self.values, metric)

    def _bare(self, values: Metrics, metric: str) -> Sample:
        rows = self.values.get(f"{metric.split('.')[0]}.{ROWS}")
        return Sample(values.get(metric), rows=None if rows is None else int(rows))


@dataclass(frozen=True)
class Measurements:
    """A candidate's numbers: over all rows, and by cohort as in 'segment 3'."""

    overall: Group
    cohorts: Mapping[str, Group] = field(default_factory=dict)
    segments: str = ""  # digest of the segments that cohorts go by
    judged_on: Mapping[str, str] = field(default_factory=dict)  # by part: digest of the users and weeks

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
    resamples: Mapping[str, Resamples] = field(default_factory=dict, repr=False, compare=False)  # by part
    named: str = ALL  # the cohort whose numbers these are
    elsewhere: str = ""  # its figures are of its own test rows, since ...
    retrained: bool = False  # its figures are those of its like, which was trained at the candidate's cutoffs

    def cohort(self, name: str) -> "Champion":
        """Return the same champion with the numbers of one cohort."""
        return replace(self, values=self.cohorts.get(name, {}), cohorts={}, named=name)

    def sample(self, metric: str) -> Sample:
        """Return a value with its resamples, overall by the draws that releases share."""
        part, _, name = metric.partition(".")
        draws = WITHIN if self.named else ACROSS
        of = self.resamples.get(part, Resamples())
        return of.sample(self.values.get(metric), name, cohort=self.named, draws=draws)

    def judged_on(self, part: str) -> str:
        """Return the digest of the users and weeks that a part was judged on, '' where nobody kept it."""
        return self.resamples.get(part, Resamples()).rows_digest


def measured(
    metrics: Mapping[str, Any],
    served: Mapping[str, Any] | None = None,
    *,
    segments: str = "",
    resamples: Mapping[str, Resamples] | None = None,
) -> Measurements:
    """Name the numbers of both parts as gates do; of the baselines the best one speaks, metric by metric.

    >>> intent = {"test": {"map": 0.3}, "baselines": {"global_rate": {"map": 0.1}, "decayed_rate": {"map": 0.2}}}
    >>> found = measured({"intent": intent}).overall
    >>> found.values, found.baseline
    ({'intent.map': 0.3}, {'intent.map': 0.2})
    """
    drawn = resamples or {}
    values: dict[str, float] = {}
    baseline: dict[str, float] = {}
    best: dict[str, str] = {}  # baseline by metric
    for part, document in metrics.items():
        values |= numbers(part, document.get("test", {}))
        for name, other in document.get("baselines", {}).items():
            _keep_best(baseline, with_derived(numbers(part, other)), best, name)
    values = with_derived(values | budgets(served or {}))
    overall = Group(
        values,
        baseline,
        _samples(values, drawn, dict.fromkeys(values, MODEL)),
        _samples(baseline, drawn, best),
        _samples(values, drawn, dict.fromkeys(values, MODEL), draws=ACROSS),
        {f"{part}.{WORST}": found for part, one in metrics.items() if (found := one.get("worst_cohort"))},
    )
    judged_on = {part: found.rows_digest for part, found in drawn.items()}
    return Measurements(overall, cohorts(metrics, drawn), segments, judged_on)


def cohorts(metrics: Mapping[str, Any], resamples: Mapping[str, Resamples] | None = None) -> dict[str, Group]:
    """Join the cohorts of both parts: 'decayed_rate_map' in one is its baseline's 'map'."""
    drawn = resamples or {}
    values: dict[str, dict[str, float]] = {}
    baseline: dict[str, dict[str, float]] = {}
    best: dict[str, dict[str, str]] = {}
    for part, document in metrics.items():
        others = tuple(document.get("baselines", {}))
        for name, found in document.get("cohorts", {}).items():
            mine = values.setdefault(name, {})
            theirs = baseline.setdefault(name, {})
            named = best.setdefault(name, {})
            for key, value in numbers(part, found).items():
                metric = key.removeprefix(f"{part}.")
                other = next((o for o in others if metric.startswith(f"{o}_")), None)
                if other is None:
                    mine[key] = value
                else:
                    _keep_best(theirs, {f"{part}.{metric.removeprefix(f'{other}_')}": value}, named, other)
    return {
        name: Group(
            found := with_derived(values[name]),
            baseline[name],
            _samples(found, drawn, dict.fromkeys(found, MODEL), cohort=name),
            _samples(baseline[name], drawn, best[name], cohort=name),
        )
        for name in values
    }


def _samples(
    values: Metrics,
    resamples: Mapping[str, Resamples],
    sides: Mapping[str, str],
    *,
    cohort: str = ALL,
    draws: str = WITHIN,
) -> dict[str, Sample]:
    """Join values to their resamples, as far as there are any; `sides` names each metric's model or baseline."""
    found = {}
    for metric, value in values.items():
        part, _, name = metric.partition(".")
        sample = resamples.get(part, Resamples()).sample(value, name, side=sides[metric], cohort=cohort, draws=draws)
        if sample.rows is not None:
            found[metric] = sample
    return found


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


def _keep_best(best: dict[str, float], found: Mapping[str, float], sides: dict[str, str], side: str) -> None:
    """Keep the better of two values of each metric, and the name of whose it is."""
    for name, value in found.items():
        if name not in best or (value < best[name] if lower_is_better(name) else value > best[name]):
            best[name], sides[name] = value, side

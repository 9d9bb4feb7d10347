"""The evaluation's metrics under resamples of users: of the model and the best baselines, overall and by cohort.

Letters: B rows, C targets, R resamples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from components import verdicts
from components.intent import metrics
from components.resamples import ACROSS, ALL, MODEL, WITHIN, Line
from components.verdicts import Least

RESAMPLES = 200
COHORT_RESAMPLES = 40  # three kinds of cohort cover all rows three times; verdicts knows that few tell little
UNRESAMPLED = ("ece",)  # without an interval in metrics.json: around its own resamples it would not hold the value
WORST = "cohorts.worst"  # the smallest lead over a baseline in any cohort, by mean average precision
GATED = {"map": max, "macro_auroc": max, "micro_auroc": max, "bce": min, "ece": min}  # which of two is better
Interval = tuple[float, float]


def best(baselines: Mapping[str, Mapping[str, float | None]]) -> set[str]:
    """Name the baselines that are best at a metric: a gate compares with these."""
    found = set()
    for metric, better in GATED.items():
        known = {name: value for name, values in baselines.items() if (value := values.get(metric)) is not None}
        if known:
            found.add(better(known, key=lambda name: known[name]))
    return found


@dataclass(frozen=True)
class Resampling:
    """Resamples the users of the test rows."""

    labels: np.ndarray  # [B, C] of the headline targets
    user: np.ndarray  # [B] number of the row's user, by first appearance
    user_id: np.ndarray  # [B]

    def overall(self, said: np.ndarray, others: Mapping[str, np.ndarray]) -> list[Line]:
        """Resample the model and baselines [B, C] over all rows, and the model alone by draws of all evaluations."""
        _, first, user = np.unique(self.user, return_index=True, return_inverse=True)
        weight = metrics.user_weights(user, resamples=RESAMPLES)
        found = self._lines(said, weight)
        for name, theirs in others.items():
            found += self._lines(theirs, weight, side=name)
        shared = verdicts.shared_draws(self.user_id[first], resamples=RESAMPLES)[user]
        return found + self._lines(said, shared, draws=ACROSS)

    def by_cohort(
        self, said: np.ndarray, theirs: np.ndarray, *, masks: Mapping[str, np.ndarray], other: str
    ) -> list[Line]:
        """Resample the model in each group of rows, and a baseline's mean average precision."""
        found: list[Line] = []
        for name, mask in masks.items():
            group = Resampling(self.labels[mask], self.user[mask], self.user_id[mask])
            user = np.unique(group.user, return_inverse=True)[1]
            weight = metrics.user_weights(user, resamples=COHORT_RESAMPLES)
            found += group._lines(said[mask], weight, cohort=name)
            found += [one for one in group._lines(theirs[mask], weight, cohort=name, side=other) if one.metric == "map"]
        return found

    def _lines(
        self, said: np.ndarray, weight: np.ndarray, *, side: str = MODEL, cohort: str = ALL, draws: str = WITHIN
    ) -> list[Line]:
        rows, users = len(self.user), len(np.unique(self.user))
        drawn = metrics.resampled(self.labels, said, weight)
        if cohort == ALL:  # no gate asks for it of a group
            drawn["micro_auroc"] = metrics.resampled_micro_auroc(self.labels, said, weight)
        return [Line(metric, values, rows, users, side, cohort, draws) for metric, values in drawn.items()]


@dataclass(frozen=True)
class Worst:
    """The cohort in which the model leads a baseline least."""

    cohort: str
    line: Line


def worst(lines: Sequence[Line], leads: Mapping[str, float | None], *, other: str, least: Least) -> Worst | None:
    """Find the cohort of the smallest lead over `other`, and that lead under resamples; None where none is judged.

    Cohorts of fewer rows or users than `least` are passed over. Under each resample the smallest lead is that of any
    cohort, so the interval spreads also by which of them comes out worst. It is then centred on the measured lead.
    """
    by = {(line.cohort, line.side): line for line in lines if (line.metric, line.draws) == ("map", WITHIN)}
    drawn, judged = {}, {}
    for name, lead in leads.items():
        mine, theirs = by.get((name, MODEL)), by.get((name, other))
        if lead is None or mine is None or theirs is None or mine.rows < least.rows or mine.users < least.users:
            continue
        drawn[name], judged[name] = mine.resampled - theirs.resampled, lead
    if not judged:
        return None
    last = min(judged, key=lambda name: judged[name])
    smallest = np.fmin.reduce(list(drawn.values()))  # [R]; no number only where no cohort has one
    return Worst(last, Line(WORST, smallest, by[last, MODEL].rows, by[last, MODEL].users))


def intervals(lines: Sequence[Line], other: str) -> tuple[dict[str, Interval], dict[str, Interval]]:
    """Return for metrics.json the middle 95 % of the model, and of the model less a baseline."""
    within = {(line.side, line.metric): line.resampled for line in lines if (line.cohort, line.draws) == (ALL, WITHIN)}
    mine = {
        metric: values
        for (side, metric), values in within.items()
        if side == MODEL and metric not in UNRESAMPLED and np.isfinite(values).any()
    }
    around = {metric: metrics.interval(values) for metric, values in mine.items()}
    return around, {metric: metrics.interval(values - within[other, metric]) for metric, values in mine.items()}

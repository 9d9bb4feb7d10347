"""Judge the intent model on the test weeks, beside baselines on exactly the same rows.

Headline figures are over the targets of intents with a level (such as buy:SOUP); an intent without one (visit) has
figures of its own. The F1 threshold and the baselines' smoothing are chosen on the validation weeks.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.intent import baselines, metrics
from components.intent.examples import Examples
from components.intent.metrics import Curve
from components.intent.score import IntentScorer
from feature_repo import columns

COMPARED = "decayed_rate"  # the baseline that gains are over
COHORT_METRICS = ("rows", "map", "macro_auroc", "bce", "ece")
TENURES = ((0, "under 13 weeks"), (13, "13 to 25 weeks"), (26, "from 26 weeks"))
ACTIVITIES = ("low", "middle", "high")  # thirds of the test rows by decayed sessions
Numbers = dict[str, float | None]


@dataclass(frozen=True)
class Evaluation:
    """What the model is worth on the test rows, and its baselines."""

    test: Numbers
    validate: Numbers
    baselines: dict[str, Numbers]
    prior_weeks: dict[str, float]  # of the baselines
    intervals: dict[str, tuple[float, float]]  # 95 %, over users
    gain: dict[str, tuple[float, float]]  # of the model over COMPARED, likewise
    cohorts: dict[str, Numbers]
    targets: dict[str, Numbers]  # test figures by target
    weeks: list[int]
    curve: Curve

    def metrics(self) -> dict[str, Any]:
        """Return what metrics.json holds."""
        return {name: value for name, value in vars(self).items() if name != "curve"}


@dataclass(frozen=True)
class _Judged:
    """Labels and predictions of the same rows, and which columns are leveled targets."""

    labels: np.ndarray  # [B, C]
    leveled: np.ndarray  # [C] bool
    names: list[str]
    threshold: float

    def summary(self, probability: np.ndarray) -> Numbers:
        """Sum up predictions [B, C]."""
        found = metrics.summary(
            self.labels[:, self.leveled], probability[:, self.leveled], threshold=self.threshold
        )
        for c in np.flatnonzero(~self.leveled) if not self.leveled.all() else ():
            found |= metrics.named(self.names[c], metrics.single(self.labels[:, c], probability[:, c]))
        return found

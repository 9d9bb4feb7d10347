"""What the intent model must beat, on exactly the same rows: rates that need no training.

`global_rate` is how often a target was fulfilled in training rows; the personal ones draw a user's own rate towards
it by a number of weeks that is chosen on the validation rows.

Letters: B rows, C targets.
"""

import numpy as np

from components.intent.metrics import cross_entropy
from components.intent.rates import GLOBAL, NAMES, evidence, predicted, smoothed
from feature_repo.calendar import Calendar
from feature_repo.rows import UserRows

__all__ = ["NAMES", "PRIOR_WEEKS", "choose", "predictions"]
PRIOR_WEEKS = (1.0, 2.0, 4.0, 8.0, 16.0)  # to choose from


def predictions(
    train_rate: np.ndarray,
    rows: UserRows,
    chosen: dict[str, float],
    *,
    calendar: Calendar,
    horizons: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Predict rows by every baseline, float32 [B, C]; `chosen` are prior weeks, `train_rate` [C] is the prior.

    `horizons` [C] are the steps that labels look ahead, None for one each.
    """
    priors = {GLOBAL: 0.0} | chosen
    return {
        name: predicted(name, rows, rate=train_rate, prior_weeks=priors[name], calendar=calendar, horizons=horizons)
        for name in NAMES
    }


def choose(
    train_rate: np.ndarray,
    rows: UserRows,
    labels: np.ndarray,
    *,
    calendar: Calendar,
    horizons: np.ndarray | None = None,
) -> dict[str, float]:
    """Choose the prior weeks of each personal baseline that fit the validation rows best."""
    return {
        name: min(
            PRIOR_WEEKS,
            key=lambda prior: cross_entropy(labels, smoothed(found, most, train_rate, prior, horizons)).mean(),
        )
        for name, (found, most) in evidence(rows, calendar, n_targets=len(train_rate)).items()
    }

"""What the intent model must beat, on exactly the same rows: rates that need no training.

`global_rate` is how often a target was fulfilled in training rows; the personal ones draw a user's own rate towards
it by a number of weeks that is chosen on the validation rows.

Letters: B rows, C targets, N list elements.
"""

import numpy as np

from components.intent.metrics import cross_entropy
from feature_repo.calendar import Calendar
from feature_repo.columns import SLOW_DECAY
from feature_repo.rows import UserRows

NAMES = ("global_rate", "personal_rate", "decayed_rate")
PRIOR_WEEKS = (1.0, 2.0, 4.0, 8.0, 16.0)  # to choose from


def rates(rows: UserRows, calendar: Calendar, *, n_targets: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return for each personal baseline the evidence for a target [B, C] and the most it could be [B, 1]."""
    week = calendar.upcoming(rows.now)  # [B]
    first = np.where(rows.known, rows.numbers["first_at"], rows.now).astype(np.int64)
    tenure = np.maximum(week - calendar.weeks(first), 1)[:, None].astype(np.float64)
    owner = rows.lists["target_ids"].row_of_value()  # [N]
    lag = week - calendar.upcoming(np.where(rows.known, rows.state_at, rows.now))  # [B]
    weeks, slow = np.zeros((2, len(rows), n_targets))
    place = owner, rows.lists["target_ids"].values
    weeks[place] = rows.lists["target_weeks"].values
    slow[place] = rows.lists["target_slow"].values * SLOW_DECAY ** lag[owner]
    possible = SLOW_DECAY * (1 - SLOW_DECAY**tenure) / (1 - SLOW_DECAY)
    return {"personal_rate": (weeks, tenure), "decayed_rate": (slow, possible)}


def predictions(
    train_rate: np.ndarray, rows: UserRows, chosen: dict[str, float], *, calendar: Calendar
) -> dict[str, np.ndarray]:
    """Predict rows by every baseline, float32 [B, C]; `chosen` are prior weeks, `train_rate` [C] is the prior."""
    everyone = np.broadcast_to(train_rate, (len(rows), len(train_rate)))
    found = {
        name: _smoothed(evidence, most, train_rate, chosen[name])
        for name, (evidence, most) in rates(rows, calendar, n_targets=len(train_rate)).items()
    }
    return {name: np.asarray(p, dtype=np.float32) for name, p in ({"global_rate": everyone} | found).items()}


def choose(train_rate: np.ndarray, rows: UserRows, labels: np.ndarray, *, calendar: Calendar) -> dict[str, float]:
    """Choose the prior weeks of each personal baseline that fit the validation rows best."""
    return {
        name: min(
            PRIOR_WEEKS,
            key=lambda prior: cross_entropy(labels, _smoothed(evidence, most, train_rate, prior)).mean(),
        )
        for name, (evidence, most) in rates(rows, calendar, n_targets=len(train_rate)).items()
    }


def _smoothed(evidence: np.ndarray, most: np.ndarray, rate: np.ndarray, prior_weeks: float) -> np.ndarray:
    return np.asarray((evidence + prior_weeks * rate) / (most + prior_weeks))

"""How often users did what is asked about: rates that need no training, smoothed towards everyone's.

Each is a user's evidence for a target, over the most that it could be, drawn towards the target's rate in training
rows by a number of weeks. The evaluation compares with them (baselines.py), and where nothing better passed one of
them serves (rate_net.py). Pure numpy; knows no model.

Letters: B rows, C targets, N list elements.
"""

import numpy as np

from feature_repo.calendar import Calendar
from feature_repo.columns import SLOW_DECAY
from feature_repo.rows import UserRows

GLOBAL, PERSONAL, DECAYED = NAMES = ("global_rate", "personal_rate", "decayed_rate")


def evidence(rows: UserRows, calendar: Calendar, *, n_targets: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return for each personal rate the evidence for a target [B, C] and the most it could be [B, 1]."""
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
    return {PERSONAL: (weeks, tenure), DECAYED: (slow, possible)}


def smoothed(found: np.ndarray, most: np.ndarray, rate: np.ndarray, prior_weeks: float) -> np.ndarray:
    """Draw evidence towards a rate [C] by some weeks of it, 0..1."""
    return np.asarray((found + prior_weeks * rate) / (most + prior_weeks))


def predicted(name: str, rows: UserRows, *, rate: np.ndarray, prior_weeks: float, calendar: Calendar) -> np.ndarray:
    """Predict rows by one of `NAMES`, float32 [B, C]."""
    if name == GLOBAL:
        return np.repeat(rate[None], len(rows), axis=0).astype(np.float32)
    found, most = evidence(rows, calendar, n_targets=len(rate))[name]
    return smoothed(found, most, rate, prior_weeks).astype(np.float32)

"""How often users did what is asked about: rates that need no training, smoothed towards everyone's.

Each is a user's evidence for a target, over the most that it could be, drawn towards the target's rate in training
rows by a number of weeks. The evaluation compares with them (baselines.py), and where nothing better passed one of
them serves (rate_net.py). Pure numpy; knows no model.

Letters: B rows, C targets, N list elements.
"""

import numpy as np

from feature_repo.calendar import Calendar
from feature_repo.rows import UserRows

GLOBAL, PERSONAL, DECAYED = NAMES = ("global_rate", "personal_rate", "decayed_rate")
SURE = 1 - 1e-6  # a rate of 1 has no finite odds against it


def evidence(rows: UserRows, calendar: Calendar, *, n_targets: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return for each personal rate the evidence for a target [B, C] and the most it could be [B, 1]."""
    week, decay = calendar.upcoming(rows.now), calendar.pace.slow  # [B]
    first = np.where(rows.known, rows.numbers["first_at"], rows.now).astype(np.int64)
    tenure = np.maximum(week - calendar.weeks(first), 1)[:, None].astype(np.float64)
    owner = rows.lists["target_ids"].row_of_value()  # [N]
    lag = week - calendar.upcoming(np.where(rows.known, rows.state_at, rows.now))  # [B]
    weeks, slow = np.zeros((2, len(rows), n_targets))
    place = owner, rows.lists["target_ids"].values
    weeks[place] = rows.lists["target_weeks"].values
    slow[place] = rows.lists["target_slow"].values * decay ** lag[owner]
    possible = decay * (1 - decay**tenure) / (1 - decay)
    return {PERSONAL: (weeks, tenure), DECAYED: (slow, possible)}


def smoothed(
    found: np.ndarray, most: np.ndarray, rate: np.ndarray, prior_weeks: float, horizons: np.ndarray | None = None
) -> np.ndarray:
    """Draw evidence towards a rate [C] by some weeks of it, 0..1.

    Evidence is of single steps, the rate of whole `horizons` [C], in steps; None: of one step too. Steps are taken for
    independent: p a step is 1 - (1 - p)^h in h of them.
    """
    if horizons is None or not (horizons > 1).any():
        return np.asarray((found + prior_weeks * rate) / (most + prior_weeks))
    a_step = 1 - (1 - np.minimum(rate, SURE)) ** (1 / horizons)
    one = (found + prior_weeks * a_step) / (most + prior_weeks)
    return np.asarray(1 - (1 - np.clip(one, 0, SURE)) ** horizons)


def predicted(
    name: str,
    rows: UserRows,
    *,
    rate: np.ndarray,
    prior_weeks: float,
    calendar: Calendar,
    horizons: np.ndarray | None = None,
) -> np.ndarray:
    """Predict rows by one of `NAMES`, float32 [B, C]."""
    if name == GLOBAL:
        return np.repeat(rate[None], len(rows), axis=0).astype(np.float32)
    found, most = evidence(rows, calendar, n_targets=len(rate))[name]
    return smoothed(found, most, rate, prior_weeks, horizons).astype(np.float32)

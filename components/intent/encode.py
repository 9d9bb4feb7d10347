"""User rows to arrays: the one function that training and serving share, so that both see the same numbers.

Pure numpy: no files, no clock (`now` is a column of the rows), no torch. Values are raw but tame (logs, logits and
shares); the model standardises them with what it saw in training. Counts and tenure grow by construction, so
counts appear as rates per week of tenure, and ages are whole calendar weeks before the upcoming week, >= 1.

Letters: B rows, C targets, T weeks of the sequence, F numbers a target, P numbers a user, N list elements.
"""

from dataclasses import dataclass

import numpy as np

from components.intent.context import TargetContext
from feature_repo import columns
from feature_repo.calendar import Calendar
from feature_repo.columns import FAST_DECAY, SLOW_DECAY
from feature_repo.rows import UserRows

WEEKS = columns.RECENT_WEEKS
PRIOR_WEEKS = 2.0  # weeks of evidence that the expected rate weighs in a smoothed personal rate
WEEK_S = 7 * 86400
EPSILON = 1e-4  # keeps logits of shares of 0 and 1 finite

FREQUENCY = (
    "slow_logit",  # decayed rate (.96 a week), smoothed towards the expected one
    "fast_logit",  # decayed rate (.80 a week), smoothed
    "lifetime_logit",  # weeks with the target over weeks of tenure, smoothed
    "expected_logit",  # activity of the user x slow share of the target
    "given_active",  # log of the rate within active weeks over the target's share
    "bought",  # 1 if ever
    "repeated",  # 1 if in more than one week
    "weeks_log",  # log1p of the weeks with the target
    "recency",  # log of weeks since the last time, or since the user's first event
    "gap",  # log of the mean weeks between times, or since the user's first event
    "overdue",  # recency - gap where repeated
    "share_1w_logit",
    "share_4w_logit",
    "share_slow_logit",
)


@dataclass(frozen=True)
class Encoded:
    """Arrays by name, rows first."""

    frequency: np.ndarray  # [B, C, F] float32, columns FREQUENCY
    rate: np.ndarray  # [B, C] float32, the smoothed slow rate: the input of the cross-target map
    sequence: np.ndarray  # [B, T, C] uint8, 1 where the target was fulfilled; the latest week last
    active: np.ndarray  # [B, T, 2] uint8: any target in the week; the week lies within the user's tenure
    profile: np.ndarray  # [B, P] float32, columns profile_names(rows)
    segment: np.ndarray  # [B] int64: 0 for an unknown user, else 1 + segment

    def __len__(self) -> int:
        return len(self.segment)


def encode(rows: UserRows, context: TargetContext, *, calendar: Calendar, n_targets: int) -> Encoded:
    """Encode rows as known at `state_at` for the week that is upcoming at `now`."""
    week = calendar.upcoming(rows.now)  # [B]
    tenure = _tenure(rows, week, calendar)
    sequence, active = _sequence(rows, week, tenure, n_targets)
    shares = context.at(week)  # [B, C, 3]
    frequency, rate = _frequency(rows, week, tenure, active[:, :, 0], shares, calendar)
    segment = np.where(rows.known, rows.numbers[columns.SEGMENT].astype(np.int64) + 1, 0)
    return Encoded(frequency, rate, sequence, active, _profile(rows, week, tenure, active, calendar), segment)


def profile_names(rows: UserRows) -> list[str]:
    """Name the columns of `Encoded.profile`: the order does not depend on the order of the rows' columns."""
    windows = [columns.windowed(name, days) for days in _windows(rows) for name in columns.WINDOWED]
    return [*windows, *_RATES, "value_a_session", "weekend_share", "evening_share", *_AGES]


_RATES = ("events_total", "sessions_total", "weeks_total", "items_total", "quantity_total", "value_total",
          "discount_total", "sessions_slow", "value_slow")  # fmt: skip
_AGES = ("recency_days", "idle_weeks", "tenure", "active_4", "active_16")


def _tenure(rows: UserRows, week: np.ndarray, calendar: Calendar) -> np.ndarray:
    """Return weeks since the user's first event, >= 1, and 0 for an unknown user, int64 [B]."""
    first = np.where(rows.known, rows.numbers["first_at"], rows.now).astype(np.int64)
    return np.where(rows.known, np.maximum(week - calendar.weeks(first), 1), 0)


def _sequence(rows: UserRows, week: np.ndarray, tenure: np.ndarray, n_targets: int) -> tuple[np.ndarray, np.ndarray]:
    B = len(rows)
    targets, weeks = (rows.lists[name] for name in columns.RECENT_LISTS)
    owner = targets.row_of_value()  # [N]
    age = week[owner] - weeks.values  # [N]
    seen = (age >= 1) & (age <= WEEKS)
    sequence = np.zeros((B, WEEKS, n_targets), dtype=np.uint8)
    sequence[owner[seen], WEEKS - age[seen], targets.values[seen]] = 1
    within = np.arange(WEEKS, 0, -1) <= tenure[:, None]  # [B, T]
    return sequence, np.stack([sequence.any(axis=2), within], axis=2).astype(np.uint8)


def _frequency(
    rows: UserRows,
    week: np.ndarray,
    tenure: np.ndarray,
    active: np.ndarray,
    shares: np.ndarray,
    calendar: Calendar,
) -> tuple[np.ndarray, np.ndarray]:
    B, C, _ = shares.shape
    owner = rows.lists["target_ids"].row_of_value()  # [N]
    place = owner * C + rows.lists["target_ids"].values  # [N], into [B * C]
    lag = (week - calendar.upcoming(np.where(rows.known, rows.state_at, rows.now)))[owner]  # [N] weeks

    def dense(values: np.ndarray, absent: np.ndarray | float) -> np.ndarray:
        out = np.empty((B, C), dtype=np.float32)
        out[:] = absent
        out.reshape(-1)[place] = values
        return out

    count = rows.lists["target_weeks"].values  # [N]
    last = np.maximum(week[owner] - calendar.weeks(rows.lists["target_last_at"].values), 1)  # [N] weeks ago
    first = np.maximum(week[owner] - calendar.weeks(rows.lists["target_first_at"].values), 1)
    span = np.maximum(tenure, 1).astype(np.float32)[:, None]  # [B, 1] weeks
    repeated = count > 1
    gap = np.where(repeated, (first - last) / np.maximum(count - 1, 1), span[owner, 0])  # [N] weeks

    weight = PRIOR_WEEKS * expected_rate(active, tenure, shares[:, :, 2])  # [B, C]
    slow = dense(rows.lists["target_slow"].values * SLOW_DECAY**lag, 0)
    fast = dense(rows.lists["target_fast"].values * FAST_DECAY**lag, 0)
    weeks = dense(count, 0)
    rate = (slow + weight) / (_possible(SLOW_DECAY, span) + PRIOR_WEEKS)
    active_weeks = rows.numbers["weeks_total"].astype(np.float32)[:, None]  # [B, 1]
    share = np.clip(shares[:, :, 2], EPSILON, 1)
    given_active = np.log((weeks + PRIOR_WEEKS * share) / (active_weeks + PRIOR_WEEKS) / share)
    recency = dense(np.log(last), np.log(span + 1))
    log_gap = dense(np.log(np.maximum(gap, 1)), np.log(span + 1))
    again = dense(repeated, 0)
    parts = [
        logit(rate),
        logit((fast + weight) / (_possible(FAST_DECAY, span) + PRIOR_WEEKS)),
        logit((weeks + weight) / (span + PRIOR_WEEKS)),
        logit(weight / PRIOR_WEEKS),
        given_active,
        dense(np.ones_like(count), 0),
        again,
        np.log1p(weeks),
        recency,
        log_gap,
        again * (recency - log_gap),
        *(logit(shares[:, :, i]) for i in range(shares.shape[2])),
    ]
    return np.stack(parts, axis=2).astype(np.float32, copy=False), rate.astype(np.float32, copy=False)


def expected_rate(active: np.ndarray, tenure: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Return how often a user would fulfil each target if only like everyone: activity x share, [B, C].

    Activity is the smoothed share of active weeks among the last T weeks of tenure, `active` [B, T].
    """
    seen = np.minimum(tenure, WEEKS)
    activity = (active.sum(axis=1) + 1.0) / (seen + 2.0)  # [B]
    return (activity.astype(np.float32)[:, None] * np.clip(share, EPSILON, 1)).astype(np.float32)


def _possible(decay: float, span: np.ndarray) -> np.ndarray:
    """Return the decayed sum of someone who fulfilled a target in each of `span` weeks."""
    return (decay * (1 - decay**span) / (1 - decay)).astype(np.float32)


def logit(share: np.ndarray) -> np.ndarray:
    """Return log odds, finite at 0 and 1."""
    p = np.clip(share, EPSILON, 1 - EPSILON)
    return np.log(p / (1 - p))


def _windows(rows: UserRows) -> list[int]:
    """Return the windows in days that the rows were counted over, ascending."""
    stem = f"{columns.WINDOWED[0]}_"
    return sorted(int(n[len(stem) : -1]) for n in rows.numbers if n.startswith(stem) and n[len(stem) : -1].isdigit())


def _profile(
    rows: UserRows, week: np.ndarray, tenure: np.ndarray, active: np.ndarray, calendar: Calendar
) -> np.ndarray:
    numbers = rows.numbers
    weeks = np.maximum(tenure, 1)
    parts = [
        np.log1p(np.maximum(numbers[columns.windowed(name, days)], 0) / (days / 7))
        for days in _windows(rows)
        for name in columns.WINDOWED
    ]
    for name in _RATES:
        span = _possible(SLOW_DECAY, weeks.astype(np.float32)) if name.endswith("_slow") else weeks
        parts.append(np.log1p(np.maximum(numbers[name], 0) / span))
    parts.append(np.log1p(numbers["value_total"] / np.maximum(numbers["sessions_total"], 1)))
    parts += [numbers["weekend_share"], numbers["evening_share"]]
    last = np.where(rows.known, numbers["last_at"], rows.now).astype(np.int64)
    idle = np.maximum(week - calendar.weeks(last), 1)
    starts = rows.now  # placeholder
    parts += [np.log1p(np.maximum(rows.now - last, 0) / 86400), np.log(idle), np.minimum(tenure, 26) / 26]
    parts += [active[:, -4:, 0].mean(axis=1), active[:, :, 0].mean(axis=1)]
    return np.stack(parts, axis=1).astype(np.float32)

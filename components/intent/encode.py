"""User rows to arrays: the one function that training and serving share, so that both see the same numbers.

Pure numpy: no files, no clock (`now` is a column of the rows), no torch. Values are raw but tame (logs, logits,
shares); the model standardises them with what it saw in training. Counts and tenure grow by construction, so
counts appear as rates per week of tenure, and ages are whole weeks before the upcoming week, >= 1. A week is a step
of the spec's clock: of days and hours, the upcoming one's place in the day and the week is told too.

Letters: B rows, C targets, T steps of the sequence, F numbers a target, P numbers a user, N list elements.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

from components.intent.context import TargetContext
from components.intent.events import EventCodes
from components.intent.events import encode as tokens
from feature_repo import columns
from feature_repo.calendar import Calendar
from feature_repo.clock import DAY_S, WEEK, Pace
from feature_repo.errors import DataError
from feature_repo.rows import UserRows

PRIOR_WEEKS = 2.0  # weeks of evidence that the expected rate weighs in a smoothed personal rate
EPSILON = 1e-4  # keeps logits of shares of 0 and 1 finite
TENURE_CAP = 26  # steps after which a user is simply an old one

FREQUENCY = (
    "slow_logit",  # decayed rate (.96 a week), smoothed towards the expected one
    "fast_logit",  # decayed rate (.80 a week), smoothed
    "lifetime_logit",  # weeks with the target over weeks of tenure, smoothed
    "expected_logit",  # activity of the user x slow share of the target
    "share_1w_logit",
    "share_4w_logit",
    "share_slow_logit",
    "given_active",  # log of the lifetime rate within active weeks over the target's share
    "given_active_recent",  # the same within the T weeks of the sequence
    "bought",  # 1 if ever
    "repeated",  # 1 if in more than one week
    "weeks_log",  # log1p of the weeks with the target
    "recency",  # log of weeks since the last time, or since before the user's first event
    "gap",  # log of the mean weeks between times, or since before the user's first event
    "overdue",  # recency - gap where repeated
    "days_since",  # log of days from the last time to the upcoming week's start
    "active_since",  # log1p of active weeks since the last time, within the sequence
)
LOGITS = 7  # the first of FREQUENCY are log odds
_RATES = ("events_total", "sessions_total", "weeks_total", "items_total", "quantity_total", "value_total",
          "discount_total", "sessions_slow", "value_slow")  # fmt: skip
_SHARES = ("weekend_share", "evening_share")
_AGES = ("days_idle", "weeks_idle", "tenure", "active_recent")
_PHASE = ("hour_sin", "hour_cos", "weekday_sin", "weekday_cos")  # of the upcoming step, where steps are no weeks


@dataclass(frozen=True)
class Encoded:
    """Arrays by name, rows first."""

    frequency: np.ndarray  # [B, C, F] float32, columns FREQUENCY
    sequence: np.ndarray  # [B, T, C] uint8, 1 where the target was fulfilled; the latest week last
    active: np.ndarray  # [B, T, 2] uint8: any target in the week; the week lies within the user's tenure
    profile: np.ndarray  # [B, P] float32, columns profile_names(windows)
    segment: np.ndarray  # [B] int64: 0 for an unknown user, else 1 + segment
    # Of a model that reads text: [B, L] int32 tokens, or [B, H] float32, what an encoder that is not trained made of it
    text: np.ndarray | None = None
    event_codes: np.ndarray | None = None  # [B, L, 2 + M], as events.py has them; None: weeks are read
    event_numbers: np.ndarray | None = None  # [B, L, N] float32

    def __len__(self) -> int:
        return len(self.segment)

    def take(self, index: np.ndarray) -> "Encoded":
        """Return the rows in `index`, in its order."""
        return Encoded(**{name: values[index] for name, values in self.arrays().items()})

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays that there are, by name."""
        return {name: values for name, values in vars(self).items() if values is not None}


@dataclass(frozen=True)
class _Ages:
    """Times of the rows as weeks before the upcoming week; an unknown user has tenure 0."""

    week: np.ndarray  # [B] the upcoming week
    start: np.ndarray  # [B] when it starts, epoch seconds
    lag: np.ndarray  # [B] weeks that the stored sums decay further
    tenure: np.ndarray  # [B] weeks since the first event
    idle: np.ndarray  # [B] weeks since the last event
    days_idle: np.ndarray  # [B] days since the last event, to the upcoming week's start
    first: np.ndarray  # [N] weeks since a target's first time
    last: np.ndarray  # [N] weeks since a target's last time
    days_since: np.ndarray  # [N] days since it, to the upcoming week's start


def encode(
    rows: UserRows,
    context: TargetContext,
    *,
    calendar: Calendar,
    n_targets: int,
    profile: Sequence[str] | None = None,
    events: EventCodes | None = None,
) -> Encoded:
    """Encode rows as known at `state_at` for the week that is upcoming at `now`.

    `profile` names the columns of `Encoded.profile`; left out: all of `profile_names`. With `events` the rows' memories
    are encoded, too.
    """
    require_targets(rows, n_targets)
    owner = rows.lists["target_ids"].row_of_value()  # [N]
    ages = _ages(rows, owner, calendar)
    pace = calendar.pace
    sequence = _sequence(rows, ages.week, n_targets, steps=pace.recent)
    within = np.arange(pace.recent, 0, -1) <= ages.tenure[:, None]  # [B, T]
    active = np.empty((len(rows), pace.recent, 2), dtype=np.uint8)
    active[:, :, 0], active[:, :, 1] = sequence.any(axis=2), within
    codes, numbers = (
        (None, None) if events is None else tokens(rows, ages.start, events, calendar=calendar, n_targets=n_targets)
    )
    return Encoded(
        frequency=_frequency(rows, owner, ages, sequence, active[:, :, 0], context.at(ages.week), pace),
        sequence=sequence,
        active=active,
        profile=_named(_profile(rows, ages, active[:, :, 0], calendar), windows_of(rows), pace, profile),
        segment=np.where(rows.known, rows.numbers[columns.SEGMENT].astype(np.int64) + 1, 0),
        event_codes=codes,
        event_numbers=numbers,
    )


def require_targets(rows: UserRows, n_targets: int) -> None:
    """Refuse rows of another vocabulary, as far as their targets tell."""
    targets = rows.lists["target_ids"].values
    if targets.size and int(np.maximum.reduce(targets)) >= n_targets:
        raise DataError(
            f"rows: target {int(targets.max())} is beyond the model's {n_targets} targets; "
            "rows and model are of different vocabularies, run the pipeline again"
        )


def profile_names(windows_days: Sequence[float], pace: Pace = Pace()) -> list[str]:  # noqa: B008 - frozen
    """Name the columns of `Encoded.profile`.

    >>> profile_names([7])[:3]
    ['events_7d', 'sessions_7d', 'quantity_7d']
    """
    windows = [columns.windowed(name, days) for days in windows_days for name in columns.WINDOWED]
    return [*windows, *_RATES, "value_a_session", *_SHARES, *_AGES, *(() if pace.step == WEEK else _PHASE)]


def _named(profile: np.ndarray, windows_days: Sequence[float], pace: Pace, wanted: Sequence[str] | None) -> np.ndarray:
    """Take the wanted columns [B, P] of all of them."""
    return profile if wanted is None else profile[:, _places(tuple(windows_days), pace, tuple(wanted))]


@lru_cache(maxsize=64)
def _places(windows_days: tuple[float, ...], pace: Pace, wanted: tuple[str, ...]) -> np.ndarray:
    """Return where wanted columns stand among all, int64 [P]."""
    have = {name: place for place, name in enumerate(profile_names(windows_days, pace))}
    if unknown := [name for name in wanted if name not in have]:
        raise DataError(
            f"intent model: these rows give no {', '.join(unknown)}; profiles.windows_days has changed, "
            "or data.step; train again"
        )
    return np.asarray([have[name] for name in wanted], dtype=np.int64)


def windows_of(rows: UserRows) -> list[float]:
    """Return the windows in days that the rows were counted over, ascending."""
    return list(_windows_among(tuple(rows.numbers)))


@lru_cache(maxsize=64)
def _windows_among(names: tuple[str, ...]) -> tuple[float, ...]:
    return tuple(sorted(days for named, days in filter(None, map(columns.window_of, names)) if named == "events"))


def _ages(rows: UserRows, owner: np.ndarray, calendar: Calendar) -> _Ages:
    B, N = len(rows), len(owner)
    known = rows.known
    state_at, first_at, last_at = (
        np.where(known, at, rows.now).astype(np.int64)
        for at in (rows.state_at, rows.numbers["first_at"], rows.numbers["last_at"])
    )
    targets_first, targets_last = rows.lists["target_first_at"].values, rows.lists["target_last_at"].values
    # One look at the calendar for all instants: its fixed cost is what a single row would feel.
    instants = np.concatenate([rows.now - 1, state_at - 1, first_at, last_at, targets_first, targets_last])
    every = calendar.weeks(instants)
    ends = (0, B, 2 * B, 3 * B, 4 * B, 4 * B + N, 4 * B + 2 * N)
    weeks = [every[start:end] for start, end in pairwise(ends)]
    week = weeks[0] + 1
    start = np.array([calendar.second(w) for w in week.tolist()], dtype=np.int64)
    return _Ages(
        week=week,
        start=start,
        lag=week - weeks[1] - 1,
        tenure=np.where(known, np.maximum(week - weeks[2], 1), 0),
        idle=np.maximum(week - weeks[3], 1),
        days_idle=np.maximum(start - last_at, 0) / DAY_S,
        first=np.maximum(week[owner] - weeks[4], 1),
        last=np.maximum(week[owner] - weeks[5], 1),
        days_since=np.maximum(start[owner] - targets_last, 0) / DAY_S,
    )


def _sequence(rows: UserRows, week: np.ndarray, n_targets: int, *, steps: int) -> np.ndarray:
    targets, weeks = (rows.lists[name] for name in columns.RECENT_LISTS)
    owner = targets.row_of_value()  # [N]
    age = week[owner] - weeks.values  # [N]
    seen = (age >= 1) & (age <= steps)
    sequence = np.zeros((len(rows), steps, n_targets), dtype=np.uint8)
    sequence[owner[seen], steps - age[seen], targets.values[seen]] = 1
    return sequence


def _frequency(
    rows: UserRows,
    owner: np.ndarray,
    ages: _Ages,
    sequence: np.ndarray,
    active: np.ndarray,
    shares: np.ndarray,
    pace: Pace,
) -> np.ndarray:
    B, C, _ = shares.shape
    span = np.maximum(ages.tenure, 1).astype(np.float32)[:, None]  # [B, 1] weeks
    weeks_active = rows.numbers["weeks_total"].astype(np.float32)[:, None]  # [B, 1]
    share = np.clip(shares[:, :, 2], EPSILON, 1)  # [B, C]
    expected = expected_rate(active, ages.tenure, share)
    slow, fast, weeks, bought, again, recency, gap, days = _dense(rows, owner, ages, span, pace, n_targets=C)
    recent = sequence.sum(axis=1, dtype=np.float32)  # [B, C] weeks with the target
    recent_active = active.sum(axis=1, dtype=np.float32)[:, None]  # [B, 1]

    out = np.empty((B, C, len(FREQUENCY)), dtype=np.float32)
    out[:, :, 0] = (slow + PRIOR_WEEKS * expected) / (_possible(pace.slow, span) + PRIOR_WEEKS)
    out[:, :, 1] = (fast + PRIOR_WEEKS * expected) / (_possible(pace.fast, span) + PRIOR_WEEKS)
    out[:, :, 2] = (weeks + PRIOR_WEEKS * expected) / (span + PRIOR_WEEKS)
    out[:, :, 3] = expected
    out[:, :, 4:LOGITS] = shares
    out[:, :, :LOGITS] = logit(out[:, :, :LOGITS])
    out[:, :, 7] = np.log((weeks + PRIOR_WEEKS * share) / ((weeks_active + PRIOR_WEEKS) * share))
    out[:, :, 8] = np.log((recent + PRIOR_WEEKS * share) / ((recent_active + PRIOR_WEEKS) * share))
    out[:, :, 9] = bought
    out[:, :, 10] = again
    out[:, :, 11] = np.log1p(weeks)
    out[:, :, 12] = recency
    out[:, :, 13] = gap
    out[:, :, 14] = again * (recency - gap)
    out[:, :, 15] = days
    out[:, :, 16] = np.log1p(_active_since(sequence, active))
    return out


def _dense(
    rows: UserRows, owner: np.ndarray, ages: _Ages, span: np.ndarray, pace: Pace, *, n_targets: int
) -> np.ndarray:
    """Spread the sparse lists over all targets: sums, weeks, flags and log ages, float32 [8, B, C].

    A target that never happened is as old as a time just before the user's first event.
    """
    lists = rows.lists
    count = lists["target_weeks"].values  # [N]
    gap = np.where(count > 1, (ages.first - ages.last) / np.maximum(count - 1, 1), span[owner, 0])  # [N] weeks
    values = np.empty((8, len(owner)), dtype=np.float32)
    values[0] = lists["target_slow"].values * pace.slow ** ages.lag[owner]
    values[1] = lists["target_fast"].values * pace.fast ** ages.lag[owner]
    values[2] = count
    values[3] = 1
    values[4] = count > 1
    values[5:] = np.log([ages.last, np.maximum(gap, 1), np.maximum(ages.days_since, 1 / 24)])
    out = np.zeros((8, len(rows), n_targets), dtype=np.float32)
    out[5:7] = np.log(span + 1)
    out[7] = np.log(pace.days * (span + 1))
    out.reshape(8, -1)[:, owner * n_targets + lists["target_ids"].values] = values
    return out


def expected_rate(active: np.ndarray, tenure: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Return how often a user would fulfil each target if only like everyone: activity x share, float32 [B, C].

    Activity is the smoothed share of active weeks among the last T weeks of tenure, `active` [B, T].
    """
    seen = np.minimum(tenure, active.shape[1])
    activity = (active.sum(axis=1) + 1.0) / (seen + 2.0)  # [B]
    return np.asarray(activity.astype(np.float32)[:, None] * share, dtype=np.float32)


def logit(share: np.ndarray) -> np.ndarray:
    """Return log odds, finite at 0 and 1.

    >>> logit(np.array([0.5, 0.0])).round(2).tolist()
    [0.0, -9.21]
    """
    p = np.minimum(np.maximum(share, EPSILON), 1 - EPSILON)
    return np.asarray(np.log(p / (1 - p)))


def _possible(decay: float, span: np.ndarray) -> np.ndarray:
    """Return the decayed sum of someone who fulfilled a target in each of `span` weeks."""
    return np.asarray(decay * (1 - decay**span) / (1 - decay), dtype=np.float32)


def _active_since(sequence: np.ndarray, active: np.ndarray) -> np.ndarray:
    """Count active weeks after the last week with each target, all of them where it has none, int [B, C]."""
    after = np.cumsum(active[:, ::-1], axis=1, dtype=np.uint8)  # [B, T], latest first: active weeks from there on
    latest = sequence[:, ::-1].argmax(axis=1)  # [B, C] weeks between the last time and now
    total = after[:, -1:]  # [B, 1]
    since = np.take_along_axis(after, latest, axis=1) - 1  # the week itself is active
    return np.where(sequence.any(axis=1), since, total).astype(np.float32)


@lru_cache(maxsize=64)
def _windowed(windows_days: tuple[float, ...]) -> tuple[str, ...]:
    """Name the counts over windows, in the order of `profile_names`."""
    return tuple(columns.windowed(name, days) for days in windows_days for name in columns.WINDOWED)


def _profile(rows: UserRows, ages: _Ages, active: np.ndarray, calendar: Calendar) -> np.ndarray:
    numbers, pace = rows.numbers, calendar.pace
    span = np.maximum(ages.tenure, 1).astype(np.float32)  # [B]
    slow = _possible(pace.slow, span)
    windows = windows_of(rows)
    counts = np.asarray([numbers[name] for name in _windowed(tuple(windows))])
    old = (
        rows.now - rows.state_at >= np.asarray(windows)[:, None] * DAY_S
    )  # [W, B]: nothing lies in the window any more
    each = len(columns.WINDOWED)
    rates = np.empty((len(counts) + len(_RATES) + 1, len(rows)))  # [P', B]
    rates[: len(counts)] = np.where(old.repeat(each, axis=0), 0.0, counts)
    rates[: len(counts)] /= np.repeat([days / pace.days for days in windows], each)[:, None]
    for place, name in enumerate(_RATES, len(counts)):
        rates[place] = numbers[name] / (slow if name.endswith("_slow") else span)
    rates[-1] = numbers["value_total"] / np.maximum(numbers["sessions_total"], 1)
    ages_of_user = [
        np.log(np.maximum(ages.days_idle, 1 / 24)),
        np.log(ages.idle),
        np.minimum(ages.tenure, TENURE_CAP) / TENURE_CAP,
        active.mean(axis=1),
    ]
    logs = np.log1p(np.maximum(rates, 0))  # [P', B]
    phase = [] if pace.step == WEEK else [*calendar.phase(ages.week).T]
    return np.concatenate([logs, [numbers[n] for n in _SHARES], ages_of_user + phase]).T.astype(np.float32)

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
    sequence, active = _sequence(rows, ages, n_targets, steps=pace.recent)
    active_weeks = np.add.reduce(active[:, :, 0], axis=1, dtype=np.int64)  # [B]
    span = np.maximum(ages.tenure, 1).astype(np.float32)  # [B] weeks
    possible = _possible(pace, span)
    codes, numbers = (
        (None, None) if events is None else tokens(rows, ages.start, events, calendar=calendar, n_targets=n_targets)
    )
    return Encoded(
        frequency=_frequency(
            rows, owner, ages, sequence, active[:, :, 0], active_weeks, span, possible, context.at(ages.week), pace
        ),
        sequence=sequence,
        active=active,
        profile=_profile(rows, ages, active_weeks, span, possible, calendar, profile),
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


@lru_cache(maxsize=64)
def _places(windows_days: tuple[float, ...], pace: Pace, wanted: tuple[str, ...]) -> np.ndarray | None:
    """Return where wanted columns stand among all, int64 [P]; None: they are all of them, in their order."""
    have = {name: place for place, name in enumerate(profile_names(windows_days, pace))}
    if unknown := [name for name in wanted if name not in have]:
        raise DataError(
            f"intent model: these rows give no {', '.join(unknown)}; profiles.windows_days has changed, "
            "or data.step; train again"
        )
    return None if wanted == tuple(have) else np.asarray([have[name] for name in wanted], dtype=np.int64)


def windows_of(rows: UserRows) -> list[float]:
    """Return the windows in days that the rows were counted over, ascending."""
    return list(_windows_among(tuple(rows.numbers)))


@lru_cache(maxsize=64)
def _windows_among(names: tuple[str, ...]) -> tuple[float, ...]:
    return tuple(sorted(days for named, days in filter(None, map(columns.window_of, names)) if named == "events"))


def _ages(rows: UserRows, owner: np.ndarray, calendar: Calendar) -> _Ages:
    B, N = len(rows), len(owner)
    numbers = rows.numbers
    times = np.asarray([rows.now, rows.state_at, numbers["first_at"], numbers["last_at"]], dtype=np.int64)
    times[1:] = np.where(rows.known, times[1:], rows.now)
    last_at = times[3]
    targets_first, targets_last = rows.lists["target_first_at"].values, rows.lists["target_last_at"].values
    # One look at the calendar for all instants: its fixed cost is what a single row would feel.
    instants = np.concatenate([times.reshape(-1), targets_first, targets_last])
    instants[: 2 * B] -= 1
    every = calendar.weeks(instants)
    week = every[:B] + 1
    start = np.array([calendar.second(w) for w in week.tolist()], dtype=np.int64)
    since = np.maximum(_of_owner(week, owner) - every[4 * B :].reshape(2, N), 1)  # [2, N]
    return _Ages(
        week=week,
        start=start,
        lag=week - every[B : 2 * B] - 1,
        tenure=np.where(rows.known, np.maximum(week - every[2 * B : 3 * B], 1), 0),
        idle=np.maximum(week - every[3 * B : 4 * B], 1),
        days_idle=np.maximum(start - last_at, 0) / DAY_S,
        first=since[0],
        last=since[1],
        days_since=np.maximum(_of_owner(start, owner) - targets_last, 0) / DAY_S,
    )


def _of_owner(values: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """Return the values [B] of each list element's row, [N]; of one row [1], which is the same to arithmetic."""
    return values if len(values) == 1 else values[owner]


def _sequence(rows: UserRows, ages: _Ages, n_targets: int, *, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Lay out the steps of each target, uint8 [B, T, C], and those with any, and those within tenure, [B, T, 2]."""
    B = len(rows)
    targets, weeks = (rows.lists[name] for name in columns.RECENT_LISTS)
    owner = targets.row_of_value()  # [N]
    age = _of_owner(ages.week, owner) - weeks.values  # [N]
    seen = np.flatnonzero((age >= 1) & (age <= steps))
    place = owner.take(seen) * steps + (steps - age.take(seen))  # of row and step
    sequence = np.zeros((B, steps, n_targets), dtype=np.uint8)
    sequence.reshape(-1)[place * n_targets + targets.values.take(seen)] = 1
    active = np.zeros((B, steps, 2), dtype=np.uint8)
    active.reshape(-1)[place * 2] = 1
    active[:, :, 1] = np.arange(steps, 0, -1) <= ages.tenure[:, None]
    return sequence, active


def _frequency(
    rows: UserRows,
    owner: np.ndarray,
    ages: _Ages,
    sequence: np.ndarray,
    active: np.ndarray,
    active_weeks: np.ndarray,
    span: np.ndarray,
    possible: np.ndarray,
    shares: np.ndarray,
    pace: Pace,
) -> np.ndarray:
    B, C, _ = shares.shape
    share = np.minimum(np.maximum(shares[:, :, 2], np.float32(EPSILON)), np.float32(1))  # [B, C]
    out = np.empty((len(FREQUENCY), B, C), dtype=np.float32)  # each number's values lie together while they are made
    had = _dense(rows, owner, ages, span, pace, n_targets=C)
    # Weeks with the target: of all, and of those of the sequence.
    counts = np.empty((2, B, C), dtype=np.float32)
    counts[0], counts[1] = had[2], np.add.reduce(sequence, axis=1, dtype=np.uint8)
    active_of = np.empty((2, B, 1), dtype=np.float32)
    active_of[0, :, 0], active_of[1, :, 0] = rows.numbers["weeks_total"], active_weeks
    spans = np.empty((3, B, 1), dtype=np.float32)
    spans[:2, :, 0], spans[2, :, 0] = possible, span

    out[3] = _expected(active_weeks, ages.tenure, share, pace.recent)
    np.add(had[:3], PRIOR_WEEKS * out[3], out=out[:3])
    spans += PRIOR_WEEKS
    out[:3] /= spans
    out[4:LOGITS] = shares.transpose(2, 0, 1)
    out[:LOGITS] = logit(out[:LOGITS])
    ratio = np.add(counts, PRIOR_WEEKS * share, out=out[7:9])
    active_of += PRIOR_WEEKS
    ratio /= active_of * share
    np.log(ratio, out=ratio)
    out[9:11] = had[3:5]
    np.log1p(counts[0], out=out[11])
    out[12:14] = had[5:7]
    np.multiply(had[4], had[5] - had[6], out=out[14])
    out[15] = had[7]
    np.log1p(_active_since(sequence, active), out=out[16])
    return np.ascontiguousarray(out.transpose(1, 2, 0))


def _dense(
    rows: UserRows, owner: np.ndarray, ages: _Ages, span: np.ndarray, pace: Pace, *, n_targets: int
) -> np.ndarray:
    """Spread the sparse lists over all targets: sums, weeks, flags and log ages, float32 [8, B, C].

    A target that never happened is as old as a time just before the user's first event.
    """
    lists = rows.lists
    count = lists["target_weeks"].values  # [N]
    several = count > 1
    logs = np.empty((3, len(owner)))
    logs[0] = ages.last
    gap = np.where(several, (ages.first - ages.last) / np.maximum(count - 1, 1), _of_owner(span, owner))  # [N] weeks
    np.maximum(gap, 1, out=logs[1])
    np.maximum(ages.days_since, 1 / 24, out=logs[2])
    values = np.empty((8, len(owner)), dtype=np.float32)
    values[0] = lists["target_slow"].values * _of_owner(pace.slow**ages.lag, owner)
    values[1] = lists["target_fast"].values * _of_owner(pace.fast**ages.lag, owner)
    values[2] = count
    values[3] = 1
    values[4] = several
    values[5:] = np.log(logs, out=logs)
    out = np.zeros((8, len(rows), n_targets), dtype=np.float32)
    never = (span + 1)[:, None]  # [B, 1] weeks
    out[5:7] = np.log(never)
    out[7] = np.log(pace.days * never)
    out.reshape(8, -1)[:, owner * n_targets + lists["target_ids"].values] = values
    return out


def expected_rate(active: np.ndarray, tenure: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Return how often a user would fulfil each target if only like everyone: activity x share, float32 [B, C].

    Activity is the smoothed share of active weeks among the last T weeks of tenure, `active` [B, T].
    """
    return _expected(active.sum(axis=1), tenure, share, active.shape[1])


def _expected(active_weeks: np.ndarray, tenure: np.ndarray, share: np.ndarray, steps: int) -> np.ndarray:
    seen = np.minimum(tenure, steps)
    activity = (active_weeks + 1.0) / (seen + 2.0)  # [B]
    return np.asarray(activity.astype(np.float32)[:, None] * share, dtype=np.float32)


def logit(share: np.ndarray) -> np.ndarray:
    """Return log odds, finite at 0 and 1.

    >>> logit(np.array([0.5, 0.0])).round(2).tolist()
    [0.0, -9.21]
    """
    p = np.minimum(np.maximum(share, EPSILON), 1 - EPSILON)
    return np.asarray(np.log(p / (1 - p)))


def _possible(pace: Pace, span: np.ndarray) -> np.ndarray:
    """Return the slowly and the fast decayed sum of someone who fulfilled a target in each of `span` weeks, [2, B]."""
    return np.asarray([decay * (1 - decay**span) / (1 - decay) for decay in (pace.slow, pace.fast)], dtype=np.float32)


def _active_since(sequence: np.ndarray, active: np.ndarray) -> np.ndarray:
    """Count active weeks after the last week with each target, all of them where it has none, float32 [B, C]."""
    B, T, _ = sequence.shape
    places = np.arange(1, T + 1, dtype=np.uint8)
    last = np.maximum.reduce(sequence * places[:, None], axis=1)  # [B, C] the last week's place, 0 where there is none
    up_to = np.zeros((B, T + 1), dtype=np.uint8)  # active weeks up to each place
    np.add.accumulate(active, axis=1, dtype=np.uint8, out=up_to[:, 1:])
    keys = last if B == 1 else np.arange(B)[:, None] * (T + 1) + last
    return np.asarray(up_to[:, -1:] - up_to.take(keys), dtype=np.float32)


@dataclass(frozen=True)
class _Windows:
    """The counts over windows, in the order of `profile_names`, and the sums that stand behind them."""

    names: tuple[str, ...]  # of numbers of rows
    steps: np.ndarray  # [P', 1] of each count's window
    seconds: np.ndarray  # [P', 1] of it


@lru_cache(maxsize=64)
def _windows(windows_days: tuple[float, ...], pace: Pace) -> _Windows:
    names = tuple(columns.windowed(name, days) for days in windows_days for name in columns.WINDOWED)
    days = np.asarray([[days] for days in windows_days for _ in columns.WINDOWED], dtype=np.float64).reshape(-1, 1)
    return _Windows((*names, *_RATES, "sessions_total", *_SHARES), days / pace.days, days * DAY_S)


def _profile(
    rows: UserRows,
    ages: _Ages,
    active_weeks: np.ndarray,
    span: np.ndarray,
    possible: np.ndarray,
    calendar: Calendar,
    wanted: Sequence[str] | None,
) -> np.ndarray:
    """Lay out the wanted columns of `profile_names`, None: all, float32 [B, P]."""
    numbers, pace, B = rows.numbers, calendar.pace, len(rows)
    windows_days = tuple(windows_of(rows))
    windows = _windows(windows_days, pace)
    n, R, S = len(windows.steps), len(_RATES), len(_SHARES)
    found = np.empty((n + R + 1 + S + len(_AGES), B))  # [P, B] counts, rates, a session's value, shares, ages
    found[: n + R + 1 + S] = [numbers[name] for name in windows.names]
    counts, rates, a_session, ages_of_user = found[:n], found[n : n + R], found[n + R], found[n + R + 1 + S :]
    counts[rows.now - rows.state_at >= windows.seconds] = 0.0  # nothing lies in the window any more
    counts /= windows.steps
    a_session[:] = numbers["value_total"] / np.maximum(a_session, 1)  # whose place held the sessions until here
    decayed = sum(name.endswith("_slow") for name in _RATES)  # the last of them
    rates[:-decayed] /= span
    rates[-decayed:] /= possible[0]
    np.maximum(ages.days_idle, 1 / 24, out=ages_of_user[0])
    ages_of_user[1] = ages.idle
    np.log(ages_of_user[:2], out=ages_of_user[:2])
    np.divide(np.minimum(ages.tenure, TENURE_CAP), TENURE_CAP, out=ages_of_user[2])
    np.divide(active_weeks, pace.recent, out=ages_of_user[3])
    np.log1p(np.maximum(found[: n + R + 1], 0), out=found[: n + R + 1])
    every = found if pace.step == WEEK else np.concatenate([found, calendar.phase(ages.week).T])
    places = None if wanted is None else _places(windows_days, pace, tuple(wanted))
    return np.ascontiguousarray((every if places is None else every[places]).T, dtype=np.float32)

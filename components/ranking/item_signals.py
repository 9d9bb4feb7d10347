"""Each item of a history as a calendar signal: in which of the last steps the user had it.

A row keeps of an item in how many steps it was had (n), the first and the last of them, and two sums over all, in which
a step of age a counts slow^a and fast^a. The signal follows from those: up to four steps the sums leave one answer,
which is 1 at those steps and 0 elsewhere. Beyond that it is the least presuming one: of all signals between 0 and 1
with these sums and that many steps the one of most entropy (Jaynes, 1957). Where kinds of events are weighed, the sums
are weighted too, and the signal is as near as they tell.

Letters: B rows, N history entries over all rows, A ages, W steps of a signal.
"""

from dataclasses import dataclass

import numpy as np

from components.ranking.history import behind
from feature_repo.calendar import Calendar
from feature_repo.rows import UserRows

OLDEST = 160  # steps; what is older counts as this old
ROUNDS = 30  # of Newton's method
LARGEST = 30.0  # logit of a share that is as good as 0 or 1
LONGEST_STEP = 3.0  # in logits, of one round
NUMBERS = 5  # of an entry: in how many steps it was had, ages of the first and the last, the user's steps and items
RIDGE = 1e-5  # on the multipliers' squares: without it a signal of 0 and 1 needs endless ones, and bits decide


@dataclass(frozen=True)
class Signals:
    """The signals of the entries of rows, as of each row's now."""

    values: np.ndarray  # [N, W] float32, 0..1: had in the step of age 1, 2, … W; age 1 is the one before now
    steps: np.ndarray  # [N] float64: in how many steps it was had, also before these
    first: np.ndarray  # [N] int64: age of the first
    last: np.ndarray  # [N] int64: age of the last
    offsets: np.ndarray  # [B + 1]: row b owns offsets[b]:offsets[b + 1]


def of_rows(rows: UserRows, calendar: Calendar, width: int) -> Signals:
    """Read the signals of all history entries of rows, over the last `width` steps."""
    items = rows.lists["history_items"]
    owner = items.row_of_value()
    base = calendar.upcoming(np.where(rows.known, rows.state_at, rows.now))[owner]  # the sums are as of this step
    first, last = (
        np.clip(base - calendar.weeks(rows.lists[name].values), 1, OLDEST)
        for name in ("history_first_at", "history_last_at")
    )
    steps = np.maximum(np.round(rows.lists["history_weeks"].values.astype(np.float64)), 1.0)
    slow, fast = (rows.lists[name].values.astype(np.float64) for name in ("history_slow", "history_fast"))
    pace = calendar.pace
    then = spread(steps, first, last, slow, fast, decays=(pace.slow, pace.fast))  # [N, A]
    values = np.zeros((len(owner), width), dtype=np.float32)
    since = behind(rows, calendar)[owner]  # steps between the row's state and now, in which nothing is known
    age = np.arange(1, width + 1) - since[:, None]  # [N, W] as of the state
    inside = (age >= 1) & (age <= then.shape[1])
    at = np.nonzero(inside)
    values[at] = then[at[0], age[at] - 1]
    return Signals(values, steps, first + since, last + since, items.offsets)


def spread(
    steps: np.ndarray,
    first: np.ndarray,
    last: np.ndarray,
    slow: np.ndarray,
    fast: np.ndarray,
    *,
    decays: tuple[float, float],
) -> np.ndarray:
    """Spread entries over the ages 1..A that their sums allow, float64 [N, A]; A is the oldest first age.

    >>> ages = np.array([2, 5, 9])
    >>> sums = [np.array([(decay ** ages).sum()]) for decay in (0.96, 0.8)]
    >>> found = spread(np.array([3.0]), np.array([9]), np.array([2]), *sums, decays=(0.96, 0.8))
    >>> (1 + np.flatnonzero(found[0])).tolist()
    [2, 5, 9]
    """
    found = np.zeros((len(steps), int(first.max(initial=1))))  # [N, A]
    every, most = np.arange(len(steps)), np.maximum(first - last - 1, 0)  # ages between the two
    found[every, last - 1] = 1.0
    found[steps > 1, first[steps > 1] - 1] = 1.0
    count = np.clip(steps - 2, 0, most)
    ages = np.arange(1, found.shape[1] + 1)
    inside = (ages > last[:, None]) & (ages < first[:, None])
    found[(count == most)[:, None] & inside] = 1.0
    left = [of - decay**last - decay**first for of, decay in zip((slow, fast), decays, strict=True)]
    open_ = (count > 0) & (count < most)
    for which, fill in ((open_ & (count == 1), _one), (open_ & (count == 2), _two), (open_ & (count > 2), _likeliest)):
        mine = np.flatnonzero(which)
        if len(mine):
            found[mine] += fill(inside[mine], count[mine], left[0][mine], left[1][mine], decays)
    return found


Decays = tuple[float, float]


def _one(inside: np.ndarray, count: np.ndarray, slow: np.ndarray, fast: np.ndarray, decays: Decays) -> np.ndarray:
    """Place one step at the age that the slow sum says, [N, A]."""
    far = np.abs(slow[:, None] - decays[0] ** np.arange(1, inside.shape[1] + 1))
    return _at(inside, np.where(inside, far, np.inf).argmin(axis=1))


def _two(inside: np.ndarray, count: np.ndarray, slow: np.ndarray, fast: np.ndarray, decays: Decays) -> np.ndarray:
    """Place two steps: for each age of the one, the slow sum says the other; the fast sum says which pair, [N, A]."""
    ages = np.arange(1, inside.shape[1] + 1)
    rest = np.maximum(slow[:, None] - decays[0] ** ages, 1e-12)  # [N, A]
    other = np.clip(np.round(np.log(rest) / np.log(decays[0])), 1, len(ages)).astype(np.int64)
    miss = [np.abs(of[:, None] - decay**ages - decay**other) for of, decay in zip((slow, fast), decays, strict=True)]
    allowed = inside & np.take_along_axis(inside, other - 1, axis=1) & (other > ages)
    best = np.where(allowed, miss[0] + miss[1], np.inf).argmin(axis=1)
    there = allowed.any(axis=1)
    pair = np.stack([best, other[np.arange(len(best)), best] - 1], axis=1)
    found = _at(inside, pair[:, 0]) + _at(inside, pair[:, 1])
    return np.where(there[:, None], found, _likeliest(inside, count, slow, fast, decays)) if not there.all() else found


def _at(inside: np.ndarray, place: np.ndarray) -> np.ndarray:
    found = np.zeros(inside.shape)
    found[np.arange(len(place)), place] = 1.0
    return found


def _likeliest(inside: np.ndarray, count: np.ndarray, slow: np.ndarray, fast: np.ndarray, decays: Decays) -> np.ndarray:
    """Return the signal of most entropy whose count and sums these are, [N, A], by Newton's method on its dual."""
    ages = np.arange(1, inside.shape[1] + 1)
    weight = np.stack([np.ones(len(ages)), *(decay**ages for decay in decays)], axis=1)  # [A, 3]
    square = (weight[:, :, None] * weight[:, None]).reshape(len(ages), 9)
    wanted = np.stack([count, slow, fast], axis=1).astype(np.float64)  # [N, 3]
    multiplier = np.zeros(wanted.shape)
    share = count / inside.sum(axis=1)
    multiplier[:, 0] = np.log(share / (1 - share))
    for _ in range(ROUNDS):
        p = _logistic(multiplier @ weight.T) * inside  # [N, A]
        apart = wanted - p @ weight - RIDGE * multiplier
        curve = ((p * (1 - p)) @ square).reshape(-1, 3, 3) + RIDGE * np.eye(3)
        step = np.linalg.solve(curve, apart[..., None])[..., 0]
        size = np.abs(step @ weight.T).max(axis=1, keepdims=True)
        multiplier = multiplier + step * np.minimum(1.0, LONGEST_STEP / np.maximum(size, 1e-12))
    return np.asarray(_logistic(multiplier @ weight.T) * inside)


def _logistic(x: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -LARGEST, LARGEST))))


@dataclass(frozen=True)
class Read:
    """What a model sees of entries."""

    signal: np.ndarray  # [N, W] float32
    user: np.ndarray  # [B, W] float32: the largest of a row's signals, so whether the user had anything
    numbers: np.ndarray  # [N, NUMBERS] float32
    offsets: np.ndarray  # [B + 1]


def read(signals: Signals) -> Read:
    """Add to signals the user's own, and the logs of what a signal's shape does not say."""
    rows, width = len(signals.offsets) - 1, signals.values.shape[1]
    row = np.repeat(np.arange(rows), np.diff(signals.offsets))
    user = np.zeros((rows, width), dtype=np.float32)
    starts = np.flatnonzero(np.diff(row, prepend=-1))
    if len(row):
        user[row[starts]] = np.maximum.reduceat(signals.values, starts, axis=0)
    numbers = (signals.steps, signals.first, signals.last, user.sum(axis=1, dtype=np.float64)[row],
               np.diff(signals.offsets)[row])  # fmt: skip
    return Read(signals.values, user, np.log1p(np.stack(numbers, axis=1)).astype(np.float32), signals.offsets)

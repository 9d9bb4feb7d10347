"""A shop's figures of what its users were shown, each with a 95 % interval: clicks, purchases, revenue, coverage.

The joiner of the rewards table (components/policy/rewards.py) says what an answer brought; here its rows become ratios.
Users are independent and their rows are not, so an interval counts users: a share has Wilson's, with as many rows as
its users are worth (Korn and Graubard 1998), an amount the linearised one of a ratio of sums. Where too few users are
behind a figure it has no value: nobody should read one.

Pure numpy. Letters: B rows, U users.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special

from monitoring.quality.history import LEAST_USERS

LEVEL = 0.975  # of each end
LEAST_ACTIVE = 5  # users of an amount that is not 0: below them its spread is unknown
Ends = Callable[[float, np.ndarray, np.ndarray, np.ndarray], tuple[float, float]]  # of a value, from by_user's three
Why = Literal["", "none", "few", "rare", "unripe", "unvalued", "unlisted"]
KNOWN: Why = ""
NONE: Why = "none"  # nothing was shown
FEW: Why = "few"  # users
RARE: Why = "rare"  # users with an amount that is not 0
UNRIPE: Why = "unripe"  # the time in which users may act is not over for any answer
UNVALUED: Why = "unvalued"  # no event carries a value
UNLISTED: Why = "unlisted"  # the catalogue is not here


@dataclass(frozen=True)
class Rows:
    """What a figure is made of: `part` over `whole`, by row."""

    part: np.ndarray  # [B] float
    whole: np.ndarray  # [B] float, at least 0
    user: np.ndarray  # [B] int64, users by number
    weight: np.ndarray  # [B] rows that one stands for
    day: np.ndarray  # [B] str, ISO dates

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.part)


@dataclass(frozen=True)
class DayFigure:
    """One day: its value, None where nothing was counted, and the count below the line."""

    day: str
    value: float | None
    n: int


@dataclass(frozen=True)
class Figure:
    """A figure, or why there is none. `n` and `users` are what was counted, as logged."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    users: int = 0
    why: Why = KNOWN
    days: tuple[DayFigure, ...] = ()


def share(rows: Rows, *, least_users: int = LEAST_USERS) -> Figure:
    """Return a share with Wilson's interval; a `part` is at most its `whole`.

    >>> half = Rows(np.tile([1.0, 0.0], 50), np.ones(100), np.arange(100), np.ones(100), np.repeat("2026-11-30", 100))
    >>> found = share(half)
    >>> found.value, round(found.low, 2), round(found.high, 2), found.n, found.users
    (0.5, 0.4, 0.6, 100, 100)
    """
    return _figure(rows, least_users, _wilson, least_active=0)


def amount(rows: Rows, *, least_users: int = LEAST_USERS) -> Figure:
    """Return an amount a row; one that few users brought has no interval, so it has no value either."""
    return _figure(rows, least_users, _linearised, least_active=LEAST_ACTIVE)


def coverage(shown: Sequence[tuple[str, str]], catalogue: set[str]) -> Figure:
    """Return the share of a catalogue that (day, item) pairs hold; it is counted whole, so it has no interval.

    >>> coverage([("2026-11-29", "tea"), ("2026-11-30", "tea"), ("2026-11-30", "soup")], {"tea", "soup", "ham", "nut"})
    ... # doctest: +NORMALIZE_WHITESPACE
    Figure(value=0.5, low=None, high=None, n=4, users=0, why='',
    days=(DayFigure(day='2026-11-29', value=0.25, n=4), DayFigure(day='2026-11-30', value=0.5, n=4)))
    """
    if not shown:
        return Figure(why=NONE)
    if not catalogue:
        return Figure(n=0, why=UNLISTED)
    every = catalogue | {item for _, item in shown}  # what was put in live is of the catalogue too
    by_day: dict[str, set[str]] = {}
    for day, item in shown:
        by_day.setdefault(day, set()).add(item)
    days = tuple(DayFigure(day, len(items) / len(every), len(every)) for day, items in sorted(by_day.items()))
    return Figure(len({item for _, item in shown}) / len(every), n=len(every), days=days)


def _figure(rows: Rows, least_users: int, ends: Ends, *, least_active: int) -> Figure:
    """Return a ratio of sums with its interval."""
    n = int(rows.whole.sum())
    if n == 0:
        return Figure(why=NONE)
    part, whole, count = by_user(rows)  # [U]
    days = _days(rows)
    if len(part) < least_users:
        return Figure(n=n, users=len(part), why=FEW, days=days)
    if np.count_nonzero(part) < least_active:
        return Figure(n=n, users=len(part), why=RARE, days=days)
    value = float(part.sum() / whole.sum())
    low, high = ends(value, part, whole, count)
    return Figure(value, low, high, n, len(part), KNOWN, days)


def by_user(rows: Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return each user's weighted part and whole, and their rows' whole as logged, each [U]."""
    _, number = np.unique(rows.user, return_inverse=True)
    users = int(number.max()) + 1
    part = np.bincount(number, rows.part * rows.weight, users)
    whole = np.bincount(number, rows.whole * rows.weight, users)
    return part, whole, np.bincount(number, rows.whole, users)


def _variance(value: float, part: np.ndarray, whole: np.ndarray) -> float:
    """Return the linearised variance of a ratio of sums over independent users (Cochran 1977, 6.4)."""
    users = len(part)
    return float(users / (users - 1) * ((part - value * whole) ** 2).sum() / whole.sum() ** 2)


def _wilson(value: float, part: np.ndarray, whole: np.ndarray, count: np.ndarray) -> tuple[float, float]:
    """Return Wilson's interval over as many rows as the users are worth; where all are alike, each user is one."""
    users, variance = len(part), _variance(value, part, whole)
    worth = min(value * (1 - value) / variance, float(count.sum())) if variance > 0 else float(users)
    t2 = float(special.stdtrit(users - 1, LEVEL)) ** 2
    middle = (value + t2 / (2 * worth)) / (1 + t2 / worth)
    reach = math.sqrt(t2) * math.sqrt(value * (1 - value) / worth + t2 / (4 * worth**2)) / (1 + t2 / worth)
    return max(0.0, middle - reach), min(1.0, middle + reach)


def _linearised(value: float, part: np.ndarray, whole: np.ndarray, count: np.ndarray) -> tuple[float, float]:
    reach = float(special.stdtrit(len(part) - 1, LEVEL)) * math.sqrt(_variance(value, part, whole))
    low = value - reach
    return (max(0.0, low) if bool((part >= 0).all()) else low), value + reach


def _days(rows: Rows) -> tuple[DayFigure, ...]:
    found = []
    for day in np.unique(rows.day):
        mine = rows.day == day
        part, whole = (float((each[mine] * rows.weight[mine]).sum()) for each in (rows.part, rows.whole))
        found.append(DayFigure(str(day), part / whole if whole else None, int(rows.whole[mine].sum())))
    return tuple(found)

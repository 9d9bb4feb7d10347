"""What is ordinary of a signal, by its own past, and how surprising its newest value is.

The centre is the median of the last periods. How far a period strays is what earlier ones were off what was ordinary
before *them*, as far back as `STRAYS`; where too few of those are known, how the last periods lie around their median.
It is no less than the sampling error of one period, which the users behind it tell.

Three things are counted and not measured: what never lacked before, users too few for a scale, and two periods that are
both far off to one side.

Letters: P periods.
"""

from dataclasses import dataclass

import numpy as np
from scipy import special

from components import verdicts
from components.verdicts import Ordinary
from components.volumes import LEAST, LEAST_BEHIND, REFERENCE, TINY
from feature_repo import columns
from monitoring.drift.signals import (
    CLOCK,
    DESIGN,
    INDEX,
    LEVEL,
    MEAN,
    NULL,
    Kind,
    around,
    is_large,
    off_scale,
    onto_scale,
    sampling_error,
    source_of,
)

STRAYS = 26  # periods that tell how far one strays from what was ordinary before it
# Who acts in a period, and how, is drawn anew in each; rows of users overlap from one to the next, and stray otherwise.
DRAWN_ANEW = ("events", "labels", "requests", "rewards", "shown")
PEOPLE = "events.users"  # signals that are whole users, and can be counted where they are few


@dataclass(frozen=True)
class Past:
    """A signal's newest period and those behind it, on the scale that they were measured on."""

    name: str
    kind: Kind
    value: float
    n: float
    error: float  # the newest value's own standard error, or a row's deviation; NaN: not known
    values: np.ndarray  # [P] of the reference, the newest last
    ns: np.ndarray
    spreads: np.ndarray
    strays: np.ndarray  # on the scale of the kind: how far earlier periods were off, the newest last
    last: float = np.nan  # the value of the period just before, whether it is of the reference or not
    last_off: float = np.nan  # how far that was off, on the scale of the kind
    days: int = 7  # of a period

    @property
    def is_few(self) -> bool:
        """Tell whether too few are behind it for a scale."""
        return bool(np.median(self.ns) < LEAST_BEHIND)

    @property
    def is_countable(self) -> bool:
        """Tell whether it is whole users, of whom the reference has enough together."""
        return self.name.startswith(PEOPLE) and bool(self.values.sum() >= LEAST_BEHIND)


@dataclass(frozen=True)
class Seen:
    """What is ordinary of a signal, and how far off its newest value is."""

    of: Ordinary
    unit: float  # of the scale, of means
    scaled: float
    reference: float  # as the signal itself says it
    p: float

    @property
    def off(self) -> float:
        """How far from the centre, on the scale of the kind."""
        return self.scaled - self.of.centre


def seen(past: Past) -> Seen:
    """Say how surprising the newest value is."""
    of, unit = ordinary_of(past)
    scaled = float(onto_scale(past.kind, np.asarray([past.value]), unit=unit)[0])
    if past.kind == CLOCK:
        scaled = float(around(scaled, of.centre))
    reference = off_scale(past.kind, of.centre, unit=unit)
    return Seen(of, unit, scaled, reference, _surprise(past, of, scaled, reference, unit))


def ordinary_of(past: Past) -> tuple[Ordinary, float]:
    """Return what is ordinary, on the scale of the signal's kind, and the unit of that scale."""
    kind, users = past.kind, float(np.median(past.ns))
    spread = float(np.nanmedian(past.spreads)) if np.isfinite(past.spreads).any() else None
    unit = spread if kind == MEAN and spread and spread > TINY else 1.0  # rounding is no deviation
    least = sampling_error(kind, users, spread)
    if kind in (LEVEL, INDEX, CLOCK) and np.isfinite(past.error):
        least = max(least, past.error)
    values = onto_scale(kind, past.values, unit=unit)
    of = verdicts.ordinary(around(values, float(values[-1])) if kind == CLOCK else values)
    strays, many = of.scale, len(values)
    if len(past.strays) >= REFERENCE:
        strays, many = verdicts.biweight(past.strays), len(past.strays)
    scale = max(strays, least)
    known = independent(past.name, kind, many, days=past.days)
    if source_of(past.name) in DRAWN_ANEW:
        known = known_by(known, strays, scale, users=users / DESIGN)
    return Ordinary(of.centre, scale, known), unit


def known_by(periods: int, strays: float, scale: float, *, users: float) -> int:
    """Return by how many periods a scale is known: where it is one period's sampling error, by the users behind that.

    Periods know the variance of their strays by as many degrees as they are, and that is but a part of the scale's:
    the degrees grow with the square of what it is smaller by (Satterthwaite 1946), to those of the users at most.

    >>> known_by(12, 0.1, 0.1, users=200), known_by(12, 0.1, 0.15, users=200), known_by(12, 0.0, 0.1, users=30)
    (12, 57, 30)
    """
    most = max(float(periods), users)
    if scale <= strays or scale <= 0:
        return periods
    return round(min(1 + (periods - 1) * (scale / max(strays, TINY)) ** 4, most))


def independent(signal: str, kind: Kind, periods: int, *, days: int) -> int:
    """Return how many of some periods tell of how far a signal strays: means of a window overlap from one to the next.

    Twelve weeks of a mean over 28 days are three such windows, and their deviation is known by so few.

    >>> [independent(f"features.mean.value_{days}d", MEAN, 12, days=7) for days in (28, 7)]
    [3, 12]
    """
    window = columns.window_of(signal.rpartition(".")[2]) if kind == MEAN else None
    if window is None or window[1] <= days:
        return periods
    return max(round(periods * days / window[1]), 2)


def _surprise(past: Past, of: Ordinary, scaled: float, reference: float, unit: float) -> float:
    if past.is_few:
        return _of_few(past)
    if past.kind == NULL and past.value > 0 and not past.values.any():
        n = past.n / DESIGN
        return verdicts.never_before(past.value * n, n, float(past.ns.sum()) / DESIGN)
    alone = verdicts.surprise(scaled, of)
    large = [is_large(past.kind, value, reference, unit=unit) for value in (past.value, past.last)]
    if not all(large) or not past.last_off * (scaled - of.centre) > 0:
        return alone
    both = abs(past.last_off + scaled - of.centre) / 2
    t = both / max(of.scale * ((1 + alike(past.strays)) / 2) ** 0.5, TINY)
    return min(2 * min(alone, 2 * float(special.stdtr(max(of.periods - 1, 1), -t))), 1.0)


def _of_few(past: Past) -> float:
    """Return how probable so few users are, in the newest period alone or with the one before."""
    mean = float(past.values.mean())
    spread = max(float(past.values.var(ddof=1)) / mean, 1.0)  # how much more than a count by chance they stray
    periods = len(past.values)
    alone = fewer(past.value / spread, 1, past.values.sum() / spread, periods)
    if not np.isfinite(past.last):
        return alone
    of = past.values[:-1] if past.values[-1] == past.last else past.values
    both = fewer((past.value + past.last) / spread, 2, of.sum() / spread, len(of))
    return min(2 * min(alone, both), 1.0)


def fewer(seen: float, periods: int, before: float, behind: int) -> float:
    """Return how probable `seen` or fewer in some periods are, where `before` were in as many as are `behind`.

    The count given both is binomial (Przyborowski and Wilenski 1940).

    >>> round(fewer(0, 1, 12, 12), 4), round((12 / 13) ** 12, 4)
    (0.3827, 0.3827)
    """
    return float(special.betainc(before, seen + 1, behind / (periods + behind)))


def alike(strays: np.ndarray) -> float:
    """Return how alike one period's stray and the next one's may be, 0..1: a standard error above what they were.

    >>> alike(np.array([1.0, -1.0] * 8)), round(alike(np.array([1.0, 1.0, -1.0, -1.0] * 4)), 2), alike(np.ones(2))
    (0.0, 0.31, 1.0)
    """
    if len(strays) < LEAST or not strays.any():
        return 1.0
    found = (strays[1:] * strays[:-1]).sum() / (strays**2).sum()
    return float(np.clip(found + len(strays) ** -0.5, 0.0, 1.0))

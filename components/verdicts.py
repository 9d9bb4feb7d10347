"""Verdicts that mean something: `passed`, `refused` or `undecided`, with the interval and the numbers behind it.

Gates judge by `better` and `within`; contract, drift and experiments use the same words. An interval comes from
resampling users, whole with all their rows, and both sides of a comparison are computed on the same draws. What was
not measured, or rests on too little, is `undecided`, never `passed`.

What is watched period by period has no second side: `ordinary` is what its last periods say is ordinary, `surprise` how
rare a value is among such, and `discoveries` which of many surprises are more than chance.

Pure numpy and scipy: no file, no registry.

Letters: U users, R resamples, P periods, S signals.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

import numpy as np
from scipy import special

Word = Literal["passed", "refused", "undecided"]
PASSED: Word = "passed"
REFUSED: Word = "refused"
UNDECIDED: Word = "undecided"
LEVEL = 0.95  # of each end of an interval: so sure is one that nothing lies beyond it
ROUNDING = 1e-9  # two sums of the same numbers in another order are equal
MOST_MISSING = 0.1  # share of resamples that may lack a metric, such as one without a positive of any target
GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # splitmix64 (Steele, Lea, Flood 2014)
MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
NORMAL_MAD = 1.4826  # the standard deviation of a normal distribution, in its median absolute deviations
POISSON = np.cumsum([math.exp(-1) / math.factorial(k) for k in range(12)])  # P(a user is drawn at most k times)


@dataclass(frozen=True)
class Sample:
    """A metric of one side: its value, its value under each resample of users, and how much is behind it."""

    value: float | None
    resampled: np.ndarray | None = None  # [R]; None: it was never resampled, so it has no interval
    rows: int | None = None  # None: nobody counted
    users: int | None = None


@dataclass(frozen=True)
class Least:
    """The fewest rows and users that a verdict may rest on."""

    rows: int = 1
    users: int = 2


@dataclass(frozen=True)
class Judgement:
    """A verdict with what it rests on."""

    word: Word
    estimate: float | None  # the value, or the difference of two
    interval: tuple[float, float] | None  # each end at LEVEL; None: compared as points
    rows: int | None
    users: int | None
    why: str = ""  # nothing could be judged, since ...


def better(
    mine: Sample, other: Sample, *, tolerance: float = 0.0, lower: bool = False, paired: bool = True, least: Least
) -> Judgement:
    """Tell whether one side is better than the other by at least `-tolerance`; `lower` values may be the better ones.

    Both sides are of the same draws of users where they are `paired`; else their errors are independent.

    >>> mine, other = Sample(0.5, np.array([0.4, 0.5, 0.6]), 9, 3), Sample(0.1, np.array([0.0, 0.1, 0.2]), 9, 3)
    >>> found = better(mine, other, least=Least())
    >>> found.word, round(found.estimate, 6), [round(end, 6) for end in found.interval]
    ('passed', 0.4, [0.4, 0.4])
    """
    rows, users = _fewer(mine.rows, other.rows), _fewer(mine.users, other.users)
    a, b = _finite(mine.value), _finite(other.value)
    if a is None or b is None:
        return Judgement(UNDECIDED, None, None, rows, users, "it was not measured")
    return _judged(a - b, tolerance if lower else -tolerance, _spread(mine, other, paired), rows, users, lower, least)


def within(mine: Sample, limit: float, *, lower: bool = False, least: Least) -> Judgement:
    """Tell whether a value is at least a limit, or at most where `lower` values are the better ones.

    >>> within(Sample(0.5, np.array([0.4, 0.5, 0.6]), 9, 1), 0.1, least=Least()).why
    '1 user is behind it, fewer than 2'
    """
    value = _finite(mine.value)
    if value is None:
        return Judgement(UNDECIDED, None, None, mine.rows, mine.users, "it was not measured")
    return _judged(value, limit, _spread(mine, None, paired=True), mine.rows, mine.users, lower, least)


def interval(estimate: float, resampled: np.ndarray, *, users: int | None = None) -> tuple[float, float]:
    """Return both ends around an estimate: Student's t times the resamples' deviation (Efron and Tibshirani, 12.5).

    Centred on the estimate, since resampling shifts an average precision or a calibration error by itself.
    """
    return _ends(estimate, float(np.std(resampled, ddof=1)), _freedom(len(resampled), users))


def draws(users: int, *, resamples: int, seed: int = 0) -> np.ndarray:
    """Draw users with replacement; return how often each user number counts, float32 [U, R]."""
    drawn = np.random.default_rng(seed).multinomial(users, np.full(users, 1 / users), size=resamples)  # [R, U]
    return np.ascontiguousarray(drawn.T, dtype=np.float32)


def shared_draws(user_id: Sequence[str] | np.ndarray, *, resamples: int) -> np.ndarray:
    """Draw each user by itself, a Poisson number of times that its id fixes, float32 [U, R].

    Two evaluations that never met draw a user alike, so their difference is paired on the users that both have, and
    neither keeps a row of anybody (the Poisson bootstrap: Chamandy and others 2012).
    """
    seeds = np.array(
        [int.from_bytes(blake2b(str(u).encode(), digest_size=8).digest(), "little") for u in user_id], dtype=np.uint64
    )
    with np.errstate(over="ignore"):
        mixed = seeds[:, None] + GOLDEN * np.arange(1, resamples + 1, dtype=np.uint64)  # [U, R]
        mixed = (mixed ^ (mixed >> np.uint64(30))) * MIX[0]
        mixed = (mixed ^ (mixed >> np.uint64(27))) * MIX[1]
    uniform = ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53
    times: np.ndarray = np.searchsorted(POISSON, uniform).astype(np.float32)
    return times


def means(sums: np.ndarray, counts: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Return the mean over rows under each draw, [R], from each user's sum and number of rows; nan without rows.

    >>> means(np.array([3.0, 1.0]), np.array([2, 1]), np.array([[1, 2, 0], [1, 0, 0]])).tolist()
    [1.3333333730697632, 1.5, nan]
    """
    drawn = drawn.astype(np.float32, copy=False)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = (sums.astype(np.float32) @ drawn) / (counts.astype(np.float32) @ drawn)
    return np.asarray(found, dtype=np.float64)


def too_little(of: Sample, least: Least) -> str:
    """Say that too few rows or users are behind a metric, '' where they are enough or nobody counted."""
    for have, need, noun in ((of.rows, least.rows, "row"), (of.users, least.users, "user")):
        if have is not None and have < need:
            return f"{have} {noun}{' is' if have == 1 else 's are'} behind it, fewer than {need}"
    return ""


def together(words: Sequence[Word]) -> Word:
    """Return what several verdicts say as one: one that refuses refuses all, one that is undecided leaves it open.

    >>> together(["passed", "undecided", "passed"]), together(["undecided", "refused"]), together([])
    ('undecided', 'refused', 'passed')
    """
    return REFUSED if REFUSED in words else UNDECIDED if UNDECIDED in words else PASSED


@dataclass(frozen=True)
class Ordinary:
    """What the last periods of a signal say is ordinary."""

    centre: float  # their median
    scale: float  # their deviation
    periods: int

    def interval(self, level: float = 0.99) -> tuple[float, float]:
        """Return the ends between which a share `level` of ordinary values lies."""
        reach = float(special.stdtrit(max(self.periods - 1, 1), (1 + level) / 2)) * self.scale
        return self.centre - reach, self.centre + reach


def ordinary(values: Sequence[float] | np.ndarray, *, least_scale: float = 0.0) -> Ordinary:
    """Return the median of some periods [P] and their deviation: 1.4826 times the median absolute deviation.

    Half of the periods may be extraordinary without moving either. `least_scale` is the sampling error of one value,
    which periods that happen to be alike do not undercut.

    >>> ordinary([1.0, 2.0, 3.0, 4.0, 90.0])
    Ordinary(centre=3.0, scale=1.4826, periods=5)
    """
    held = np.asarray(values, dtype=np.float64)
    centre = float(np.median(held))
    deviation = NORMAL_MAD * float(np.median(np.abs(held - centre)))
    return Ordinary(centre, max(deviation, least_scale), len(held))


def biweight(off: np.ndarray) -> float:
    """Return the deviation of some errors [P] about nought, far ones counting little: Tukey's biweight (Lax 1985).

    Where errors are normal it is known as well as by 87 % of as many of them, a median absolute deviation by 37 %.

    >>> biweight(np.array([1.0, -1.0, 1.0, -1.0, 90.0])) < 1.5, biweight(np.zeros(5))
    (True, 0.0)
    """
    middle = float(np.median(np.abs(off)))
    if middle == 0:
        return 0.0
    u2 = (off / (9 * middle)) ** 2
    near = u2 < 1
    kept, u2 = off[near], u2[near]
    return float(np.sqrt(len(off) * (kept**2 * (1 - u2) ** 4).sum()) / abs(((1 - u2) * (1 - 5 * u2)).sum()))


def surprise(value: float, of: Ordinary) -> float:
    """Return how probable a value at least so far off is, 0..1: both tails of Student's t with P - 1 degrees.

    >>> round(surprise(3 + 2.776445 * 1.4826, ordinary([1.0, 2.0, 3.0, 4.0, 90.0])), 6)  # t of .975, 4 degrees
    0.05
    """
    off = abs(value - of.centre)
    if of.scale == 0:
        return float(off == 0)
    return 2 * float(special.stdtr(max(of.periods - 1, 1), -off / of.scale))


def discoveries(surprises: Sequence[float] | np.ndarray, *, rate: float) -> np.ndarray:
    """Tell which of S surprises are more than chance, bool [S]: at most a share `rate` of those told is expected wrong.

    Benjamini and Hochberg (1995): the k smallest, for the largest k whose k-th is at most k / S times the rate.

    >>> discoveries([0.001, 0.04, 0.019, 0.5], rate=0.04).tolist()
    [True, False, True, False]
    """
    p = np.asarray(surprises, dtype=np.float64)
    if not p.size:
        return np.zeros(0, dtype=bool)
    ranked = np.sort(p)
    under = np.flatnonzero(ranked <= rate * np.arange(1, len(p) + 1) / len(p))
    return np.asarray(p <= ranked[under[-1]]) if under.size else np.zeros(len(p), dtype=bool)


def discoveries_by_family(
    surprises: Sequence[float] | np.ndarray, families: Sequence[str], *, rate: float
) -> np.ndarray:
    """Tell which of S surprises are more than chance, bool [S], where those of a family tell of the same thing.

    Benjamini and Bogomolov (2014): families are told by Simes' surprise of each, at the rate; within those that are
    told, their members at the rate times the share of families that were. A small family is not drowned by a large one.

    >>> discoveries_by_family([0.004, 0.9, *[0.5] * 8], ["a", "a", *"bbbbbbbb"], rate=0.02).tolist()[:2]
    [True, False]
    >>> discoveries([0.004, 0.9, *[0.5] * 8], rate=0.02).tolist()[:2]
    [False, False]
    """
    p, told = np.asarray(surprises, dtype=np.float64), np.zeros(len(surprises), dtype=bool)
    names, of = np.unique(np.asarray(families, dtype=str), return_inverse=True)
    if not p.size:
        return told
    members = [np.flatnonzero(of == place) for place in range(len(names))]
    chosen = np.flatnonzero(discoveries([simes(p[mine]) for mine in members], rate=rate))
    for place in chosen:
        told[members[place]] = discoveries(p[members[place]], rate=rate * len(chosen) / len(names))
    return told


def simes(surprises: np.ndarray) -> float:
    """Return how surprising S values are together (Simes 1986).

    >>> simes(np.array([0.04, 0.01, 0.9]))
    0.03
    """
    ranked = np.sort(surprises)
    return float(np.min(ranked * len(ranked) / np.arange(1, len(ranked) + 1)))


def never_before(seen: float, of: float, before: float) -> float:
    """Return how probable it is that `seen` or more of `of` are what none of `before` was.

    Beta-binomial, with Jeffreys' prior of the rate; counts may be parts, and are rounded down.

    >>> round(never_before(1, 1, 0), 4), round(never_before(1, 1, 99), 4)
    (0.5, 0.005)
    """
    least, n = int(max(seen, 1.0)), int(max(of, seen, 1.0))
    k = np.arange(least, min(n, least + 10_000) + 1, dtype=np.float64)
    a, b = 0.5, before + 0.5
    ways = special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1)
    return min(float(np.exp(ways + special.betaln(k + a, n - k + b) - special.betaln(a, b)).sum()), 1.0)


@dataclass(frozen=True)
class _Spread:
    """How far an estimate strays: its deviation over resamples, and from how many; `known` is False where none is."""

    deviation: float = 0.0
    resamples: int = 0
    known: bool = False
    broken: bool = False  # too few resamples hold the metric


def _spread(mine: Sample, other: Sample | None, paired: bool) -> _Spread:
    sides = [mine.resampled] + ([] if other is None else [other.resampled])
    known = [side for side in sides if side is not None]
    if len(known) < len(sides):
        return _Spread()
    if other is not None and paired:
        resamples = min(map(len, known))
        known = [known[0][:resamples] - known[1][:resamples]]
    kept = [side[np.isfinite(side)] for side in known]
    if any(len(k) < 2 or len(k) < (1 - MOST_MISSING) * len(side) for k, side in zip(kept, known, strict=True)):
        return _Spread(broken=True)
    deviation = math.sqrt(sum(float(np.var(side, ddof=1)) for side in kept))
    return _Spread(deviation, min(map(len, kept)), known=True)


def _judged(
    estimate: float, limit: float, spread: _Spread, rows: int | None, users: int | None, lower: bool, least: Least
) -> Judgement:
    """Judge an estimate that must be on the better side of a limit."""
    why = too_little(Sample(estimate, None, rows, users), least) or (
        spread.broken and "too few of the resamples hold it"
    )
    if why:
        return Judgement(UNDECIDED, estimate, None, rows, users, why)
    ends = _ends(estimate, spread.deviation, _freedom(spread.resamples, users)) if spread.known else None
    low, high = ends or (estimate, estimate)
    worst, best, bound = (-high, -low, -limit) if lower else (low, high, limit)
    word = PASSED if worst >= bound - ROUNDING else REFUSED if best < bound - ROUNDING else UNDECIDED
    return Judgement(word, estimate, ends, rows, users)


def _ends(estimate: float, deviation: float, freedom: int) -> tuple[float, float]:
    reach = float(special.stdtrit(freedom, LEVEL)) * deviation
    return estimate - reach, estimate + reach


def _freedom(resamples: int, users: int | None) -> int:
    """Return the degrees of freedom: few users tell little of the spread, and few resamples too."""
    return max(min(resamples, resamples if users is None else users) - 1, 1)


def _fewer(one: int | None, other: int | None) -> int | None:
    known = [number for number in (one, other) if number is not None]
    return min(known) if known else None


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None

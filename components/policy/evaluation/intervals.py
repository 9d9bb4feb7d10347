"""Intervals of a ratio of means: percentile bootstrap and empirical Bernstein. A user's rows go together.

The bootstrap (Efron 1979) is narrow and right where many users count; it has no width where no reward was seen, which
`Interval.width` tells. The Bernstein interval (Maurer and Pontil 2009, theorem 4) holds for any number of rows, as far
as the bounds of a term that it is given are true.

Letters: N rows, G users, R resamples, S statistics.
"""

import math
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95  # of both ends together
RESAMPLES = 1000
AT_ONCE = 4_000_000  # draws held in memory at a time


@dataclass(frozen=True)
class Interval:
    """Both ends around a value."""

    low: float
    high: float

    @property
    def width(self) -> float:
        """Return how far the ends are apart."""
        return self.high - self.low


def resampled_sums(
    values: np.ndarray, group: np.ndarray, groups: int, *, resamples: int = RESAMPLES, seed: int = 0
) -> np.ndarray:
    """Return the sums of columns [N, S] under resamples of whole users, [R, S]; the same seed draws the same users."""
    of_users = np.zeros((groups, values.shape[1]))
    np.add.at(of_users, group, values)
    rng = np.random.default_rng(seed)
    parts, some = [], max(1, AT_ONCE // groups)
    for first in range(0, resamples, some):
        rows = min(some, resamples - first)
        drawn = rng.integers(groups, size=(rows, groups), dtype=np.int32)
        drawn = drawn + np.arange(rows, dtype=np.int64)[:, None] * groups
        counts = np.bincount(drawn.ravel(), minlength=rows * groups).reshape(rows, groups)
        parts.append(counts @ of_users)
    return np.concatenate(parts)


def percentile(resampled: np.ndarray, *, level: float = LEVEL) -> Interval:
    """Return the middle `level` of resampled values; those that are no number do not count.

    >>> found = percentile(np.arange(101.0), level=0.9)
    >>> round(found.low, 9), round(found.high, 9)
    (5.0, 95.0)
    """
    found = resampled[np.isfinite(resampled)]
    if not len(found):
        return Interval(-math.inf, math.inf)
    low, high = np.percentile(found, [100 * (1 - level) / 2, 100 * (1 + level) / 2])
    return Interval(float(low), float(high))


def bernstein(terms: np.ndarray, bounds: tuple[float, float], *, level: float = LEVEL) -> Interval:
    """Return the empirical Bernstein interval of the mean of independent terms [N] that lie within bounds.

    mean ± (sqrt(2 V ln(2/d) / N) + 7 (b - a) ln(2/d) / (3 (N - 1))), d = (1 - level) / 2 an end, V their variance.

    >>> found = bernstein(np.array([0.0, 1.0] * 500), (0.0, 1.0))
    >>> round(found.low, 4), round(found.high, 4)
    (0.4429, 0.5571)
    """
    n = len(terms)
    if n < 2:
        return Interval(-math.inf, math.inf)
    log = math.log(2 / ((1 - level) / 2))
    reach = math.sqrt(2 * float(np.var(terms, ddof=1)) * log / n) + 7 * (bounds[1] - bounds[0]) * log / (3 * (n - 1))
    mean = float(terms.mean())
    return Interval(mean - reach, mean + reach)


def of_users(terms: np.ndarray, group: np.ndarray, groups: int) -> tuple[np.ndarray, int]:
    """Return terms of users whose mean is that of the rows' terms, [G], and the most rows that a user has.

    >>> of_users(np.array([1.0, 2.0, 3.0]), np.array([0, 0, 1]), 2)[0].tolist()
    [2.0, 2.0]
    """
    sums = np.bincount(group, weights=terms, minlength=groups)
    return sums * groups / len(terms), int(np.bincount(group, minlength=groups).max())

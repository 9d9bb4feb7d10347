"""Effects with their intervals, and whether they may be believed: overlap, balance, groups by expected effect.

An interval counts users, not rows: a user's rows move together. What was not measured and yet decided who got it makes
every number here wrong by an unknown amount; a placebo (the same rows, an outcome of before the occasion) shows such a
thing where it is steady in time, and its absence proves nothing.

Letters: N rows, U users, F features.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from components.intent.uplift.learners import Estimates
from components.intent.uplift.treated import NOBODY, Treated
from feature_repo.errors import DataError

Z = 1.959963984540054  # of a 95 % interval
IMBALANCED = 0.1  # standardised differences above this are no chance (Austin 2009)


@dataclass(frozen=True)
class Effect:
    """A mean effect, with 95 % of the truth between `low` and `high` if what decided who got it was measured."""

    value: float
    low: float
    high: float
    rows: int
    users: int

    @property
    def nothing(self) -> bool:
        """Tell whether no effect is within the interval."""
        return self.low <= 0 <= self.high


@dataclass(frozen=True)
class Overlap:
    """How alike those are who got it and those who did not."""

    compared: float  # share of rows whose chance is neither near 0 nor near 1
    auc: float  # how well what was known tells who got it: .5 is a draw by lot
    least: float  # chance of the 1 % least likely
    most: float  # and of the 1 % most likely
    imbalanced: int  # features that differ by more than a tenth of their spread
    weighted: int  # the same once rows are weighted by their chance: 0 says that the comparison is a fair one
    effective: int  # rows that the weights leave


def mean_effect(values: np.ndarray, user: np.ndarray) -> Effect:
    """Return the mean of rows' corrected differences, with an interval that counts users.

    >>> found = mean_effect(np.array([1.0, 1.0, 3.0, 3.0]), np.array([1, 1, 2, 2]))
    >>> found.value, round(found.high - found.value, 2), found.users
    (2.0, 1.96, 2)
    """
    if not len(values):
        raise DataError(NOBODY)
    place = np.unique(user, return_inverse=True)[1]
    users, rows = int(place.max()) + 1, len(values)
    value = float(values.mean())
    sums = np.bincount(place, weights=values - value)  # [U]
    reach = Z * math.sqrt(float((sums**2).sum()) * users / max(users - 1, 1)) / rows
    return Effect(value, value - reach, value + reach, rows, users)


def doubly_robust(rows: Treated, found: Estimates) -> Effect:
    """Return the mean effect on those who can be compared."""
    return mean_effect(found.corrected[found.compared], rows.user[found.compared])


def naive(rows: Treated) -> Effect:
    """Return what who got it did more than who did not: an effect only where a lot decided."""
    share = rows.treated.mean()
    centred = rows.outcome - np.where(rows.treated, *(float(rows.outcome[side].mean()) for side in _sides(rows)))
    value = float(rows.outcome[rows.treated].mean() - rows.outcome[~rows.treated].mean())
    lifted = np.where(rows.treated, centred / share, -centred / (1 - share)) + value
    return mean_effect(lifted, rows.user)


def groups(rows: Treated, found: Estimates, expected: np.ndarray, *, count: int = 4) -> list[Effect]:
    """Return the mean effect on users by expected effect, least first: it grows where the expectation says something.

    The expectation of a row is out of fold, and the mean is of corrected differences, so nothing is judged by itself.
    """
    kept = np.flatnonzero(found.compared)
    order = kept[np.argsort(expected[kept], kind="stable")]
    return [mean_effect(found.corrected[part], rows.user[part]) for part in np.array_split(order, count)]


def overlap(rows: Treated, found: Estimates) -> Overlap:
    """Say how alike the two groups are, before and after rows are weighted by their chance (Li 2018)."""
    weight = np.where(rows.treated, 1 - found.chance, found.chance)
    before, after = (_differences(rows, w) for w in (np.ones(len(weight)), weight))
    low, high = np.quantile(found.chance, (0.01, 0.99))
    return Overlap(
        compared=float(found.compared.mean()),
        auc=_auc(found.chance, rows.treated),
        least=float(low),
        most=float(high),
        imbalanced=int((before > IMBALANCED).sum()),
        weighted=int((after > IMBALANCED).sum()),
        effective=round(float(weight.sum() ** 2 / (weight**2).sum())),
    )


def _sides(rows: Treated) -> Sequence[np.ndarray]:
    return rows.treated, ~rows.treated


def _differences(rows: Treated, weight: np.ndarray) -> np.ndarray:
    """Return how far the weighted means of the two groups are apart, in standard deviations, [F]."""
    means = [np.average(rows.features[side], axis=0, weights=weight[side]) for side in _sides(rows)]
    spread = rows.features.std(axis=0)
    return np.asarray(np.abs(means[0] - means[1]) / np.where(spread > 0, spread, 1.0))


def _auc(score: np.ndarray, positive: np.ndarray) -> float:
    """Return the chance that a positive scores above a negative; equal scores count half."""
    _values, place, count = np.unique(score, return_inverse=True, return_counts=True)
    middle = np.cumsum(count) - (count - 1) / 2  # mean rank of equal scores
    ranks, n = middle[place], int(positive.sum())
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * (len(score) - n)))

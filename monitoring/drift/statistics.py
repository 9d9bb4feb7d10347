"""The statistics that tell drift of a column: which columns each is for, its threshold, and how it scores.

Evidently computes the score of the report by `name`; `score` computes the same from shares of cells, for the score that
chance alone reaches (permutation.py). A new statistic is its function and its entry in `STATISTICS`.

Letters: D deals, K cells.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import rel_entr

from monitoring.drift.permutation import Score
from monitoring.spec import Monitoring

EMPTY = 1e-4  # Evidently's share of an empty cell in PSI


@dataclass(frozen=True)
class Statistic:
    """One statistic; of several that fit a column the first in `STATISTICS` is taken."""

    name: str  # Evidently's
    fits: Callable[[pd.Series], bool]
    number: bool  # whether Evidently bins the column's values, or compares them as they are
    threshold: Callable[[Monitoring], float]
    score: Score


def psi(now: np.ndarray, then: np.ndarray) -> np.ndarray:
    """Return the population stability index of each pair of shares, [D]."""
    now, then = _filled(now), _filled(then)
    return np.asarray(((then - now) * np.log(then / now)).sum(axis=1))


def _filled(shares: np.ndarray) -> np.ndarray:
    """Give empty cells Evidently's share: EMPTY, or a millionth of the smallest one where that is no larger."""
    smallest = np.where(shares > 0, shares, np.inf).min(axis=1, keepdims=True)  # [D, 1]
    return np.where(shares > 0, shares, np.where(smallest <= EMPTY, smallest / 1e6, EMPTY))


def distance(now: np.ndarray, then: np.ndarray) -> np.ndarray:
    """Return the Jensen-Shannon distance (natural log) of each pair of shares, [D].

    Not scipy's `jensenshannon`: where shares differ in their last bits it takes the root of a negative number.
    """
    middle = (now + then) / 2
    divergence = (rel_entr(now, middle) + rel_entr(then, middle)).sum(axis=1) / 2
    return np.asarray(np.sqrt(np.maximum(divergence, 0.0)))


def is_number(column: pd.Series) -> bool:
    """Tell whether a column holds numbers; whole ones are codes, hence categories."""
    return bool(pd.api.types.is_float_dtype(column))


def is_category(column: pd.Series) -> bool:
    """Tell whether a column holds anything but numbers."""
    return not is_number(column)


STATISTICS = (
    Statistic("psi", is_number, number=True, threshold=lambda spec: spec.psi, score=psi),
    Statistic("jensenshannon", is_category, number=False, threshold=lambda spec: spec.distance, score=distance),
)


def statistic_of(column: pd.Series) -> Statistic:
    """Return the statistic of a column."""
    return next(statistic for statistic in STATISTICS if statistic.fits(column))

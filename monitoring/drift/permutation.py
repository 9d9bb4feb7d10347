"""The score that chance alone reaches: a permutation test of one column, for windows too small for a threshold.

If nothing drifted, the rows of both windows come from one population, and chance alone decides in which window a row
is. So the pooled rows are dealt anew to windows of the same sizes, thousands of times, and each deal is scored as
Evidently scores: the same cells, the same stand-in for empty ones. That is exact at every size and every mix of rare
cells, where the chi-squared approximation of PSI is not: at 100 rows each empty cell adds up to .05 by its stand-in.

Rows of one user are not independent, so it is a floor for small windows, not a test of users.

Letters: D deals, K cells.
"""

import numpy as np
import pandas as pd
from scipy.special import rel_entr

PER_VALUE = 20  # Evidently bins number columns with more distinct reference values than this, else compares values
CHANCE = 0.999  # quantile of the scores that two samples of one population reach
DEALS = 4000
EMPTY = 1e-4  # Evidently's share of an empty cell in PSI


def floor(current: pd.Series, reference: pd.Series, *, number: bool) -> float:
    """Return the score that hardly any deal of the pooled values exceeds: PSI of a number column, else the distance.

    >>> rng = np.random.default_rng(0)
    >>> one, other = (pd.Series(rng.normal(size=n)) for n in (100, 10_000))
    >>> floor(one, one, number=True) > 0.3 > 0.02 > floor(other, other, number=True)
    True
    """
    pooled = _cells(current, reference, number=number)  # [K] rows of each cell
    deals = np.random.default_rng(0).multivariate_hypergeometric(pooled, len(current), size=DEALS, method="marginals")
    now, then = deals / len(current), (pooled - deals) / len(reference)  # [D, K] shares
    scores = _psi(now, then) if number else _distance(now, then)
    return float(np.quantile(scores, CHANCE, method="higher"))


def _cells(current: pd.Series, reference: pd.Series, *, number: bool) -> np.ndarray:
    """Count the pooled rows of each cell that Evidently compares, int64 [K]."""
    both = pd.concat([reference, current])
    if number and reference.nunique() > PER_VALUE:
        counts = np.histogram(both, np.histogram_bin_edges(both, bins="sturges"))[0]
        return np.asarray(counts, dtype=np.int64)
    return np.asarray(both.value_counts(sort=False), dtype=np.int64)


def _psi(now: np.ndarray, then: np.ndarray) -> np.ndarray:
    now, then = _filled(now), _filled(then)
    return np.asarray(((then - now) * np.log(then / now)).sum(axis=1))


def _filled(shares: np.ndarray) -> np.ndarray:
    """Give empty cells Evidently's share: EMPTY, or a millionth of the smallest one where that is no larger."""
    smallest = np.where(shares > 0, shares, np.inf).min(axis=1, keepdims=True)  # [D, 1]
    return np.where(shares > 0, shares, np.where(smallest <= EMPTY, smallest / 1e6, EMPTY))


def _distance(now: np.ndarray, then: np.ndarray) -> np.ndarray:
    """Return the Jensen-Shannon distance (natural log) of each pair of shares, [D].

    Not scipy's `jensenshannon`: where shares differ in their last bits it takes the root of a negative number.
    """
    middle = (now + then) / 2
    divergence = (rel_entr(now, middle) + rel_entr(then, middle)).sum(axis=1) / 2
    return np.asarray(np.sqrt(np.maximum(divergence, 0.0)))

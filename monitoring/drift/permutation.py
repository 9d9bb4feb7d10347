"""The score that chance alone reaches: a permutation test of one column, for windows too small for a threshold.

If nothing drifted, the rows of both windows come from one population, and chance alone decides in which window a row
is. So the pooled rows are dealt anew to windows of the same sizes, thousands of times, and each deal is scored as
Evidently scores: the same cells, the same stand-in for empty ones. That is exact at every size and every mix of rare
cells, where the chi-squared approximation of PSI is not: at 100 rows each empty cell adds up to .05 by its stand-in.

Rows of one user are not independent, so it is a floor for small windows, not a test of users.

Letters: D deals, K cells.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

PER_VALUE = 20  # Evidently bins number columns with more distinct reference values than this, else compares values
CHANCE = 0.999  # quantile of the scores that two samples of one population reach
DEALS = 4000

Score = Callable[[np.ndarray, np.ndarray], np.ndarray]  # shares of cells now and then, each [D, K], to scores [D]


def floor(current: pd.Series, reference: pd.Series, *, number: bool, score: Score) -> float:
    """Return the score that hardly any deal of the pooled values exceeds.

    >>> rng, apart = np.random.default_rng(0), lambda now, then: abs(now - then).sum(axis=1)
    >>> one, other = (pd.Series(rng.normal(size=n)) for n in (100, 10_000))
    >>> floor(one, one, number=True, score=apart) > 3 * floor(other, other, number=True, score=apart)
    True
    """
    codes, count = cells(current, reference, number=number)
    pooled = np.bincount(codes, minlength=count)  # [K] rows of each cell
    deals = np.random.default_rng(0).multivariate_hypergeometric(pooled, len(current), size=DEALS, method="marginals")
    now, then = deals / len(current), (pooled - deals) / len(reference)  # [D, K] shares
    return float(np.quantile(score(now, then), CHANCE, method="higher"))


def cells(current: pd.Series, reference: pd.Series, *, number: bool) -> tuple[np.ndarray, int]:
    """Return which of the cells that Evidently compares each value is in, the current ones first, and how many are."""
    both = pd.concat([reference, current])
    if number and reference.nunique() > PER_VALUE:
        edges = np.histogram_bin_edges(both, bins="sturges")
        codes = np.clip(np.searchsorted(edges, both, side="right") - 1, 0, len(edges) - 2)  # the last one is closed
        count = len(edges) - 1
    else:
        codes, values = pd.factorize(both)
        count = len(values)
    return np.roll(codes, len(current)), count

"""What a source finds candidates from: the rows' histories, the items as known now, and what is taken.

Letters: B rows, I items, N entries over all rows.
"""

from dataclasses import dataclass

import numpy as np

from components.ranking.catalogue import Catalogue
from components.ranking.history import History


@dataclass(frozen=True)
class Context:
    """The rows that candidates are found for."""

    history: History
    catalogue: Catalogue
    had: np.ndarray  # [B, I] bool: the item is in the row's history, candidate or not
    taken: np.ndarray  # [B, I] bool: a source before this one brought it, or the user may not be shown it


def first_of_each_row(row: np.ndarray, limit: int) -> np.ndarray:
    """Tell which entries [N] are among the first `limit` of their row; `row` is sorted, bool [N].

    >>> first_of_each_row(np.array([0, 0, 2]), 1).tolist()
    [True, False, True]
    """
    rank = np.arange(len(row)) - np.searchsorted(row, row)
    return np.asarray(rank < limit)

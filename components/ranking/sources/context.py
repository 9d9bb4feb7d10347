"""What a source finds candidates from: the rows' histories, the items as known now, and what is taken.

Letters: B rows, I items, N entries over all rows.
"""

from dataclasses import dataclass
from itertools import pairwise

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


def strongest(context: Context, score: np.ndarray, limit: int, *, new: bool = False) -> np.ndarray:
    """Return keys of the items that score highest above 0 and are not taken, ties by item; `new`: none of those had."""
    barred = context.taken | context.had if new else context.taken
    return largest(np.where(barred, 0.0, score), limit)


def largest(free: np.ndarray, limit: int) -> np.ndarray:
    """Return keys of each row's `limit` largest values [B, I] above 0, largest first, ties by item.

    >>> largest(np.array([[0.5, 0.0, 0.9, 0.5]]), 2).tolist()
    [2, 0]
    """
    n_rows, n_items = free.shape
    limit = min(limit, n_items)
    if limit == 0:
        return np.empty(0, dtype=np.int64)
    if n_rows == 1:
        return _largest_of_one(free[0], limit)
    keys = np.flatnonzero(free > 0)
    values, row = free.reshape(-1)[keys], keys // n_items
    ends = np.searchsorted(row, np.arange(n_rows + 1)).tolist()
    # Sorting all costs far more; and zeros, of which a row has many, slow numpy's partition down by twenty times.
    rows = [values[start:end] for start, end in pairwise(ends)]
    least = np.asarray([np.partition(one, -limit)[-limit] if len(one) > limit else 0.0 for one in rows])  # [B]
    keep = values >= least[row]
    keys, values, row = keys[keep], values[keep], row[keep]
    order = np.lexsort((keys, -values, row))
    chosen: np.ndarray = keys[order[first_of_each_row(row, limit)]]
    return chosen


def _largest_of_one(free: np.ndarray, limit: int) -> np.ndarray:
    """Do the same for one row [I]: what a service asks."""
    keys = (free > 0).nonzero()[0]
    return largest_among(keys, free[keys], limit)


def largest_among(keys: np.ndarray, values: np.ndarray, limit: int) -> np.ndarray:
    """Return the keys [N] of the `limit` largest of their values [N], largest first, ties by key."""
    if len(values) > limit:
        cut = values.copy()
        cut.partition(len(cut) - limit)
        keep = values >= cut[len(cut) - limit]
        keys, values = keys[keep], values[keep]
    chosen: np.ndarray = keys[np.lexsort((keys, -values))[:limit]]
    return chosen


def first_of_each_row(row: np.ndarray, limit: int) -> np.ndarray:
    """Tell which entries [N] are among the first `limit` of their row; `row` is sorted, bool [N].

    >>> first_of_each_row(np.array([0, 0, 2]), 1).tolist()
    [True, False, True]
    """
    rank = np.arange(len(row)) - np.searchsorted(row, row)
    return np.asarray(rank < limit)

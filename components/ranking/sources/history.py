"""Items that the user had before: those with the largest decayed weight."""

import numpy as np

from components.ranking.history import History
from components.ranking.sources.context import Context, first_of_each_row

REASONS = ("weeks_bought", "weeks_since", "intent", "popular_share")


def candidates(context: Context, limit: int) -> np.ndarray:
    """Return keys of the items with the largest decayed weight, ties by item."""
    history = context.history
    keys = history.item if history.n_rows == 1 else history.row * history.n_items + history.item
    free = np.flatnonzero(~context.taken.reshape(-1).take(keys))
    if history.n_rows == 1 and len(free) <= limit:  # all of them, in the order of the row
        return np.asarray(keys.take(free), dtype=np.int64)
    row = history.row[free]
    order = np.lexsort((history.item[free], -history.slow[free], row))
    chosen: np.ndarray = keys[free[order[first_of_each_row(row, limit)]]]
    return chosen


def brings(history: History, items: np.ndarray) -> np.ndarray:
    """Tell which items the user had."""
    return np.asarray(history.position[items] >= 0)

"""Items that the user had before: those with the largest decayed weight."""

import numpy as np

from components.ranking.history import History
from components.ranking.sources.context import Context, first_of_each_row

REASONS = ("weeks_bought", "weeks_since", "intent", "popular_share")


def candidates(context: Context, limit: int) -> np.ndarray:
    """Return keys of the items with the largest decayed weight, ties by item."""
    history = context.history
    order = np.lexsort((history.item, -history.slow, history.row))
    keys = history.row * history.n_items + history.item
    chosen: np.ndarray = keys[order[first_of_each_row(history.row, limit)]]
    return chosen


def brings(history: History, items: np.ndarray) -> np.ndarray:
    """Tell which items the user had."""
    return np.asarray(history.position[items] >= 0)

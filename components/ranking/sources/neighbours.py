"""Items near the user's history that the user never had, weighed by what sells now.

Letters: B rows, I items.
"""

import numpy as np

from components.ranking.history import History
from components.ranking.sources.context import Context, largest

REASONS = ("near_history", "intent", "category_weeks", "popular_share")


def candidates(context: Context, limit: int) -> np.ndarray:
    """Return keys of the nearest items."""
    return nearest(context, np.sqrt(context.catalogue.popularity), limit)


def brings(history: History, items: np.ndarray) -> np.ndarray:
    """Tell which items are near the user's history at all."""
    return np.asarray(history.near[0, items] > 0)


def nearest(context: Context, weight: np.ndarray, limit: int) -> np.ndarray:
    """Return keys of the items nearest to the history that are neither in it nor taken, ties by item.

    Nearness is weighed by item [I]: by what sells now, or items out of season and off the shelf would crowd the list.
    """
    if limit == 0 or not weight.any():
        return np.empty(0, dtype=np.int64)
    free = context.history.near * weight  # [B, I]
    free[context.had | context.taken] = 0.0
    return largest(free, limit)

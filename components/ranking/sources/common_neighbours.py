"""People with whom the user has the most acquaintances in common.

Letters: B rows, I items.
"""

import numpy as np

from components.ranking.history import History
from components.ranking.sources.context import Context, strongest

REASONS = ("common_acquaintances", "intent", "popular_share")


def candidates(context: Context, limit: int) -> np.ndarray:
    """Return keys of the people with the most acquaintances in common."""
    ties = context.history.ties
    return strongest(context, ties.common, limit, new=True) if ties is not None else np.empty(0, dtype=np.int64)


def brings(history: History, items: np.ndarray) -> np.ndarray:
    """Tell which people are tied to the user so."""
    ties = history.ties
    return np.asarray(ties.common[0, items] > 0) if ties is not None else np.zeros(len(items), dtype=bool)

"""People on whom those acted on whom the user acted.

Letters: B rows, I items.
"""

import numpy as np

from components.ranking.history import History
from components.ranking.sources.context import Context, strongest

REASONS = ("friends_of_friends", "intent", "popular_share")


def candidates(context: Context, limit: int) -> np.ndarray:
    """Return keys of the people on whom most of the user's own people acted."""
    ties = context.history.ties
    return strongest(context, ties.followed, limit, new=True) if ties is not None else np.empty(0, dtype=np.int64)


def brings(history: History, items: np.ndarray) -> np.ndarray:
    """Tell which people are tied to the user so."""
    ties = history.ties
    return np.asarray(ties.followed[0, items] > 0) if ties is not None else np.zeros(len(items), dtype=bool)

"""Items popular now: what fills up the list, and all that a user without a history gets.

Letters: B rows, I items.
"""

import numpy as np

from components.ranking.history import History
from components.ranking.sources.context import Context

REASONS = ("popular_share", "intent", "category_weeks")


def candidates(context: Context, limit: int) -> np.ndarray:
    """Return keys of the most popular items that are not taken."""
    taken = context.taken  # [B, I]
    if len(taken) == 1:  # what a service asks
        head = context.catalogue.by_popularity[: limit + np.count_nonzero(taken)]
        return np.asarray(head[~taken[0].take(head)][:limit])
    most = int(taken.sum(axis=1).max(initial=0))
    head = context.catalogue.by_popularity[: limit + most]
    free = ~taken[:, head]
    row, position = np.nonzero(free & (np.cumsum(free, axis=1) <= limit))
    keys: np.ndarray = row * taken.shape[1] + head[position]
    return keys


def brings(history: History, items: np.ndarray) -> np.ndarray:
    """Claim every item that no other source claims."""
    return np.ones(len(items), dtype=bool)

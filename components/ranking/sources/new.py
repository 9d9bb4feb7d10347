"""Items that came after training, of categories that the user's history has, newest first; of people the newest.

Later items lie behind the learnt ones in the order in which they came (feature_repo/live_items.py). A user without a
history gets them, if at all, as popular ones.

Letters: B rows, I items, N of them later, C targets, L levels of an item.
"""

import numpy as np

from components.ranking.history import History
from components.ranking.sources.context import Context

REASONS = ("intent", "category_weeks")


def candidates(context: Context, limit: int) -> np.ndarray:
    """Return keys of the newest later items that share a category with the history."""
    catalogue = context.catalogue
    if catalogue.learnt is None or limit == 0 or catalogue.learnt == len(catalogue):
        return np.empty(0, dtype=np.int64)
    later = np.arange(len(catalogue) - 1, catalogue.learnt - 1, -1)  # [N] newest first
    free = _fits(context, later) & ~context.taken[:, later]
    row, position = np.nonzero(free & (np.cumsum(free, axis=1) <= limit))
    keys: np.ndarray = row * len(catalogue) + later[position]
    return keys


def brings(history: History, items: np.ndarray) -> np.ndarray:
    """Tell which items came after training."""
    return np.zeros(len(items), dtype=bool) if history.learnt is None else np.asarray(items >= history.learnt)


def _fits(context: Context, later: np.ndarray) -> np.ndarray:
    """Tell which later items have a target or a category path of the row's history, bool [B, N]."""
    history, catalogue = context.history, context.catalogue
    if history.ties is not None:  # people: few have a category, and it is the newest who know nobody yet
        return np.ones((history.n_rows, len(later)), dtype=bool)
    rows, none = history.n_rows, catalogue.n_targets
    had = np.zeros((rows, none + 1), dtype=bool)  # [B, C + 1]
    had[history.row[:, None], catalogue.targets[history.item]] = True
    had[:, none] = False
    kinds = np.zeros((rows, catalogue.kinds + 1), dtype=bool)  # the last: unknown, -1
    kinds[history.row, catalogue.kind[history.item]] = True
    kinds[:, -1] = False
    return np.asarray(had[:, catalogue.targets[later]].any(axis=2) | kinds[:, catalogue.kind[later]])

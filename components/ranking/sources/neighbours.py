"""Items near the user's history that the user never had, weighed by what sells now.

Letters: B rows, I items.
"""

import numpy as np

from components.ranking.history import History
from components.ranking.sources.context import Context, largest, largest_among

REASONS = ("near_history", "intent", "category_weeks", "popular_share")


def candidates(context: Context, limit: int) -> np.ndarray:
    """Return keys of the nearest items."""
    return nearest(context, context.catalogue.root_popularity, limit)


def brings(history: History, items: np.ndarray) -> np.ndarray:
    """Tell which items are near the user's history at all."""
    return np.asarray(history.near[0, items] > 0)


def nearest(context: Context, weight: np.ndarray, limit: int, *, among: np.ndarray | None = None) -> np.ndarray:
    """Return keys of the items nearest to the history that are neither in it nor taken, ties by item.

    Nearness is weighed by item [I]: by what sells now, or items out of season and off the shelf would crowd the list.
    With `among`, positions in their order, no other items are looked at.
    """
    near, had, taken = context.history.near, context.had, context.taken  # [B, I] each
    if len(near) == 1:
        return _nearest_of_one(context, weight, limit, among=among)
    if among is not None:
        near, had, taken, weight = near[:, among], had[:, among], taken[:, among], weight[among]
    free = near * weight
    free[had] = 0.0
    free[taken] = 0.0
    keys = largest(free, limit)
    if among is None or not len(keys):
        return keys
    row, place = np.divmod(keys, len(among))
    return np.asarray(row * context.history.n_items + among[place])


def _nearest_of_one(context: Context, weight: np.ndarray, limit: int, *, among: np.ndarray | None) -> np.ndarray:
    """Do the same for one row, what a service asks: looks only at items that are near at all."""
    near = context.history.near[0]
    keys = context.history.near_items if among is None else among[near.take(among) > 0]
    keys = keys[~(context.taken[0] | context.had[0]).take(keys)]
    return largest_among(keys, near.take(keys) * weight.take(keys), limit)

"""Items in the week's flyer near the user's history, which the user never had."""

import numpy as np

from components.ranking.history import History
from components.ranking.sources.context import Context
from components.ranking.sources.neighbours import nearest

REASONS = ("in_flyer", "near_history", "intent", "category_weeks")


def candidates(context: Context, limit: int) -> np.ndarray:
    """Return keys of the nearest items on offer."""
    catalogue = context.catalogue
    return nearest(context, catalogue.pull_of_offers, limit, among=catalogue.on_offer)


def brings(history: History, items: np.ndarray) -> np.ndarray:
    """Claim none: an item asked about by itself is named by its history, not by the week's flyer."""
    return np.zeros(len(items), dtype=bool)

"""People who acted on the user and whom the user may answer: the latest first.

Letters: B rows, I items.
"""

import numpy as np

from components.ranking.history import History
from components.ranking.sources.context import Context, strongest

REASONS = ("wrote_weeks", "wrote_since", "intent", "common_acquaintances")


def candidates(context: Context, limit: int) -> np.ndarray:
    """Return keys of the people who acted on the user last."""
    ties = context.history.ties
    return strongest(context, ties.received_last_at, limit) if ties is not None else np.empty(0, dtype=np.int64)


def brings(history: History, items: np.ndarray) -> np.ndarray:
    """Tell which people acted on the user."""
    ties = history.ties
    return np.asarray(ties.received[0, items] > 0) if ties is not None else np.zeros(len(items), dtype=bool)

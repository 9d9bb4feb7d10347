"""Items whose text and image are like what the user chose, which the user never had; also items that nobody chose yet.

Letters: B rows, I items.
"""

import numpy as np

from components.ranking.history import History
from components.ranking.sources.context import Context, strongest

REASONS = ("content", "intent", "category_weeks")
LIKE = 0.5  # the least cosine at which an item that is asked about is called like the history


def candidates(context: Context, limit: int) -> np.ndarray:
    """Return keys of the items whose vectors are nearest to the history's."""
    content = context.history.content
    return strongest(context, content.near, limit, new=True) if content is not None else np.empty(0, dtype=np.int64)


def brings(history: History, items: np.ndarray) -> np.ndarray:
    """Tell which items are like the history."""
    content = history.content
    return np.asarray(content.near[0, items] >= LIKE) if content is not None else np.zeros(len(items), dtype=bool)

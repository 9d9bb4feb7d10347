"""Items that more users had last week than usual, whoever the user is.

Letters: B rows, I items.
"""

import numpy as np

from components.ranking.sources.context import Context
from components.ranking.sources.fitted import best_of, claims_none

REASONS = ("popular_share", "intent")
FLOOR = 1e-3  # added to shares: of items that few users have, a rise is chance
brings = claims_none


def candidates(context: Context, limit: int) -> np.ndarray:
    """Return keys of the items whose share rose most, for what it usually varies by."""
    state = context.catalogue.state
    rise = (state["share_1w"] - state["share_slow"]) / np.sqrt(state["share_slow"] + FLOOR)  # [I]
    return best_of(context, np.broadcast_to(rise, context.taken.shape), limit)

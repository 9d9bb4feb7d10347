"""Items near the user in factors that were learnt by pairwise ranking (BPR: Rendle et al., 2009).

A user is the weighted mean of factors of what the history holds (as in FISM), not a vector of its own: so a history
that moves is folded in at once, and nobody's vector is kept. bpr_fit.py learns the factors with torch.

Letters: I items, D factors.
"""

import numpy as np

from components.ranking.history import History
from components.ranking.neighbours import Arrays
from components.ranking.sources.context import Context
from components.ranking.sources.fitted import Known, best_of, claims_none, lift, scored, weights
from feature_repo.rows import UserRows

REASONS = ("near_history", "intent", "category_weeks")
brings = claims_none


def fit(rows: UserRows, n_items: int) -> Arrays:
    """Learn the factors."""
    from components.ranking import bpr_fit

    return bpr_fit.learn(weights(rows, n_items))


def scores(history: History) -> np.ndarray:
    """Score items by how many times likelier than chance they are."""
    return scored(history, "bpr", lambda arrays: len(arrays["bias"]), _of_one)


def _of_one(arrays: Arrays, one: Known) -> np.ndarray:
    weight = np.log1p(np.maximum(one.slow, 0))
    if not len(weight) or weight.sum() <= 0:
        return np.zeros(len(arrays["bias"]))
    user = (weight / weight.sum()) @ arrays["history"][one.item].astype(np.float64)
    return lift(arrays["factors"] @ user + arrays["bias"])


def candidates(context: Context, limit: int) -> np.ndarray:
    """Return keys of the items that are likeliest."""
    return best_of(context, scores(context.history), limit)

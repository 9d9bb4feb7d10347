"""Items that a linear model of items upon items predicts (EASE: Steck, 2019), of the items that most users had.

The model's matrix has a closed form, whose cost grows with the cube of the items: those beyond the `HEAD` that most
users had are left out. The strongest `KEPT` weights that predict from each item are kept.

Letters: U users, I items, H items of the model, K weights of an item.
"""

import numpy as np

from components.ranking.history import History
from components.ranking.neighbours import Arrays
from components.ranking.sources.context import Context
from components.ranking.sources.fitted import Known, best_of, claims_none, scored, weights
from feature_repo.rows import UserRows

REASONS = ("near_history", "intent", "category_weeks")
HEAD, KEPT = 3000, 100
REGULARISATION = 100.0
brings = claims_none


def fit(rows: UserRows, n_items: int) -> Arrays:
    """Solve for the weights of each item of the head upon the others."""
    liked = weights(rows, n_items)
    users = np.asarray((liked > 0).sum(axis=0)).ravel()
    head = np.sort(np.lexsort((np.arange(n_items), -users))[: min(HEAD, n_items)])
    mine = liked[:, head]
    gram = np.asarray((mine.T @ mine).todense(), dtype=np.float64)  # [H, H]
    inverse = np.linalg.inv(gram + REGULARISATION * np.eye(len(head)))
    weight = -inverse / np.diag(inverse)  # [H, H]: from the row's item to the column's
    np.fill_diagonal(weight, 0.0)
    kept = min(KEPT, len(head))
    found = np.argsort(-weight, axis=1, kind="stable")[:, :kept]  # [H, K]
    place = np.full(n_items, -1, dtype=np.int32)
    place[head] = np.arange(len(head))
    value = np.maximum(np.take_along_axis(weight, found, axis=1), 0.0)
    return {"place": place, "items": head[found].astype(np.int32), "weights": value.astype(np.float32)}


def scores(history: History) -> np.ndarray:
    """Score items by what the history's items say of them."""
    return scored(history, "ease", lambda arrays: len(arrays["place"]), _of_one)


def _of_one(arrays: Arrays, one: Known) -> np.ndarray:
    place = arrays["place"][one.item]
    at, weight = place[place >= 0], np.log1p(np.maximum(one.slow[place >= 0], 0))
    mass = weight[:, None] * arrays["weights"][at]
    return np.bincount(arrays["items"][at].ravel(), mass.ravel(), minlength=len(arrays["place"]))


def candidates(context: Context, limit: int) -> np.ndarray:
    """Return keys of the items that are predicted most."""
    return best_of(context, scores(context.history), limit)

"""Items popular among the users of the user's segment, weighed by how lately they had them.

Letters: U users, I items, S segments.
"""

import numpy as np

from components.ranking.history import History
from components.ranking.neighbours import Arrays
from components.ranking.sources.context import Context
from components.ranking.sources.fitted import Known, best_of, claims_none, scored, weights
from feature_repo import columns
from feature_repo.rows import UserRows

REASONS = ("popular_share", "intent", "category_weeks")
LEAST = 10  # users of a segment: what fewer had says who they are
brings = claims_none


def fit(rows: UserRows, n_items: int) -> Arrays:
    """Average the weights of each segment's users; a segment of few users gets those of all."""
    segment = rows.numbers[columns.SEGMENT].astype(np.int64)
    liked = weights(rows, n_items)
    everyone = np.asarray(liked.mean(axis=0)).ravel() if len(rows) else np.zeros(n_items)
    shares = np.tile(everyone, (int(segment.max(initial=0)) + 2, 1))  # the last: a segment that nobody was in
    for number in np.unique(segment[segment >= 0]):
        mine = np.flatnonzero(segment == number)
        if len(mine) >= LEAST:
            shares[number] = np.asarray(liked[mine].mean(axis=0)).ravel()
    return {"shares": shares.astype(np.float32)}


def scores(history: History) -> np.ndarray:
    """Score items by the weight that users of the segment give them."""
    return scored(history, "segment_popular", lambda arrays: arrays["shares"].shape[1], _of_one)


def _of_one(arrays: Arrays, one: Known) -> np.ndarray:
    known = 0 <= one.segment < len(arrays["shares"]) - 1
    return np.asarray(arrays["shares"][one.segment if known else -1], dtype=np.float64)


def candidates(context: Context, limit: int) -> np.ndarray:
    """Return keys of the items that the segment has most."""
    return best_of(context, scores(context.history), limit)

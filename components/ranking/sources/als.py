"""Items near the user in the factors of a weighted matrix factorisation (Hu, Koren and Volinsky, 2008).

What a user had is a 1 of a confidence that grows with its decayed weight, all else a 0 of little confidence. Both sides
are solved in turn by a few steps of conjugate gradients, many rows at once. A user is not kept: the history is
folded into the items' factors, exactly, when it is asked about.

Letters: U users, I items, D factors, N entries.
"""

import numpy as np
import scipy.sparse as sp

from components.ranking.history import History
from components.ranking.neighbours import Arrays
from components.ranking.sources.context import Context
from components.ranking.sources.fitted import Known, best_of, claims_none, scored, weights
from feature_repo.rows import UserRows

REASONS = ("near_history", "intent", "category_weeks")
FACTORS, ROUNDS, STEPS = 64, 12, 3
CONFIDENCE = 8.0  # of a weight of 1, beside 1 for all that a user did not have
REGULARISATION = 10.0
BLOCK = 4096  # rows that are solved at once: bounds memory
brings = claims_none


def fit(rows: UserRows, n_items: int) -> Arrays:
    """Factorise users' weights; the users' side is thrown away."""
    liked = weights(rows, n_items)
    count = max(1, min(FACTORS, *liked.shape))
    random = np.random.default_rng(0)
    item = (random.normal(size=(n_items, count)) * 0.1).astype(np.float32)
    user = np.zeros((len(rows), count), dtype=np.float32)
    by_item = liked.T.tocsr()
    for _ in range(ROUNDS):
        user, item = _solved(liked, user, item), _solved(by_item, item, user)
    return {"factors": item, "gram": (item.T.astype(np.float64) @ item).astype(np.float64)}


def _solved(liked: sp.csr_matrix, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Move x [U, D] towards (Y'CY + R) x = Y'Cp, a block of rows at once."""
    gram = (y.T @ y + REGULARISATION * np.eye(y.shape[1])).astype(np.float32)
    starts = range(0, liked.shape[0], BLOCK)
    parts = [_block(liked[start : start + BLOCK], x[start : start + BLOCK], y, gram) for start in starts]
    return np.concatenate(parts) if parts else x


def _block(liked: sp.csr_matrix, x: np.ndarray, y: np.ndarray, gram: np.ndarray) -> np.ndarray:
    """Take a few steps of conjugate gradients, from x."""
    more = CONFIDENCE * liked.data  # [N] the confidence beyond 1
    row = np.repeat(np.arange(liked.shape[0]), np.diff(liked.indptr))
    near = y[liked.indices]  # [N, D]

    def gathered(values: np.ndarray) -> np.ndarray:
        return np.asarray(sp.csr_matrix((values, liked.indices, liked.indptr), liked.shape) @ y)

    def times(v: np.ndarray) -> np.ndarray:
        return np.asarray(v @ gram + gathered(np.einsum("nd,nd->n", v[row], near) * more))

    left = gathered((more + 1) * (liked.data > 0)) - times(x)
    step, square = left.copy(), np.einsum("ud,ud->u", left, left)
    for _ in range(STEPS):
        product = times(step)
        length = square / np.maximum(np.einsum("ud,ud->u", step, product), 1e-12)
        x = x + length[:, None] * step
        left = left - length[:, None] * product
        new = np.einsum("ud,ud->u", left, left)
        step, square = left + (new / np.maximum(square, 1e-12))[:, None] * step, new
    return np.asarray(x, dtype=np.float32)


def scores(history: History) -> np.ndarray:
    """Score items by what the factorisation expects of them."""
    return scored(history, "als", lambda arrays: len(arrays["factors"]), _of_one)


def _of_one(arrays: Arrays, one: Known) -> np.ndarray:
    y = arrays["factors"]
    if not len(one.item):
        return np.zeros(len(y))
    mine, more = y[one.item].astype(np.float64), CONFIDENCE * np.log1p(np.maximum(one.slow, 0))
    left = arrays["gram"] + REGULARISATION * np.eye(y.shape[1]) + (mine.T * more) @ mine
    return np.asarray(y @ np.linalg.solve(left, mine.T @ (1 + more)))


def candidates(context: Context, limit: int) -> np.ndarray:
    """Return keys of the items that are expected most."""
    return best_of(context, scores(context.history), limit)

"""Items that users with histories like this one have: user neighbours, as groups, so that no user's row is kept.

The idea of TIFU-KNN (Hu et al., SIGIR 2020) and UP-CF: a user's decayed weights, blended with the mean of the near
users'. Near users are whole groups: users are grouped by their factors, and the groups nearest to the user count
until `NEAR` users are in. The decay is by time, not by basket; counts are taken as they are, since their logarithms
ordered repeats worse in a validation week of the grocery (NDCG@10 .285 instead of .289). A group of fewer than `LEAST`
users is left out.

Letters: U users, I items, G groups, D factors.
"""

import numpy as np
import scipy.sparse as sp

from components.ranking.history import History
from components.ranking.neighbours import Arrays
from components.ranking.sources.context import Context
from components.ranking.sources.fitted import Known, best_of, claims_none, counts, scored
from feature_repo.rows import UserRows

REASONS = ("near_history", "intent", "category_weeks")
FACTORS, USERS_A_GROUP, MOST_GROUPS, LEAST = 32, 20, 256, 5
NEAR = 300  # users
OWN = 0.7  # share of the user's own weights in the score
brings = claims_none


def fit(rows: UserRows, n_items: int) -> Arrays:
    """Group users by the factors of their weights; keep each group's mean weights and size."""
    return grouped(_unit(rows, n_items))


def grouped(liked: sp.csr_matrix) -> Arrays:
    """Group users by the factors of their weights [U, I], whose scale is one for all of them."""
    from sklearn.cluster import KMeans
    from sklearn.utils.extmath import randomized_svd

    n_items = liked.shape[1]
    rank = min(FACTORS, *liked.shape)
    if not liked.nnz or rank < 1:
        return _arrays(np.zeros((n_items, 1)), np.zeros((0, n_items)), np.zeros(0))
    basis = randomized_svd(liked, rank, n_iter=4, random_state=0)[2].T  # [I, D]
    groups = max(1, min(MOST_GROUPS, liked.shape[0] // USERS_A_GROUP))
    member = KMeans(groups, n_init=1, max_iter=20, random_state=0).fit_predict(np.asarray(liked @ basis))
    sizes = np.bincount(member, minlength=groups)
    kept = np.flatnonzero(sizes >= LEAST)
    means = np.stack([np.asarray(liked[member == g].mean(axis=0)).ravel() for g in kept] or [np.zeros(n_items)])
    return _arrays(basis, means[: len(kept)], sizes[kept])


def _arrays(basis: np.ndarray, means: np.ndarray, sizes: np.ndarray) -> Arrays:
    return {
        "basis": basis.astype(np.float32),  # [I, D]
        "means": means.astype(np.float32),  # [G, I]
        "centres": (means @ basis).astype(np.float32),  # [G, D]
        "sizes": sizes.astype(np.int32),
    }


def _unit(rows: UserRows, n_items: int) -> sp.csr_matrix:
    """Weigh each user's items by the share of their largest decayed count."""
    liked = counts(rows, n_items)
    largest = np.maximum(np.asarray(liked.max(axis=1).todense()).ravel(), 1e-9) if liked.nnz else np.ones(len(rows))
    return liked.multiply(1 / largest[:, None]).tocsr()


def scores(history: History) -> np.ndarray:
    """Score items by the user's own weights and the near groups'; also what the user had."""
    return scored(history, "users", lambda arrays: len(arrays["basis"]), _of_one)


def _of_one(arrays: Arrays, one: Known) -> np.ndarray:
    own = np.zeros(len(arrays["basis"]))
    weight = np.maximum(one.slow, 0)
    if not len(weight) or weight.max() <= 0 or not len(arrays["sizes"]):
        own[one.item] = weight
        return own
    return blended(arrays, one.item, weight / weight.max(), own=OWN)


def blended(arrays: Arrays, item: np.ndarray, weight: np.ndarray, *, own: float) -> np.ndarray:
    """Blend a user's own weights of items [E], on the scale of the fit, with the means of the near groups, [I].

    `own` is the share of the first, 0..1.
    """
    mine = np.zeros(len(arrays["basis"]))
    mine[item] = weight
    place = weight @ arrays["basis"][item].astype(np.float64)  # [D]
    far = np.round(((arrays["centres"] - place) ** 2).sum(axis=1), 6)
    order = np.argsort(far, kind="stable")
    before = np.cumsum(arrays["sizes"][order]) - arrays["sizes"][order]
    near = order[before < NEAR]
    share = arrays["sizes"][near] / arrays["sizes"][near].sum()
    return np.asarray(own * mine + (1 - own) * (share @ arrays["means"][near].astype(np.float64)))


def candidates(context: Context, limit: int) -> np.ndarray:
    """Return keys of the items that near users have most and this one never had."""
    return best_of(context, scores(context.history), limit)

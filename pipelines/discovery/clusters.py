"""Groups of like vectors, and how surely they are there: principal components, then K-means or HDBSCAN.

Stability is Hennig's (2007): groups are found again among the behaviours of four users in five, and each group counts
the best Jaccard overlap with one found again, on the average over draws. Below a half a group comes and goes.

Letters: N vectors, D components, K groups.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

COMPONENTS = 30
NOISE = -1
TRIED = (2, 3, 4, 6, 8, 12, 16, 24, 32, 40)  # of K-means, where nobody says how many
MOST = {"kmeans": 20_000, "hdbscan": 6_000}  # vectors that groups are found in; HDBSCAN's distances are quadratic
SILHOUETTE_ROWS = 2_000
DRAWS, DRAWN = 5, 0.8  # of the stability
Method = Literal["kmeans", "hdbscan"]


@dataclass(frozen=True)
class Groups:
    """Which group each vector belongs to."""

    label: np.ndarray  # [N] int64; -1: none
    stability: np.ndarray  # [K] 0..1

    def __len__(self) -> int:
        return len(self.stability)


def grouped(
    vectors: np.ndarray, user: np.ndarray, *, method: Method, wanted: int | None, least: int, seed: int = 0
) -> Groups:
    """Group vectors [N, D] of users [N]; `wanted` groups, None: as many as the data tell apart; none below `least`."""
    reduced = components(vectors)
    number = wanted or (_told_apart(reduced, least=least, seed=seed) if method == "kmeans" else None)
    label = _labels(reduced, method, number, least=least, seed=seed)
    return Groups(label, _stability(reduced, user, label, method, number, least=least, seed=seed))


def components(vectors: np.ndarray) -> np.ndarray:
    """Return the first principal components of vectors, float64 [N, min(30, N, D)]."""
    from sklearn.decomposition import PCA

    most = min(COMPONENTS, *vectors.shape)
    return np.asarray(PCA(most, svd_solver="full").fit_transform(vectors.astype(np.float64)))


def _labels(reduced: np.ndarray, method: Method, number: int | None, *, least: int, seed: int) -> np.ndarray:
    if method == "hdbscan":
        from sklearn.cluster import HDBSCAN

        return np.asarray(HDBSCAN(min_cluster_size=max(least, 2), copy=True).fit_predict(reduced), dtype=np.int64)
    from sklearn.cluster import KMeans

    found = KMeans(min(number or 1, len(reduced)), n_init=4, random_state=seed).fit_predict(reduced)
    return np.asarray(found, dtype=np.int64)


def _told_apart(reduced: np.ndarray, *, least: int, seed: int) -> int:
    """Return the number of groups with the best mean silhouette.

    Each distinct vector counts once: copies of one are a group of their own, and tell nothing of how many there are.
    """
    from sklearn.metrics import silhouette_score

    distinct = np.unique(reduced.round(6), axis=0)
    some = np.random.default_rng(seed).permutation(len(distinct))[:SILHOUETTE_ROWS]
    best, chosen = -1.0, 1
    for number in TRIED:
        if number * least > len(reduced) or 2 * number > len(distinct):
            break
        label = _labels(distinct, "kmeans", number, least=least, seed=seed)[some]
        if not 1 < len(np.unique(label)) < len(some):
            continue
        if (score := float(silhouette_score(distinct[some], label))) > best:
            best, chosen = score, number
    return chosen


def _stability(
    reduced: np.ndarray,
    user: np.ndarray,
    label: np.ndarray,
    method: Method,
    number: int | None,
    *,
    least: int,
    seed: int,
) -> np.ndarray:
    groups = int(label.max(initial=NOISE)) + 1
    rng, found = np.random.default_rng(seed), np.zeros((DRAWS, groups))
    for draw in range(DRAWS):
        kept = np.flatnonzero(rng.random(int(user.max()) + 1)[user] < DRAWN)
        again = _labels(reduced[kept], method, number, least=max(2, int(least * DRAWN)), seed=seed + draw + 1)
        found[draw] = overlaps(label[kept], again, groups)
    return np.asarray(found.mean(axis=0))


def overlaps(label: np.ndarray, again: np.ndarray, groups: int) -> np.ndarray:
    """Return the best Jaccard overlap of each of the groups with one found again, [K]; noise is no group.

    >>> overlaps(np.array([0, 0, 1, 1, -1]), np.array([1, 1, 0, -1, -1]), 2).tolist()
    [1.0, 0.5]
    """
    best = np.zeros(groups)
    for one in range(groups):
        mine = label == one
        others = [again == other for other in np.unique(again[mine]) if other != NOISE]
        best[one] = max((float((mine & other).sum() / (mine | other).sum()) for other in others), default=0.0)
    return best

"""Segments: users grouped by the mix of their targets. Fitted on training weeks, assigned at every cutoff."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from components.profiles.spec import Segments
from feature_repo.rows import Ragged


@dataclass(frozen=True)
class Segmentation:
    """Fitted centroids [K, C] over target mixes, and a name for each from the targets that stand out."""

    centroids: np.ndarray
    names: tuple[str, ...]
    sizes: tuple[int, ...]

    def assign(self, mix: np.ndarray) -> np.ndarray:
        """Return the nearest segment of each mix [B, C], int64 [B]."""
        distance = (self.centroids**2).sum(1) - 2 * mix @ self.centroids.T  # [B, K], up to a constant per row
        return np.asarray(distance.argmin(1), dtype=np.int64)

    def as_dict(self) -> dict[str, object]:
        """Return it as JSON can hold it."""
        return {"names": list(self.names), "sizes": list(self.sizes), "centroids": self.centroids.round(6).tolist()}


def mixes(ids: Ragged, weights: Ragged, *, targets: int) -> np.ndarray:
    """Return each user's decayed target weights as a unit vector, [B, C].

    >>> ids = Ragged(np.array([0, 1, 1]), np.array([0, 2, 3]))
    >>> mixes(ids, Ragged(np.array([3.0, 4.0, 2.0]), ids.offsets), targets=2)
    array([[0.6, 0.8],
           [0. , 1. ]])
    """
    dense = np.zeros((len(ids.offsets) - 1, targets))
    dense[ids.row_of_value(), ids.values] = weights.values
    norm = np.linalg.norm(dense, axis=1, keepdims=True)
    return dense / np.where(norm == 0, 1, norm)


def fit(mix: np.ndarray, names: Sequence[str], spec: Segments) -> Segmentation:
    """Fit K-means on mixes [B, C]; fewer users than segments gives a segment a user."""
    from sklearn.cluster import KMeans

    k = min(spec.k, len(mix))
    model = KMeans(n_clusters=k, n_init=4, random_state=0).fit(mix)
    sizes = np.bincount(model.labels_, minlength=k)
    order = np.argsort(-sizes, kind="stable")  # segment 0 is the largest
    centroids = model.cluster_centers_[order]
    return Segmentation(centroids, _names(centroids, mix.mean(0), names), tuple(int(s) for s in sizes[order]))


def _names(centroids: np.ndarray, overall: np.ndarray, names: Sequence[str], *, words: int = 3) -> tuple[str, ...]:
    """Name each centroid by the targets whose weight exceeds the average user's most."""
    lift = centroids - overall
    return tuple(
        ", ".join(names[i].split(":", 1)[-1].lower() for i in np.argsort(-row, kind="stable")[:words]) for row in lift
    )

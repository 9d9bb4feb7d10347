"""Principal components of the profile's numbers: what a network sees instead of them, fitted on training rows.

Numbers are standardised first, since their units differ. The matrix becomes a frozen part of the network beside mean
and scale (`model.py`), so whatever encodes a row for the network projects it alike: training, batch and door.

Pure numpy: no file, no torch. Memory is bounded by `CHUNK` rows.

Letters: R rows, P numbers, N components.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from feature_repo.dropped_features import Reduction
from feature_repo.errors import DataError

CHUNK = 8192  # rows
LEAST_SPREAD = 1e-3  # of a number, below which it says nothing
LEAST_SHARE = 1e-9  # of the variance of all, below which a component is rounding
TOLD = 5  # numbers that a component is told by


@dataclass(frozen=True)
class Projection:
    """Standardise by mean and scale, then multiply by the matrix."""

    mean: np.ndarray  # [P]
    scale: np.ndarray  # [P], 0 where a number never changes
    matrix: np.ndarray  # [P, N], columns of length 1, the one that holds most variance first
    shares: np.ndarray  # [N] of the variance
    notes: tuple[str, ...] = ()  # where the outcome is not what was asked

    def document(self, names: Sequence[str], asked: Reduction) -> dict[str, Any]:
        """Return what the model's folder holds of it; components are told by the numbers that weigh most in them."""
        return {
            "method": "pca",
            "asked": asked.components,
            "numbers": list(names),
            "components": [
                {"share": round(float(share), 6), "loadings": _strongest(names, weights)}
                for share, weights in zip(self.shares, self.matrix.T, strict=True)
            ],
            "share": round(float(self.shares.sum()), 6),
            "notes": list(self.notes),
        }


def fit(values: np.ndarray, asked: Reduction, *, names: Sequence[str], weight: np.ndarray | None = None) -> Projection:
    """Find the principal components of the numbers [R, P]; a row counts `weight` [R] times.

    >>> line = np.array([[1.0, 10.0, 3.0], [2.0, 20.0, 3.0], [3.0, 30.0, 3.0]])
    >>> found = fit(line, Reduction(0.9), names=["a", "b", "flat"])
    >>> found.matrix.round(4).tolist(), found.shares.tolist()
    ([[0.7071], [0.7071], [0.0]], [1.0])
    """
    _require_finite(values, names)
    mean, covariance = _moments(values, weight)
    spread = np.sqrt(np.diag(covariance))
    scale = np.where(spread > LEAST_SPREAD, 1 / np.maximum(spread, LEAST_SPREAD), 0.0)
    if not scale.any():
        raise DataError(
            f"profiles.reduce: none of {len(names)} numbers of the profile changes in training rows; take reduce out"
        )
    variance, axes = np.linalg.eigh(covariance * scale * scale[:, None])  # ascending
    shares, axes = variance[::-1] / variance.sum(), axes[:, ::-1]
    most = int((shares > LEAST_SHARE).sum())
    wanted = asked.components if isinstance(asked.components, int) else _reaching(shares, asked.components)
    n = min(wanted, most)
    notes = (f"components {wanted} is above the {most} that the numbers have; these stay",) if wanted > most else ()
    matrix = axes[:, :n] * (scale > 0)[:, None]
    largest = np.abs(matrix).round(9).argmax(axis=0)
    matrix = matrix * np.sign(matrix[largest, np.arange(n)])  # else the sign is the library's whim
    return Projection(mean, scale, matrix, shares[:n], notes)


def _require_finite(values: np.ndarray, names: Sequence[str]) -> None:
    bad = (~np.isfinite(values)).sum(axis=0)  # [P]
    if bad.any():
        worst = int(bad.argmax())
        raise DataError(
            f"profiles.reduce: {names[worst]} is not finite in {bad[worst]} of {len(values)} training rows, and every "
            "component would hold it; mend the source, or take reduce out"
        )


def _moments(values: np.ndarray, weight: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return mean [P] and covariance [P, P] of the numbers, float64."""
    often = np.ones(len(values)) if weight is None else weight.astype(np.float64)
    starts = range(0, len(values), CHUNK)
    mean = np.zeros(values.shape[1])
    for at in starts:
        mean += often[at : at + CHUNK] @ values[at : at + CHUNK].astype(np.float64)
    mean /= often.sum()
    covariance = np.zeros((len(mean), len(mean)))
    for at in starts:
        centred = values[at : at + CHUNK] - mean
        covariance += (centred * often[at : at + CHUNK, None]).T @ centred
    return mean, covariance / often.sum()


def _reaching(shares: np.ndarray, wanted: float) -> int:
    """Return how many components keep a share of the variance.

    >>> _reaching(np.array([0.6, 0.3, 0.1]), 0.9), _reaching(np.array([0.6, 0.3, 0.1]), 0.91)
    (2, 3)
    """
    return int(np.searchsorted(np.cumsum(shares), wanted - LEAST_SHARE)) + 1


def _strongest(names: Sequence[str], weights: np.ndarray) -> dict[str, float]:
    order = np.argsort(-np.abs(weights), kind="stable")[:TOLD]
    return {names[p]: round(float(weights[p]), 4) for p in order if weights[p]}

"""Gradient-boosted trees in the intent network's place: one forest for all pairs of a user and a target, in numpy.

`boosting.py` grows it; here it answers, from arrays of nodes, so that a door needs neither torch nor the library that
grew the trees. Saved as a network is: safetensors and JSON. A forest without a tree says the personal decayed rate, as
an untrained network does.

Letters: B users, C targets, F numbers a target, P numbers a user, X columns of a pair, N trees, M nodes, K splits by
category, n pairs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import expit

from components.intent.encode import Encoded
from components.intent.numpy_net import CONFIG, WEIGHTS, shape_of
from components.intent.shape import Shape
from feature_repo import files

MOST_CELLS = 255  # targets that trees tell apart one by one; more share cells with those of a like rate
AT_ONCE = 400_000  # pairs times trees that are walked together: bounds memory


@dataclass(frozen=True)
class Forest:
    """Give every user a probability for every target."""

    shape: Shape
    weights: Mapping[str, np.ndarray]

    def probabilities(self, encoded: Encoded) -> np.ndarray:
        """Return the probability of each target for encoded rows, float32 [B, C]."""
        if not len(self.weights["roots"]):
            return np.asarray(expit(encoded.frequency[:, :, 0].astype(np.float32)))
        B, C = encoded.frequency.shape[:2]
        logits = np.empty(B * C)
        step = max(AT_ONCE // (C * len(self.weights["roots"])), 1)
        for start in range(0, B, step):
            index = np.arange(start, min(start + step, B))
            logits[start * C : (start + len(index)) * C] = self.logits(self.pairs(encoded.take(index)))
        return np.asarray(expit(logits.reshape(B, C)), dtype=np.float32)

    def pairs(self, encoded: Encoded) -> np.ndarray:
        """Return the columns of all pairs, float32 [B * C, X]; the first two are categories."""
        B, C = encoded.frequency.shape[:2]
        row, target = np.repeat(np.arange(B), C), np.tile(np.arange(C), B)
        return columns_of(encoded, row, target, weights=self.weights, segments=self.shape.segments)

    def logits(self, x: np.ndarray) -> np.ndarray:
        """Walk all trees with the columns of pairs [n, X], float64 [n]."""
        w, n = self.weights, len(x)
        roots = w["roots"]
        node = np.tile(roots, n)  # [n * N]
        base = np.repeat(np.arange(n, dtype=np.int64) * x.shape[1], len(roots))  # where a pair's columns begin
        flat, walking = x.ravel(), np.arange(len(node))
        while len(walking):
            at = node[walking]
            value = flat[base[walking] + w["column"][at]]
            left = np.where(np.isnan(value), w["missing_left"][at], value <= w["threshold"][at])
            by_category = w["split"][at]  # -1: by a threshold
            some = np.flatnonzero(by_category >= 0)
            left[some] = w["goes_left"][by_category[some], value[some].astype(np.int64)]
            node[walking] = np.where(left, w["left"][at], w["right"][at])
            walking = walking[w["left"][node[walking]] >= 0]
        summed: np.ndarray = w["baseline"] + w["value"][node].reshape(n, len(roots)).sum(axis=1)
        return summed

    def save(self, folder: Path) -> None:
        """Write it into an existing folder as a network is written."""
        from safetensors.numpy import save_file

        save_file({name: np.ascontiguousarray(values) for name, values in self.weights.items()}, folder / WEIGHTS)
        (folder / WEIGHTS).chmod(0o644)  # safetensors makes it the owner's own; another user may serve it
        files.write_json(folder / CONFIG, {"network": self.shape.document()})

    @classmethod
    def load(cls, folder: Path) -> "Forest":
        """Read what `save` wrote."""
        from safetensors.numpy import load_file

        return cls(shape_of(folder), load_file(folder / WEIGHTS))


def columns_of(
    encoded: Encoded, row: np.ndarray, target: np.ndarray, *, weights: Mapping[str, np.ndarray], segments: int
) -> np.ndarray:
    """Return the columns of pairs, float32 [n, X]: segment, the target's cell, numbers of the target, of the user."""
    profile = encoded.profile.astype(np.float32, copy=False)
    if "profile_matrix" in weights:  # trees need no common scale, components do
        profile = ((profile - weights["profile_mean"]) * weights["profile_scale"]) @ weights["profile_matrix"]
    segment = np.where(encoded.segment > segments, 0, encoded.segment)  # a new segment is unknown
    categories = [np.minimum(segment, MOST_CELLS - 1)[row], weights["cell"][target]]
    return np.column_stack([*categories, encoded.frequency[row, target], profile[row]]).astype(np.float32)


def cells(rate: np.ndarray) -> np.ndarray:
    """Return the category that trees know each target by, int32 [C]: itself, or one of those with a like rate.

    >>> cells(np.array([0.1, 0.9])).tolist(), len(np.unique(cells(np.arange(1000) / 1000)))
    ([0, 1], 255)
    """
    if len(rate) <= MOST_CELLS:
        return np.arange(len(rate), dtype=np.int32)
    order = np.argsort(np.argsort(rate, kind="stable"))
    return np.asarray(order * MOST_CELLS // len(rate), dtype=np.int32)

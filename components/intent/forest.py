"""Gradient-boosted trees in the intent network's place: one forest for all pairs of a user and a target, in numpy.

`boosting.py` grows it; here it answers, from arrays of nodes, so that a door needs neither torch nor the library that
grew the trees. Saved as a network is: safetensors and JSON. A forest without a tree says the personal decayed rate, as
an untrained network does.

Letters: B users, C targets, F numbers a target, P numbers a user, X columns of a pair, N trees, M nodes, K splits by
category, n pairs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy.special import expit

from components.intent.encode import Encoded
from components.intent.forest_pruned import Pruned
from components.intent.numpy_net import CONFIG, WEIGHTS, shape_of
from components.intent.shape import Shape
from components.leaf_tables import Tables
from feature_repo import files

CATEGORIES = 2  # columns, the first ones: the segment, and the target's cell
SEGMENT, TARGET = range(CATEGORIES)
MOST_CELLS = 255  # targets that trees tell apart one by one; more share cells with those of a like rate
AT_ONCE = 60_000  # pairs times trees that are walked together: bounds memory, and stays in the cache


@dataclass(frozen=True)
class _Walk:
    """Trees as one table: from node to node by one comparison, whether a split is by a number or by a category."""

    column: np.ndarray  # [M] of the value that is compared, a category's splits behind the X columns
    threshold: np.ndarray  # [M] beyond which the way is right; infinite at leaves
    child: np.ndarray  # [2 M] left and right of each node; a leaf's is itself
    goes_right: tuple[np.ndarray, ...]  # by category column: by its value 1 where a split sends it right, [256, K']
    depth: int


@dataclass(frozen=True)
class Forest:
    """Give every user a probability for every target."""

    shape: Shape
    weights: Mapping[str, np.ndarray]

    def probabilities(self, encoded: Encoded) -> np.ndarray:
        """Return the probability of each target for encoded rows, float32 [B, C]."""
        if not len(self.weights["roots"]):
            return np.asarray(expit(encoded.frequency[:, :, 0].astype(np.float32)))
        if self._pruned is not None and not np.isnan(encoded.frequency).any():
            return np.asarray(expit(self._by_user(encoded, self._pruned)), dtype=np.float32)
        B, C = encoded.frequency.shape[:2]
        logits = np.empty((B, C))
        step = max(AT_ONCE // (C * len(self.weights["roots"])), 1)
        for start in range(0, B, step):
            part = encoded.take(np.arange(start, min(start + step, B)))
            logits[start : start + len(part)] = self.logits(self.pairs(part)).reshape(len(part), C)
        return np.asarray(expit(logits), dtype=np.float32)

    def of_target(self, encoded: Encoded, target: int) -> np.ndarray:
        """Return the probability of one target for encoded rows, float32 [B], at a share of the cost of all."""
        B = len(encoded)
        if not len(self.weights["roots"]):
            return self.probabilities(encoded)[:, target]
        row, of = np.arange(B), np.full(B, target)
        x = columns_of(encoded, row, of, weights=self.weights, segments=self.shape.segments)
        return np.asarray(expit(self.logits(x)), dtype=np.float32)

    def _by_user(self, encoded: Encoded, pruned: Pruned) -> np.ndarray:
        """Return the log odds of all pairs [B, C], user by user."""
        frequency = encoded.frequency.astype(np.float32, copy=False)
        segments, numbers = of_users(encoded, weights=self.weights, segments=self.shape.segments)
        logits = np.empty(frequency.shape[:2])
        for row, own in enumerate(zip(segments.tolist(), numbers.tolist(), strict=True)):
            logits[row] = pruned.logits(*own, frequency[row])
        logits += self.weights["baseline"]
        return logits

    def pairs(self, encoded: Encoded) -> np.ndarray:
        """Return the columns of all pairs, float32 [B * C, X]; the first two are categories."""
        B, C = encoded.frequency.shape[:2]
        row, target = np.repeat(np.arange(B), C), np.tile(np.arange(C), B)
        return columns_of(encoded, row, target, weights=self.weights, segments=self.shape.segments)

    def logits(self, x: np.ndarray) -> np.ndarray:
        """Return the log odds of pairs by their columns [n, X], float64 [n]."""
        if self._tables is None:
            return self._walked(x)
        return np.asarray(self.weights["baseline"] + self._tables.told(x))

    def _walked(self, x: np.ndarray) -> np.ndarray:
        """Walk all trees with the columns of pairs [n, X], float64 [n]: of trees with more leaves than tables have."""
        w, walk, n = self.weights, self._walk, len(x)
        roots = w["roots"]
        told = [goes.take(x[:, c].astype(np.intp), axis=0) for c, goes in enumerate(walk.goes_right)]
        wide = np.concatenate([x, *told], axis=1)  # [n, X + K]: a split by category is one by a threshold, too
        flat, base = wide.ravel(), np.repeat(np.arange(n) * wide.shape[1], len(roots))  # where a pair's columns begin
        lacking = np.isnan(x).any()
        node = np.tile(roots.astype(np.intp), n)  # [n * N]
        for _ in range(walk.depth):
            value = flat.take(base + walk.column.take(node))
            beyond = value > walk.threshold.take(node)
            if lacking:
                beyond = np.where(np.isnan(value), ~w["missing_left"].take(node), beyond)
            node = walk.child.take(2 * node + beyond)
        summed: np.ndarray = w["baseline"] + w["value"].take(node).reshape(n, len(roots)).sum(axis=1)
        return summed

    @cached_property
    def _tables(self) -> Tables | None:
        """The trees as tables, made once; None where their leaves are too many."""
        return Tables.of(self.weights)

    @cached_property
    def _pruned(self) -> Pruned | None:
        """The tables as the targets of one user are asked about them, made once."""
        if self._tables is None:
            return None
        own = CATEGORIES + self.shape.frequency
        return Pruned.of(
            self._tables,
            self.weights["cell"],
            segment=SEGMENT,
            target=TARGET,
            numbers=range(CATEGORIES, own),
            own=range(own, own + self.shape.user_inputs),
        )

    @cached_property
    def _walk(self) -> "_Walk":
        """How trees are walked, made once."""
        w = self.weights
        split, here = w["split"], np.arange(len(w["split"]))
        inner = w["left"] >= 0
        by_category = split >= 0
        place = np.zeros(len(split), dtype=np.intp)  # of a split's column in what the walk reads
        X, goes_right = CATEGORIES + self.shape.frequency + self.shape.user_inputs, []
        for c in range(CATEGORIES):
            mine = np.flatnonzero(by_category & (w["column"] == c))
            place[mine] = X + np.arange(len(mine))
            X += len(mine)
            goes_right.append(np.ascontiguousarray(~w["goes_left"][split[mine]].T, dtype=np.float32))  # [256, K']
        child = np.where(inner[:, None], np.stack([w["left"], w["right"]], axis=1), here[:, None])  # a leaf stays
        depth, at = 0, np.unique(w["roots"])
        while inner[at].any():
            depth, at = depth + 1, np.unique(child[at])
        return _Walk(
            column=np.where(by_category, place, w["column"]).astype(np.intp),
            threshold=np.where(inner, np.where(by_category, 0.5, w["threshold"]), np.inf),
            child=child.ravel().astype(np.intp),
            goes_right=tuple(goes_right),
            depth=depth,
        )

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
    segment, numbers = of_users(encoded, weights=weights, segments=segments)
    categories = [segment[row], weights["cell"][target]]
    return np.column_stack([*categories, encoded.frequency[row, target], numbers[row]]).astype(np.float32)


def of_users(encoded: Encoded, *, weights: Mapping[str, np.ndarray], segments: int) -> tuple[np.ndarray, np.ndarray]:
    """Return what all pairs of a user share: the segment as a category, [B], and the numbers, float32 [B, P]."""
    profile = encoded.profile.astype(np.float32, copy=False)
    if "profile_matrix" in weights:  # trees need no common scale, components do
        profile = ((profile - weights["profile_mean"]) * weights["profile_scale"]) @ weights["profile_matrix"]
    segment = np.where(encoded.segment > segments, 0, encoded.segment)  # a new segment is unknown
    return np.minimum(segment, MOST_CELLS - 1), profile.astype(np.float32, copy=False)


def cells(rate: np.ndarray) -> np.ndarray:
    """Return the category that trees know each target by, int32 [C]: itself, or one of those with a like rate.

    >>> cells(np.array([0.1, 0.9])).tolist(), len(np.unique(cells(np.arange(1000) / 1000)))
    ([0, 1], 255)
    """
    if len(rate) <= MOST_CELLS:
        return np.arange(len(rate), dtype=np.int32)
    order = np.argsort(np.argsort(rate, kind="stable"))
    return np.asarray(order * MOST_CELLS // len(rate), dtype=np.int32)

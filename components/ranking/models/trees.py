"""Boosted trees as arrays: what `lambdamart` trained, served without the library that trained it.

They are asked by tables of their leaves (components/leaf_tables.py), which are made once; trees of more leaves than
those hold step down together, one level at a time. A leaf is a child below 0. A number that is none is read as 0.

Letters: N candidates, F features, T trees, S splits and L leaves of the largest tree.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
from safetensors.numpy import load_file, save_file

from components.leaf_tables import Tables
from components.ranking.models import TREES
from components.ranking.numpy_net import FILE

AT_ONCE = 60_000  # candidates times trees that are asked together: bounds memory, and stays in the cache


@dataclass(frozen=True)
class Trees:
    """Features [N, F] to scores [N]; only scores of one list compare."""

    feature: np.ndarray  # [T, S] int32
    threshold: np.ndarray  # [T, S] float64: at most this goes left
    left: np.ndarray  # [T, S] int32: a split, or -1 - leaf
    right: np.ndarray  # [T, S] int32
    value: np.ndarray  # [T, L] float64
    architecture: ClassVar[str] = TREES
    width: ClassVar[int] = 0
    dropout: ClassVar[float] = 0.0

    def score(self, features: np.ndarray) -> np.ndarray:
        """Score features [N, F], float32 [N]."""
        ask = self._walked if self._tables is None else self._tables.told
        step = max(AT_ONCE // max(len(self.value), 1), 1)
        parts = [ask(features[start : start + step]) for start in range(0, len(features), step)]
        return np.concatenate([*parts, np.empty(0)]).astype(np.float32)

    def _walked(self, features: np.ndarray) -> np.ndarray:
        """Step down all trees for features [N, F], float64 [N]."""
        trees = np.arange(len(self.value))
        x = np.nan_to_num(features.astype(np.float64))
        node = np.zeros((len(x), len(trees)), dtype=np.int32)  # [N, T]
        rows = np.arange(len(x))[:, None]
        while (node >= 0).any():
            at = np.maximum(node, 0)
            goes_left = x[rows, self.feature[trees, at]] <= self.threshold[trees, at]
            below = np.where(goes_left, self.left[trees, at], self.right[trees, at])
            node = np.where(node >= 0, below, node)
        return np.asarray(self.value[trees, -1 - node].sum(axis=1))

    @cached_property
    def _tables(self) -> Tables | None:
        """The tables of the trees' leaves; None where there are none, or too many."""
        return Tables.of(self._nodes()) if len(self.value) else None

    def _nodes(self) -> Mapping[str, np.ndarray]:
        """Lay the trees out node after node, as tables are made of: of each tree its splits, then a leaf a way out."""
        nodes: list[tuple[int, float, int, int, float]] = []  # column, threshold, left, right, value
        roots = []
        arrays = (getattr(self, name).tolist() for name in ("feature", "threshold", "left", "right", "value"))
        for feature, threshold, left, right, value in zip(*arrays, strict=True):
            splits, root, leaves = _reached(left, right), len(nodes), list[float]()
            place = {split: root + n for n, split in enumerate(splits)}
            for split in splits:
                ways = []
                for child in (left[split], right[split]):
                    ways.append(place[child] if child >= 0 else root + len(splits) + len(leaves))
                    leaves += [value[-1 - child]] if child < 0 else []
                nodes.append((feature[split], threshold[split], *ways, 0.0))
            nodes += [(0, 0.0, -1, -1, one) for one in leaves]
            roots.append(root)
        column, at_most, left, right, value = (np.asarray(one) for one in zip(*nodes, strict=True))
        return {
            "roots": np.asarray(roots),
            "column": column,
            "threshold": at_most,
            "left": left,
            "right": right,
            "value": value,
            "split": np.full(len(column), -1),  # none is by a category
            "missing_left": at_most >= 0,
        }

    def save(self, folder: Path) -> None:
        """Write the arrays into an existing folder."""
        arrays = {one.name: np.ascontiguousarray(getattr(self, one.name)) for one in fields(self)}
        save_file(arrays, folder / FILE)
        (folder / FILE).chmod(0o644)  # safetensors makes it the owner's own; another user may serve it

    @classmethod
    def load(cls, folder: Path) -> "Trees":
        """Read what `save` wrote."""
        return cls(**load_file(folder / FILE))


def _reached(left: list[int], right: list[int]) -> list[int]:
    """Return the splits of a tree that its root leads to, parents first; what fills a row up is none of them."""
    found = [0]
    for split in found:
        found += [child for child in (left[split], right[split]) if child >= 0]
    return found

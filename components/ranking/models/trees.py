"""Boosted trees as arrays: what `lambdamart` trained, served without the library that trained it.

All trees step down together, one level at a time, for all candidates. A leaf is a child below 0.

Letters: N candidates, F features, T trees, S splits and L leaves of the largest tree.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from safetensors.numpy import load_file, save_file

from components.ranking.models import TREES
from components.ranking.numpy_net import FILE


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
        trees = np.arange(len(self.value))
        x = np.nan_to_num(features.astype(np.float64))
        node = np.zeros((len(x), len(trees)), dtype=np.int32)  # [N, T]
        rows = np.arange(len(x))[:, None]
        while (node >= 0).any():
            at = np.maximum(node, 0)
            goes_left = x[rows, self.feature[trees, at]] <= self.threshold[trees, at]
            below = np.where(goes_left, self.left[trees, at], self.right[trees, at])
            node = np.where(node >= 0, below, node)
        return np.asarray(self.value[trees, -1 - node].sum(axis=1), dtype=np.float32)

    def save(self, folder: Path) -> None:
        """Write the arrays into an existing folder."""
        save_file({name: np.ascontiguousarray(value) for name, value in vars(self).items()}, folder / FILE)
        (folder / FILE).chmod(0o644)  # safetensors makes it the owner's own; another user may serve it

    @classmethod
    def load(cls, folder: Path) -> "Trees":
        """Read what `save` wrote."""
        return cls(**load_file(folder / FILE))

    @classmethod
    def of_text(cls, text: str) -> "Trees":
        r"""Read what LightGBM writes of a model, which has every number in full.

        >>> lines = "Tree=0", "split_feature=1", "threshold=0.5", "left_child=-1", "right_child=-2", "leaf_value=3 4"
        >>> Trees.of_text("\n".join(lines)).score(np.array([[9.0, 0.5], [0.0, 0.6]])).tolist()
        [3.0, 4.0]
        """
        read = [_read(part) for part in text.partition("end of trees")[0].split("Tree=")[1:]]
        splits = max([len(tree["threshold"]) for tree in read] + [1])
        leaves = max([len(tree["leaf_value"]) for tree in read] + [1])

        def stacked(name: str, kind: type, width: int, filler: float) -> np.ndarray:
            found: np.ndarray = np.full((len(read), width), filler, dtype=kind)
            for tree, values in enumerate(read):
                found[tree, : len(values[name])] = values[name]
            return found

        # A tree without a split sends everything to its first leaf.
        return cls(
            feature=stacked("split_feature", np.int32, splits, 0),
            threshold=stacked("threshold", np.float64, splits, 0.0),
            left=stacked("left_child", np.int32, splits, -1),
            right=stacked("right_child", np.int32, splits, -1),
            value=stacked("leaf_value", np.float64, leaves, 0.0),
        )


def _read(part: str) -> Mapping[str, list[float]]:
    """Read the lines of one tree."""
    lines = dict(line.split("=", 1) for line in part.splitlines()[1:] if "=" in line)
    names = ("split_feature", "threshold", "left_child", "right_child", "leaf_value")
    return {name: [float(value) for value in lines.get(name, "").split()] for name in names}

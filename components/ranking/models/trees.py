"""Boosted trees as arrays: what `lambdamart` trained, served without the library that trained it.

All trees step down together, one level at a time, for all candidates. A leaf is a child below 0.

Letters: N candidates, F features, T trees, S splits and L leaves of the largest tree.
"""

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

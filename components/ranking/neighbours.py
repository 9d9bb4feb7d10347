"""What other users' histories say of items: each item's nearest items, and factors in which users and items compare.

Made by cooccurrence.py as of one week; training, evaluation and serving read it here. Plain numpy, the same for one
user and for many. It asks how a history's weight is spread, not how large it is, so a row's age does not matter.

Letters: I items, K neighbours of an item, D factors, B rows, N history entries and M candidates over all rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from feature_repo.rows import Ragged

FILE = "neighbours.safetensors"
LEARNT_FILE = "learnt.safetensors"
Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Neighbours:
    """K neighbours of each item (a missing one has similarity 0), and the items' factors."""

    items: np.ndarray  # [I, K] int32
    similarities: np.ndarray  # [I, K] float32
    factors: np.ndarray  # [I, D] float32
    scale: np.ndarray  # [I] float32: how strongly an item stands out; undoes the damping of popular items
    learnt: Mapping[str, Arrays] = field(default_factory=dict)  # by source that was fitted: its arrays
    compared: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)  # what similar.py made of them

    def __len__(self) -> int:
        return len(self.items)

    def near(self, row: np.ndarray, item: np.ndarray, weight: np.ndarray, *, rows: int) -> np.ndarray:
        """Sum similarity x share of the row's weight over history entries [N], for every item, [B, I]."""
        keys = self.items[item] if rows == 1 else row[:, None] * len(self) + self.items[item]  # [N, K]
        total = np.bincount(row, weight, minlength=rows)
        share = weight / np.maximum(total, 1e-12)[row]
        mass = share[:, None] * self.similarities[item]  # [N, K]
        return np.bincount(keys.ravel(), mass.ravel(), minlength=rows * len(self)).reshape(rows, len(self))

    def tastes(self, items: Ragged, weight: np.ndarray) -> np.ndarray:
        """Fold each row's history (weights [N]) into the factors, [B, D]; zeros without one."""
        tastes = np.zeros((len(items.offsets) - 1, self.factors.shape[1]), dtype=np.float32)
        for b in range(len(tastes)):
            mine = slice(items.offsets[b], items.offsets[b + 1])
            item, square = items.values[mine], weight[mine]
            pull = np.sqrt(square / max(square.sum(), 1e-12)) / self.scale[item]
            tastes[b] = pull.astype(np.float32) @ self.factors[item]
        return tastes

    def affinity(self, tastes: np.ndarray, item: np.ndarray) -> np.ndarray:
        """Return how well items [M] fit tastes [M, D], or [1, D] of one row, float64 [M]."""
        fit = np.einsum("md,md->m", tastes, self.factors.take(item, axis=0)) * self.scale.take(item)
        return np.asarray(fit, dtype=np.float64)

    def save(self, folder: Path) -> None:
        """Write the tables into an existing folder, and beside them what fitted sources learnt, if there are any."""
        tables = {name: value for name, value in vars(self).items() if name not in ("learnt", "compared")}
        flat = {f"{source}/{name}": value for source, arrays in self.learnt.items() for name, value in arrays.items()}
        for values, file in ((tables, FILE), (flat, LEARNT_FILE)):
            if values:
                save_file({name: np.ascontiguousarray(value) for name, value in values.items()}, folder / file)
                (folder / file).chmod(0o644)  # safetensors makes it the owner's own; another user may serve it

    @classmethod
    def load(cls, folder: Path) -> "Neighbours":
        """Read what `save` wrote."""
        learnt: dict[str, dict[str, np.ndarray]] = {}
        if (folder / LEARNT_FILE).is_file():
            for key, value in load_file(folder / LEARNT_FILE).items():
                source, _, name = key.partition("/")
                learnt.setdefault(source, {})[name] = value
        return cls(**load_file(folder / FILE), learnt=learnt)

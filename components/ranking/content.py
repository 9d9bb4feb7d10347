"""How near each item is to what a user chose, by the items' own texts and images, whoever else chose them.

A user is the mean of the vectors in the history, what is recent weighing most; nearness is the cosine with an item's
vector. Items that nobody chose yet are as comparable as any other. Plain numpy, the same for one row and for many.

Letters: B rows, I items, D components, M candidates over all rows.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from feature_repo.item_vectors import ItemVectors, unit
from feature_repo.rows import UserRows

FLOOR = 1e-3  # of the slow weight: what a history weighs whose fast weight has faded
DIGITS = 5  # of a cosine that orders items: a sum over many rows may differ from that over one beyond these


@dataclass(frozen=True)
class Content:
    """Rows' histories as vectors, beside the items'."""

    vectors: ItemVectors
    profile: np.ndarray  # [B, D] float32, each of length 1; zeros where nothing in the history has a vector

    @classmethod
    def of(cls, rows: UserRows, vectors: ItemVectors) -> "Content":
        """Average the rows' histories."""
        items = rows.lists["history_items"]
        fast, slow = (rows.lists[name].values.astype(np.float64) for name in ("history_fast", "history_slow"))
        weight, whole = np.maximum(fast, FLOOR * slow), vectors.whole
        profile = np.zeros((len(rows), whole.shape[1]))
        for b in range(len(rows)):
            mine = slice(items.offsets[b], items.offsets[b + 1])
            share = weight[mine] / max(weight[mine].sum(), 1e-300)
            profile[b] = share @ whole[items.values[mine]].astype(np.float64)
        return cls(vectors, unit(profile).astype(np.float32))

    @property
    def known(self) -> np.ndarray:
        """Tell which rows have a profile, bool [B]."""
        return np.asarray(self.profile.any(axis=1))

    @cached_property
    def near(self) -> np.ndarray:
        """Return the cosine of every row and item, 0 where either has no vector, float64 [B, I]."""
        return np.asarray(np.round((self.profile @ self.vectors.whole.T).astype(np.float64), DIGITS))

    def of_candidates(self, row: np.ndarray, item: np.ndarray) -> np.ndarray:
        """Return the cosine of given rows and items [M], each summed alone, float64 [M]."""
        found = np.einsum("md,md->m", self.profile[row], self.vectors.whole[item])
        return np.asarray(found, dtype=np.float64)

"""The item-item table: for each item the items that the same users have, with their similarity.

Fitted from the history lists of user rows as known at one week, so a row may only use a table of its own week or
an earlier one. Serving reads the last table. Scoring is plain numpy and the same for one user and for many.

Letters: I items, K neighbours of an item, U users, B rows, N history entries over all rows.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from safetensors.numpy import load_file, save_file

from feature_repo.rows import UserRows

FILE = "neighbours.safetensors"
SIZE = 50  # neighbours kept of each item
SHRINK = 4.0  # added to the norms, in users: similarities of rare items rest on few of them
BLOCK = 1024  # items compared with all others at a time: bounds memory


@dataclass(frozen=True)
class Neighbours:
    """K neighbours of each item; a missing one has similarity 0."""

    items: np.ndarray  # [I, K] int32
    similarities: np.ndarray  # [I, K] float32

    def __len__(self) -> int:
        return len(self.items)

    def near(self, row: np.ndarray, item: np.ndarray, weight: np.ndarray, *, rows: int) -> np.ndarray:
        """Sum similarity x weight of history entries [N] onto their neighbours, as a share of the row's weight, [B, I].

        >>> table = Neighbours(np.array([[1], [0]], np.int32), np.array([[0.5], [0.5]], np.float32))
        >>> table.near(np.array([0]), np.array([0]), np.array([2.0]), rows=1).tolist()
        [[0.0, 0.5]]
        """
        keys = row[:, None] * len(self) + self.items[item]  # [N, K]
        total = np.bincount(row, weight, minlength=rows)
        share = weight / np.maximum(total, 1e-12)[row]
        mass = share[:, None] * self.similarities[item]  # [N, K]
        return np.bincount(keys.ravel(), mass.ravel(), minlength=rows * len(self)).reshape(rows, len(self))

    def save(self, folder: Path) -> None:
        """Write the table into an existing folder."""
        save_file({"items": self.items, "similarities": self.similarities}, folder / FILE)

    @classmethod
    def load(cls, folder: Path) -> "Neighbours":
        """Read what `save` wrote."""
        return cls(**load_file(folder / FILE))


def fit(rows: UserRows, n_items: int, *, size: int = SIZE) -> Neighbours:
    """Find each item's nearest items by shrunk cosine over users' decayed weights; one row a user."""
    weights = _weights(rows, n_items)  # [U, I] csc
    norms = np.sqrt(np.asarray(weights.multiply(weights).sum(axis=0)).ravel() + SHRINK)  # [I]
    size = max(1, min(size, n_items - 1))
    items = np.zeros((n_items, size), dtype=np.int32)
    similarities = np.zeros((n_items, size), dtype=np.float32)
    by_user = weights.tocsr()
    for start in range(0, n_items, BLOCK):
        block = slice(start, min(start + BLOCK, n_items))
        dense = (weights[:, block].T @ by_user).toarray() / norms  # [b, I]
        dense /= norms[block, None]
        np.fill_diagonal(dense[:, block], 0.0)  # an item is not its own neighbour
        items[block], similarities[block] = _largest(dense, size)
    return Neighbours(items, similarities)


def latest_rows(rows: UserRows, week: np.ndarray, *, until: int) -> UserRows:
    """Keep each user's last row of a week <= `until`: what was known of them at `until`, or a little before."""
    index = np.flatnonzero(week <= until)
    index = index[np.argsort(week[index], kind="stable")[::-1]]
    _, first = np.unique(rows.user_id[index].astype(str), return_index=True)
    return rows.take(np.sort(index[first]))


def _weights(rows: UserRows, n_items: int) -> sp.csc_matrix:
    """Weigh users' items by log(1 + slow count), less for users with many items, csc [U, I]."""
    items, slow = rows.lists["history_items"], rows.lists["history_slow"]
    lengths = np.diff(items.offsets)
    damping = np.sqrt(np.repeat(lengths, lengths) / max(lengths.mean(), 1.0))
    value = (np.log1p(slow.values) / np.maximum(damping, 1e-6)).astype(np.float32)
    return sp.csr_matrix((value, items.values, items.offsets), shape=(len(rows), n_items)).tocsc()


def _largest(dense: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the columns and values of each row's `size` largest values, largest first, ties by column."""
    found = np.argpartition(-dense, size - 1, axis=1)[:, :size]
    value = np.take_along_axis(dense, found, axis=1)
    order = np.lexsort((found, -value), axis=1)
    return np.take_along_axis(found, order, axis=1), np.take_along_axis(value, order, axis=1)

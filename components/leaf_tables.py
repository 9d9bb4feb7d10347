"""Boosted trees as tables of leaves: what a value of a column leaves possible, so that nothing walks node by node.

Each tree's leaves are bits from the left (as in QuickScorer: Lucchese et al., 2015). A split rules out the leaves on
the side where a pair does not go, so the one that no split rules out is the leaf that the pair ends in. The thresholds
of a column are in order, so what all its splits rule out for a value is one row of a table, made beforehand. How the
pairs of one user share this work is in components/intent/forest_pruned.py.

Letters: N trees, L leaves of the largest tree, V places of a column's values, S splits.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

HALF = 16  # leaves of trees whose bits are 16
MOST_LEAVES = 2 * HALF
MOST_BYTES = 16 << 20  # of all tables: a process that serves holds them, and once more those of the user's numbers
MANTISSA, BIAS = 23, 127  # of a float32: bits below its exponent, and what is added to it


@dataclass(frozen=True)
class _Column:
    thresholds: np.ndarray | None  # [V - 2] ascending; None of a category, whose values are places
    alive: np.ndarray  # [V, N] bits of the leaves that are left; of numbers the last row is for one that is none

    @cached_property
    def edges(self) -> np.ndarray:
        """The thresholds as float32, downwards: a float32 is beyond one where it is beyond the other."""
        assert self.thresholds is not None, "a category has none"
        near = self.thresholds.astype(np.float32)
        return np.where(near > self.thresholds, np.nextafter(near, np.float32(-np.inf)), near)

    def places(self, values: np.ndarray, *, lacking: bool) -> np.ndarray:
        """Return which rows of `alive` values float32 [n] have; `lacking` says that some may be none."""
        if self.thresholds is None:
            return values.astype(np.intp)
        place: np.ndarray = self.edges.searchsorted(values)  # thresholds below the value: there it goes right
        return np.where(np.isnan(values), len(self.alive) - 1, place) if lacking else place


@dataclass(frozen=True)
class Splits:
    """All splits, tree by tree."""

    tree: np.ndarray  # [S]
    node: np.ndarray  # [S] its place among the nodes
    column: np.ndarray  # [S]
    threshold: np.ndarray  # [S] float64; of a category it means nothing
    left: np.ndarray  # [S] bits of the leaves to its left
    right: np.ndarray  # [S] and to its right


@dataclass(frozen=True)
class Tables:
    """Trees of a few leaves each."""

    columns: Mapping[int, _Column]  # those that some tree splits by
    value: np.ndarray  # [N * L] float64, tree by tree
    every: np.ndarray  # [N] bits of all leaves
    splits: Splits

    @classmethod
    def of(cls, weights: Mapping[str, np.ndarray]) -> "Tables | None":
        """Return the tables of a forest's arrays; None of no tree, of trees too large, and of too many."""
        roots = weights["roots"]
        if not len(roots):
            return None
        leaf = weights["left"] < 0  # [nodes]
        ends = np.append(roots[1:], len(leaf))
        leaves = np.array([leaf[start:end].sum() for start, end in zip(roots, ends, strict=True)], dtype=np.int64)
        if leaves.max() > MOST_LEAVES:
            return None
        kind = np.uint16 if leaves.max() <= HALF else np.uint32
        most, value = int(leaves.max()), np.zeros((len(roots), int(leaves.max())))
        found: list[tuple[int, int, int, int]] = []  # tree, node, and the bits of the leaves on both sides
        for tree, root in enumerate(roots.tolist()):
            order: list[int] = []
            _left_to_right(weights, root, order, found, tree)
            value[tree, : len(order)] = weights["value"][order]
        every = ((1 << leaves) - 1).astype(kind)  # [N]
        tree_of, node, *sides = (np.array(column, dtype=np.int64) for column in zip(*found, strict=True))
        splits = Splits(
            tree_of, node, weights["column"][node], weights["threshold"][node], *(side.astype(kind) for side in sides)
        )
        used = np.unique(splits.column).tolist()
        places = sum(len(np.unique(splits.threshold[splits.column == column])) + 2 for column in used)
        if places * every.nbytes > MOST_BYTES:
            return None
        columns = {column: _table(weights, splits, np.flatnonzero(splits.column == column), every) for column in used}
        return cls(columns, value.reshape(len(roots) * most), every, splits)

    def alive(self, column: int, values: np.ndarray) -> np.ndarray:
        """Return the bits of the leaves that values [n] of a column leave, [n, N]."""
        table = self.columns[column]
        return table.alive.take(table.places(values, lacking=bool(np.isnan(values).any())), axis=0)

    def told(self, x: np.ndarray) -> np.ndarray:
        """Return the sums of the leaves that rows of columns float32 [n, X] end in, float64 [n].

        A value that all rows share, such as a user's own among candidates, is looked up once.
        """
        if not len(x):
            return np.empty(0)
        values = x.T[list(self.columns)]  # [columns, n], each in a row
        lacking, same = bool(np.isnan(values).any()), (values == values[:, :1]).all(axis=1)
        shared, alive = self.every, np.tile(self.every, (len(x), 1))
        left = np.empty_like(alive)
        for column, mine, alike in zip(self.columns.values(), values, same.tolist(), strict=True):
            place = column.places(mine[:1] if alike else mine, lacking=lacking)
            if alike:
                shared = shared & column.alive[place[0]]
            else:
                alive &= column.alive.take(place, axis=0, out=left, mode="clip")  # places are; to raise costs a copy
        return self.summed(alive & shared)

    def summed(self, alive: np.ndarray) -> np.ndarray:
        """Return the sums of the leaves that pairs end in, float64 [...], of bits [..., N]."""
        summed: np.ndarray = self.value.take(place_of(alive) + self.starts).sum(axis=-1)
        return summed

    @property
    def starts(self) -> np.ndarray:
        """Where each tree's leaves begin in `value`, int64 [N]."""
        return np.arange(len(self.every)) * (len(self.value) // len(self.every))


def _left_to_right(
    weights: Mapping[str, np.ndarray], node: int, order: list[int], found: list[tuple[int, int, int, int]], tree: int
) -> None:
    """Append a subtree's leaves from the left, and its splits with the bits of the leaves on both sides."""
    left = int(weights["left"][node])
    if left < 0:
        order.append(node)
        return
    before = len(order)
    _left_to_right(weights, left, order, found, tree)
    middle = len(order)
    _left_to_right(weights, int(weights["right"][node]), order, found, tree)
    found.append((tree, node, (1 << middle) - (1 << before), (1 << len(order)) - (1 << middle)))


def _table(weights: Mapping[str, np.ndarray], splits: Splits, mine: np.ndarray, every: np.ndarray) -> _Column:
    """Return what each place of a column's values leaves alive; `mine` are the splits by it."""
    node, tree, left, right = (one[mine] for one in (splits.node, splits.tree, ~splits.left, ~splits.right))
    by_category = weights["split"][node] >= 0
    if by_category.any():
        goes_left = weights["goes_left"][weights["split"][node]]  # [splits, V]
        alive = np.tile(every, (goes_left.shape[1], 1))
        for at in range(len(node)):
            alive[:, tree[at]] &= np.where(goes_left[at], right[at], left[at])
        return _Column(None, alive)
    thresholds, rank = np.unique(splits.threshold[mine], return_inverse=True)
    alive = np.tile(every, (len(thresholds) + 2, 1))
    for at in range(len(node)):
        alive[: rank[at] + 1, tree[at]] &= right[at]
        alive[rank[at] + 1 : -1, tree[at]] &= left[at]
        alive[-1, tree[at]] &= right[at] if weights["missing_left"][node[at]] else left[at]
    return _Column(thresholds, alive)


def place_of(bits: np.ndarray) -> np.ndarray:
    """Return the place of the one bit that is set, int32 [...]: what a float32 writes as its exponent.

    >>> place_of(np.array([1, 8], np.uint16)).tolist(), place_of(np.array([1 << 31], np.uint32)).tolist()
    ([0, 3], [31])
    """
    return np.asarray((bits.astype(np.float32).view(np.int32) >> MANTISSA) - BIAS)

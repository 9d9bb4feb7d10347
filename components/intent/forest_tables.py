"""A forest's trees as tables of leaves: what a value of a column leaves possible, so that nothing walks node by node.

Each tree's leaves are bits from the left. A split that sends a pair right rules out the leaves to its left, so the leaf
that a pair ends in is the lowest bit that no split rules out (QuickScorer: Lucchese et al., 2015). The thresholds of a
column are in order, so all its splits that send a value right are one row of a table, made beforehand. What a user's
own columns rule out is then the same for all of the user's pairs.

Letters: N trees, L leaves of the largest tree, V places of a column's values, B users, K columns, T thresholds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

HALF = 16  # bits whose lowest one is looked up at once
MOST_LEAVES = 2 * HALF
MOST_BYTES = 16 << 20  # of all tables: a process that serves holds them, and once more those of the user's numbers


@dataclass(frozen=True)
class _Column:
    thresholds: np.ndarray | None  # [V - 2] ascending; None of a category, whose values are places
    alive: np.ndarray  # [V, N] bits of the leaves that are left; of numbers the last row is for one that is none


@dataclass(frozen=True)
class Together:
    """Several columns of numbers, which are looked up in one go."""

    columns: tuple[int, ...]  # [K]
    thresholds: np.ndarray  # [T] of all of them, one column's after another's
    of: np.ndarray  # [T] whose each is, 0..K-1
    starts: np.ndarray  # [K] where each one's begin
    first: np.ndarray  # [K] the first row of each in `left`, and
    none: np.ndarray  # [K] the one for a number that is none
    left: np.ndarray  # [V, N] bits of the leaves that are left

    def alive(self, values: np.ndarray) -> np.ndarray:
        """Return the bits of the leaves that all of the values [B, K] leave, [B, N]."""
        beyond = values[:, self.of] > self.thresholds  # [B, T]
        place = self.first + np.add.reduceat(beyond, self.starts, axis=1, dtype=np.intp)  # [B, K]
        lacking = np.isnan(values)
        if lacking.any():
            place = np.where(lacking, self.none, place)
        return np.asarray(np.bitwise_and.reduce(self.left.take(place, axis=0), axis=1))


@dataclass(frozen=True)
class Tables:
    """Trees of a few leaves each."""

    columns: Mapping[int, _Column]  # those that some tree splits by
    value: np.ndarray  # [N * L] float64, tree by tree
    every: np.ndarray  # [N] bits of all leaves

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
        splits: list[tuple[int, int, int]] = []  # node, tree, and the bits of the leaves to its left
        for tree, root in enumerate(roots.tolist()):
            order: list[int] = []
            _left_to_right(weights, root, order, splits, tree)
            value[tree, : len(order)] = weights["value"][order]
        every = ((1 << leaves) - 1).astype(kind)  # [N]
        by_column: dict[int, list[tuple[int, int, int]]] = {}
        for split in splits:
            by_column.setdefault(int(weights["column"][split[0]]), []).append(split)
        places = sum(len({weights["threshold"][split[0]] for split in of}) + 2 for of in by_column.values())
        if places * every.nbytes > MOST_BYTES:
            return None
        columns = {column: _table(weights, of, every) for column, of in sorted(by_column.items())}
        return cls(columns, value.reshape(len(roots) * most), every)

    def alive(self, column: int, values: np.ndarray) -> np.ndarray:
        """Return the bits of the leaves that values [...] of a column leave, [..., N]."""
        table = self.columns[column]
        if table.thresholds is None:
            return np.asarray(table.alive.take(values.astype(np.intp), axis=0))
        place = np.searchsorted(table.thresholds, values)  # thresholds below the value: there it goes right
        none = np.isnan(values)
        if none.any():
            place = np.where(none, len(table.alive) - 1, place)
        return np.asarray(table.alive.take(place, axis=0))

    def together(self, columns: Sequence[int]) -> Together | None:
        """Return those of some columns of numbers that a tree splits by, as one; None where no tree does."""
        mine = tuple(column for column in columns if column in self.columns)
        if not mine:
            return None
        left = [self.columns[column].alive for column in mine]
        thresholds = [found for column in mine if (found := self.columns[column].thresholds) is not None]
        sizes, rows = [len(one) for one in thresholds], [len(one) for one in left]
        first = np.cumsum([0, *rows[:-1]])
        return Together(
            mine,
            np.concatenate(thresholds),
            np.repeat(np.arange(len(mine)), sizes),
            np.cumsum([0, *sizes[:-1]]),
            first,
            first + rows - 1,
            np.concatenate(left),
        )

    def summed(self, alive: np.ndarray) -> np.ndarray:
        """Return the sums of the leaves that pairs end in, float64 [...], of bits [..., N]."""
        leaf = _lowest(alive)
        leaf += np.arange(len(self.every), dtype=np.intp) * (len(self.value) // len(self.every))
        summed: np.ndarray = self.value.take(leaf).sum(axis=-1)
        return summed


def _left_to_right(
    weights: Mapping[str, np.ndarray], node: int, order: list[int], splits: list[tuple[int, int, int]], tree: int
) -> None:
    """Append a subtree's leaves from the left, and its splits with the bits of the leaves to their left."""
    left = int(weights["left"][node])
    if left < 0:
        order.append(node)
        return
    before = len(order)
    _left_to_right(weights, left, order, splits, tree)
    splits.append((node, tree, (1 << len(order)) - (1 << before)))
    _left_to_right(weights, int(weights["right"][node]), order, splits, tree)


def _table(weights: Mapping[str, np.ndarray], splits: list[tuple[int, int, int]], every: np.ndarray) -> _Column:
    """Return what each place of a column's values leaves alive."""
    node, tree = (np.array([split[at] for split in splits]) for at in (0, 1))
    cleared = np.array([split[2] for split in splits], dtype=np.uint64).astype(every.dtype)
    by_category = weights["split"][node] >= 0
    if by_category.any():
        goes_left = weights["goes_left"][weights["split"][node]]  # [splits, V]
        alive = np.tile(every, (goes_left.shape[1], 1))
        for at in range(len(node)):
            alive[~goes_left[at], tree[at]] &= ~cleared[at]
        return _Column(None, alive)
    thresholds, rank = np.unique(weights["threshold"][node], return_inverse=True)
    alive = np.tile(every, (len(thresholds) + 2, 1))
    for at in range(len(node)):
        alive[rank[at] + 1 : -1, tree[at]] &= ~cleared[at]
        if not weights["missing_left"][node[at]]:
            alive[-1, tree[at]] &= ~cleared[at]
    return _Column(thresholds, alive)


def _lowest(bits: np.ndarray) -> np.ndarray:
    """Return the place of the lowest bit that is set, int64 [...].

    >>> _lowest(np.array([1, 6, 8], np.uint16)).tolist(), _lowest(np.array([1 << 31, 12], np.uint32)).tolist()
    ([0, 1, 3], [31, 2])
    """
    if bits.dtype == np.uint16:
        return np.asarray(_places().take(bits))
    low = bits & np.uint32((1 << HALF) - 1)
    return np.asarray(np.where(low > 0, _places().take(low), HALF + _places().take(bits >> np.uint32(HALF))))


@cache
def _places() -> np.ndarray:
    """Return the lowest bit of each number of `HALF` bits, [65536]; of 0 it means nothing."""
    number = np.arange(1, 1 << HALF)
    return np.concatenate([[0], np.log2(number & -number).astype(np.intp)])

"""A forest for one user after another: the user's own numbers prune the trees, and targets are asked what is left open.

Most splits are by numbers of the user, which all targets share. Of a tree they leave a few leaves: often one, which is
then every target's; else the splits between them are by the target, and their bits are put together as in
leaf_tables.py. Splits by a target's cell are the same for all users, and are put together beforehand.

Letters: N trees, O trees that a user leaves open, L leaves of the largest tree, V places of the values of all columns,
C targets, F numbers a target, P numbers a user, S splits by a number of the target.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from components.leaf_tables import Tables, place_of


@dataclass(frozen=True)
class _Splits:
    """Splits by a number of the target, tree by tree."""

    tree: np.ndarray  # [S]
    column: np.ndarray  # [S] 0..F-1
    threshold: np.ndarray  # [S] float32: a float32 is beyond it where it is beyond the tree's own
    left: np.ndarray  # [S] bits of the leaves to its left
    right: np.ndarray  # [S] and to its right
    both: np.ndarray  # [S] those on either side
    not_right: np.ndarray  # [S] what is kept where a number is not beyond


@dataclass(frozen=True)
class Pruned:
    """Trees of a few leaves each, as one user's targets are asked about them."""

    every: np.ndarray  # [N] bits of all leaves
    segments: np.ndarray | None  # [256, N] bits that a segment leaves; None: no tree splits by it
    columns: tuple[tuple[int, list[float], int, int], ...]  # of the user: column 0..P-1, thresholds, row, row of none
    left: np.ndarray  # [V, N] bits that a place of such a column leaves
    cells: np.ndarray  # [N, C] bits that a target's cell leaves
    splits: _Splits
    value: np.ndarray  # [N * L] float64, tree by tree
    start: np.ndarray  # [N] where a tree's begin
    order: type  # a whole number that holds any place of a split; the smaller, the sooner sorted

    @classmethod
    def of(cls, tables: Tables, cell: np.ndarray, *, segment: int, target: int, numbers: range, own: range) -> "Pruned":
        """Return what tables come to for users: `segment` and the rest are places of columns, `cell` is [C]."""
        mine = [(at, tables.columns[column]) for at, column in enumerate(own) if column in tables.columns]
        columns, row = [], 0
        for at, found in mine:
            assert found.thresholds is not None, "a user's numbers are no categories"
            columns.append((at, found.thresholds.tolist(), row, row + len(found.alive) - 1))
            row += len(found.alive)
        N = len(tables.every)
        left = [found.alive for _, found in mine]
        by = tables.splits
        asked = np.flatnonzero((by.column >= numbers.start) & (by.column < numbers.stop))
        return cls(
            tables.every,
            tables.columns[segment].alive if segment in tables.columns else None,
            tuple(columns),
            np.concatenate(left) if left else np.empty((0, N), tables.every.dtype),
            np.ascontiguousarray(tables.alive(target, cell).T)
            if target in tables.columns
            else np.repeat(tables.every[:, None], len(cell), axis=1),
            _Splits(
                by.tree[asked],
                by.column[asked] - numbers.start,
                _float32(by.threshold[asked]),
                by.left[asked],
                by.right[asked],
                by.left[asked] | by.right[asked],
                ~by.right[asked],
            ),
            tables.value,
            tables.starts,
            np.int16 if len(tables.value) < np.iinfo(np.int16).max else np.int64,
        )

    def logits(self, segment: int, own: Sequence[float], frequency: np.ndarray) -> np.ndarray:
        """Return the log odds of a user's targets, float64 [C], less the baseline.

        `own` are the user's P numbers, `frequency` [C, F] float32 those of targets, of which none may be lacking.
        """
        left, by = self._left(segment, own), self.splits
        several = (left & (left - 1)) != 0  # [N] more than one leaf
        settled, opened = np.flatnonzero(~several), np.flatnonzero(several)
        said = self.value.take(self.start[settled] + place_of(left[settled])).sum()
        mine = left.take(by.tree)
        live = np.flatnonzero(np.logical_and(mine & by.left, mine & by.right))  # both sides are possible
        tree = by.tree.take(live)
        count = np.bincount(tree, minlength=len(left))  # [N] live splits
        opened = opened[np.argsort(-count[opened], kind="stable")]  # [O] those with most splits first
        bits = self.cells.take(opened, axis=0)  # [O, C]
        bits &= left.take(opened)[:, None]
        at = np.empty(len(left), dtype=np.intp)
        at[opened] = np.arange(len(opened))
        turn = np.arange(len(live)) - (np.cumsum(count) - count)[tree]  # 0 for a tree's first live split, and so on
        live = live[np.argsort((turn * len(left) + at[tree]).astype(self.order), kind="stable")]
        beyond = np.ascontiguousarray(frequency.T).take(by.column.take(live), axis=0) > by.threshold.take(live)[:, None]
        kept = np.multiply(beyond, by.both.take(live)[:, None])
        kept ^= by.not_right.take(live)[:, None]  # beyond: all but the left ones
        first = 0
        for trees in np.bincount(turn).tolist():  # that have so many splits: the first ones of `opened`
            bits[:trees] &= kept[first : first + trees]
            first += trees
        return np.asarray(
            said + np.add.reduce(self.value.take(place_of(bits) + self.start.take(opened)[:, None]), axis=0)
        )

    def _left(self, segment: int, own: Sequence[float]) -> np.ndarray:
        """Return the bits of the leaves that a user leaves, [N]."""
        left = self.every if self.segments is None else self.segments[segment]
        if not self.columns:
            return left
        rows = [  # a number that is none equals nothing
            first + bisect_left(thresholds, own[at]) if own[at] == own[at] else none
            for at, thresholds, first, none in self.columns
        ]
        return np.asarray(left & np.bitwise_and.reduce(self.left.take(rows, axis=0), axis=0))


def _float32(thresholds: np.ndarray) -> np.ndarray:
    """Return the largest float32 of each that is not above it.

    >>> (_float32(np.array([0.1, 0.5])) <= np.array([0.1, 0.5])).tolist(), bool(np.float64(np.float32(0.1)) <= 0.1)
    ([True, True], False)
    """
    near = thresholds.astype(np.float32)
    return np.where(near > thresholds, np.nextafter(near, np.float32(-np.inf)), near)

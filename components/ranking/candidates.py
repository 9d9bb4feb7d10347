"""Which items are ranked for a user: their own, those near them, those on offer or popular now. Never scores.

The first stage of training, evaluation and serving alike; `encode` turns what is found here into features.

Letters: B rows, I items, N history entries over all rows, M candidates over all rows.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from components.ranking.catalogue import Catalogue
from components.ranking.neighbours import Neighbours
from components.ranking.spec import Candidates
from feature_repo import columns
from feature_repo.rows import Ragged, UserRows

SOURCES = ("history", "neighbours", "popular", "offers")
HISTORY, NEAR, POPULAR, OFFERS = range(4)

FLYER = columns.OFFER_NUMBERS[0]


@dataclass(frozen=True)
class History:
    """The history lists of rows, flat, with the dense views that lookups by item need."""

    row: np.ndarray  # [N] int64
    item: np.ndarray  # [N] int64
    slow: np.ndarray  # [N] float64, as stored: relative to the week of state_at
    near: np.ndarray  # [B, I] float64: nearness of every item to the row's history
    tastes: np.ndarray  # [B, D] float32
    neighbours: Neighbours
    n_rows: int

    @property
    def n_items(self) -> int:
        """Count the items of the vocabulary."""
        return len(self.neighbours)

    @cached_property
    def position(self) -> np.ndarray:
        """Return for every row and item its entry in the history, -1 where the user never had it, int32 [B * I]."""
        position = np.full(self.n_rows * self.n_items, -1, dtype=np.int32)
        position[self.row * self.n_items + self.item] = np.arange(len(self.item), dtype=np.int32)
        return position

    @classmethod
    def of(cls, rows: UserRows, neighbours: Neighbours) -> "History":
        """Flatten the history lists of `rows`."""
        items = rows.lists["history_items"]
        row, item = items.row_of_value(), items.values
        slow = rows.lists["history_slow"].values.astype(np.float64)
        near = neighbours.near(row, item, slow, rows=len(rows))
        return cls(row, item, slow, near, neighbours.tastes(items, slow), neighbours, len(rows))


@dataclass(frozen=True)
class CandidateSet:
    """Candidates of B rows, by row then item; row b owns offsets[b]:offsets[b + 1]."""

    item: np.ndarray  # [M] int64
    source: np.ndarray  # [M] int8, position in SOURCES
    offsets: np.ndarray  # [B + 1] int64

    @property
    def row(self) -> np.ndarray:
        """Return the row of each candidate, int64 [M]."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))


def candidates(history: History, catalogue: Catalogue, spec: Candidates) -> CandidateSet:
    """Find each row's candidates; a user without a history gets popular items only."""
    own = _own(history, spec.history)
    taken = np.zeros((history.n_rows, history.n_items), dtype=bool)  # [B, I]
    taken.reshape(-1)[history.row * history.n_items + history.item] = True
    near = _near(history, taken, np.sqrt(catalogue.popularity), spec.neighbours)
    taken.reshape(-1)[near] = True
    offered = _near(history, taken, np.sqrt(catalogue.popularity) * catalogue.state[FLYER], spec.offers)
    taken[:] = False
    for keys in (own, near, offered):
        taken.reshape(-1)[keys] = True
    popular = _popular(taken, catalogue.by_popularity, spec.popular)
    parts = {HISTORY: own, NEAR: near, OFFERS: offered, POPULAR: popular}
    keys = np.concatenate(list(parts.values()))  # [M] row * I + item
    source = np.repeat(np.asarray(list(parts), dtype=np.int8), [len(part) for part in parts.values()])
    order = np.argsort(keys)
    row, item = np.divmod(keys[order], history.n_items)
    return CandidateSet(item, source[order], np.searchsorted(row, np.arange(history.n_rows + 1)))


def given(history: History, items: np.ndarray) -> CandidateSet:
    """Take items [M] of one row as its candidates, in their order; the source is what would have brought each."""
    source = np.full(len(items), POPULAR, dtype=np.int8)
    source[history.near[0, items] > 0] = NEAR
    source[history.position[items] >= 0] = HISTORY
    return CandidateSet(items, source, np.asarray([0, len(items)]))


def recall(found: CandidateSet, bought: Ragged, n_items: int) -> float:
    """Return the mean share of a row's bought items that are among its candidates."""
    keys = found.row * n_items + found.item
    wanted = bought.row_of_value()
    hit = np.isin(wanted * n_items + bought.values, keys)
    rows = np.diff(bought.offsets)
    share = np.bincount(wanted, hit, minlength=len(rows)) / np.maximum(rows, 1)
    return float(share[rows > 0].mean()) if rows.any() else 0.0


def _own(history: History, limit: int) -> np.ndarray:
    """Return keys of the items with the largest decayed weight, ties by item."""
    order = np.lexsort((history.item, -history.slow, history.row))
    keys: np.ndarray = history.row * history.n_items + history.item
    return keys[order[_rank(history.row) < limit]]


def _near(history: History, taken: np.ndarray, weight: np.ndarray, limit: int) -> np.ndarray:
    """Return keys of the items nearest to the history that are not taken yet, ties by item.

    Nearness is weighed by item [I]: by what sells now, or items out of season and off the shelf would crowd the list.
    """
    if limit == 0 or not weight.any():
        return np.empty(0, dtype=np.int64)
    free = history.near * weight  # [B, I]
    free[taken] = 0.0
    limit = min(limit, history.n_items)
    least = np.partition(free, -limit, axis=1)[:, -limit]  # [B]: the limit-th largest
    keys = np.flatnonzero((free >= least[:, None]) & (free > 0))
    row, item = np.divmod(keys, history.n_items)
    order = np.lexsort((item, -free.reshape(-1)[keys], row))
    return keys[order[_rank(row) < limit]]


def _popular(taken: np.ndarray, by_popularity: np.ndarray, limit: int) -> np.ndarray:
    """Return keys of the most popular items that are not taken yet."""
    n_items = taken.shape[1]
    most = int(taken.sum(axis=1).max(initial=0))
    head = by_popularity[: limit + most]
    free = ~taken[:, head]
    row, position = np.nonzero(free & (np.cumsum(free, axis=1) <= limit))
    keys: np.ndarray = row * n_items + head[position]
    return keys


def _rank(row: np.ndarray) -> np.ndarray:
    """Number the entries within each row; `row` is sorted.

    >>> _rank(np.array([0, 0, 2])).tolist()
    [0, 1, 0]
    """
    return np.arange(len(row)) - np.searchsorted(row, row)

"""Which items are ranked for a user: what the sources bring, source by source. Never scores.

The first stage of training, evaluation and serving alike; `encode` turns what is found here into features.

Letters: B rows, I items, M candidates over all rows.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from components.ranking.catalogue import Catalogue
from components.ranking.history import History
from components.ranking.sources import SOURCES, Finder, finder
from components.ranking.sources.context import Context
from components.ranking.spec import Candidates
from feature_repo.rows import Ragged


@dataclass(frozen=True)
class CandidateSet:
    """Candidates of B rows, by row then item; row b owns offsets[b]:offsets[b + 1]."""

    item: np.ndarray  # [M] int64
    source: np.ndarray  # [M] int8, Source.code: sources.NAMES by position
    offsets: np.ndarray  # [B + 1] int64

    @property
    def row(self) -> np.ndarray:
        """Return the row of each candidate, int64 [M]."""
        if len(self.offsets) == 2:  # of one row, as a service asks
            return np.zeros(len(self.item), dtype=np.int64)
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))


def candidates(
    history: History, catalogue: Catalogue, spec: Candidates, *, barred: np.ndarray | None = None
) -> CandidateSet:
    """Find each row's candidates, none of those barred [B, I]; a user without a history gets popular items only."""
    context = context_of(history, catalogue, barred)
    taken, code_of = context.taken.reshape(-1), np.full(history.n_rows * history.n_items, -1, dtype=np.int8)
    for source, code, limit in limits(spec):
        found = source.candidates(context, limit)
        taken[found], code_of[found] = True, code
    keys = np.flatnonzero(code_of >= 0)  # [M] row * I + item, ascending
    if history.n_rows == 1:
        return CandidateSet(keys, code_of.take(keys), np.asarray([0, len(keys)]))
    row, item = np.divmod(keys, history.n_items)
    return CandidateSet(item, code_of[keys], np.searchsorted(row, np.arange(history.n_rows + 1)))


@lru_cache(maxsize=64)
def limits(spec: Candidates) -> tuple[tuple[Finder, int, int], ...]:
    """Return the sources that may bring something, in their order, each with its code and its limit."""
    found = ((source, spec.limit(source.name)) for source in SOURCES)
    return tuple((finder(source.name), source.code, limit) for source, limit in found if limit)


def context_of(history: History, catalogue: Catalogue, barred: np.ndarray | None) -> Context:
    """Lay out what sources find candidates from; only those barred [B, I] are taken yet."""
    had = np.zeros((history.n_rows, history.n_items), dtype=bool)  # [B, I]
    had.reshape(-1)[history.row * history.n_items + history.item] = True
    return Context(history, catalogue, had, taken=np.zeros_like(had) if barred is None else barred.copy())


def given(history: History, items: np.ndarray) -> CandidateSet:
    """Take items [M] of one row as its candidates, in their order; the source is what would have brought each."""
    codes = np.zeros(len(items), dtype=np.int8)
    for source in reversed(SOURCES):
        codes[finder(source.name).brings(history, items)] = source.code
    return CandidateSet(items, codes, np.asarray([0, len(items)]))


def recall(found: CandidateSet, bought: Ragged, n_items: int) -> float:
    """Return the mean share of a row's bought items that are among its candidates."""
    keys = found.row * n_items + found.item
    wanted = bought.row_of_value()
    hit = np.isin(wanted * n_items + bought.values, keys)
    rows = np.diff(bought.offsets)
    share = np.bincount(wanted, hit, minlength=len(rows)) / np.maximum(rows, 1)
    return float(share[rows > 0].mean()) if rows.any() else 0.0

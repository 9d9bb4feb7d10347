"""What sources that are fitted share: the part of a history that the fit knew, and scores that are made once.

A source is fitted on the rows of users as known at a week (`fit`), and its arrays lie with the neighbours: each
training week has those that were known before it. `scores` reads them in plain numpy, row by row, so that a row alone
scores as among many. An item that came after the fit has no score, and as part of a history says nothing.

No array has a row for a user: whoever is forgotten leaves nothing of their own behind.

Letters: B rows, I items, N history entries over all rows, U users.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from components.ranking.history import History
from components.ranking.neighbours import Arrays
from components.ranking.sources.context import Context, strongest
from feature_repo.rows import UserRows

DIGITS = 5  # of a score: a sum over many rows may differ from that over one beyond these


@dataclass(frozen=True)
class Known:
    """The entries of one row's history that the fit knew."""

    item: np.ndarray
    slow: np.ndarray  # as of now
    last_at: np.ndarray
    segment: int


def known(history: History, n_items: int) -> Iterator[Known]:
    """Yield each row's entries of the first `n_items` items."""
    ends = np.searchsorted(history.row, np.arange(history.n_rows + 1))
    for b in range(history.n_rows):
        mine = np.arange(ends[b], ends[b + 1])
        mine = mine[history.item[mine] < n_items]
        segment = int(history.segment[b]) if len(history.segment) else 0
        slow = history.slow[mine] * history.aged[b]
        yield Known(history.item[mine], slow, history.last_at[mine], segment)


def scored(
    history: History, name: str, n_items: Callable[[Arrays], int], score: Callable[[Arrays, Known], np.ndarray]
) -> np.ndarray:
    """Score all items of all rows by a function of one row, rounded, float64 [B, I]; 0 where nothing was fitted."""
    if name not in history.scored:
        arrays = history.neighbours.learnt.get(name)
        found = np.zeros((history.n_rows, history.n_items))
        if arrays is not None:
            size = n_items(arrays)
            for b, one in enumerate(known(history, size)):
                found[b, :size] = score(arrays, one)
        history.scored[name] = np.round(found, DIGITS)
    return history.scored[name]


def lift(logits: np.ndarray) -> np.ndarray:
    """Return how many times likelier than chance each item is, by a softmax over all [I].

    >>> lift(np.log([1.0, 3.0])).tolist()
    [0.5, 1.5]
    """
    raised = np.exp(logits - logits.max())
    return np.asarray(raised * (len(raised) / raised.sum()))


def best_of(context: Context, scores: np.ndarray, limit: int) -> np.ndarray:
    """Return keys of the `limit` items of each row that score highest above 0, none of them had or taken."""
    return strongest(context, scores, limit, new=True)


def claims_none(history: History, items: np.ndarray) -> np.ndarray:
    """Claim none of the items that are asked about by themselves: their history names them."""
    return np.zeros(len(items), dtype=bool)


def weights(rows: UserRows, n_items: int) -> sp.csr_matrix:
    """Weigh users' items by log(1 + slow count), float32 [U, I]."""
    return counts(rows, n_items).log1p()


def counts(rows: UserRows, n_items: int) -> sp.csr_matrix:
    """Return users' slow counts of items, float32 [U, I]."""
    items, slow = rows.lists["history_items"], rows.lists["history_slow"]
    values = np.maximum(slow.values, 0).astype(np.float32)
    found = sp.csr_matrix((values, items.values.copy(), items.offsets), shape=(len(rows), n_items))
    found.sort_indices()
    return found

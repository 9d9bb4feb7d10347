"""Fit the neighbour table and the item factors from the history lists of user rows as known at one week.

A row may only use tables of its own week or an earlier one; the last ones are saved for serving. Nothing here is
needed to serve.

Letters: U users, I items, K neighbours of an item, D factors.
"""

from dataclasses import replace

import numpy as np
import scipy.sparse as sp

from components.ranking.neighbours import Neighbours
from feature_repo.calendar import Calendar
from feature_repo.rows import UserRows

SIZE = 50  # neighbours kept of each item
FACTORS = 64
SHRINK = 4.0  # added to squared norms, in users: what is known of rare items rests on few of them
BLOCK = 1024  # items compared with all others at a time: bounds memory


def fit(rows: UserRows, n_items: int, *, size: int = SIZE, factors: int = FACTORS) -> Neighbours:
    """Find each item's nearest items by shrunk cosine over users' decayed weights, and factors; one row a user."""
    weights = _weights(rows, n_items)  # [U, I]
    square = np.asarray(weights.multiply(weights).sum(axis=0)).ravel() + SHRINK  # [I]
    items, similarities = _nearest(weights, np.sqrt(square), max(1, min(size, n_items - 1)))
    scale = np.sqrt(np.sqrt(square)).astype(np.float32)
    return Neighbours(items, similarities, _factors(weights @ sp.diags(1 / scale), factors), scale)


def latest_rows(rows: UserRows, week: np.ndarray, *, until: int) -> UserRows:
    """Keep each user's last row of a week <= `until`: what was known of them at `until`, or a little before."""
    index = np.flatnonzero(week <= until)
    index = index[np.argsort(week[index], kind="stable")[::-1]]
    _, first = np.unique(rows.user_id[index].astype(str), return_index=True)
    return rows.take(np.sort(index[first]))


def as_of(rows: UserRows, week: int, calendar: Calendar) -> UserRows:
    """Return rows whose slow counts of items have decayed until the start of `week`; what was stored then stays."""
    behind = np.where(rows.known, week - calendar.upcoming(np.where(rows.known, rows.state_at, rows.now)), 0)
    slow = rows.lists["history_slow"]
    left = calendar.pace.slow ** behind[slow.row_of_value()]
    return replace(rows, lists={**rows.lists, "history_slow": replace(slow, values=slow.values * left)})


def _weights(rows: UserRows, n_items: int) -> sp.csr_matrix:
    """Weigh users' items by log(1 + slow count), less for users with many items, float32 [U, I]."""
    items, slow = rows.lists["history_items"], rows.lists["history_slow"]
    lengths = np.diff(items.offsets)
    damping = np.sqrt(np.repeat(lengths, lengths) / max(lengths.mean(), 1.0))
    value = (np.log1p(slow.values) / np.maximum(damping, 1e-6)).astype(np.float32)
    return sp.csr_matrix((value, items.values, items.offsets), shape=(len(rows), n_items))


def _nearest(by_user: sp.csr_matrix, norms: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the `size` most similar items of each and their cosines, most similar first, each [I, size]."""
    n_items = by_user.shape[1]
    items = np.zeros((n_items, size), dtype=np.int32)
    similarities = np.zeros((n_items, size), dtype=np.float32)
    by_item = by_user.T.tocsr()
    for start in range(0, n_items, BLOCK):
        block = slice(start, min(start + BLOCK, n_items))
        dense = (by_item[block] @ by_user).toarray() / norms  # [b, I]
        dense /= norms[block, None]
        np.fill_diagonal(dense[:, block], 0.0)  # an item is not its own neighbour
        items[block], similarities[block] = _largest(dense, size)
    return items, similarities


def _largest(dense: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the columns and values of each row's `size` largest values, largest first, ties by column."""
    found = np.argpartition(-dense, size - 1, axis=1)[:, :size]
    value = np.take_along_axis(dense, found, axis=1)
    order = np.lexsort((found, -value), axis=1)
    return np.take_along_axis(found, order, axis=1), np.take_along_axis(value, order, axis=1)


def _factors(weights: sp.csr_matrix, factors: int) -> np.ndarray:
    """Return the items' side of a truncated SVD, float32 [I, D]; a fixed seed makes it repeatable."""
    from sklearn.utils.extmath import randomized_svd

    count = min(factors, *weights.shape)
    if not weights.nnz:
        return np.zeros((weights.shape[1], count), dtype=np.float32)
    _, _, by_factor = randomized_svd(weights, count, n_iter=4, random_state=0)  # [D, I]
    return np.ascontiguousarray(by_factor.T, dtype=np.float32)

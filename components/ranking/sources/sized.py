"""Items that users with histories like this one have, those of small baskets counting for more.

Recall, and NDCG whose ideal is the whole basket, divide what is found by the basket's size. So what is best shown has
the largest share of the baskets to come, and an item that is bought alone tells more of that than one of fifty
(fractional counting). A basket is what a user had in one step of the clock; each of its items counts size^-POWER, and
decays as the slow counts do. The steps are read from what a row keeps already (item_signals.py). The rest is TIFU-KNN
(Hu et al., SIGIR 2020) as in users.py: the user's own weights, at length 1, blended with the means of near groups.

Letters: B rows, I items, N history entries over all rows, W steps of a signal, U users, E items of one.
"""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import scipy.sparse as sp

from components.ranking import item_signals, metrics
from components.ranking.history import History
from components.ranking.item_signals import OLDEST
from components.ranking.neighbours import Arrays
from components.ranking.past import Past
from components.ranking.sources.context import Context
from components.ranking.sources.fitted import DIGITS, best_of, claims_none
from components.ranking.sources.users import blended, grouped
from feature_repo import columns
from feature_repo.calendar import Calendar
from feature_repo.rows import Ragged, UserRows

NAME = "sized"
REASONS = ("near_history", "intent", "category_weeks")
POWER = 0.5  # a basket of four items is worth two baskets of one, over all of its items
OWN = 0.5  # share of the user's own weights in the score
BLOCK = 256  # rows whose signals are in memory at a time
brings = claims_none


def fit(rows: UserRows, n_items: int) -> Arrays:
    """Group nobody: rows without a clock tell no steps."""
    return groups(sp.csr_matrix((0, n_items), dtype=np.float32))


def fit_past(past: Past, n_items: int) -> Arrays:
    """Group users by the factors of their weights, each as last known; keep each group's mean weights and size."""
    last = _last_of_each(past)
    parts = [
        _matrix(past.rows.take(last[at : at + BLOCK]), past.calendar, n_items) for at in range(0, len(last), BLOCK)
    ]
    return groups(sp.vstack(parts, format="csr") if parts else sp.csr_matrix((0, n_items), dtype=np.float32))


def _last_of_each(past: Past) -> np.ndarray:
    """Return the positions of each user's row of the latest step, ascending."""
    order = np.argsort(past.step, kind="stable")[::-1]
    _, first = np.unique(past.rows.user_id[order].astype(str), return_index=True)
    return np.sort(order[first])


def _matrix(rows: UserRows, calendar: Calendar, n_items: int) -> sp.csr_matrix:
    items, weight = weights(rows, calendar, n_items)
    found = sp.csr_matrix((weight.astype(np.float32), items.values.copy(), items.offsets), shape=(len(rows), n_items))
    found.sort_indices()
    return found


def weights(rows: UserRows, calendar: Calendar, n_items: int) -> tuple[Ragged, np.ndarray]:
    """Return the history's items among the first `n_items`, and the weight of each as of the row's now, [N]."""
    keep = rows.lists["history_items"].values < n_items
    names = [name for name in columns.HISTORY_LISTS if name in rows.lists]
    rows = replace(rows, lists={**rows.lists} | {name: metrics.only(rows.lists[name], keep) for name in names})
    known = item_signals.of_rows(rows, calendar, OLDEST)
    return rows.lists["history_items"], by_size(known.values, known.offsets, calendar.pace.slow)


def by_size(signal: np.ndarray, offsets: np.ndarray, decay: float) -> np.ndarray:
    """Weigh entries by their steps, [N, W] to float64 [N]: a step of age a counts decay^a x size^-POWER.

    >>> three = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])  # one alone a step ago, two together before
    >>> by_size(three, np.array([0, 3]), 0.5).round(4).tolist()
    [0.5, 0.1768, 0.1768]
    """
    worth = decay ** np.arange(1, signal.shape[1] + 1)
    found = np.zeros(len(signal))
    for start, end in pairwise(offsets.tolist()):
        mine = signal[start:end].astype(np.float64)
        found[start:end] = mine @ (worth * np.maximum(mine.sum(axis=0), 1.0) ** -POWER)
    return found


def groups(weight: sp.csr_matrix) -> Arrays:
    """Group users by their weights [U, I], each at length 1; users without weights are of no group."""
    liked = at_length_1(weight)
    return grouped(liked[np.diff(liked.indptr) > 0])


def at_length_1(weight: sp.csr_matrix) -> sp.csr_matrix:
    """Divide each row by its Euclidean length; a row of zeros stays."""
    length = np.sqrt(np.asarray(weight.multiply(weight).sum(axis=1)).ravel())
    return (sp.diags(1 / np.maximum(length, 1e-12)) @ weight).tocsr()


def scores(history: History) -> np.ndarray:
    """Score items by the user's own weights and the near groups', float64 [B, I]; also what the user had."""
    arrays = history.neighbours.learnt.get(NAME)
    if NAME not in history.scored:
        found = np.zeros((history.n_rows, history.n_items))
        if arrays is not None:
            if history.rows is None or history.calendar is None:
                raise TypeError(f"{NAME}: a history without its rows and a calendar has no steps")
            size = len(arrays["basis"])
            items, weight = weights(history.rows, history.calendar, size)
            for b in range(history.n_rows):
                found[b, :size] = of_one(arrays, items.row(b), weight[items.offsets[b] : items.offsets[b + 1]])
        history.scored[NAME] = np.round(found, DIGITS)
    return history.scored[NAME]


def of_one(arrays: Arrays, item: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Score all items of a user who has some [E], with their weights; zeros of a user without, float64 [I]."""
    length = float(np.sqrt((weight**2).sum()))
    if length > 0 and len(arrays["sizes"]):
        return blended(arrays, item, weight / length, own=OWN)
    own = np.zeros(len(arrays["basis"]))
    own[item] = weight / length if length > 0 else 0.0
    return own


def candidates(context: Context, limit: int) -> np.ndarray:
    """Return keys of the items that near users have most and this one never had."""
    return best_of(context, scores(context.history), limit)

"""The rankings a model must beat, on the same rows: popular, what a user had most, and what lies near it.

Each returns the best k item indexes of every row, [B, k]; no learning, no candidates. `unseen` leaves out what the
row's history holds, `barred` what eligibility.py bars its user from. `neighbours` are the model's own.
"""

from collections.abc import Callable

import numpy as np

from components.ranking.catalogue import Catalogue
from components.ranking.neighbours import Neighbours
from feature_repo import columns
from feature_repo.rows import Ragged, UserRows

Baseline = Callable[..., np.ndarray]
NOTHING = Ragged(np.empty(0, dtype=np.int64), np.zeros(1, dtype=np.int64))
FOUR_WEEKS = columns.SHARES[1]
LESS_THAN_ONE = 1e-4  # turns a share into a tie-break below any difference of history counts
LEAST_NEARNESS = 1e-9  # likewise below any nearness


def popular(
    rows: UserRows,
    catalogue: Catalogue,
    neighbours: Neighbours,
    *,
    k: int,
    unseen: bool = False,
    barred: Ragged = NOTHING,
) -> np.ndarray:
    """Rank items by their share of users in the last four weeks."""
    scores = np.repeat(catalogue.state[FOUR_WEEKS][None], len(rows), axis=0)
    return _best(scores, rows, k=k, unseen=unseen, barred=barred)


def personal_frequency(
    rows: UserRows,
    catalogue: Catalogue,
    neighbours: Neighbours,
    *,
    k: int,
    unseen: bool = False,
    barred: Ragged = NOTHING,
) -> np.ndarray:
    """Rank the user's items by the weeks they were bought in (P-TopFreq), ties by item; popular ones follow."""
    weeks = _dense(rows, "history_weeks", catalogue)
    small = LESS_THAN_ONE * catalogue.state[FOUR_WEEKS]
    return _best(np.where(weeks > 0, weeks, small), rows, k=k, unseen=unseen, barred=barred)


def personal_popular(
    rows: UserRows,
    catalogue: Catalogue,
    neighbours: Neighbours,
    *,
    k: int,
    unseen: bool = False,
    barred: Ragged = NOTHING,
) -> np.ndarray:
    """Rank as personal_frequency, ties by popularity (GP-TopFreq)."""
    small = LESS_THAN_ONE * catalogue.state[FOUR_WEEKS]
    return _best(_dense(rows, "history_weeks", catalogue) + small, rows, k=k, unseen=unseen, barred=barred)


def decayed_personal(
    rows: UserRows,
    catalogue: Catalogue,
    neighbours: Neighbours,
    *,
    k: int,
    unseen: bool = False,
    barred: Ragged = NOTHING,
) -> np.ndarray:
    """Rank the user's items by weeks bought, each worth .96 per week of age; popular ones follow."""
    small = LESS_THAN_ONE * catalogue.state[FOUR_WEEKS]
    return _best(_dense(rows, "history_slow", catalogue) + small, rows, k=k, unseen=unseen, barred=barred)


def unseen_popular(
    rows: UserRows,
    catalogue: Catalogue,
    neighbours: Neighbours,
    *,
    k: int,
    unseen: bool = True,
    barred: Ragged = NOTHING,
) -> np.ndarray:
    """Rank as popular, but only what the user has not had: the bar where nothing repeats."""
    return popular(rows, catalogue, neighbours, k=k, unseen=True, barred=barred)


def item_knn(
    rows: UserRows,
    catalogue: Catalogue,
    neighbours: Neighbours,
    *,
    k: int,
    unseen: bool = False,
    barred: Ragged = NOTHING,
) -> np.ndarray:
    """Rank items by their nearness to the history (item-based nearest neighbours); popular ones follow."""
    items = rows.lists["history_items"]
    near = neighbours.near(items.row_of_value(), items.values, rows.lists["history_slow"].values, rows=len(rows))
    return _best(near + LEAST_NEARNESS * catalogue.state[FOUR_WEEKS], rows, k=k, unseen=unseen, barred=barred)


BASELINES: dict[str, Baseline] = {
    "popular": popular,
    "unseen_popular": unseen_popular,
    "personal_frequency": personal_frequency,
    "personal_popular": personal_popular,
    "decayed_personal": decayed_personal,
    "item_knn": item_knn,
}


def _dense(rows: UserRows, name: str, catalogue: Catalogue) -> np.ndarray:
    """Spread a history list over all items, float64 [B, I]."""
    dense = np.zeros((len(rows), len(catalogue)))
    items = rows.lists["history_items"]
    dense[items.row_of_value(), items.values] = rows.lists[name].values
    return dense


def _best(scores: np.ndarray, rows: UserRows, *, k: int, unseen: bool, barred: Ragged) -> np.ndarray:
    """Return the positions of each row's k largest scores [B, I], ties by position, -1 past the last, [B, k]."""
    if unseen:
        items = rows.lists["history_items"]
        scores[items.row_of_value(), items.values] = -1.0
    scores[barred.row_of_value(), barred.values] = -1.0
    best = np.full((len(scores), k), -1, dtype=np.int64)
    have = min(k, scores.shape[1])
    least = np.partition(scores, -have, axis=1)[:, -have]  # [B]: the k-th largest; sorting all costs six times as much
    row, item = np.nonzero((scores >= least[:, None]) & (scores >= 0))
    order = np.lexsort((item, -scores[row, item], row))
    rank = np.arange(len(row)) - np.searchsorted(row, row)
    keep = rank < have
    best[row[keep], rank[keep]] = item[order][keep]
    return best

"""The rankings a model must beat, on the same rows: popular, what a user had most, and what lies near it.

No learning. Each is one formula over what is known of users and items, taken in two ways: `BASELINES` rank all items
of every row, [B, k] item indexes, for the evaluation; `baseline_net.py` scores the candidates that the served ranker
found, where a baseline serves. `unseen` leaves out what the row's history holds, `barred` what eligibility.py bars its
user from. `neighbours` are the model's own.

Letters: B rows, I items.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Protocol

import numpy as np

from components.ranking.catalogue import Catalogue
from components.ranking.neighbours import Neighbours
from feature_repo import columns
from feature_repo.rows import Ragged, UserRows

NOTHING = Ragged(np.empty(0, dtype=np.int64), np.zeros(1, dtype=np.int64))
FOUR_WEEKS = columns.SHARES[1]
LESS_THAN_ONE = 1e-4  # turns a share into a tie-break below any difference of history counts
LEAST_NEARNESS = 1e-9  # likewise below any nearness
LEFT_OUT = -1.0  # the score of what is left out


class Evidence(Protocol):
    """What a formula may look at; arrays of one shape, or that broadcast to it."""

    @property
    def share(self) -> np.ndarray:
        """Share of users who had the item in the last four weeks."""

    @property
    def weeks(self) -> np.ndarray:
        """Weeks in which the user had the item, 0 for never."""

    @property
    def slow(self) -> np.ndarray:
        """The same, each week worth .96 per week of age."""

    @property
    def near(self) -> np.ndarray:
        """Nearness of the item to the user's history."""


def popular(of: Evidence) -> np.ndarray:
    """Score items by their share of users in the last four weeks."""
    return of.share


def unseen_popular(of: Evidence) -> np.ndarray:
    """Score as popular, but only what the user has not had: the bar where nothing repeats."""
    return np.where(of.weeks > 0, LEFT_OUT, of.share)


def personal_frequency(of: Evidence) -> np.ndarray:
    """Score the user's items by the weeks they were bought in (P-TopFreq), ties by item; popular ones follow."""
    return np.where(of.weeks > 0, of.weeks, LESS_THAN_ONE * of.share)


def personal_popular(of: Evidence) -> np.ndarray:
    """Score as personal_frequency, ties by popularity (GP-TopFreq)."""
    return of.weeks + LESS_THAN_ONE * of.share


def decayed_personal(of: Evidence) -> np.ndarray:
    """Score the user's items by weeks bought, each worth .96 per week of age; popular ones follow."""
    return of.slow + LESS_THAN_ONE * of.share


def item_knn(of: Evidence) -> np.ndarray:
    """Score items by their nearness to the history (item-based nearest neighbours); popular ones follow."""
    return of.near + LEAST_NEARNESS * of.share


FORMULAS: dict[str, Callable[[Evidence], np.ndarray]] = {
    formula.__name__: formula
    for formula in (popular, unseen_popular, personal_frequency, personal_popular, decayed_personal, item_knn)
}


@dataclass(frozen=True)
class AllItems:
    """What is known of every item for every row, [B, I] or [I]."""

    rows: UserRows
    catalogue: Catalogue
    neighbours: Neighbours

    @property
    def share(self) -> np.ndarray:
        """Return the items' shares, [I]."""
        return self.catalogue.state[FOUR_WEEKS]

    @cached_property
    def weeks(self) -> np.ndarray:
        """Spread the weeks of the history over all items."""
        return self._dense("history_weeks")

    @property
    def slow(self) -> np.ndarray:
        """Spread the decayed weeks, relative to the week of the row's state."""
        return self._dense("history_slow")

    @property
    def near(self) -> np.ndarray:
        """Sum what lies near the history."""
        items = self.rows.lists["history_items"]
        weight = self.rows.lists["history_slow"].values
        return self.neighbours.near(items.row_of_value(), items.values, weight, rows=len(self.rows))

    def _dense(self, name: str) -> np.ndarray:
        """Spread a history list over all items, float64 [B, I]."""
        dense = np.zeros((len(self.rows), len(self.catalogue)))
        items = self.rows.lists["history_items"]
        dense[items.row_of_value(), items.values] = self.rows.lists[name].values
        return dense


Baseline = Callable[..., np.ndarray]


def ranked(
    name: str,
    rows: UserRows,
    catalogue: Catalogue,
    neighbours: Neighbours,
    *,
    k: int,
    unseen: bool = False,
    barred: Ragged = NOTHING,
) -> np.ndarray:
    """Return the best k items of each row by a baseline, -1 past the last, [B, k]."""
    scores = FORMULAS[name](AllItems(rows, catalogue, neighbours))
    if scores.ndim == 1:
        scores = np.repeat(scores[None], len(rows), axis=0)
    return _best(scores, rows, k=k, unseen=unseen, barred=barred)


BASELINES: dict[str, Baseline] = {name: partial(ranked, name) for name in FORMULAS}


def _best(scores: np.ndarray, rows: UserRows, *, k: int, unseen: bool, barred: Ragged) -> np.ndarray:
    """Return the positions of each row's k largest scores [B, I], ties by position, -1 past the last, [B, k]."""
    if unseen:
        items = rows.lists["history_items"]
        scores[items.row_of_value(), items.values] = LEFT_OUT
    scores[barred.row_of_value(), barred.values] = LEFT_OUT
    best = np.full((len(scores), k), -1, dtype=np.int64)
    have = min(k, scores.shape[1])
    least = np.partition(scores, -have, axis=1)[:, -have]  # [B]: the k-th largest; sorting all costs six times as much
    row, item = np.nonzero((scores >= least[:, None]) & (scores >= 0))
    order = np.lexsort((item, -scores[row, item], row))
    rank = np.arange(len(row)) - np.searchsorted(row, row)
    keep = rank < have
    best[row[keep], rank[keep]] = item[order][keep]
    return best

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
from components.ranking.graph import Ties
from components.ranking.neighbours import Neighbours
from feature_repo import columns
from feature_repo.rows import Ragged, UserRows

NOTHING = Ragged(np.empty(0, dtype=np.int64), np.zeros(1, dtype=np.int64))
LAST_WEEK, FOUR_WEEKS = columns.SHARES[:2]
LESS_THAN_ONE = 1e-4  # turns a share into a tie-break below any difference of history counts
LEAST_NEARNESS = 1e-9  # likewise below any nearness
LEFT_OUT = -1.0  # the score of what is left out


class Evidence(Protocol):
    """What a formula may look at; arrays of one shape, or that broadcast to it."""

    @property
    def share(self) -> np.ndarray:
        """Share of users who had the item in the last four weeks."""

    @property
    def share_now(self) -> np.ndarray:
        """Share of users who had the item in the last week."""

    @property
    def weeks(self) -> np.ndarray:
        """Weeks in which the user had the item, 0 for never."""

    @property
    def slow(self) -> np.ndarray:
        """The same, each week worth .96 per week of age."""

    @property
    def near(self) -> np.ndarray:
        """Nearness of the item to the user's history."""

    @property
    def wrote(self) -> np.ndarray:
        """Of a person: weeks in which they acted on the user, each worth .96 per week of age."""

    @property
    def wrote_at(self) -> np.ndarray:
        """Of a person: when they acted on the user last, epoch seconds; 0: never."""

    @property
    def acted_at(self) -> np.ndarray:
        """When the user had the item last, epoch seconds; 0: never."""

    @property
    def common(self) -> np.ndarray:
        """Of a person: acquaintances in common."""

    @property
    def rare(self) -> np.ndarray:
        """Of a person: the same, weighed by their rarity."""


def popular(of: Evidence) -> np.ndarray:
    """Score items by their share of users in the last four weeks."""
    return of.share


def popular_now(of: Evidence) -> np.ndarray:
    """Score items by their share of users in the last week alone: the bar where items live briefly."""
    return of.share_now + LESS_THAN_ONE * of.share


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


def last_event(of: Evidence) -> np.ndarray:
    """Score the user's items by when they had each last; popular ones follow."""
    return of.acted_at + LESS_THAN_ONE * of.share


def item_knn(of: Evidence) -> np.ndarray:
    """Score items by their nearness to the history (item-based nearest neighbours); popular ones follow."""
    return of.near + LEAST_NEARNESS * of.share


def wrote_to_me(of: Evidence) -> np.ndarray:
    """Score people by the weeks in which they acted on the user, each worth .96 per week of age; then popular ones."""
    return of.wrote + LESS_THAN_ONE * of.share


def repeat_and_wrote(of: Evidence) -> np.ndarray:
    """Score people by both: the weeks in which the user acted on them, and they on the user."""
    return np.asarray(of.slow + of.wrote + LESS_THAN_ONE * of.share)


def latest_contact(of: Evidence) -> np.ndarray:
    """Score people by when they or the user acted on the other last; popular ones follow."""
    return np.asarray(np.maximum(of.acted_at, of.wrote_at) + LESS_THAN_ONE * of.share)


def common_neighbours(of: Evidence) -> np.ndarray:
    """Score people by the acquaintances that they have in common with the user; popular ones follow."""
    return of.common + LESS_THAN_ONE * of.share


def adamic_adar(of: Evidence) -> np.ndarray:
    """Score as common_neighbours, each acquaintance worth 1 / log of how many people they know."""
    return of.rare + LESS_THAN_ONE * of.share


Formula = Callable[[Evidence], np.ndarray]
ANY_ITEM: tuple[Formula, ...] = (
    popular, popular_now, unseen_popular, personal_frequency, personal_popular, decayed_personal, last_event, item_knn
)  # fmt: skip
OF_PEOPLE: tuple[Formula, ...] = (wrote_to_me, repeat_and_wrote, latest_contact, common_neighbours, adamic_adar)
FORMULAS: dict[str, Formula] = {formula.__name__: formula for formula in (*ANY_ITEM, *OF_PEOPLE)}


@dataclass(frozen=True)
class AllItems:
    """What is known of every item for every row, [B, I] or [I]."""

    rows: UserRows
    catalogue: Catalogue
    neighbours: Neighbours
    ties: Ties | None = None  # where items are people

    @property
    def wrote(self) -> np.ndarray:
        """Return who acted on the rows' users."""
        return self._people.received_slow

    @property
    def wrote_at(self) -> np.ndarray:
        """Return when each acted on the rows' users."""
        return self._people.received_last_at

    @property
    def acted_at(self) -> np.ndarray:
        """Return when the rows' users had each last."""
        return self._dense("history_last_at")

    @property
    def common(self) -> np.ndarray:
        """Return the acquaintances in common."""
        return self._people.common

    @property
    def rare(self) -> np.ndarray:
        """Return the same, weighed."""
        return self._people.adamic_adar

    @property
    def _people(self) -> Ties:
        assert self.ties is not None, "a baseline of people, asked where items are none"
        return self.ties

    @property
    def share(self) -> np.ndarray:
        """Return the items' shares, [I]."""
        return self.catalogue.state[FOUR_WEEKS]

    @property
    def share_now(self) -> np.ndarray:
        """Return the items' shares of the last week, [I]."""
        return self.catalogue.state[LAST_WEEK]

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
    ties: Ties | None = None,
) -> np.ndarray:
    """Return the best k items of each row by a baseline, -1 past the last, [B, k]."""
    scores = FORMULAS[name](AllItems(rows, catalogue, neighbours, ties))
    if scores.ndim == 1:
        scores = np.repeat(scores[None], len(rows), axis=0)
    return _best(scores, rows, k=k, unseen=unseen, barred=barred)


BASELINES: dict[str, Baseline] = {formula.__name__: partial(ranked, formula.__name__) for formula in ANY_ITEM}
PEOPLES: dict[str, Baseline] = {formula.__name__: partial(ranked, formula.__name__) for formula in OF_PEOPLE}


def of_world(*, people: bool) -> dict[str, Baseline]:
    """Return the baselines to beat, of items that are people or others."""
    return BASELINES | PEOPLES if people else BASELINES


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

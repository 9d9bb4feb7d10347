"""Judge the champion's judged twin on a candidate's user-weeks, as if it were the candidate: same weeks, same baskets.

The twin finds, encodes and orders candidates on its own rows of these users, with its own items and the intents of its
own intent model; what it recommends is named by the candidate's items. Items that the candidate does not know any more
are passed over. The baselines beside it are the candidate's.

Letters: B rows, I items of the twin, M candidates over all rows.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from components import twins
from components.ranking import examples
from components.ranking.candidates import CandidateSet
from components.ranking.catalogue import Catalogue
from components.ranking.diversity_spec import Diversity
from components.ranking.eligibility import ANY, Eligibility
from components.ranking.examples import World
from components.ranking.graph import Graph
from components.ranking.neighbours import Neighbours
from components.ranking.score import Ranker
from components.ranking.scored import Scored
from feature_repo.errors import DataError
from feature_repo.rows import UserRows


def require_known(items: Collection[str], world: World) -> None:
    """Refuse to judge by rows whose labels name items that came after the twin's.

    A candidate has them where the spec ranks later items. The twin would too, had it run on this data: that it
    ranks none of them says nothing of it, and any candidate would be better.
    """
    known = np.array([name in items for name in world.vocabulary.item_ids])
    unknown = 1 - known[world.examples.of_weeks(world.weeks("test")).bought.values].mean()
    if unknown > 0:
        raise DataError(f"items that came after its own are {unknown:.1%} of what was chosen on the candidate's")


@dataclass(frozen=True)
class Twin:
    """A ranker that answers for another's rows."""

    ranker: Ranker
    own: World  # its rows, with the intents of its intent model
    beside: Ranker  # the candidate's, whose items are meant and whose baselines are compared
    item: np.ndarray  # [I] int64: the candidate's index of each of its items, -1 where there is none
    place: dict[tuple[str, int], int]  # its row by user and instant
    eligible: Eligibility = ANY  # what the candidate's users may be shown

    @classmethod
    def load(cls, model: Path, rows: Path, intents: Path, beside: Ranker) -> "Twin":
        """Read a model folder, its own rows and what its intent model said of them."""
        ranker, own = Ranker.load(model), examples.load(rows, intents)
        if ranker.vocabulary.digest != own.vocabulary.digest:
            raise DataError(f"twin_rows: vocabulary {own.vocabulary.digest}, the model's {ranker.vocabulary.digest}")
        return cls.of(ranker, own, beside)

    @classmethod
    def of(cls, ranker: Ranker, own: World, beside: Ranker) -> "Twin":
        """Let a ranker answer on its own rows for those of the ranker `beside` it."""
        index = {name: i for i, name in enumerate(beside.vocabulary.item_ids)}
        item = np.array([index.get(name, -1) for name in ranker.vocabulary.item_ids], dtype=np.int64)
        had = own.examples.rows
        place = twins.places(had)
        return cls(replace(ranker, calendar=own.calendar), own, beside, item, place)

    @property
    def catalogue(self) -> Catalogue:
        """The candidate's items."""
        return self.beside.catalogue

    @property
    def neighbours(self) -> Neighbours:
        """The candidate's, for the baselines."""
        return self.beside.neighbours

    @property
    def graph(self) -> Graph | None:
        """The candidate's, for the baselines."""
        return self.beside.graph

    def at(self, item_state: pa.Table, *, week: int | None = None, graph: Graph | None = None) -> "Twin":
        """Return the same with items as known at a week, each by its own table."""
        mine = None if week is None else self.own.graph(week)
        own = self.ranker.at(self.own.item_state, week=week, graph=mine)
        theirs = self.beside.at(item_state, week=week, graph=graph)
        return replace(self, ranker=own, beside=theirs)

    @property
    def diversity(self) -> Diversity | None:
        """How the twin orders the best anew."""
        return self.ranker.diversity

    def best(self, scored: Scored, rows: UserRows, k: int, *, allowed: np.ndarray | None = None) -> np.ndarray:
        """Return the best k of what `rank` gave, ordered anew as the twin does; by the candidate's items."""
        return replace(self.beside, diversity=self.diversity).best(scored, rows, k, allowed=allowed)

    def rank(self, rows: UserRows, probabilities: np.ndarray) -> Scored:
        """Find and score candidates for the candidate's rows [B] by the twin's own; its intents are its own too."""
        mine = self.own.examples.take(twins.positions(self.place, rows))
        scored = renamed(self.ranker.rank(mine.rows, mine.probabilities), self.item)
        if not self.eligible.bars:
            return scored
        barred = self.eligible.dense(rows, len(self.catalogue))
        return only(scored, ~barred[scored.found.row, scored.found.item], n_rows=len(rows))


def renamed(scored: Scored, item: np.ndarray) -> Scored:
    """Name scored candidates by other indexes, `item` [I]; those that have none are left out."""
    names = item[scored.found.item]
    found = replace(scored, found=replace(scored.found, item=names))
    return only(found, names >= 0, n_rows=len(scored.found.offsets) - 1)


def only(scored: Scored, kept: np.ndarray, *, n_rows: int) -> Scored:
    """Leave out the candidates that are not `kept`, bool [M]."""
    counts = np.bincount(scored.found.row[kept], minlength=n_rows)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    found = CandidateSet(scored.found.item[kept], scored.found.source[kept], offsets)
    return replace(scored, found=found, facts=scored.facts.take(kept), scores=scored.scores[kept])

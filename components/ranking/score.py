"""The ranker as served: a folder in, recommendations out. Training and evaluation score through it too.

It holds everything a request needs beside the user row and the intents: weights, vocabulary, item arrays, neighbours,
calendar. It reads no store and no clock (`now` is in the row).

Letters: B rows, C targets, M candidates over all rows.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.ranking import cohorts, encode, feature_names, numpy_net, rerank
from components.ranking import similar as similars
from components.ranking.baseline_net import BaselineNet, is_formula
from components.ranking.bundle import CHOSEN, Bundle, Single, every, name_of, shape
from components.ranking.bundle import scored as scored_by
from components.ranking.candidates import CandidateSet, candidates, context_of
from components.ranking.catalogue import Catalogue
from components.ranking.choose_spec import COHORT, INTENT
from components.ranking.diversity_spec import Diversity
from components.ranking.eligibility import ANY, Eligibility
from components.ranking.ensemble import Ensemble
from components.ranking.graph import Graph
from components.ranking.history import History
from components.ranking.models.trees import Trees
from components.ranking.neighbours import Neighbours
from components.ranking.numpy_net import NumpyNet
from components.ranking.one_row import OneRow
from components.ranking.places import baselines_of
from components.ranking.scored import Recommended, Scored, top
from components.ranking.sources import SOURCES
from components.ranking.sources.context import Context
from components.ranking.spec import ALLOW, Candidates
from feature_repo import columns, files, records
from feature_repo.calendar import Calendar
from feature_repo.errors import DataError
from feature_repo.item_vectors import FOLDER, ItemVectors
from feature_repo.later_people import NOBODY, LaterPeople
from feature_repo.rows import UserRows
from feature_repo.vocabulary import Vocabulary

if TYPE_CHECKING:
    from components.ranking.value_lists import RecommendedValue, ValueTable

NONE = {s.name: s.least for s in SOURCES if not s.later}  # limits of a model that is older than a source


@dataclass(frozen=True)
class Ranker:
    """Finds, encodes and orders candidates."""

    net: Single | Bundle
    vocabulary: Vocabulary
    item_state: pa.Table
    catalogue: Catalogue
    neighbours: Neighbours
    calendar: Calendar
    spec: Candidates
    features: tuple[str, ...] = feature_names.FEATURES  # what the network was trained to see, in its order
    graph: Graph | None = None  # where items are people
    vectors: ItemVectors | None = None  # of the items' texts and images, where the spec declares them
    eligible: Eligibility = ANY  # a loaded one knows a user as an item only where items are people
    diversity: Diversity | None = None  # how the best are ordered anew; None: they are not
    later: LaterPeople = NOBODY  # people who came after training, as the document log has them
    recommends: Mapping[str, float] = field(default_factory=dict)  # by attribute whose values are: value_lists.SHARES

    @property
    def nets(self) -> Mapping[str, Single]:
        """Return what scores, by the algorithm's name; several where one is chosen for each user."""
        return self.net.nets if isinstance(self.net, Bundle) else {name_of(self.net): self.net}

    def chosen_of(self, rows: UserRows, probabilities: np.ndarray) -> list[str] | None:
        """Name the algorithm that answers for each of rows with intents [B, C]; None: there is one for all."""
        if not isinstance(self.net, Bundle):
            return None
        choice = self.net.choice
        return [choice.algorithms[code] for code in choice.of(self.read(rows), probabilities)]

    def algorithm_of(self, rows: UserRows, probabilities: np.ndarray) -> str:
        """Name the algorithm that scores items for one row and intents [C], whether or not there are several."""
        return (self.chosen_of(rows, probabilities[None]) or list(self.nets))[0]

    def chosen(self, rows: UserRows, probabilities: np.ndarray) -> dict[str, str] | None:
        """Say which algorithm answers for one row and intents [C], by which intent and cohort; None: there is one."""
        names = self.chosen_of(rows, probabilities[None])
        if names is None or not isinstance(self.net, Bundle):
            return None
        choice = self.net.choice
        intent, cohort = (int(one[0]) for one in choice.keys(self.read(rows), probabilities[None]))
        by = {INTENT: choice.targets[intent].name, COHORT: cohorts.NAMES[cohort]}
        return {columns.ALGORITHM: names[0]} | {name: by[name] for name in choice.by}

    def at(self, item_state: pa.Table, *, week: int | None = None, graph: Graph | None = None) -> "Ranker":
        """Return the same ranker with items as known at another week (None: the table's last).

        Where items are people, `graph` is what was known of their ties then; None: as the ranker has it.
        """
        catalogue = self.catalogue.with_state(item_state, week=week)
        return replace(self, item_state=item_state, catalogue=catalogue, graph=graph or self.graph)

    def by(self, algorithm: str) -> "Ranker":
        """Return the ranker that orders the same candidates by a formula, which needs no training."""
        return replace(self, net=BaselineNet(algorithm))

    def read(self, rows: UserRows) -> UserRows:
        """Return rows as models see them: with their records of people who came later, and by what kinds say."""
        signs = self.vocabulary.signs
        return records.read(self.later.extended(rows, signs, self.calendar), signs)

    def rank(self, rows: UserRows, probabilities: np.ndarray) -> Scored:
        """Find and score every candidate of rows [B], given intents [B, C]."""
        rows = self.read(rows)
        history = self.history(rows)
        found = candidates(history, self.catalogue, self.spec, barred=self.barred(rows))
        return self.scored(rows, probabilities, history, found)

    def recommend(
        self, rows: UserRows, probabilities: np.ndarray, *, k: int, exclude: Collection[int] = frozenset()
    ) -> list[Recommended]:
        """Return the best k items for one user row and intents [C]; past the candidates, popular items follow.

        Fewer where the user may be shown no more.
        """
        return OneRow.of(self, rows, probabilities).recommended(k=k, exclude=exclude)

    def best(self, scored: Scored, rows: UserRows, k: int, *, allowed: np.ndarray | None = None) -> np.ndarray:
        """Return the best k candidates of rows as `read` gives them, as a list shows them; `top`'s form [B, k]."""
        if self.diversity is None:
            return top(scored, k, allowed=allowed)
        order = top(scored, max(k, self.diversity.pool), allowed=allowed)
        return rerank.best(order, scored.found.item, rows, self.catalogue, self.diversity, k=k)

    def context(self, rows: UserRows) -> Context:
        """Lay out what a source finds candidates of rows from, nothing taken but what they may not be shown."""
        rows = self.read(rows)
        return context_of(self.history(rows), self.catalogue, self.barred(rows))

    def barred(self, rows: UserRows) -> np.ndarray | None:
        """Return which items the rows' users may not be shown, bool [B, I]; None: all may be."""
        barred, hidden = None, self.catalogue.hidden
        if self.eligible.bars:
            barred = self.eligible.dense(rows, len(self.catalogue))
        if hidden is None:
            return barred
        return np.tile(hidden, (len(rows), 1)) if barred is None else barred | hidden

    def history(self, rows: UserRows) -> History:
        """Lay out the rows' histories beside the items as they are known now."""
        history = History.of(rows, self.neighbours, self.graph, self.vectors, calendar=self.calendar)
        return history.over(self.catalogue)

    def score(self, rows: UserRows, probabilities: np.ndarray, item_indexes: np.ndarray) -> np.ndarray:
        """Score given items [M] for one user row and intents [C], [M]."""
        items = np.asarray(item_indexes, dtype=np.int64)
        if len(items) and (items.min() < 0 or items.max() >= len(self.catalogue)):
            raise DataError(f"item_indexes: {items.min()}..{items.max()} is outside 0..{len(self.catalogue) - 1}")
        return OneRow.of(self, rows, probabilities).of_items(items).scores

    def values(
        self,
        rows: UserRows,
        probabilities: np.ndarray,
        *,
        attribute: str,
        k: int,
        exclude: Collection[int] = frozenset(),
    ) -> "list[RecommendedValue]":
        """Return the best k values of an attribute for one user row and intents [C] (value_lists.py)."""
        from components.ranking import value_lists

        if attribute not in self.recommends:
            have = ", ".join(self.recommends) or "none"
            raise DataError(f"attribute: '{attribute}' is not in models.ranking.recommend; have {have}")
        one = OneRow.of(self, rows, probabilities)
        return value_lists.recommended(self, one.rows, one.candidates(), attribute=attribute, k=k, exclude=exclude)

    def value_table(self, attribute: str) -> "ValueTable":
        """Return which values the items have of an attribute; made once."""
        from components.ranking.value_lists import ValueTable

        if attribute not in self._tables:
            on_offer = self.lists_offers(attribute)
            self._tables[attribute] = (
                ValueTable.of_offers(self.catalogue, self.vocabulary.item_ids)
                if on_offer
                else ValueTable.of(self.vocabulary, attribute)
            )
        return self._tables[attribute]

    def lists_offers(self, attribute: str) -> bool:
        """Tell whether an attribute stands for what is on offer: items have none of that name."""
        from components.ranking.value_lists import OFFERS

        return attribute == OFFERS and OFFERS not in self.vocabulary.items.column_names

    @cached_property
    def _tables(self) -> "dict[str, ValueTable]":
        return {}

    def similar(
        self, item: int, *, k: int, exclude: Collection[int] = frozenset(), by: str | None = None
    ) -> similars.Similar:
        """Return at most k items like one, by all that is held of both or by one basis (similar.py)."""
        if not 0 <= item < len(self.catalogue):
            raise DataError(f"item: {item} is outside 0..{len(self.catalogue) - 1}")
        return similars.similar(self, item, k=k, exclude=exclude, by=by)

    def scored(self, rows: UserRows, probabilities: np.ndarray, history: History, found: CandidateSet) -> Scored:
        """Score candidates of rows [B] as `read` gives them, with what they remember laid out, given intents [B, C].

        ArithmeticError where a score is no number, from a spoilt profile or spoilt weights: no order would be one.
        """
        facts = encode.facts(
            rows,
            found,
            history=history,
            probabilities=probabilities,
            catalogue=self.catalogue,
            calendar=self.calendar,
            signs=self.vocabulary.signs,
            starts=baselines_of(self.features),
        )
        if isinstance(self.net, Bundle):
            spoke = self.net.choice.of(rows, probabilities)  # [B]
            scores = self.net.score(spoke[found.row], facts, self.matrix)
            return Scored.whole(found, facts, scores, spoke, self.net.choice.algorithms)
        return Scored.whole(found, facts, scored_by(self.net, facts, self.matrix))

    def matrix(self, facts: Mapping[str, np.ndarray]) -> np.ndarray:
        """Turn facts into what the networks and trees see, float32 [M, F]."""
        return encode.matrix(facts, self.features)

    def save(self, folder: Path, *, notes: dict[str, object] | None = None) -> None:
        """Write the self-sufficient model folder's files into an existing folder."""
        if any(isinstance(net, NumpyNet) for net in every(self.net)):
            raise TypeError("ranking model: what was read is the served form; `load` reads what can be saved")
        from components.ranking import model

        model.save(self.net, folder)
        self.neighbours.save(folder)
        if self.graph is not None:
            self.graph.save(folder)
        if self.vectors is not None:
            self.vectors.save(folder / FOLDER, self.vocabulary.item_ids)
        self.vocabulary.save(folder / "vocabulary")
        pq.write_table(self.item_state, folder / "item_state.parquet")
        config = {
            "features": list(self.features),
            "n_features": len(self.features),
            "architecture": self.net.architecture,
            "width": self.net.width,
            "dropout": self.net.dropout,
            "candidates": self.spec.model_dump(),
            "calendar": self.calendar.document(),
            "vocabulary": self.vocabulary.digest,
        }
        if isinstance(self.net, Bundle | Ensemble):
            config |= self.net.document() if isinstance(self.net, Bundle) else self.net.document(shape)
        repeat = {} if self.eligible.repeat == ALLOW else {"repeat": self.eligible.repeat}
        if self.diversity is not None:
            config["diversity"] = self.diversity.model_dump(exclude_none=True)
        values = {"recommend": dict(self.recommends)} if self.recommends else {}
        files.write_json(folder / "config.json", config | repeat | values | (notes or {}))

    @classmethod
    def load(cls, folder: Path | str) -> "Ranker":
        """Read what `save` wrote, the network as it was trained."""
        from components.ranking import model

        return cls._read(Path(folder), model.load)

    @classmethod
    def served(cls, folder: Path | str) -> "Ranker":
        """Read what `save` wrote, the network in numpy where it is proven equal: by torch only where it is not."""
        return cls._read(Path(folder), _served)

    @classmethod
    def _read(cls, folder: Path, load: Callable[[Path, Mapping[str, Any]], Single]) -> "Ranker":
        config = files.read_json(folder / "config.json")
        vocabulary = Vocabulary.load(folder / "vocabulary")
        if unknown := sorted(
            {*config["features"]}
            - {*feature_names.KNOWN, *feature_names.PLACES, *feature_names.features(vocabulary.signs)}
        ):
            raise DataError(f"{folder}: this code knows no features {', '.join(unknown)} of the model's; train again")
        chosen = config.get("architecture") == CHOSEN
        place = vocabulary.index_of_item
        item_state = pq.read_table(folder / "item_state.parquet")
        return cls(
            net=Bundle.read(folder, config, vocabulary, load) if chosen else load(folder, config),
            vocabulary=vocabulary,
            item_state=item_state,
            catalogue=Catalogue.of(vocabulary, item_state),
            neighbours=Neighbours.load(folder),
            calendar=Calendar(**config["calendar"]),
            spec=Candidates(**NONE | config["candidates"]),
            features=tuple(config["features"]),
            graph=Graph.load(folder, place) if vocabulary.people else None,
            vectors=ItemVectors.load(folder / FOLDER, vocabulary.item_ids) if (folder / FOLDER).is_dir() else None,
            diversity=Diversity(**config["diversity"]) if "diversity" in config else None,
            eligible=Eligibility(
                config.get("repeat", ALLOW), place if vocabulary.people else {}, signs=vocabulary.signs
            ),
            recommends=config.get("recommend", {}),
        )


def _served(folder: Path, config: Mapping[str, Any]) -> Single:
    """Read one ranker in the form that it is served in."""
    name = str(config.get("architecture", numpy_net.FIRST))
    if is_formula(name):
        return BaselineNet(name)
    if name == Ensemble.architecture:
        return Ensemble.read(folder, config, _served)
    if name == Trees.architecture:
        return Trees.load(folder)
    form = numpy_net.served(folder, config)
    if form is not None:
        return form
    from components.ranking import model

    return model.load(folder, config)

"""The source `graph`: from item to item through what triples say of them, by hand and in an answer."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from components.ranking import encode, feature_names
from components.ranking.catalogue import Catalogue
from components.ranking.examples import World
from components.ranking.history import History
from components.ranking.score import Ranker
from components.ranking.sources import graph
from components.ranking.spec import Candidates
from components.ranking.train import train
from feature_repo import columns
from feature_repo.errors import DataError
from feature_repo.vocabulary import Vocabulary
from tests.ranking.board import ITEMS, SPEC, Happened, intents, known_row, user_rows

KNOWN: list[list[str] | None] = [None] * ITEMS
KNOWN[1], KNOWN[2], KNOWN[4] = ["by: Ann", "by: Ben"], ["by: Ann"], ["in: Ann", "by: Ben"]


def told(vocabulary: Vocabulary) -> Vocabulary:
    column = pa.array(KNOWN, pa.list_(pa.string()))
    return replace(vocabulary, items=vocabulary.items.append_column(columns.KNOWLEDGE, column))


def knowing(ranker: Ranker) -> Ranker:
    vocabulary = told(ranker.vocabulary)
    catalogue = Catalogue.of(vocabulary, ranker.item_state)
    return replace(ranker, vocabulary=vocabulary, catalogue=catalogue, spec=Candidates(graph=5))


def test_an_entity_is_one_by_its_relation_too(ranker: Ranker) -> None:
    codes = knowing(ranker).catalogue.entities
    assert codes is not None
    assert codes[[0, 1, 2, 4]].tolist() == [[-1, -1], [0, 1], [0, -1], [2, 1]]
    assert Catalogue.of(ranker.vocabulary, ranker.item_state).entities is None


def test_what_is_shared_by_hand(ranker: Ranker) -> None:
    """Of the history three parts are item 1 and one is item 2; Ann is of two items, Ben of two, each 1 / log 3."""
    history: Any = SimpleNamespace(
        slow=np.array([3.0, 1.0]), row=np.array([0, 0]), item=np.array([1, 2]), n_rows=1, n_items=ITEMS, scored={}
    )
    found = graph.known(history, knowing(ranker).catalogue)[0]
    rare = 1 / np.log(3)
    assert found[[1, 2, 4]] == pytest.approx([rare * 1.75, rare, rare * 0.75], abs=1e-5)
    assert not np.delete(found, [1, 2, 4]).any()


def test_an_answer_has_what_shares_an_entity_and_says_so(ranker: Ranker) -> None:
    rows = user_rows(known_row("u00", {9: [1], 10: [1]}, 21))
    asked = knowing(ranker)
    scored = asked.rank(rows, np.array([intents("u00")], np.float32))
    by_graph = scored.found.item[scored.found.source == 18]
    assert set(by_graph.tolist()) == {2, 4}
    answer = {one.item_index: one for one in asked.recommend(rows, np.asarray(intents("u00"), np.float32), k=ITEMS)}
    assert (answer[2].source, answer[4].source) == ("graph", "graph")
    assert answer[2].reasons["knowledge"] == pytest.approx(1 / np.log(3), abs=1e-4)
    nothing = replace(asked, spec=Candidates(graph=0)).rank(rows, np.array([intents("u00")], np.float32))
    assert not (nothing.found.source == 18).any()


def test_a_model_sees_it_where_it_is_declared_and_no_other_model_changes(
    world: World, ranker: Ranker, happened: dict[str, Happened]
) -> None:
    assert world.features == feature_names.FEATURES
    declared = replace(world, vocabulary=told(world.vocabulary))
    assert declared.features == (*feature_names.FEATURES, "knowledge")
    rows = user_rows(known_row("u00", happened["u00"], 21))
    history = History.of(rows, ranker.neighbours)
    scored = knowing(ranker).rank(rows, np.array([intents("u00")], np.float32))
    seen = encode.matrix(scored.facts, declared.features)
    assert seen[:, -1] == pytest.approx(np.log1p(graph.known(history, knowing(ranker).catalogue)[0][scored.found.item]))


def test_a_limit_without_knowledge_is_refused_before_training(world: World) -> None:
    spec = SPEC.model_copy(update={"candidates": Candidates(graph=5)})
    with pytest.raises(DataError, match=r"models\.ranking\.candidates\.graph: nothing is known of the items; say"):
        train(world, spec)

"""Items like an item on the checkerboard, where like means of one colour, and on tables that are written by hand."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.ranking import open_catalogue
from components.ranking.examples import World
from components.ranking.graph import Graph
from components.ranking.score import Ranker
from components.ranking.similar import ATTRIBUTES, Similar
from components.ranking.spec import Candidates
from components.ranking.train import train
from feature_repo.documents.changes import ITEM, Newest
from feature_repo.errors import DataError
from feature_repo.live_items import live
from tests.ranking import board
from tests.ranking.board import ITEMS
from tests.ranking.content_worlds import vectors_of_numbers


def over(ranker: Ranker, **documents: dict[str, Any] | None) -> Ranker:
    newest = [Newest(ITEM, one, n, (n, 0), document) for n, (one, document) in enumerate(documents.items(), 1)]
    return open_catalogue.over(ranker, live(ranker.vocabulary, newest))


def places(found: Similar) -> list[int]:
    return [one.item_index for one in found.items]


@pytest.fixture(scope="module")
def factored(world: World) -> Ranker:
    """Give a ranker that holds factors of both kinds, and vectors of texts."""
    candidates = Candidates(history=10, neighbours=5, popular=5, als=5, bpr=5)
    spec = board.SPEC.model_copy(update={"candidates": candidates, "algorithm": "frequency"})
    found = train(replace(world, learn=("als", "bpr")), spec).ranker
    return replace(found, vectors=vectors_of_numbers(ITEMS))


def test_items_of_one_colour_are_alike_and_the_item_itself_is_not_among_them(ranker: Ranker) -> None:
    for item in range(8):
        near = places(ranker.similar(item, k=5))
        assert item not in near
        assert {one % 2 for one in near} == {item % 2}, item


def test_every_basis_of_histories_tells_the_colours_apart(factored: Ranker) -> None:
    assert factored.similar(0, k=1).bases == ("neighbours", "als", "bpr", "content", "attributes")
    for by in ("neighbours", "als", "bpr"):
        found = factored.similar(4, k=5, by=by)
        assert {one % 2 for one in places(found)} == {0}, by
        assert {one.source for one in found.items} == {by}
        assert all(set(one.reasons) == {by} for one in found.items)
    assert places(factored.similar(4, k=3, by="content")) == [3, 5, 2], "the texts of near numbers are alike"


def test_all_bases_together_are_fused_by_reciprocal_ranks(factored: Ranker) -> None:
    ranks: dict[int, float] = {}
    for by in ("neighbours", "als", "bpr", "content"):
        for rank, one in enumerate(factored.similar(4, k=ITEMS, by=by).items, 1):
            ranks[one.item_index] = ranks.get(one.item_index, 0.0) + 1 / (60 + rank)
    found = factored.similar(4, k=9).items
    assert [one.item_index for one in found] == sorted(ranks, key=lambda place: (-ranks[place], place))[:9]
    assert [one.score for one in found] == pytest.approx([ranks[one.item_index] for one in found])
    assert set(found[0].reasons) <= {"neighbours", "als", "bpr", "content"}


def test_a_longer_list_begins_with_the_shorter(factored: Ranker) -> None:
    longest = places(factored.similar(7, k=ITEMS))
    assert len(longest) == len(set(longest))
    for k in (1, 3, 8, 20):
        assert places(factored.similar(7, k=k)) == longest[:k]


def test_a_basis_that_is_not_held_finds_nothing_and_the_answer_says_what_is(ranker: Ranker) -> None:
    found = ranker.similar(0, k=5, by="als")
    assert (found.items, found.bases) == ([], ("neighbours", "attributes"))


def test_what_is_excluded_or_withdrawn_is_never_shown(ranker: Ranker) -> None:
    first, second, third = places(ranker.similar(0, k=3))
    assert places(ranker.similar(0, k=2, exclude={first})) == [second, third]
    gone = over(ranker, **{ranker.vocabulary.item_ids[first]: {"available": False}})
    assert places(gone.similar(0, k=2)) == [second, third]
    assert places(gone.similar(first, k=3)), "a withdrawn item may be asked about: what is like it is still there"


def test_an_item_that_came_later_is_like_its_category_and_found_through_it(ranker: Ranker) -> None:
    grown = over(ranker, kale={"title": "Kale", "category": "C0", "brand": "EVEN"})
    found = grown.similar(ITEMS, k=4)
    assert {one.source for one in found.items} == {ATTRIBUTES}
    assert {one % 6 for one in places(found)} == {0}
    popular = grown.catalogue.popularity[places(found)]
    assert (np.diff(popular) <= 0).all(), "popular ones first among equals"
    assert ITEMS in places(grown.similar(0, k=ITEMS, by=ATTRIBUTES))


def test_an_item_of_which_nothing_is_known_is_like_nothing(ranker: Ranker) -> None:
    assert places(over(ranker, blank={"title": "Who knows"}).similar(ITEMS, k=4)) == []


def test_people_are_alike_by_rare_acquaintances(ranker: Ranker) -> None:
    """0 and 1 share 5 and 6, 0 and 2 share 6, whom everybody knows."""
    ties = [(0, 5), (1, 5), (0, 6), (1, 6), (2, 6), (3, 6), (4, 6)]
    place = {item: n for n, item in enumerate(ranker.vocabulary.item_ids)}
    graph = Graph.of(np.array([a for a, _ in ties]), np.array([b for _, b in ties]), place)
    found = replace(ranker, graph=graph).similar(0, k=9, by="adamic_adar").items
    assert [one.item_index for one in found] == [1, 2, 3, 4]
    assert found[0].reasons == {"adamic_adar": round(1 / np.log(2) + 1 / np.log(5), 4)}
    assert found[1].reasons == {"adamic_adar": round(1 / np.log(5), 4)}


def test_a_saved_ranker_says_the_same(factored: Ranker, tmp_path: Path) -> None:
    factored.save(tmp_path)
    for item in (0, 13):
        assert Ranker.served(tmp_path).similar(item, k=9) == factored.similar(item, k=9)


def test_an_item_that_is_none_is_refused(ranker: Ranker) -> None:
    with pytest.raises(DataError, match=r"item: 30 is outside 0..29"):
        ranker.similar(ITEMS, k=3)

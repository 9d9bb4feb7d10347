"""A small shop's items and what the log says of them."""

from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from feature_repo.documents.changes import ITEM, PERSON, Newest
from feature_repo.live_items import LiveItems, declared, live
from feature_repo.vocabulary import Target, Vocabulary


def vocabulary() -> Vocabulary:
    items = pa.table(
        {
            "item_index": pa.array([0, 1, 2], pa.int32()),
            "item_id": ["soup", "tea", "leek"],
            "title": ["Soup", None, "Leek"],
            "category": ["WARM", "WARM", "GREEN"],
            "category_path": ["FOOD > WARM", "FOOD > WARM", "FOOD > GREEN"],
            "price": [1.5, None, 0.5],
            "genres": pa.array([["hot"], ["hot", "wet"], []], pa.list_(pa.string())),
        }
    )
    targets = (
        Target("buy", "WARM", "purchase", "category"),
        Target("buy", "GREEN", "purchase", "category"),
        Target("taste", "wet", "view", "genres"),
        Target("visit", None, None, None),
    )
    # `rice` is in the catalogue, and too rare to be learnt.
    pairs = [("soup", 0, "purchase"), ("tea", 0, "purchase"), ("leek", 1, "purchase"), ("tea", 2, "view"),
             ("rice", 1, "purchase")]  # fmt: skip
    ids, numbers, kinds = zip(*pairs, strict=True)
    return Vocabulary(
        targets, items, pa.table({"item_id": ids, "target_id": pa.array(numbers, pa.int32()), "kind": kinds})
    )


def said(**documents: dict[str, Any] | None) -> LiveItems:
    return live(vocabulary(), [Newest(ITEM, one, n, (n, 0), d) for n, (one, d) in enumerate(documents.items(), 1)])


def test_a_log_without_items_leaves_a_release_as_it_is() -> None:
    found = said()
    assert (found.hidden, found.changed, found.vocabulary.items) == (frozenset(), {}, vocabulary().items)


def test_a_new_item_is_appended_and_neither_digest_nor_positions_move() -> None:
    found = said(kale={"title": "Kale", "category": "GREEN", "price": 2}, beet={"category": "GREEN"}).vocabulary
    assert found.item_ids == ["soup", "tea", "leek", "kale", "beet"]
    assert (found.learnt, found.digest) == (3, vocabulary().digest)
    assert found.items["item_index"].to_pylist() == [0, 1, 2, 3, 4]
    assert found.items.slice(3, 1).to_pylist()[0] == {
        "item_index": 3, "item_id": "kale", "title": "Kale", "category": "GREEN", "category_path": "FOOD > GREEN",
        "price": 2.0, "genres": None,
    }  # fmt: skip
    assert found.targets_of_item["kale"] == (1,)


def test_a_document_speaks_only_of_the_columns_that_it_names() -> None:
    found = said(tea={"title": "Green tea", "category": "GREEN"})
    row = found.vocabulary.items.slice(1, 1).to_pylist()[0]
    assert (row["title"], row["category_path"], row["genres"]) == ("Green tea", "FOOD > GREEN", ["hot", "wet"])
    assert found.vocabulary.targets_of_item["tea"] == (1, 2), "the category is another one, the genres are the old ones"
    assert found.changed == {1: {"title", "category"}}


def test_several_values_of_a_column_fulfil_several_targets() -> None:
    found = said(stew={"category": "WARM", "genres": ["wet", "thick"]}, leek={"genres": None})
    assert found.vocabulary.targets_of_item["stew"] == (0, 2)
    assert found.vocabulary.targets_of_item["leek"] == (1,)


@pytest.mark.parametrize(
    ("document", "hidden"),
    [
        ({"available": False}, True),
        ({"available": True}, False),
        ({"available": False, "price": 3}, True),
        (None, False),
    ],
)
def test_an_item_of_the_release_is_hidden_where_it_is_not_available(document: Any, hidden: bool) -> None:
    assert said(soup=document).hidden == ({0} if hidden else set())


def test_a_later_item_of_which_nothing_is_known_is_hidden_and_keeps_its_place() -> None:
    found = said(kale=None, rice={"available": False}, beet={"category": "GREEN"})
    assert found.vocabulary.item_ids[3:] == ["kale", "rice", "beet"]
    assert found.hidden == {3, 4}
    assert found.vocabulary.targets_of_item["rice"] == (1,), "what the release's catalogue knows of it holds"


def test_a_column_that_the_release_lacks_is_another_releases() -> None:
    assert said(soup={"colour": "red"}).changed == {}
    assert declared(vocabulary()) == ["title", "category", "category_path", "price", "genres"]


def person(under: str) -> dict[str, Any]:
    return {"from_source": True, "as_person": {"under": under, "as_of": 0, "state": {}, "by": [], "to": []}}


def test_people_who_came_later_are_shown_under_their_own_key_and_hidden_under_another() -> None:
    people = replace(vocabulary(), people=True)
    log = [Newest(PERSON, one, n, (n, 0), document) for n, (one, document) in enumerate(
        {"f00d": person("k1"), "beef": person("k2"), "cafe": None, "soup": person("k1")}.items(), 1)]  # fmt: skip
    found = live(people, log, under="k1")
    assert found.vocabulary.item_ids == ["soup", "tea", "leek", "f00d", "beef", "cafe"]
    assert (set(found.people), set(found.hidden)) == ({3}, {4, 5})
    assert (set(live(people, log).people), set(live(people, log).hidden)) == ({3, 4}, {5})
    assert not live(vocabulary(), log).people, "items are things here"

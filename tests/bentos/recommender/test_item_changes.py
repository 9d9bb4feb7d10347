"""PUT /items over HTTP, on one door and on two over one log: what is taken, what is refused, what answers then show."""

import datetime as dt
import logging
import time
from pathlib import Path
from typing import Any

import pytest

from bentos.recommender.logs import requestlog
from components.data.row_rules import Between, Finite, NotNull, OneOf
from feature_repo.documents.changes import ITEM
from feature_repo.documents.log import Snapshot
from feature_repo.errors import StoreAway
from feature_repo.privacy.pseudonyms import pseudonym
from tests.bentos import conftest
from tests.bentos.conftest import World
from tests.bentos.recommender.item_shop import client, put, recommended
from tests.patience import patient


def test_an_item_is_added_changed_and_withdrawn_and_answers_say_so(shown: World) -> None:
    shown.knows("ann", 3)
    door = client(shown)
    answer = put(door, {"item_id": "kiwi", "title": "kiwi", "category": "FRUIT", "price": 0.4})
    assert (answer["version"], answer["catalogue_version"], answer["repeated"]) == (1, 1, False)
    assert answer["items"] == [{"item_id": "kiwi", "outcome": "added"}]
    assert recommended(door) == ["i3", "i0", "i1", "i2", "i4", "i5", "kiwi"]
    described = door.post("/explain", json={"user_id": "ann", "item_id": "kiwi"}).json()
    assert (described["title"], [i["name"] for i in described["intents"]]) == ("kiwi", ["buy:FRUIT", "visit"])

    assert put(door, {"item_id": "i3", "title": "pea soup, hot"})["items"][0]["outcome"] == "changed"
    reply = door.post("/recommend", json={"user_id": "ann", "k": 1})
    assert reply.json()["items"][0]["title"] == "pea soup, hot"
    assert (reply.json()["catalogue_version"], reply.status_code) == (2, 200)

    outcomes = put(door, {"item_id": "i3", "available": False}, {"item_id": "kiwi", "available": False})["items"]
    assert {one["outcome"] for one in outcomes} == {"withdrawn"}
    assert recommended(door) == ["i0", "i1", "i2", "i4", "i5"]
    scores = door.post("/rank", json={"user_id": "ann", "item_ids": ["i3", "i4"]}).json()
    assert ([one["item_id"] for one in scores["scores"]], scores["withdrawn"]) == (["i4"], ["i3"])
    assert recommended(door, user="nobody", k=7) == ["i0", "i1", "i2", "i4", "i5"], "nor where no model answers"
    assert put(door, {"item_id": "i3", "available": True})["items"][0]["outcome"] == "changed"
    assert recommended(door)[0] == "i3"


def test_what_a_change_leaves_out_stays_and_null_is_unknown(shown: World) -> None:
    door = client(shown)
    put(door, {"item_id": "kiwi", "title": "kiwi", "category": "FRUIT", "price": 1.0, "attributes": {"stock": 3}})
    put(door, {"item_id": "kiwi", "available": False})
    put(door, {"item_id": "kiwi", "price": None, "attributes": {"tags": ["green", "new"]}})
    newest = shown.log().refreshed(Snapshot()).of(ITEM)["kiwi"].document
    assert newest == {"title": "kiwi", "category": "FRUIT", "price": None, "stock": 3, "available": False,
                      "tags": ["green", "new"]}  # fmt: skip


def test_undo_takes_a_whole_version_back(shown: World) -> None:
    door = client(shown)
    put(door, {"item_id": "kiwi", "title": "kiwi"}, {"item_id": "i0", "available": False})
    answer = door.put("/items", json={"undo": 1}).json()
    assert answer["version"] == 2
    assert answer["items"] == [{"item_id": "kiwi", "outcome": "taken back"}, {"item_id": "i0", "outcome": "taken back"}]
    assert recommended(door) == conftest.IDS
    refused = door.put("/items", json={"undo": 1})
    assert refused.status_code == 422
    assert "version 1 changed item 'kiwi', and version 2 changed it again; undo version 2 first" in refused.text
    assert door.put("/items", json={"undo": 9}).json()["error"].startswith("undo: no version 9; have 1 to 2")


def test_a_request_that_is_sent_again_changes_nothing(shown: World) -> None:
    door = client(shown)
    ask = {"item_id": "i0", "price": 0.7}
    assert put(door, ask, change_id="c1")["repeated"] is False
    put(door, {"item_id": "i0", "price": 0.9})
    again = put(door, ask, change_id="c1")
    assert (again["repeated"], again["version"], again["catalogue_version"]) == (True, 1, 2)
    other = door.put("/items", json={"items": [{"item_id": "i0", "price": 0.8}], "change_id": "c1"})
    assert (other.status_code, shown.log().head().version) == (422, 2)


@pytest.mark.parametrize(
    ("item", "where", "what"),
    [
        ({"item_id": " nan "}, "items[1].item_id", "' nan ' is no id"),
        ({"item_id": "i0", "price": "cheap"}, "items[1].price", "'cheap' is not allowed; allowed: a number"),
        (
            {"item_id": "i0", "price": -1.0},
            "items[1].price",
            "-1.0 breaks the rule between(price); allowed: price is at",
        ),
        ({"item_id": "i0", "colour": "red"}, "items[1].colour", "no such field"),
        (
            {"item_id": "i0", "attributes": {"stok": 1}},
            "items[1].attributes.stok",
            "did you mean 'stock'?; allowed: title",
        ),
        (
            {"item_id": "i0", "attributes": {"stock": 1.5}},
            "items[1].attributes.stock",
            "allowed: a whole number, or null",
        ),
        ({"item_id": "i0", "attributes": {"stock": True}}, "items[1].attributes.stock", "True is of another type"),
        (
            {"item_id": "i0", "attributes": {"tags": "hot"}},
            "items[1].attributes.tags",
            "allowed: a list of texts, or null",
        ),
        ({"item_id": "i0", "attributes": {"title": "x"}}, "items[1].attributes.title", "allowed: items[1].title"),
        ({"item_id": "i0", "category_path": "A > B"}, "items[1].category_path", "no such column of items"),
        (
            {"item_id": "new"},
            "items[1]",
            "is not among the release's items, and nothing is said of it; allowed: some of",
        ),
        ({"item_id": "first"}, "items[1].item_id", "'first' is there twice; allowed: each item once in a request"),
        (
            {"item_id": "i0", "title": "saw", "category": "TOOLS"},
            "items[1].item_id",
            "'i0' is 'apple, FRUIT' and not 'saw, TOOLS'",
        ),
        ({"item_id": "i0", "title": "x" * 4097}, "items[1].title", "allowed: at most 4096 characters"),
        (
            {"item_id": "i0", "attributes": {"tags": ["x" * 4000] * 5}},
            "items",
            "document 'i0': 20025 bytes; allowed: at most 16384",
        ),
    ],
)
def test_a_wrong_item_is_refused_in_one_line_and_none_of_the_request_is_taken(
    shown: World, item: dict[str, Any], where: str, what: str
) -> None:
    door = client(shown)
    reply = door.put("/items", json={"items": [{"item_id": "first", "title": "the first"}, item]})
    problem = reply.json()
    assert (reply.status_code, problem["where"]) == (422, where)
    assert what in problem["error"]
    assert "\n" not in problem["error"]
    assert shown.log().head().version == 0


@pytest.mark.parametrize("ask", [{}, {"items": []}, {"items": [{"item_id": "i0", "price": 1.0}], "undo": 1}])
def test_a_request_changes_items_or_undoes_a_version(shown: World, ask: dict[str, Any]) -> None:
    reply = client(shown).put("/items", json=ask)
    assert reply.status_code == 422
    assert "items to change, or a version to undo, one of the two" in reply.json()["error"]


def test_a_body_that_is_too_large_or_has_too_many_items_is_refused(shown: World) -> None:
    door = client(shown)
    assert door.put("/items", json={"items": [{"item_id": "x" * 3_000_000}]}).status_code == 413
    many = door.put("/items", json={"items": [{"item_id": f"n{n}", "title": "t"} for n in range(1001)]})
    assert (many.status_code, many.json()["where"]) == (422, "items")


def test_an_id_is_given_to_another_thing_where_that_is_said(shown: World) -> None:
    door = client(shown)
    put(door, {"item_id": "i0", "price": 0.7, "attributes": {"tags": ["old"]}})
    put(door, {"item_id": "i0", "title": "saw", "category": "TOOLS", "replaces": True})
    said = {"title": "saw", "category": "TOOLS", "brand": None, "price": None, "stock": None, "tags": None}
    assert shown.log().refreshed(Snapshot()).of(ITEM)["i0"].document == said
    (one,) = shown.opened  # type: ignore[attr-defined]
    row = one.catalogue.current.vocabulary.items.slice(0, 1).to_pylist()[0]
    assert row == {"item_index": 0, "item_id": "i0"} | said, "nothing of the apple is left"
    assert put(door, {"item_id": "i1", "title": "pear, ripe"})["items"][0]["outcome"] == "changed", "a name may change"


@pytest.mark.parametrize("old", ["i0", "kiwi"])  # of the release, and of the log alone
def test_another_thing_under_the_id_of_a_withdrawn_one_is_refused_until_it_is_said(shown: World, old: str) -> None:
    door = client(shown)
    put(door, {"item_id": "kiwi", "title": "kiwi", "category": "FRUIT"})
    put(door, {"item_id": old, "available": False})
    saw = {"item_id": old, "title": "saw", "category": "TOOLS"}
    reply = door.put("/items", json={"items": [saw]})
    assert (reply.status_code, reply.json()["where"]) == (422, "items[0].item_id")
    assert (
        "allowed: an id of its own, or `replaces: true` where the old thing is gone for good" in reply.json()["error"]
    )
    assert old not in recommended(door), "it stays withdrawn"
    assert put(door, saw | {"replaces": True})["items"][0]["outcome"] in ("added", "changed")
    assert old in recommended(door), "the new thing may be shown"


def test_the_rules_judge_the_new_thing_under_an_old_id_by_what_is_said_of_it_alone(shown: World) -> None:
    door = client(shown)
    (one,) = shown.opened  # type: ignore[attr-defined]
    rules = (NotNull(expect="not_null", column="brand"),)
    object.__setattr__(one.release, "item_rules", rules)
    saw = {"item_id": "i0", "title": "saw", "category": "TOOLS", "replaces": True}
    reply = door.put("/items", json={"items": [saw]})
    assert reply.json()["where"] == "items[0].brand", "the apple's brand is not the saw's"
    put(door, saw | {"brand": "Best"})


def test_the_rules_of_the_release_judge_items_and_not_withdrawn_ones(shown: World) -> None:
    door = client(shown)
    (one,) = shown.opened  # type: ignore[attr-defined]
    rules = (
        Between(expect="between", column="price", min=0, max=9),
        OneOf(expect="one_of", column="brand", values=["own"]),
        Finite(expect="finite", column="weight"),
    )
    object.__setattr__(one.release, "item_rules", rules)
    reply = door.put("/items", json={"items": [{"item_id": "i0", "price": 10.0}]})
    assert reply.json()["error"].startswith("items[0].price: 10.0 breaks the rule between(price); allowed: price is")
    assert put(door, {"item_id": "i3", "available": False})["items"][0]["outcome"] == "withdrawn", "its brand is Best"
    put(door, {"item_id": "i0", "price": 9.0})


def test_a_change_reaches_another_door_of_the_same_log_within_five_seconds(shown: World) -> None:
    here, there = client(shown), client(shown)
    assert recommended(there) == conftest.IDS
    put(here, {"item_id": "kiwi", "title": "kiwi"}, {"item_id": "i0", "available": False})
    deadline = time.monotonic() + patient(5)
    while recommended(there) != [*conftest.IDS[1:], "kiwi"] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert recommended(there) == [*conftest.IDS[1:], "kiwi"]


def test_a_new_door_starts_with_what_the_log_says(shown: World) -> None:
    put(client(shown), {"item_id": "kiwi", "title": "kiwi"})
    assert recommended(client(shown))[-1] == "kiwi"


def test_who_changed_what_is_in_the_log_and_in_the_services_own(shown: World, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="intentflow.door"):
        put(client(shown), {"item_id": "kiwi", "title": "kiwi"})
    (change,) = shown.log().changes()
    assert abs(dt.datetime.fromisoformat(change.at).timestamp() - time.time()) < patient(60)
    assert f"catalogue version 1: 1 items, by {change.who}" in caplog.text


def test_a_request_ends_with_the_items_that_it_began_with(shown: World) -> None:
    from bentos.http.request_context import RequestContext

    door = client(shown)
    (behind,) = shown.opened  # type: ignore[attr-defined]
    context = RequestContext()
    behind.items_of(context)
    put(door, {"item_id": "i0", "available": False})
    assert (behind.signed(context)["catalogue_version"], behind.catalogue.current.version) == (0, 1)


def test_an_answers_version_is_in_the_request_log(shown: World) -> None:
    door = client(shown)
    put(door, {"item_id": "kiwi", "title": "kiwi"})
    recommended(door)
    (line,) = requestlog.read(shown.folder / "requests")
    assert line["catalogue_version"] == 1


def test_events_of_a_new_item_are_taken_where_unknown_ones_are_set_aside(shown: World) -> None:
    door = client(shown)
    (behind,) = shown.opened  # type: ignore[attr-defined]
    behind.rules._unknown = "warning"
    ask = {"events": [{"user_id": "ann", "item_id": "kiwi", "event": "purchase"}]}
    assert len(door.post("/events", json=ask).json()["set_aside"]) == 1
    put(door, {"item_id": "kiwi", "title": "kiwi"})
    assert door.post("/events", json=ask).json()["accepted"] == 1
    put(door, {"item_id": "kiwi", "available": False})
    ask["events"][0]["event_id"] = "later"
    assert door.post("/events", json=ask).json()["accepted"] == 1, "who was shown it may still have it"


class Away:
    """A log in a store that does not answer, or that was emptied."""

    def __init__(self, log: Any) -> None:
        self.log, self.mode = log, "there"

    def __getattr__(self, name: str) -> Any:
        if self.mode == "away":
            raise StoreAway("online store: no answer")
        return getattr(self.log, name)


def test_a_door_goes_on_with_what_it_has_while_the_store_is_away(
    shown: World, caplog: pytest.LogCaptureFixture
) -> None:
    log = shown.documents = Away(shown.log())  # type: ignore[assignment]
    door = client(shown)
    put(door, {"item_id": "i0", "available": False})
    log.mode = "away"
    reply = door.put("/items", json={"items": [{"item_id": "i1", "available": False}]})
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")
    assert "items: are not in the document log: online store: no answer" in reply.json()["error"]
    shown.opened[0].catalogue._look()  # type: ignore[attr-defined]
    assert recommended(door) == conftest.IDS[1:]
    assert "the catalogue stays at version 1" in caplog.text
    log.mode = "there"
    assert put(door, {"item_id": "i1", "available": False})["version"] == 2


def test_a_door_that_never_read_the_log_says_so_and_reads_it_once_it_answers(shown: World) -> None:
    put(client(shown), {"item_id": "i0", "available": False})
    log = shown.documents = Away(shown.log())  # type: ignore[assignment]
    log.mode = "away"
    door = client(shown)
    answer = door.post("/recommend", json={"user_id": "ann"}).json()
    assert answer["catalogue_version"] is None
    log.mode = "there"
    shown.opened[1].catalogue._look()  # type: ignore[attr-defined]
    assert recommended(door) == conftest.IDS[1:]


def test_a_log_that_lost_everything_brings_no_withdrawn_item_back(
    shown: World, caplog: pytest.LogCaptureFixture
) -> None:
    door = client(shown)
    put(door, {"item_id": "i0", "available": False})
    Path(shown.folder / "online.db").unlink()
    shown.opened[0].catalogue._look()  # type: ignore[attr-defined]
    assert recommended(door) == conftest.IDS[1:]
    assert "the document log is empty and was at version 1; what it said stays until restart" in caplog.text


def test_what_the_router_keeps_has_no_withdrawn_item(shown: World) -> None:
    from bentos.endpoints import popular

    door = client(shown)
    put(door, {"item_id": "i0", "available": False})
    opened = door.app.state.opened  # type: ignore[attr-defined]
    found = popular.unsealed(opened.popular)
    assert (found.catalogue_version, [item.item_id for item in found.items]) == (1, conftest.IDS[1:])
    put(door, {"item_id": "i0", "available": True})
    assert popular.unsealed(opened.popular).items[0].item_id == "i0"


def test_no_raw_user_is_in_the_document_log(shown: World) -> None:
    put(client(shown), {"item_id": "kiwi", "title": "kiwi"})
    assert pseudonym("ann", conftest.KEY) not in shown.log().changes()[0].text


def test_where_items_are_users_nobody_is_put_into_the_log(shown: World) -> None:
    door = client(shown)
    release = shown.opened[0].release  # type: ignore[attr-defined]
    people = release.ranking.model_copy(update={"exclude_self": True})
    object.__setattr__(release, "ranking", people)
    reply = door.put("/items", json={"items": [{"item_id": "i0", "available": False}]})
    assert (reply.status_code, reply.json()["error"]) == (
        422,
        "items: are users here: a new one is recommended to others once a run, or the job materialise, has read them "
        "from the source, and `intentflow forget` removes one; allowed: what the source's tables say of users",
    )
    assert shown.log().head().version == 0

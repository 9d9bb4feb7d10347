"""PUT /rules over HTTP, on one door and on two over one log: what is taken and refused, and what answers then hold."""

import datetime as dt
import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from bentos.endpoints import popular
from bentos.recommender.logs import requestlog
from components.ranking.rules import pool
from components.ranking.rules.spec import PLACEMENTS, RULES
from feature_repo import files
from feature_repo.documents.changes import RULE
from feature_repo.documents.log import Snapshot
from feature_repo.errors import DataError
from tests.bentos import conftest
from tests.bentos.conftest import TinyRanker, TinyScorer, World
from tests.bentos.recommender.item_shop import client, shop
from tests.patience import patient

PLACES = {"home": {"k": 2}, "item page": {}, "basket": {"algorithm": "popular"}}
NO_SOUP = {"kind": "filter", "name": "no soup", "where": "category = 'SOUP'"}
ONE_EACH = {"kind": "cap", "name": "one each", "column": "category", "at_most": 1}


class PopularRanker(TinyRanker):
    """The tiny ranker, which can also order by number from behind."""

    def over(self, items: Any, _: object) -> "PopularRanker":
        return PopularRanker(items.vocabulary, items.hidden)

    def by(self, algorithm: str) -> "Backwards":
        assert algorithm == "popular"
        return Backwards(self.vocabulary, self.hidden)


class Backwards(PopularRanker):
    """Items by number, the last first."""

    def recommend(self, rows: Any, probabilities: Any, *, k: int, exclude: frozenset[int]) -> list[Any]:
        every = super().recommend(rows, probabilities, k=99, exclude=exclude)
        found = sorted(every, key=lambda one: -one.item_index)
        return found[:k]


@pytest.fixture
def shown(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The tiny world with columns, placements and a document log; its doors are closed at the end."""
    words = shop()
    world.scorer, world.ranker, world.documents = TinyScorer(words), PopularRanker(words), world.log()
    world.opened, world.rules = [], []  # type: ignore[attr-defined]
    plain = conftest.release_document

    def document(digest: str, **serving: Any) -> dict[str, Any]:
        rest = {name: value for name, value in plain(digest, **serving).items() if name != "id"}
        rest["serving"] |= {"placements": PLACES, "rules": world.rules}  # type: ignore[attr-defined]
        return {"id": files.digest(rest), **rest}

    monkeypatch.setattr(conftest, "release_document", document)
    yield world
    for door in world.opened:  # type: ignore[attr-defined]
        door.close()


def put(door: TestClient, *rules: dict[str, Any], **more: Any) -> Any:
    reply = door.put("/rules", json=({"rules": list(rules)} if rules else {}) | more)
    assert reply.status_code == 200, reply.text
    return reply.json()


def refused(door: TestClient, *rules: dict[str, Any], **more: Any) -> str:
    reply = door.put("/rules", json=({"rules": list(rules)} if rules else {}) | more)
    assert reply.status_code == 422, reply.text
    return str(reply.json()["error"])


def listed(door: TestClient, user: str = "ann", **more: Any) -> tuple[list[str], Any]:
    reply = door.post("/recommend", json={"user_id": user} | more)
    assert reply.status_code == 200, reply.text
    return [item["item_id"] for item in reply.json()["items"]], reply.json()["rules"]


def test_rules_are_put_changed_and_removed_and_every_answer_keeps_to_them(shown: World) -> None:
    shown.knows("ann", 3)
    door = client(shown)
    assert listed(door, k=9) == (["i3", "i0", "i1", "i2", "i4", "i5"], None)
    answer = put(door, NO_SOUP, ONE_EACH)
    assert (answer["version"], answer["catalogue_version"], answer["repeated"]) == (1, 1, False)
    assert answer["changed"] == [
        {"name": "no soup", "outcome": "added", "items": 2},
        {"name": "one each", "outcome": "added", "items": 6},
    ]
    items, said = listed(door, k=5)
    assert items == ["i0", "i4", "i5"]
    assert said == {
        "placement": None,
        "names": ["no soup", "one each"],
        "unmet": [],
        "short": "rules no soup, one each leave 3 items of the 5 wanted",
    }
    assert listed(door, user="nobody", k=5)[0] == ["i0", "i4", "i5"], "also where no model answers"
    shown.profiles.down = True
    assert listed(door, k=5)[0] == ["i0", "i4", "i5"], "and where the store is away"
    shown.profiles.down = False
    assert put(door, NO_SOUP | {"where": "category = 'BREAD'"})["changed"][0]["outcome"] == "changed"
    assert put(door, remove=["one each"])["changed"] == [{"name": "one each", "outcome": "removed", "items": None}]
    assert listed(door, k=9)[0] == ["i3", "i0", "i1", "i2", "i5"]


def test_a_rule_that_is_about_no_item_says_so(shown: World) -> None:
    door = client(shown)
    assert put(door, NO_SOUP | {"where": "category = 'SOUPS'"})["changed"][0]["items"] == 0
    bought = {"kind": "bought", "name": "had", "days": 3}
    assert put(door, bought)["changed"][0]["items"] is None


def test_the_log_line_says_which_rules_held_at_which_version(shown: World) -> None:
    shown.knows("ann", 3)
    door = client(shown)
    put(door, NO_SOUP)
    door.post("/recommend", json={"user_id": "ann", "placement": "home"})
    (line,) = requestlog.read(shown.folder / "requests")
    assert line["catalogue_version"] == 1
    asked = {name: line["asked"][name] for name in ("k", "placement", "rules", "rules_unmet")}
    assert asked == {"k": 2, "placement": "home", "rules": ["no soup"], "rules_unmet": []}


def test_a_placement_has_its_k_its_rules_and_its_algorithm(shown: World) -> None:
    shown.knows("ann", 3)
    door = client(shown)
    put(door, NO_SOUP | {"placements": ["item page"]}, {"kind": "pin", "name": "tea", "item": "i5", "place": 1,
                                                       "placements": ["home"]})  # fmt: skip
    assert listed(door, placement="home")[0] == ["i5", "i3"], "k is its own"
    assert listed(door, placement="home", k=3)[0] == ["i5", "i3", "i0"]
    assert listed(door, placement="item page")[0] == ["i0", "i1", "i4"]
    assert listed(door, placement="basket")[0] == ["i5", "i4", "i3"]
    assert listed(door)[0] == ["i3", "i0", "i1"]
    wrong = door.post("/recommend", json={"user_id": "ann", "placement": "hom"})
    assert (
        wrong.json()["error"]
        == "placement: 'hom' is no placement; did you mean 'home'?; allowed: home, item page, basket"
    )


def test_a_pin_that_no_source_brought_and_new_items_are_brought(shown: World) -> None:
    shown.knows("ann", 3)
    door = client(shown)
    door.put("/items", json={"items": [{"item_id": "kiwi", "title": "kiwi", "category": "FRUIT", "price": 1.0}]})
    put(door, {"kind": "new", "name": "fresh", "share": 0.3, "days": 7})
    assert listed(door)[0] == ["i3", "i0", "kiwi"], "one of three is new, at the place that its score gives it"
    found = door.post("/recommend", json={"user_id": "ann"}).json()
    assert found["rules"]["unmet"] == []
    put(door, {"kind": "pin", "name": "first", "item": "kiwi", "place": 1})
    assert listed(door)[0] == ["kiwi", "i3", "i0"]
    items, said = listed(door, exclude=["kiwi"])
    assert items == ["i3", "i0", "i1"]
    assert said["unmet"] == [
        {"rule": "first", "why": "item 'kiwi': may not be shown in this list"},
        {"rule": "fresh", "why": "0 of 1 new items: no more may be shown in this list"},
    ]


def test_what_a_segment_must_not_see_nobody_sees_while_segments_are_unknown(shown: World) -> None:
    shown.knows("ann", 3, segment=0)
    door = client(shown)
    put(door, NO_SOUP | {"segments": ["soup, bread"]})
    assert listed(door, k=9)[0] == ["i0", "i1", "i4", "i5"]
    assert listed(door, user="nobody", k=9)[0] == conftest.IDS, "of whom nothing is known has no segment"
    shown.profiles.down = True
    assert listed(door, k=9)[0] == ["i0", "i1", "i4", "i5"]


def test_bought_lately_hides_what_the_row_says(shown: World) -> None:
    shown.knows("ann", 3, 1, days_ago=2)
    door = client(shown)
    put(door, {"kind": "bought", "name": "not again", "days": 1})
    assert listed(door)[0] == ["i1", "i3", "i0"]
    put(door, {"kind": "bought", "name": "not again", "days": 3})
    assert listed(door)[0] == ["i0", "i2", "i4"]


def test_undo_takes_rules_back_and_items_undo_does_not(shown: World) -> None:
    door = client(shown)
    put(door, NO_SOUP)
    wrong = door.put("/items", json={"undo": 1})
    assert wrong.status_code == 422
    assert "undo: version 1 changed rules; allowed: PUT /rules" in wrong.text
    assert put(door, undo=1)["changed"] == [{"name": "no soup", "outcome": "taken back", "items": None}]
    assert listed(door, k=9) == (conftest.IDS, None)
    door.put("/items", json={"items": [{"item_id": "i0", "available": False}]})
    assert refused(door, undo=3).startswith("undo: version 3 changed items; allowed: PUT /items")
    assert refused(door, undo=9).startswith("undo: no version 9; have 1 to 3")
    (change,) = shown.log().changes(until=1)
    assert (change.kind, change.who, change.entries[0].document["where"]) == (RULE, "", "category = 'SOUP'")


def test_an_undo_that_would_bring_back_a_clash_is_refused(shown: World) -> None:
    door = client(shown)
    put(door, {"kind": "pin", "name": "a", "item": "i0", "place": 1})
    put(door, remove=["a"])
    put(door, {"kind": "pin", "name": "b", "item": "i1", "place": 1})
    assert "pin 'a': wants place 1 for 'i0', and so does pin 'b' for 'i1'" in refused(door, undo=2)


def test_a_request_that_is_sent_again_changes_nothing(shown: World) -> None:
    door = client(shown)
    assert put(door, NO_SOUP, change_id="c1")["repeated"] is False
    assert put(door, NO_SOUP, change_id="c1")["repeated"] is True
    assert (
        door.put("/rules", json={"remove": ["no soup"], "change_id": "c1"}).status_code,
        shown.log().head().version,
    ) == (422, 1)


@pytest.mark.parametrize(
    ("rules", "more", "said"),
    [
        ([NO_SOUP | {"where": "categry = 'SOUP'"}], {},
         "rules: filter 'no soup': where: items have no column 'categry'; did you mean 'category'?"),
        ([NO_SOUP | {"where": "category = SOUP"}], {}, "rules[0].filter.where: "),
        ([NO_SOUP | {"placements": ["hom"]}], {}, "rules[0].placements: 'hom' is no placement; have home, item page"),
        ([NO_SOUP | {"segments": ["soup"]}], {}, "segments: 'soup' is no segment; have soup, bread; did you"),
        ([{"kind": "pin", "name": "p", "item": "nobody", "place": 1}], {}, "pin 'p': item: 'nobody' is no item"),
        ([{"kind": "pin", "name": "p", "item": "i4", "place": 1}], {}, "pin 'p': item: 'i4' is withdrawn"),
        ([{"kind": "pin", "name": "p", "item": "i2", "place": 1}, NO_SOUP], {}, "which filter 'no soup' hides"),
        ([NO_SOUP, NO_SOUP], {}, "rules[1].name: 'no soup' is there twice"),
        ([], {"remove": ["no soap"]}, "remove[0]: 'no soap' is no rule"),
        ([], {}, "rules to put or to remove, or a version to undo, one of the two"),
        ([NO_SOUP], {"undo": 1}, "one of the two"),
        ([{"kind": "shown", "name": "s", "days": 1}], {}, "needs models.ranking.impression"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_in_one_line_and_nothing_is_written(
    shown: World, rules: list[Any], more: dict[str, Any], said: str
) -> None:
    door = client(shown)
    door.put("/items", json={"items": [{"item_id": "i4", "available": False}]})
    assert said in refused(door, *rules, **more)
    assert shown.log().head().version == 1


def test_a_preview_writes_nothing_and_shows_both_lists(shown: World) -> None:
    shown.knows("ann", 3)
    door = client(shown)
    answer = put(door, NO_SOUP, preview={"user_id": "ann", "placement": "home"})
    assert (answer["version"], answer["changed"], shown.log().head().version) == (None, [], 0)
    before, after = answer["preview"]["before"], answer["preview"]["after"]
    assert [item["item_id"] for item in before["items"]] == ["i3", "i0"]
    assert [item["item_id"] for item in after["items"]] == ["i0", "i1"]
    assert after["rules"]["names"] == ["no soup"]
    assert not list(requestlog.read(shown.folder / "requests")), "nobody was shown it"
    assert "where: items have no column" in refused(door, NO_SOUP | {"where": "x = 1"}, preview={"user_id": "ann"})


def test_another_door_keeps_to_them_within_seconds(shown: World) -> None:
    first, second = client(shown), client(shown)
    put(first, NO_SOUP)
    deadline = time.monotonic() + patient(5)
    while "i2" in listed(second, k=9)[0] and time.monotonic() < deadline:
        time.sleep(0.1)
    assert listed(second, k=9)[0] == ["i0", "i1", "i4", "i5"]


def test_the_specs_rules_hold_from_the_start_and_the_log_removes_them(shown: World) -> None:
    shown.rules.append(NO_SOUP)  # type: ignore[attr-defined]
    door = client(shown)
    assert listed(door, k=9)[0] == ["i0", "i1", "i4", "i5"]
    put(door, remove=["no soup"])
    assert listed(door, k=9)[0] == conftest.IDS
    put(door, undo=1)
    assert listed(door, k=9)[0] == ["i0", "i1", "i4", "i5"]


def test_a_release_whose_spec_has_a_rule_that_cannot_be_kept_does_not_start(shown: World) -> None:
    shown.rules.append(NO_SOUP | {"where": "colour = 'red'"})  # type: ignore[attr-defined]
    with pytest.raises(DataError, match=r"rules\[0\] 'no soup': where: items have no column 'colour'"):
        shown.door()


def test_a_rule_of_a_newer_version_is_said_in_each_answer(shown: World, caplog: pytest.LogCaptureFixture) -> None:
    documents = [("later", {"kind": "someday", "name": "later"})]
    shown.log().put(RULE, documents, who="", at=dt.datetime.now(dt.UTC), after=Snapshot())
    with caplog.at_level(logging.ERROR):
        door = client(shown)
    assert listed(door)[1]["unmet"] == [{"rule": "later", "why": "this release cannot read it"}]
    assert "rules later cannot be read" in caplog.text


def test_the_document_of_what_is_popular_never_holds_what_a_rule_hides(shown: World) -> None:
    soon = dt.datetime(2100, 1, 1, tzinfo=dt.UTC).isoformat()
    door = client(shown)
    put(door, NO_SOUP | {"placements": ["home"], "start": soon}, ONE_EACH | {"segments": ["soup, bread"]})
    found = popular.document(shown.opened[-1], auth="none", made_at=dt.datetime.now(dt.UTC))  # type: ignore[attr-defined]
    assert [item.item_id for item in found.items] == ["i0", "i4", "i5"]


def test_a_list_that_is_short_is_filled_from_all_items(shown: World, monkeypatch: pytest.MonkeyPatch) -> None:
    door = client(shown)
    monkeypatch.setattr(type(shown.opened[-1].release), "candidates", 2)  # type: ignore[attr-defined]
    put(door, ONE_EACH)
    assert listed(door, k=3)[0] == ["i0", "i2", "i4"]
    assert pool.MOST_LOOKED >= 1000


def test_rules_and_placements_are_read_strictly() -> None:
    assert RULES.validate_python([NO_SOUP])[0].document() == NO_SOUP
    assert PLACEMENTS.validate_python(PLACES)["basket"].algorithm == "popular"

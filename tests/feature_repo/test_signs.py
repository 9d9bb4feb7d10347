"""Kinds of events: rows keep a record by item and kind, and what models read of them is what was declared."""

import json
from pathlib import Path

import numpy as np
import pytest

from feature_repo import columns, records, signs
from feature_repo.calendar import Calendar
from feature_repo.rows import LIST_TYPES, Ragged, UserRows
from feature_repo.signs import STRIDE, Signs
from feature_repo.update import Event, Folding, event_of
from feature_repo.vocabulary import Vocabulary
from tests import worlds
from tests.signs import SIGNS

CALENDAR = Calendar(worlds.FIRST_DAY)
START = int(CALENDAR.start(1).timestamp())
DAY, WEEK = 86_400, 7 * 86_400
WINDOWS = (7, 28)
ITEMS = ("pear", "leek", "bread")


def vocabulary(declared: Signs = SIGNS) -> Vocabulary:
    import pyarrow as pa

    from feature_repo.vocabulary import Target

    targets = (Target("any", "FRUIT", None, "category"), Target("skipped", "FRUIT", "skip", "category"),
               Target("enter", None, "login", None), Target("visit", None, None, None))  # fmt: skip
    items = pa.table({"item_index": pa.array(range(len(ITEMS)), pa.int32()), "item_id": list(ITEMS)})
    pairs = pa.table({"item_id": ["pear", "pear"], "target_id": [0, 1], "kind": ["", "skip"]})
    return Vocabulary(targets, items, pairs, whole_history=True, signs=declared)


def rows_of(*events: tuple[str, str, float], declared: Signs = SIGNS, until: float = 70.0) -> UserRows:
    """Return the read row of one user after (kind, item, day) events, as of a later day."""
    folding = Folding(CALENDAR, vocabulary(declared), WINDOWS)
    happened = [Event(item, kind, START + int(day * DAY), f"s{day}") for kind, item, day in events]
    state = folding.moved(folding.fold(folding.empty(), happened), START + int(until * DAY))
    lists = {name: Ragged(np.asarray(state[name]), np.asarray([0, len(state[name])])) for name in columns.HISTORY_LISTS}
    at = np.asarray([state["state_at"]])
    numbers = {name: np.asarray([state[name]]) for name in columns.profile_columns(WINDOWS)}
    return records.read(UserRows(np.asarray(["u"], object), at, at, np.asarray([True]), numbers, lists), declared)


def history(rows: UserRows) -> dict[str, float]:
    """Return what the row says was wanted: item and decayed weight."""
    items, slow = (rows.lists[name].row(0).tolist() for name in ("history_items", "history_slow"))
    return {ITEMS[item]: round(value, 4) for item, value in zip(items, slow, strict=True)}


def barred(rows: UserRows) -> list[str]:
    return [ITEMS[item] for item in rows.lists[records.BARRED].row(0)]


# What a row says ------------------------------------------------------------------------------------------------


def test_history_is_what_was_wanted_each_kind_by_its_weight_beside_the_largest() -> None:
    rows = rows_of(("view", "pear", 63), ("cart", "leek", 63), ("purchase", "bread", 63), ("view", "bread", 64))
    aged = 0.96
    assert history(rows) == {
        "bread": pytest.approx(1.2 * aged, abs=1e-4),
        "leek": pytest.approx(0.6 * aged, abs=1e-4),
        "pear": pytest.approx(0.2 * aged, abs=1e-4),
    }
    assert rows.lists["history_weeks"].row(0).tolist() == [1, 1, 1]
    assert rows.lists["history_last_at"].row(0)[0] == START + 64 * DAY


@pytest.mark.parametrize("kind", ["skip", "hide", "return"])
def test_what_was_not_wanted_is_in_no_history(kind: str) -> None:
    assert history(rows_of((kind, "pear", 60), ("view", "leek", 60))).keys() == {"leek"}
    assert rows_of((kind, "pear", 60)).numbers["items_total"].tolist() == [0.0]
    assert rows_of(("view", "pear", 50), (kind, "pear", 60)).numbers["items_total"].tolist() == [1.0]


def test_a_kind_that_says_nothing_of_items_leaves_no_record() -> None:
    rows = rows_of(("search", "pear", 60), ("mystery", "leek", 60))
    assert not len(rows.lists["history_items"].values)
    assert not len(rows.lists[records.ITEM_OF].values)
    assert rows.numbers["events_total"].tolist() == [2.0]  # it is activity


def test_one_declared_kind_says_what_the_kind_alone_says() -> None:
    one = Signs((("purchase", 7.0),))
    events = [("purchase", "pear", 3.0), ("purchase", "pear", 40.0), ("purchase", "leek", 41.0)]
    plain, declared = rows_of(*events, declared=signs.NONE), rows_of(*events, declared=one)
    for name in columns.HISTORY_LISTS:
        np.testing.assert_array_equal(declared.lists[name].values, plain.lists[name].values, err_msg=name)
        assert declared.lists[name].values.dtype == LIST_TYPES[name]


def test_a_return_takes_a_purchase_back() -> None:
    once, twice = ("purchase", "pear", 40.0), ("purchase", "pear", 50.0)
    back = ("return", "pear", 52.0)
    assert history(rows_of(once, back)) == {}
    assert barred(rows_of(once)) == ["pear"]
    assert barred(rows_of(once, back)) == []
    half = history(rows_of(once, twice))["pear"] / 2
    assert history(rows_of(once, twice, back))["pear"] == pytest.approx(half, abs=1e-4)
    assert history(rows_of(("view", "pear", 39), once, back)).keys() == {"pear"}  # the look at it stays


def test_bought_again_after_a_return_is_bought() -> None:
    assert barred(rows_of(("purchase", "pear", 40), ("return", "pear", 45), ("purchase", "pear", 60))) == ["pear"]


def test_hidden_and_bought_items_are_not_shown_again_viewed_and_skipped_ones_are() -> None:
    assert barred(rows_of(("hide", "pear", 1), ("view", "leek", 2), ("skip", "bread", 3))) == ["pear"]
    assert barred(rows_of(("purchase", "leek", 1))) == ["leek"]
    assert barred(rows_of(("view", "pear", 1))) == []


def test_rows_are_read_once() -> None:
    rows = rows_of(("purchase", "pear", 1))
    assert records.read(rows, SIGNS) is rows
    assert records.read(rows, signs.NONE) is rows


def test_what_was_not_wanted_fulfils_no_intent_of_any_kind_with_the_item_s_category() -> None:
    known = vocabulary()
    names = {kind: [known.target_names[t] for t in known.fulfilled("pear", kind)] for kind in ("view", "skip")}
    assert names == {"view": ["any:FRUIT", "visit"], "skip": ["skipped:FRUIT", "visit"]}
    assert [known.target_names[t] for t in known.fulfilled("", "login")] == ["enter", "visit"]


def test_the_signs_travel_with_the_vocabulary_and_its_name(tmp_path: Path) -> None:
    known = vocabulary()
    known.save(tmp_path)
    assert Vocabulary.load(tmp_path).signs == SIGNS
    assert known.digest != vocabulary(signs.NONE).digest
    vocabulary(signs.NONE).save(tmp_path / "plain")
    assert json.loads((tmp_path / "plain/meaning.json").read_text()).keys() == {
        "segments",
        "attributes",
        "whole_history",
    }


def test_an_event_without_an_item_is_read_as_such() -> None:
    fields = {"user_id": "u", "item_id": None, "event": "login", "timestamp": START}
    assert event_of(fields, CALENDAR).item_id == ""


def test_what_signs_say_of_themselves() -> None:
    told = {"weights": {"view": 1, "skip": -2, "cart": 4, "search": 0, "hide": -4}, "hides": ["hide"], "once": ["cart"]}
    found = Signs.of(told | {"undoes": {"skip": "cart"}, "bare": ["login"], "shown": "search"})
    assert found.wanted == {"cart": 1.0, "view": 0.25}
    assert found.unwanted == {"hide": 1.0, "skip": 0.5}
    assert (found.main, found.shown) == ("cart", "search")
    assert found.rule == "cart 4, hide -4, search 0, skip -2, view 1; once cart; hide hide; undo skip cart"
    assert signs.NONE.rule == ""
    assert (signs.NONE.main, signs.NONE.unwanted, signs.NONE.declared) == (None, {}, False)
    assert Signs(bare=("login",)).declared
    assert Signs((("view", 1.0),)).declared
    assert Signs.of(found.as_dict()) == found
    assert STRIDE == 16_777_216  # stored rows hold keys of it


def test_each_record_stays_beside_its_kind_and_item() -> None:
    rows = rows_of(("view", "pear", 1), ("cart", "leek", 8))
    kinds, items, slow, last = (rows.lists[name].row(0).tolist() for name in records.RECORDS)
    assert sorted(zip(items, last, strict=True)) == [(0, START + DAY), (1, START + 8 * DAY)]
    assert len(kinds) == len(slow) == 2
    assert slow[items.index(1)] > slow[items.index(0)]

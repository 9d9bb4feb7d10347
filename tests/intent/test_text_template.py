"""What a user's past says as text, by hand; and that neither persons nor ids stand in it."""

import zlib
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from components.intent.behaviour import template
from components.intent.behaviour.template import EVENTS, Writer, plain
from feature_repo.clock import DAY_S
from feature_repo.errors import DataError
from feature_repo.rows import Ragged, UserRows
from feature_repo.signs import STRIDE, Signs
from feature_repo.vocabulary import Vocabulary
from tests.intent.conftest import known_row, start, unknown_row, user_rows
from tests.text_worlds import vocabulary, with_histories

NOW = start(9)


def rows(items: list[int], weeks: list[float], days: list[float]) -> UserRows:
    """Return a user who had items in so many weeks, last so many days ago, and a stranger."""
    known = user_rows([known_row("u1", {1: [0]}, 9), unknown_row("new", NOW)])
    offsets = np.array([0, len(items), len(items)])
    lists = {
        "history_items": Ragged(np.asarray(items, np.int32), offsets),
        "history_weeks": Ragged(np.asarray(weeks, np.float32), offsets),
        "history_last_at": Ragged(np.asarray([NOW - int(d * DAY_S) for d in days], np.int64), offsets),
    }
    return replace(known, lists={**known.lists, **lists})


def of_items(**columns: list[object]) -> Vocabulary:
    n = len(next(iter(columns.values())))
    ids = {"item_index": list(range(n)), "item_id": [f"i{i}" for i in range(n)]}
    return replace(vocabulary(), items=pa.table(ids | columns))


def test_a_text_tells_items_from_the_newest_on() -> None:
    asked = rows([0, 7, 25], [1, 3, 12], [40, 0.5, 8])
    assert Writer.of(vocabulary()).texts(asked) == [
        "cherry chair usual sometimes today; navy chair usual often last week; ruby cup cheap once months ago",
        "",
    ]


def test_a_text_does_not_change_between_two_events_within_a_day() -> None:
    asked = rows([0, 7], [1, 3], [40, 2])
    later = replace(asked, now=asked.now + 3600)
    writer = Writer.of(vocabulary())
    assert writer.texts(asked) == writer.texts(later)


def test_what_is_yet_to_come_and_what_no_vocabulary_has_is_not_told() -> None:
    asked = rows([0, 7, 9999, 3], [1, 1, 1, 1], [0, 2, 1, -2])
    assert Writer.of(vocabulary()).texts(asked)[0] == "cherry chair usual once this week"


def test_kinds_of_events_are_told_where_the_spec_declares_some() -> None:
    signs = Signs((("purchase", 3.0), ("view", 1.0)))
    asked = rows([STRIDE + 0, 7], [2, 1], [1, 8])
    found = Writer.of(replace(vocabulary(), signs=signs)).texts(asked)[0]
    assert found == "view ruby cup cheap twice today; purchase cherry chair usual once last week"


def test_events_are_told_with_their_kinds() -> None:
    import zlib

    asked = rows([], [], [])
    offsets = np.array([0, 3, 3])
    lists = {
        "event_items": Ragged(np.asarray([7, -1, 0], np.int32), offsets),
        "event_kinds": Ragged(np.asarray([zlib.crc32(b"purchase")] * 3, np.int64), offsets),
        "event_at": Ragged(np.asarray([NOW - 3 * DAY_S, NOW - 2 * DAY_S, NOW - DAY_S], np.int64), offsets),
    }
    found = Writer.of(vocabulary(), EVENTS).texts(replace(asked, lists={**asked.lists, **lists}))
    assert found == ["purchase ruby cup cheap today; purchase cherry chair usual this week", ""]


@pytest.mark.parametrize(
    ("title", "said"),
    [
        ("Dinner for two, write to ann.smith+shop@example.co.uk", "dinner for two, write to"),
        ("Call +44 (0)20 7946-0958 now", "call now"),
        ("Card 4111 1111 1111 1111", "card"),
        ("See https://shop.example.org/u/123?x=1 today", "see today"),
        ("Case f00d1234-beef-5678 of 12", "case of 12"),
        ("sold by @ann_smith", "sold by"),
        ("Cola 6 x 330 ml", "cola 6 x 330 ml"),
        ("Levi's 501, W32 L34", "levi's 501, w32 l34"),
        ("a; b", "a, b"),
    ],
)
def test_persons_and_ids_are_taken_out_of_titles(title: str, said: str) -> None:
    assert plain(title) == said


def test_an_id_that_stands_for_a_title_is_not_written() -> None:
    items = of_items(title=["i0", None, "Soup"], category=[None, "TEA", None])
    assert Writer.of(items).names == ("", "tea", "soup")


def test_people_have_no_names_in_texts() -> None:
    people = replace(of_items(title=["Ann", "Bob"], category=["Berlin", "Rome"]), people=True)
    assert Writer.of(people).texts(rows([0, 1], [1, 1], [1, 2]))[0] == "someone once today; someone once this week"


def test_items_of_which_nothing_can_be_said_are_refused_in_one_line() -> None:
    with pytest.raises(DataError, match=r"^models\.intent\.architecture: text reads titles, and no item has a title"):
        Writer.of(of_items(title=[None, None]))


def test_rows_without_histories_are_refused_in_one_line() -> None:
    bare = user_rows([known_row("u1", {1: [0]}, 9)])
    with pytest.raises(DataError, match="these rows hold no history_items, history_weeks, history_last_at; run the"):
        Writer.of(vocabulary()).texts(bare)


def test_prices_that_are_all_alike_or_missing_say_nothing() -> None:
    assert Writer.of(of_items(title=["a", "b"], price=[2.0, 2.0])).bands == ("", "")
    assert Writer.of(of_items(title=["a", "b"], price=[None, None])).bands == ("", "")
    assert Writer.of(of_items(title=[*"abcd"], price=[1.0, 2.0, None, 9.0])).bands == ("cheap", "usual", "", "dear")


def test_the_template_has_a_digest_that_its_text_is_part_of() -> None:
    """A changed template is another model: whoever changes a word here must know it."""
    assert template.DIGEST == "487a7fd48fe7"


def test_histories_of_the_made_world_are_read(tmp_path: object) -> None:
    asked = with_histories(user_rows([known_row("u1", {1: [0]}, 9)]), [[0, 1]])
    assert Writer.of(vocabulary()).texts(asked) == ["ruby cup cheap once today; ruby chair usual once this week"]


@pytest.mark.parametrize("reads", [template.ITEMS, EVENTS])
def test_rows_of_nobody_say_nothing_and_need_no_lists(reads: str) -> None:
    nobody = UserRows.unknown(["", ""], now=NOW)
    bare = replace(nobody, lists={})
    for rows_of in (nobody, bare):
        assert Writer.of(vocabulary(), reads).texts(rows_of) == ["", ""]


def written(said: list[str], items: list[int], days: list[float]) -> UserRows:
    """Return a user whose events were of items (-1: of none), so many days ago, with a text each; and a stranger."""
    known = user_rows([known_row("u1", {1: [0]}, 9), unknown_row("new", NOW)])
    each = [text.encode() for text in said]
    ends = {"event_texts": sum(map(len, each))}
    values = {
        "event_items": np.asarray(items, np.int32),
        "event_kinds": np.full(len(items), zlib.crc32(b"purchase"), np.int64),
        "event_at": np.asarray([NOW - int(d * DAY_S) for d in days], np.int64),
        "event_text_counts": np.asarray([len(one) for one in each], np.int32),
        "event_texts": np.frombuffer(b"".join(each), np.uint8).astype(np.int32),
    }
    lists = {name: Ragged(one, np.array([0, *[ends.get(name, len(items))] * 2])) for name, one in values.items()}
    return replace(known, lists={**known.lists, **lists})


def test_what_a_user_wrote_stands_behind_its_event_and_alone_where_there_is_no_item() -> None:
    asked = written(["", "zu süß", "dry wine", "of tomorrow"], [0, 7, -1, 3], [8, 2, 0.5, -1])
    assert Writer.of(vocabulary(), template.WRITTEN).texts(asked) == [
        "purchase today: dry wine; purchase cherry chair usual this week: zu süß; purchase ruby cup cheap last week",
        "",
    ]
    without = Writer.of(vocabulary(), EVENTS).texts(asked)[0]
    assert without == "purchase cherry chair usual this week; purchase ruby cup cheap last week"


def test_models_that_read_what_users_wrote_have_a_template_of_their_own() -> None:
    assert template.digest_of(EVENTS) == template.digest_of(template.ITEMS) == template.DIGEST
    assert template.digest_of(template.WRITTEN) != template.DIGEST
    asked = written(["a"], [0], [1])
    lists = {name: one for name, one in asked.lists.items() if name != "event_texts"}
    with pytest.raises(DataError, match="these rows hold no event_texts; run the pipeline again"):
        Writer.of(vocabulary(), template.WRITTEN).texts(replace(asked, lists=lists))

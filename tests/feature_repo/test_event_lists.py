"""Event memories as lists: by value, and equal to what the memory itself says, event by event."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo import columns, event_lists, memory
from feature_repo.errors import DataError
from feature_repo.memory import Remembered
from feature_repo.rows import LIST_TYPES, UserRows
from feature_repo.vocabulary import Target, Vocabulary

TARGETS = (Target("buy", "SOUP", "purchase", "category"), Target("buy", "TEA", "purchase", "category"),
           Target("like", "SOUP", "like", "category"))  # fmt: skip
VOCABULARY = Vocabulary(
    TARGETS,
    pa.table({"item_index": [0, 1], "item_id": ["leek", "green"]}),
    pa.table({"item_id": ["leek", "leek", "green", "rare"], "target_id": [2, 0, 1, 1], "kind": [""] * 4}),
)
MEMORY = memory.encode(
    [
        Remembered(10, "s1", "leek", "view", 0.0),
        Remembered(20, "s1", "odd\tone", "view", 0.0),
        Remembered(30, "s2", "", "search", 0.0),
        Remembered(40, "s2", "rare", "purchase", 2.5),
        Remembered(50, "s2", "odd\tone", "purchase", 4.0),
    ]
)


def test_a_memory_becomes_the_lists_by_hand() -> None:
    found = event_lists.of([memory.EMPTY, MEMORY, b""], VOCABULARY)
    assert set(found) == set(columns.EVENT_LISTS)
    assert {name: ragged.values.dtype for name, ragged in found.items()} == {
        name: np.dtype(LIST_TYPES[name]) for name in columns.EVENT_LISTS
    }
    assert found["event_at"].offsets.tolist() == [0, 0, 5, 5]
    row = {name: ragged.row(1).tolist() for name, ragged in found.items()}
    view, search, buy = map(event_lists.checksum, ("view", "search", "purchase"))
    assert row == {
        "event_at": [10, 20, 30, 40, 50],
        "event_kinds": [view, view, search, buy, buy],
        "event_items": [0, -2, -1, -3, -2],  # of what no vocabulary has, which are one and the same
        "event_values": [0.0, 0.0, 0.0, 2.5, 4.0],
        "event_opens": [1, 0, 1, 0, 0],
        "event_target_counts": [2, 0, 0, 1, 0],
        "event_targets": [0, 2, 1],  # those of an item that is in no list of items, too
    }


def test_a_second_row_counts_its_unknown_items_anew_and_opens_a_session() -> None:
    found = event_lists.of([MEMORY, MEMORY], VOCABULARY)
    for name in columns.EVENT_LISTS:
        assert found[name].row(0).tolist() == found[name].row(1).tolist()


def test_a_memory_of_another_form_is_refused() -> None:
    with pytest.raises(DataError, match=r"form '2' of a user row is unknown"):
        event_lists.of([b"2\nwhatever"], VOCABULARY)
    with pytest.raises(DataError, match="3 cells in 1 events, 5 are expected"):
        event_lists.of([b"1\n7\ts\ti"], VOCABULARY)


TEXT = st.text(st.sampled_from("ab\t\n\\ü"), max_size=3)
EVENTS = st.builds(Remembered, st.integers(0, 99), TEXT, st.sampled_from(["leek", "green", "rare", "x\ty", ""]), TEXT,
                   st.floats(0, 1e6, width=32))  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(EVENTS, max_size=8), min_size=1, max_size=4))
def test_lists_say_what_the_memory_says(rows: list[list[Remembered]]) -> None:
    memories = [memory.encode(events) for events in rows]
    found = event_lists.of(pa.array(memories, pa.binary()), VOCABULARY)
    for b, text in enumerate(memories):
        events = memory.decode(text)
        row = {name: found[name].row(b).tolist() for name in columns.EVENT_LISTS}
        assert row["event_at"] == [e.at for e in events]
        assert row["event_kinds"] == [event_lists.checksum(e.event) for e in events]
        assert row["event_values"] == pytest.approx([e.value for e in events], rel=1e-6)
        ids = row["event_items"]
        assert [[one == other for other in ids] for one in ids] == [
            [e.item_id == other.item_id for other in events] for e in events
        ]
        targets = [VOCABULARY.targets_of_item.get(e.item_id, ()) for e in events]
        assert row["event_target_counts"] == [len(of) for of in targets]
        assert row["event_targets"] == [target for of in targets for target in of]
        opens = [e.session_id != events[n - 1].session_id if n else True for n, e in enumerate(events)]
        assert row["event_opens"] == opens


def test_columns_of_a_table_are_read_as_they_were() -> None:
    lists = event_lists.of([MEMORY, memory.EMPTY], VOCABULARY)
    keys = {"user_id": ["a", "b"], "now": [60, 60], "state_at": pa.array([60, 60], pa.timestamp("s", tz="UTC"))}
    rows = UserRows.from_arrow(pa.table(keys | event_lists.arrow(lists)))
    for name in columns.EVENT_LISTS:
        np.testing.assert_array_equal(rows.lists[name].values, lists[name].values)
        np.testing.assert_array_equal(rows.lists[name].offsets, lists[name].offsets)
    turned = rows.take(np.array([1, 0, 0]))
    assert turned.lists["event_targets"].offsets.tolist() == [0, 0, 3, 6]


def test_what_users_wrote_are_lists_of_bytes_beside_memories_without_texts() -> None:
    said = memory.encode([Remembered(10, "s", "leek", "review", 0.0, "zu sü\tß"), Remembered(20, "s", "", "view", 0.0)])
    found = event_lists.of([MEMORY, said, b"", memory.EMPTY], VOCABULARY, texts=True)
    assert set(found) == {*columns.EVENT_LISTS, *columns.EVENT_TEXT_LISTS}
    rows = [[found[name].row(b) for name in columns.EVENT_TEXT_LISTS] for b in range(4)]
    assert [event_lists.texts_of(*row) for row in rows] == [[""] * 5, ["zu sü\tß", ""], [], []]
    plain = event_lists.of([MEMORY, said, b"", memory.EMPTY], VOCABULARY)
    assert set(plain) == set(columns.EVENT_LISTS)
    for name, ragged in plain.items():
        np.testing.assert_array_equal(ragged.values, found[name].values)
        np.testing.assert_array_equal(ragged.offsets, found[name].offsets)

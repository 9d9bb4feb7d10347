"""The event memory: folding a stream gives what the batch gives, and a cutoff knows nothing of what came after it."""

import datetime as dt
import random
from collections.abc import Sequence
from dataclasses import dataclass

import ibis
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.profiles.build import engine, memories
from feature_repo import columns, last_events, memory
from feature_repo.calendar import Calendar
from feature_repo.errors import DataError
from feature_repo.memory import Remembered
from feature_repo.update import Event, Folding
from feature_repo.vocabulary import Vocabulary

WEEK = 7 * 86_400
CUTOFFS = (2, 3, 4, 6)  # the instant of cutoff w is (w - 1) weeks
TEXTS = ("", "a", "b", "B", "aa", "é", "tab\there", "back\\slash", "line\nbreak", "\\t", "€", "\\")


@dataclass(frozen=True)
class Told:
    """An event, and the week in which it became known."""

    user: int
    event: Remembered
    known: int

    def seen_at(self, cutoff: int) -> bool:
        return self.known < cutoff


def told(user: int, at: int, delay: int, session: str, item: str, kind: str, value: float) -> Told:
    return Told(user, Remembered(at, session, item, kind, value), 1 + (at + delay) // WEEK)


TOLD = st.builds(
    told,
    user=st.integers(0, 1),
    at=st.one_of(st.integers(0, 5), st.integers(0, 5 * WEEK)),  # many at one instant
    delay=st.sampled_from([0, 0, 1, 3600, WEEK, 4 * WEEK]),
    session=st.sampled_from(["s1", "s2", "s\t3"]),
    item=st.sampled_from(TEXTS),
    kind=st.sampled_from(["view", "purchase", ""]),
    value=st.sampled_from([0.0, 1.0, 2.5, 0.1, -3.25, 1e-7, 123456789.125]),
)


WRITTEN = st.builds(lambda one, text: Told(one.user, one.event._replace(text=text), one.known), TOLD,
                    st.sampled_from(("", "", *TEXTS)))  # fmt: skip


def batch(events: Sequence[Told], *, late: bool, texts: bool = False) -> dict[tuple[int, int], bytes]:
    """Return the memories of the batch by cutoff and user, `texts` with what users wrote."""
    ids = sorted({e.event.item_id for e in events} | {"no event has it"}, reverse=True)  # places are in no order of ids
    placed = pa.table({"item_id": pa.array(range(len(ids)), pa.int32()), "place": [sorted(ids).index(i) for i in ids]})
    table = pa.table(
        {
            "user_id": pa.array([e.user for e in events], pa.int32()),
            "item_id": pa.array([ids.index(e.event.item_id) for e in events], pa.int32()),
            "event": pa.array([e.event.event or None for e in events], pa.string()),
            "session_id": pa.array([e.event.session_id for e in events], pa.string()),
            "value": pa.array([e.event.value or None for e in events], pa.float64()),
            "at": pa.array([e.event.at for e in events], pa.int64()),
            columns.WEEK: pa.array([1 + e.event.at // WEEK for e in events], pa.int64()),
            "known": pa.array([e.known for e in events], pa.int64()),
        }
    )
    if texts:
        table = table.append_column(columns.TEXT, pa.array([e.event.text or None for e in events], pa.string()))
    starts = [dt.datetime.fromtimestamp((w - 1) * WEEK, dt.UTC) for w in CUTOFFS]
    cuts = pa.table(
        {columns.WEEK: pa.array(CUTOFFS, pa.int64()), columns.STATE_AT: pa.array(starts, pa.timestamp("us", tz="UTC"))}
    )
    connection = ibis.duckdb.connect()
    named = {"dated": table, "item_order": placed, "cutoffs": cuts}
    found = last_events.last_events(*(engine.stored(connection, n, t) for n, t in named.items()), late=late)
    order = (*last_events.ORDER, columns.TEXT) if texts else last_events.ORDER
    rows = found.order_by("cutoff", "user_id", *order).to_pyarrow()
    connection.disconnect()
    packed = memories.packed(rows, pa.array(ids))
    texts = packed.cells[columns.MEMORY].to_pylist()
    return {divmod(int(code), 1 << 32): text for code, text in zip(packed.codes, texts, strict=True)}


def folded(events: Sequence[Told], *, parts: int) -> bytes:
    """Return a memory into which events came in the given order, so many at a time."""
    found = memory.EMPTY
    for start in range(0, len(events), parts):
        found = memory.added(found, [e.event for e in events[start : start + parts]])
    return found


def assert_equal(events: list[Told], chance: random.Random, *, late: bool = True, texts: bool = False) -> None:
    """Compare every user and cutoff, with events in an order of chance."""
    found = batch(events, late=late, texts=texts)
    expected = {}
    for cutoff in CUTOFFS:
        for user in (0, 1):
            mine = [e for e in events if e.user == user and e.seen_at(cutoff)]
            chance.shuffle(mine)
            if mine:
                expected[cutoff, user] = memory.decode(folded(mine, parts=chance.choice([1, 2, 7, 1000])))
    assert {key: memory.decode(text) for key, text in found.items()} == expected


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let memories hold four events."""
    monkeypatch.setattr(memory, "MEMORY_EVENTS", 4)
    monkeypatch.setattr(last_events, "MEMORY_EVENTS", 4)


@settings(max_examples=40, deadline=None)
@given(events=st.lists(TOLD, max_size=14), seed=st.integers(0, 9))
def test_folding_a_stream_in_any_order_gives_what_the_batch_gives(events: list[Told], seed: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for module in (memory, last_events):
            patch.setattr(module, "MEMORY_EVENTS", 4)
        assert_equal(events, random.Random(seed))


@pytest.mark.parametrize("late", [True, False])
def test_long_histories_give_the_same(late: bool) -> None:
    chance = random.Random(5)
    events = [
        told(chance.randrange(2), chance.randrange(5 * WEEK) // 900 * 900, chance.choice([0, 0, WEEK]) * late, "s",
             chance.choice(TEXTS), chance.choice(["view", "buy"]), float(chance.randrange(3)))
        for _ in range(500)
    ]  # fmt: skip
    assert_equal(events, chance, late=late)


def test_a_memory_keeps_the_last_64_and_an_older_event_changes_nothing() -> None:
    events = [Remembered(at, "s", f"i{at}", "view", 0.0) for at in range(100, 170)]
    full = memory.added(memory.EMPTY, events)
    assert [e.at for e in memory.decode(full)] == [*range(106, 170)]
    assert memory.added(full, [Remembered(105, "s", "late", "view", 0.0)]) == full
    late = memory.decode(memory.added(full, [Remembered(106, "s", "later", "view", 0.0)]))
    assert [(e.at, e.item_id) for e in late[:2]] == [(106, "later"), (107, "i107")]  # 'i106' < 'later'


@pytest.mark.usefixtures("few")
def test_a_cutoff_knows_only_what_was_known_before_it() -> None:
    early, leak = told(0, 10, 0, "s", "a", "view", 1.0), told(0, WEEK + 10, 0, "s", "future", "buy", 9.0)
    late = told(0, 20, WEEK, "s", "told late", "buy", 9.0)
    at_the_cutoff = told(0, WEEK, 0, "s", "just then", "buy", 9.0)
    found = {c: memory.decode(text) for (c, _), text in batch([early, leak, late, at_the_cutoff], late=True).items()}
    assert found[2] == [early.event]
    assert found[3] == [early.event, late.event, at_the_cutoff.event, leak.event]


@pytest.mark.parametrize("text", TEXTS)
def test_any_text_is_read_back_from_both_writers(text: str) -> None:
    event = told(0, 7, 0, text, text, text, 0.1)
    assert memory.decode(memory.encode([event.event])) == [event.event]
    assert batch([event], late=False)[2, 0] == memory.encode([event.event])


def test_a_form_of_tomorrow_is_refused() -> None:
    with pytest.raises(DataError, match="form '2' of a user row is unknown, this code reads 1"):
        memory.decode(b"2\n7\tsomething else")


def test_a_row_of_before_memories_has_none() -> None:
    assert memory.decode(b"") == []
    assert memory.decode(memory.added(b"", [Remembered(7, "s", "i", "view", 0.0)])) == [
        Remembered(7, "s", "i", "view", 0.0)
    ]


def test_a_state_remembers_items_that_no_vocabulary_has() -> None:
    empty = pa.table({"item_index": pa.array([], pa.int32()), "item_id": pa.array([], pa.string())})
    pairs = pa.table({n: pa.array([], pa.string()) for n in ("item_id", "target_id", "kind")})
    folding = Folding(Calendar("2024-01-01"), Vocabulary((), empty, pairs), (7,))
    start = int(Calendar("2024-01-01").start(1).timestamp())
    events = [Event(f"new{n}", "view", start + n, "s", value=float(n)) for n in range(3)]
    state = folding.fold(folding.empty(), [events[2], events[0]])
    before = state[columns.MEMORY]
    after = folding.update(state, events[1])
    assert [(e.item_id, e.value) for e in memory.decode(after[columns.MEMORY])] == [
        ("new0", 0.0), ("new1", 1.0), ("new2", 2.0),
    ]  # fmt: skip
    assert state[columns.MEMORY] == before


@settings(max_examples=20, deadline=None)
@given(events=st.lists(WRITTEN, max_size=14), seed=st.integers(0, 9))
def test_what_users_wrote_is_folded_as_the_batch_has_it(events: list[Told], seed: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for module in (memory, last_events):
            patch.setattr(module, "MEMORY_EVENTS", 4)
        assert_equal(events, random.Random(seed), texts=True)

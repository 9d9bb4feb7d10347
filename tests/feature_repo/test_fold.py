"""Folding, by values: a plain count over all events, written down here, says what the state must be."""

import copy
import datetime as dt
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from feature_repo import columns, memory
from feature_repo.calendar import Calendar
from feature_repo.rows import LIST_TYPES, Ragged, UserRows
from feature_repo.update import Event, Folding, event_of, moved_on
from feature_repo.vocabulary import Target, Vocabulary

DAY, WEEK = 86_400, 7 * 86_400
START = int(dt.datetime(2024, 1, 1, tzinfo=dt.UTC).timestamp())  # a Monday: day 0 of week 1
CALENDAR = Calendar("2024-01-01")
WINDOWS = (7, 28)
ITEMS = ("pear", "leek", "bread")
TARGETS = (
    Target("buy", "FRUIT", "purchase", "category"),
    Target("buy", "VEGETABLE", "purchase", "category"),
    Target("visit", None, None, None),
)


def vocabulary(*items: str) -> Vocabulary:
    table = pa.table({"item_index": pa.array(range(len(items)), pa.int32()), "item_id": list(items)})
    pairs = pa.table({"item_id": ["pear", "leek"], "target_id": [0, 1], "kind": ["purchase"] * 2})
    return Vocabulary(TARGETS, table, pairs)


FOLDING = Folding(CALENDAR, vocabulary(*ITEMS), WINDOWS, item_event="purchase")


def at(day: int, hour: float = 0.0) -> int:
    """Return a time: so many days after the first Monday."""
    return START + day * DAY + int(hour * 3600)


def bought(item: str, when: int, session: str, **more: Any) -> Event:
    return Event(item, more.pop("event", "purchase"), when, session, **more)


# A plain count ----------------------------------------------------------------------------------------


def week_of(seconds: int) -> int:
    return (seconds - START) // WEEK + 1


def day_of(seconds: int) -> int:
    return (seconds - START) // DAY


def counted(events: Sequence[Event], *, now: int) -> dict[str, Any]:
    """Count a state from all events at once; they come in order of time."""
    upcoming = week_of(now - 1) + 1
    opening = [
        e for before, e in zip([None, *events], events, strict=False) if not before or before.session_id != e.session_id
    ]
    found: dict[str, Any] = {
        "first_at": events[0].at,
        "last_at": events[-1].at,
        "events_total": len(events),
        "sessions_total": len(opening),
        "weeks_total": len({week_of(e.at) for e in events}),
        "items_total": len({e.item_id for e in events if e.item_id in ITEMS and e.event == "purchase"}),
        "quantity_total": sum(e.quantity for e in events),
        "value_total": sum(e.value for e in events),
        "discount_total": sum(e.discount for e in events),
        "discounted_total": sum(e.discount > 0 for e in events),
        "weekend_share": sum(day_of(e.at) % 7 >= 5 for e in opening) / len(opening),
        "evening_share": sum((e.at - START) % DAY >= 17 * 3600 for e in opening) / len(opening),
        "sessions_slow": sum(0.96 ** (upcoming - week_of(e.at)) for e in opening),
        "value_slow": sum(e.value * 0.96 ** (upcoming - week_of(e.at)) for e in events),
        "state_at": now,
        "last_session_id": events[-1].session_id,
        "memory": memory.encode(memory.Remembered(e.at, e.session_id, e.item_id, e.event, e.value) for e in events),
    }
    fulfilled = [(target, e) for e in events for target in FOLDING.vocabulary.fulfilled(e.item_id, e.event)]
    had = [(ITEMS.index(e.item_id), e) for e in events if e.item_id in ITEMS and e.event == "purchase"]
    found |= _parallel("target", "ids", fulfilled, upcoming) | _parallel("history", "items", had, upcoming)
    pairs = sorted({(week_of(e.at), target) for target, e in fulfilled if week_of(e.at) >= upcoming - 16})
    found |= {"recent_targets": [target for _, target in pairs], "recent_weeks": [week for week, _ in pairs]}
    return found | _days(events, opening, now)


def _parallel(family: str, ids: str, keyed: list[tuple[int, Event]], upcoming: int) -> dict[str, Any]:
    weeks = {key: sorted({week_of(e.at) for k, e in keyed if k == key}) for key, _ in keyed}
    times = {key: [e.at for k, e in keyed if k == key] for key in weeks}
    slow = {key: sum(0.96 ** (upcoming - week) for week in weeks[key]) for key in weeks}
    order = sorted(weeks, key=lambda key: (-round(slow[key], 5), key))
    return {
        f"{family}_{ids}": order,
        f"{family}_weeks": [len(weeks[key]) for key in order],
        f"{family}_slow": [slow[key] for key in order],
        f"{family}_fast": [sum(0.8 ** (upcoming - week) for week in weeks[key]) for key in order],
        f"{family}_first_at": [min(times[key]) for key in order],
        f"{family}_last_at": [max(times[key]) for key in order],
    }


def _days(events: Sequence[Event], opening: Sequence[Event], now: int) -> dict[str, Any]:
    today = day_of(now - 1)
    days = sorted({day_of(e.at) for e in events if day_of(e.at) > today - max(WINDOWS)})
    of = {day: [e for e in events if day_of(e.at) == day] for day in days}
    sums = {
        "events": [float(len(of[day])) for day in days],
        "sessions": [float(sum(day_of(e.at) == day for e in opening)) for day in days],
        **{
            name: [sum(getattr(e, name) for e in of[day]) for day in days] for name in ("quantity", "value", "discount")
        },
    }
    windows = {
        f"{name}_{width}d": sum(value for day, value in zip(days, values, strict=True) if day > today - width)
        for name, values in sums.items()
        for width in WINDOWS
    }
    return {"daily_days": days, **{f"daily_{name}": values for name, values in sums.items()}, **windows}


def history(seed: int, *, weeks: int = 30) -> list[Event]:
    """Sessions of one to three events, some weeks apart, some on one day."""
    chance, events = random.Random(seed), []
    when = at(chance.randrange(10), chance.uniform(0, 23))
    for number in range(chance.randrange(4, 18)):
        for _ in range(chance.randrange(1, 4)):
            kind = chance.choice(["purchase", "purchase", "view"])
            price, off = chance.choice([0.0, 2.5, 4.0]), chance.choice([0.0, 0.0, 0.5])
            item = chance.choice([*ITEMS, "unknown"])
            events.append(
                Event(item, kind, when, f"s{number}", quantity=chance.choice([1.0, 3.0]), value=price, discount=off)
            )
        when += chance.choice([3600, DAY, 5 * DAY, WEEK, weeks * DAY // 2])
    return events


def same(state: dict[str, Any], expected: dict[str, Any]) -> None:
    for name, value in expected.items():
        if name in LIST_TYPES:
            np.testing.assert_allclose(state[name], value, rtol=1e-5, err_msg=name)
            assert np.asarray(state[name]).dtype == LIST_TYPES[name], name
        elif isinstance(value, str | bytes):
            assert state[name] == value
        else:
            assert state[name] == pytest.approx(value, rel=1e-6), name


@pytest.mark.parametrize("seed", range(12))
def test_folding_counts_what_a_plain_count_does(seed: int) -> None:
    events = history(seed)
    state = FOLDING.fold(FOLDING.empty(), events)
    same(state, counted(events, now=events[-1].at + 1))


@pytest.mark.parametrize("later_s", [0, 1, 3 * DAY, WEEK, 15 * WEEK, 16 * WEEK, 60 * WEEK])
def test_a_state_moves_on_to_a_later_time(later_s: int) -> None:
    events = history(3)
    now = events[-1].at + 1 + later_s
    moved = FOLDING.moved(FOLDING.fold(FOLDING.empty(), events), now)
    expected = counted(events, now=now)
    assert moved["state_at"] == now
    for name in ("sessions_slow", "value_slow", "target_slow", "target_fast", "history_slow", "history_fast"):
        np.testing.assert_allclose(moved[name], expected[name], rtol=1e-5, err_msg=name)
    for name in columns.RECENT_LISTS:
        assert moved[name].tolist() == expected[name]


def test_a_state_never_moves_back() -> None:
    state = FOLDING.fold(FOLDING.empty(), history(3))
    moved = FOLDING.moved(state, START)
    assert moved["state_at"] == state["state_at"]
    assert moved["value_slow"] == state["value_slow"]


def test_folding_leaves_the_given_state_as_it_is() -> None:
    state = FOLDING.fold(FOLDING.empty(), history(5))
    kept = copy.deepcopy(state)
    FOLDING.update(state, bought("pear", state["state_at"] + 9 * WEEK, "later", value=2.0))
    FOLDING.moved(state, state["state_at"] + 40 * WEEK)
    for name, value in kept.items():
        np.testing.assert_array_equal(state[name], value, err_msg=name)


def test_a_user_without_events() -> None:
    state = FOLDING.empty()
    numbers = {name: value for name, value in state.items() if isinstance(value, float)}
    assert numbers == dict.fromkeys(columns.profile_columns(WINDOWS), 0.0) | {"segment": -1.0}
    # Items are no people; events are lists where rows are read.
    unheld = columns.RECEIVED_LISTS + columns.EVENT_LISTS + columns.EVENT_TEXT_LISTS
    kinds = {name: kind for name, kind in LIST_TYPES.items() if name not in unheld}
    assert {name: value.dtype for name, value in state.items() if isinstance(value, np.ndarray)} == kinds
    assert not any(len(value) for value in state.values() if isinstance(value, np.ndarray))
    assert (state["last_session_id"], state["state_at"]) == ("", 0)
    assert state["vocabulary"] == FOLDING.vocabulary.digest
    moved = FOLDING.moved(state, at(70))
    assert (moved["state_at"], moved["sessions_slow"], len(moved["recent_weeks"])) == (at(70), 0.0, 0)


# One thing at a time -----------------------------------------------------------------------------------


def test_weekends_and_evenings_are_local_and_of_the_session_s_first_event() -> None:
    new_york = Folding(Calendar("2024-01-01", "America/New_York"), vocabulary(*ITEMS), WINDOWS)
    # Saturday 21:59 and 22:00 UTC are 16:59 and 17:00 there; Monday 04:59 UTC is still Sunday.
    for when, weekend, evening in ((at(5, 21.99), 1, 0), (at(5, 22), 1, 1), (at(7, 4.99), 1, 1), (at(7, 5), 0, 0)):
        state = new_york.update(new_york.empty(), bought("pear", when, "a"))
        assert (state["weekend_share"], state["evening_share"]) == (weekend, evening), when
        state = new_york.update(state, bought("pear", when + 40 * 3600, "a"))
        assert (state["weekend_share"], state["evening_share"], state["sessions_total"]) == (weekend, evening, 1)
    state = FOLDING.fold(FOLDING.empty(), [bought("pear", at(n), f"s{n}") for n in (4, 5, 6, 7)])
    assert state["weekend_share"] == 0.5


def test_only_events_of_the_kind_are_history() -> None:
    events = [bought("pear", at(0), "a", event="view"), bought("leek", at(1), "a"), bought("other", at(2), "a")]
    assert FOLDING.fold(FOLDING.empty(), events)["history_items"].tolist() == [1]
    any_kind = Folding(CALENDAR, vocabulary(*ITEMS), WINDOWS)
    state = any_kind.fold(any_kind.empty(), events)
    assert (state["history_items"].tolist(), state["items_total"]) == ([0, 1], 2)


def test_an_event_that_comes_late_counts_in_its_own_week() -> None:
    events = [bought("pear", at(0), "a", value=1.0), bought("pear", at(70), "b", value=2.0)]
    state = FOLDING.update(FOLDING.fold(FOLDING.empty(), events), bought("leek", at(28), "c", value=4.0))
    assert (state["state_at"], state["first_at"], state["last_at"]) == (at(70) + 1, at(0), at(70))
    assert state["value_slow"] == pytest.approx(0.96**11 + 2 * 0.96 + 4 * 0.96**7)
    assert state["weeks_total"] == 3
    assert state["daily_days"].tolist() == [70]
    assert list(zip(state["recent_weeks"].tolist(), state["recent_targets"].tolist(), strict=True)) == [
        (1, 0), (1, 2), (5, 1), (5, 2), (11, 0), (11, 2),
    ]  # fmt: skip
    assert dict(zip(state["target_ids"].tolist(), state["target_weeks"].tolist(), strict=True)) == {0: 2, 1: 1, 2: 3}
    first = FOLDING.update(state, bought("leek", at(-1), "d"))
    assert (first["first_at"], first["weeks_total"]) == (at(-1), 4)


def test_a_second_event_of_a_week_is_no_second_week() -> None:
    events = [bought("pear", at(n), f"s{n}") for n in (0, 6, 7, 13, 14)]
    state = FOLDING.fold(FOLDING.empty(), events)
    assert state["weeks_total"] == 3
    assert state["history_weeks"].tolist() == [3]
    assert state["target_weeks"].tolist() == [3, 3]
    assert state["history_first_at"].tolist() == [at(0)]
    assert state["history_last_at"].tolist() == [at(14)]


def test_a_day_between_others_is_put_in_its_place() -> None:
    events = [bought("pear", at(n), f"s{n}", value=n) for n in (1, 9, 5, 9)]
    state = FOLDING.fold(FOLDING.empty(), events)
    assert state["daily_days"].tolist() == [1, 5, 9]
    assert state["daily_value"].tolist() == [1, 5, 18]
    assert state["daily_events"].tolist() == state["daily_sessions"].tolist() == [1, 1, 2]
    assert (state["value_7d"], state["value_28d"]) == (23.0, 24.0)


@pytest.mark.parametrize(("gap", "days"), [(27, [0, 27]), (28, [28])])
def test_days_beyond_the_widest_window_go(gap: int, days: list[int]) -> None:
    state = FOLDING.fold(FOLDING.empty(), [bought("pear", at(0), "a"), bought("pear", at(gap), "b")])
    assert state["daily_days"].tolist() == days
    assert (state["events_7d"], state["events_28d"]) == (1.0, len(days))


@pytest.mark.parametrize(("weeks", "kept"), [(15, [1, 1, 16, 16]), (16, [17, 17])])
def test_sixteen_weeks_of_targets_are_kept(weeks: int, kept: list[int]) -> None:
    state = FOLDING.fold(FOLDING.empty(), [bought("pear", at(0), "a"), bought("pear", at(7 * weeks), "b")])
    assert state["recent_weeks"].tolist() == kept


def test_the_strongest_items_are_kept() -> None:
    many = [f"i{n}" for n in range(columns.HISTORY_LIMIT + 2)]
    folding = Folding(CALENDAR, vocabulary(*many), WINDOWS)
    state = folding.fold(folding.empty(), [bought("i5", at(0), "a"), *(bought(i, at(7), "b") for i in many)])
    assert len(state["history_items"]) == len(state["history_slow"]) == columns.HISTORY_LIMIT
    assert state["history_items"].tolist()[:3] == [5, 0, 1]  # had in two weeks; then ties by position
    assert state["history_items"].max() == columns.HISTORY_LIMIT - 1


FIELDS = {"user_id": "u1", "item_id": 7, "timestamp": at(2, 1)}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, Event("7", "", at(2, 1), "u1 2024-01-03")),
        ({"session_id": "", "event": None}, Event("7", "", at(2, 1), "u1 2024-01-03")),
        ({"session_id": 5, "event": "view"}, Event("7", "view", at(2, 1), "5")),
        (
            {"session_id": "s", "quantity": 2, "value": "3.5", "discount": 0},
            Event("7", "", at(2, 1), "s", quantity=2.0, value=3.5, discount=0.0),
        ),
        ({"session_id": "s", "quantity": None}, Event("7", "", at(2, 1), "s", quantity=1.0)),
    ],
)
def test_an_event_is_read_from_its_columns(fields: dict[str, Any], expected: Event) -> None:
    assert event_of(FIELDS | fields, CALENDAR) == expected


def test_an_event_without_a_session_is_in_its_user_s_local_day() -> None:
    assert event_of(FIELDS, Calendar("2024-01-01", "America/New_York")).session_id == "u1 2024-01-02"


# Many users at once ------------------------------------------------------------------------------------


def rows(*states: dict[str, Any], known: Sequence[bool] | None = None) -> UserRows:
    lists = {}
    for name in columns.TARGET_LISTS + columns.HISTORY_LISTS + columns.RECENT_LISTS:
        parts = [state[name] for state in states]
        offsets = np.cumsum([0, *(len(part) for part in parts)]).astype(np.int64)
        lists[name] = Ragged(np.concatenate(parts), offsets)
    numbers = {name: np.asarray([state[name] for state in states]) for name in columns.profile_columns(WINDOWS)}
    when = np.asarray([state["state_at"] for state in states])
    users = np.asarray([f"u{n}" for n in range(len(states))], object)
    return UserRows(users, when, when, np.asarray(known or [True] * len(states)), numbers, lists)


def test_rows_move_on_as_states_do_and_those_that_are_newer_or_unknown_stay() -> None:
    until = at(20 * 7)
    old, older = ([bought("pear", at(day), f"a{day}", value=2.0) for day in days] for days in ((3, 30), (0, 20)))
    newer = [bought("leek", at(50), "b", value=1.0), bought("leek", until + DAY, "c", value=3.0)]
    states = [FOLDING.fold(FOLDING.empty(), events) for events in (old, newer, old, older)]
    moved = moved_on(rows(*states, known=[True, True, False, True]), until, CALENDAR)
    expected = [FOLDING.moved(states[0], until), states[1], states[2], FOLDING.moved(states[3], until)]
    assert moved.state_at.tolist() == [state["state_at"] for state in expected]
    assert moved.user_id.tolist() == ["u0", "u1", "u2", "u3"]
    for place, state in enumerate(expected):
        for name, values in moved.numbers.items():
            assert values[place] == pytest.approx(state[name]), (place, name)
        for name, ragged in moved.lists.items():
            np.testing.assert_allclose(ragged.row(place), state[name], rtol=1e-6, err_msg=f"{place} {name}")
            assert ragged.values.dtype == LIST_TYPES[name]
    assert moved.lists["recent_weeks"].row(0).tolist() == [5, 5]  # week 1 is too old, sixteen weeks before 21
    assert moved.lists["recent_weeks"].offsets.dtype == np.int64


def test_rows_of_the_same_week_keep_their_sums() -> None:
    state = FOLDING.fold(FOLDING.empty(), [bought("pear", at(1), "a", value=2.0)])
    before = rows(state)
    moved = moved_on(before, at(6), CALENDAR)
    assert moved.state_at.tolist() == [at(6)]
    assert moved.numbers["value_slow"].tolist() == [2 * 0.96]
    assert moved_on(before, at(1) + 1, CALENDAR) is before
    assert moved_on(before, at(1), CALENDAR) is before

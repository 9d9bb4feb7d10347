"""Folding events one by one gives what the batch transforms give."""

import datetime as dt
import json
import random
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from components.profiles import steps
from feature_repo import columns, memory
from feature_repo.calendar import Calendar
from feature_repo.clock import Step
from feature_repo.rows import LIST_TYPES, Ragged, UserRows
from feature_repo.update import Event, Folding, moved_on
from feature_repo.vocabulary import Vocabulary
from tests import worlds

pytestmark = pytest.mark.world

WINDOWS = (7, 28)


@pytest.mark.parametrize(
    ("seed", "timezone", "step", "n"),
    [
        (0, "UTC", "week", 9),
        (1, "America/New_York", "week", 9),
        (2, "Asia/Kolkata", "week", 9),
        (3, "America/New_York", "day", 90),  # clocks change on day 70
        (4, "Asia/Kolkata", "hour", 100),
        (5, "Europe/Berlin", "hour", 2200),  # clocks change in hour 2138
    ],
)
def test_folding_every_event_equals_the_batch(tmp_path: Path, seed: int, timezone: str, step: Step, n: int) -> None:
    world = worlds.scattered(seed, timezone=timezone, step=step, weeks=n)
    clean = world.write(tmp_path / "clean")
    split = json.dumps({"warmup_weeks": 1, "validate_weeks": 1, "test_weeks": 1})
    wanted = json.dumps(worlds.VOCABULARY)
    windows = (0.25, *WINDOWS) if step == "hour" else WINDOWS  # of six hours too
    steps.run_profiles(
        json.dumps({"windows_days": windows, "segments": {"k": 2}}),
        split,
        wanted,
        clean=clean,
        destination=tmp_path / "profiles",
    )
    batch = _last_rows(tmp_path / "profiles", week=world.weeks + 1)
    vocabulary = Vocabulary.load(tmp_path / "profiles" / "vocabulary")
    folding = Folding(world.calendar, vocabulary, windows)
    end = int(max(e["timestamp"] for e in world.events).timestamp()) + 1  # type: ignore[type-var, union-attr]
    for user, events in _by_user(world).items():
        state = folding.empty()
        for event in events:
            state = folding.update(state, event)
        folding._move_on(state, end)
        _assert_same(state, batch[user], folding, end)


@pytest.mark.parametrize("seed", [0, 1])
def test_sessions_that_arrive_in_any_order_give_what_the_batch_gives(tmp_path: Path, seed: int) -> None:
    world = worlds.scattered(seed, users=6)
    profiles = tmp_path / "profiles"
    split, wanted = json.dumps({"warmup_weeks": 1, "validate_weeks": 1, "test_weeks": 1}), json.dumps(worlds.VOCABULARY)
    steps.run_profiles(json.dumps({"windows_days": WINDOWS, "segments": {"k": 2}}), split, wanted,
                       clean=world.write(tmp_path / "clean"), destination=profiles)  # fmt: skip
    batch = _last_rows(profiles, week=world.weeks + 1)
    folding = Folding(Calendar(worlds.FIRST_DAY), Vocabulary.load(profiles / "vocabulary"), WINDOWS)
    end = int(max(e["timestamp"] for e in world.events).timestamp()) + 1  # type: ignore[type-var, union-attr]
    for user, events in _by_user(world).items():
        sessions = sorted({e.session_id for e in events})
        random.Random(seed).shuffle(sessions)
        state = folding.fold(folding.empty(), [e for s in sessions for e in events if e.session_id == s])
        folding._move_on(state, end)
        # Which weeks an item was had in lies between its first and its last; the session is that which came last.
        unknown = ("history_weeks", "history_slow", "history_fast", columns.LAST_SESSION)
        _assert_same(state | _by_item(state), batch[user] | _by_item(batch[user]), folding, end, without=unknown)


def _by_item(row: dict[str, object]) -> dict[str, object]:
    """Return the history lists by item: their order is by the weeks."""
    order = np.argsort(np.asarray(row["history_items"]))
    return {name: np.asarray(row[name])[order].tolist() for name in columns.HISTORY_LISTS}


@pytest.mark.parametrize(("step", "n"), [("week", 9), ("day", 60), ("hour", 90)])
def test_arrays_move_on_as_a_state_does(tmp_path: Path, step: Step, n: int) -> None:
    world = worlds.scattered(3, step=step, weeks=n)
    clean = world.write(tmp_path / "clean")
    split, wanted = json.dumps({"warmup_weeks": 1, "validate_weeks": 1, "test_weeks": 1}), json.dumps(worlds.VOCABULARY)
    profiles = tmp_path / "profiles"
    steps.run_profiles(json.dumps({"windows_days": WINDOWS, "segments": {"k": 2}}), split, wanted, clean=clean,
                       destination=profiles)  # fmt: skip
    calendar = world.calendar
    folding = Folding(calendar, Vocabulary.load(profiles / "vocabulary"), WINDOWS)
    until = int(calendar.start(world.weeks + 12).timestamp())
    states = {user: folding.fold(folding.empty(), events) for user, events in _by_user(world).items()}
    moved = moved_on(_rows(states), until, calendar)
    assert moved.state_at.tolist() == [until] * len(states)
    for place, state in enumerate(states.values()):
        folding._move_on(state, until)
        for name in ("sessions_slow", "value_slow"):
            assert moved.numbers[name][place] == pytest.approx(state[name])
        for name, lists in moved.lists.items():
            np.testing.assert_allclose(lists.row(place), state[name], rtol=1e-5, err_msg=name)
    assert any(len(state["recent_weeks"]) for state in states.values())


def _rows(states: dict[str, dict[str, object]]) -> UserRows:
    lists = {}
    for name in columns.TARGET_LISTS + columns.HISTORY_LISTS + columns.RECENT_LISTS:
        parts = [np.asarray(state[name]) for state in states.values()]
        lists[name] = Ragged(np.concatenate(parts), np.concatenate([[0], np.cumsum([len(p) for p in parts])]))
    numbers = {n: np.asarray([state[n] for state in states.values()]) for n in ("sessions_slow", "value_slow")}
    at = np.asarray([state["state_at"] for state in states.values()])
    return UserRows(np.asarray(list(states), object), at, at, np.ones(len(at), bool), numbers, lists)


def _by_user(world: worlds.World) -> dict[str, list[Event]]:
    found: dict[str, list[Event]] = defaultdict(list)
    for e in sorted(world.events, key=lambda e: e["timestamp"]):  # type: ignore[arg-type, return-value]
        at = e["timestamp"]
        assert isinstance(at, dt.datetime)
        found[str(e["user_id"])].append(
            Event(
                item_id=str(e["item_id"]),
                event=str(e["event"]),
                at=int(at.timestamp()),
                session_id=str(e["session_id"]),
                quantity=float(e["quantity"]),  # type: ignore[arg-type]
                value=float(e["value"]),  # type: ignore[arg-type]
                discount=float(e["discount"]),  # type: ignore[arg-type]
            )
        )
    return found


def _last_rows(profiles: Path, *, week: int) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = defaultdict(dict)
    for view in ("user_profile", "user_targets", "user_history", "user_daily"):
        for row in pq.read_table(profiles / f"{view}.parquet").to_pylist():
            if row["week"] == week:
                found[row["user_id"]] |= row
    return found


def _assert_same(
    state: dict[str, object], row: dict[str, object], folding: Folding, end: int, *, without: tuple[str, ...] = ()
) -> None:
    assert row["state_at"] == end
    for name in columns.profile_columns(WINDOWS):
        if "_7d" in name or "_28d" in name:
            continue  # as of the user's own last event; the lists below hold what they are sums of
        assert state[name] == pytest.approx(row[name], rel=1e-5, abs=1e-6), name
    now = folding.calendar.span(dt.datetime.fromtimestamp(end - 1, dt.UTC))
    first_day = now - folding.calendar.pace.spans(max(WINDOWS))
    kept = np.asarray(state["daily_days"]) > first_day
    for name in LIST_TYPES:
        if name in without or name in columns.RECEIVED_LISTS + columns.EVENT_LISTS + columns.EVENT_TEXT_LISTS:
            continue
        mine = np.asarray(state[name])[kept] if name in columns.DAILY_LISTS else np.asarray(state[name])
        theirs = np.asarray(row[name] or [], dtype=LIST_TYPES[name])
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5, err_msg=name)
    assert memory.decode(state[columns.MEMORY]) == memory.decode(row[columns.MEMORY])  # type: ignore[arg-type]
    assert columns.LAST_SESSION in without or state[columns.LAST_SESSION] == row[columns.LAST_SESSION]


def test_windows_follow_the_daily_sums() -> None:
    vocabulary = Vocabulary((), *_no_items())
    folding = Folding(Calendar(worlds.FIRST_DAY), vocabulary, (7, 28))
    start = int(Calendar(worlds.FIRST_DAY).start(1).timestamp())
    state = folding.update(folding.empty(), Event("x", "purchase", start, "a", value=5.0))
    state = folding.update(state, Event("x", "purchase", start + 10 * 86_400, "b", value=3.0))
    assert (state["value_7d"], state["value_28d"], state["sessions_7d"], state["sessions_28d"]) == (3.0, 8.0, 1.0, 2.0)


def _no_items() -> tuple[object, object]:
    import pyarrow as pa

    text = pa.array([], pa.string())
    return pa.table({"item_index": pa.array([], pa.int32()), "item_id": text}), pa.table(
        {"item_id": text, "target_id": pa.array([], pa.int32()), "kind": text}
    )

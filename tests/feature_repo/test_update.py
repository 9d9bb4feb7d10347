"""Folding events one by one gives what the batch transforms give."""

import datetime as dt
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from components.profiles import steps
from feature_repo import columns
from feature_repo.calendar import Calendar
from feature_repo.rows import LIST_TYPES
from feature_repo.update import Event, Folding
from feature_repo.vocabulary import Vocabulary
from tests import worlds

WINDOWS = (7, 28)


@pytest.mark.parametrize(("seed", "timezone"), [(0, "UTC"), (1, "America/New_York"), (2, "Asia/Kolkata")])
def test_folding_every_event_equals_the_batch(tmp_path: Path, seed: int, timezone: str) -> None:
    world = worlds.scattered(seed, timezone=timezone)
    clean = world.write(tmp_path / "clean")
    split = json.dumps({"warmup_weeks": 1, "validate_weeks": 1, "test_weeks": 1})
    wanted = json.dumps(worlds.VOCABULARY)
    steps.run_profiles(
        json.dumps({"windows_days": WINDOWS, "segments": {"k": 2}}),
        split,
        wanted,
        clean=clean,
        destination=tmp_path / "profiles",
    )
    batch = _last_rows(tmp_path / "profiles", week=world.weeks + 1)
    vocabulary = Vocabulary.load(tmp_path / "profiles" / "vocabulary")
    folding = Folding(Calendar(worlds.FIRST_DAY, timezone), vocabulary, WINDOWS)
    end = int(max(e["timestamp"] for e in world.events).timestamp()) + 1  # type: ignore[type-var, union-attr]
    for user, events in _by_user(world).items():
        state = folding.empty()
        for event in events:
            state = folding.update(state, event)
        folding._move_on(state, end)
        _assert_same(state, batch[user], folding, end)


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


def _assert_same(state: dict[str, object], row: dict[str, object], folding: Folding, end: int) -> None:
    assert row["state_at"] == end
    for name in columns.profile_columns(WINDOWS):
        if "_7d" in name or "_28d" in name:
            continue  # as of the user's own last event; the lists below hold what they are sums of
        assert state[name] == pytest.approx(row[name], rel=1e-5, abs=1e-6), name
    first_day = folding._day(dt.datetime.fromtimestamp(end - 1, dt.UTC)) - max(WINDOWS)
    kept = np.asarray(state["daily_days"]) > first_day
    for name in LIST_TYPES:
        mine = np.asarray(state[name])[kept] if name in columns.DAILY_LISTS else np.asarray(state[name])
        theirs = np.asarray(row[name] or [], dtype=LIST_TYPES[name])
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5, err_msg=name)
    assert state[columns.LAST_SESSION] == row[columns.LAST_SESSION]


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

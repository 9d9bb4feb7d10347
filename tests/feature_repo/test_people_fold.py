"""Where items are people an event moves two rows: folding gives what the batch gives, of both."""

import json
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.profiles import steps
from feature_repo import columns
from feature_repo.calendar import Calendar
from feature_repo.rows import LIST_TYPES, UserRows
from feature_repo.update import RECEIVED, Event, Folding, event_of, mirrored, moved_on
from feature_repo.vocabulary import Target, Vocabulary
from tests import people_worlds, worlds

WINDOWS = (7, 28)
START = int(Calendar(worlds.FIRST_DAY).start(1).timestamp())
DAY, WEEK = 86_400, 7 * 86_400


def vocabulary(*items: str, people: bool = True) -> Vocabulary:
    table = pa.table({"item_index": pa.array(range(len(items)), pa.int32()), "item_id": list(items)})
    pairs = pa.table(
        {"item_id": pa.array([], pa.string()), "target_id": pa.array([], pa.int32()), "kind": pa.array([], pa.string())}
    )
    return Vocabulary((Target("message", None, None, None),), table, pairs, people=people)


FOLDING = Folding(Calendar(worlds.FIRST_DAY), vocabulary("ann", "bob", "cat"), WINDOWS, item_event="message")


def wrote(by: str, at: int, *, kind: str = "message") -> Event:
    """Return an event that somebody did to the user whose row it moves."""
    return mirrored(Event("user", kind, at, "s"), by=by)


def test_who_acted_on_the_user_is_in_the_lists_and_moves_nothing_else() -> None:
    before = FOLDING.fold(FOLDING.empty(), [Event("cat", "message", START, "s")])
    state = FOLDING.fold(
        before, [wrote("bob", START + DAY), wrote("bob", START + WEEK), wrote("ann", START + WEEK + 9)]
    )
    assert state["received_items"].tolist() == [1, 0]
    assert state["received_weeks"].tolist() == [2.0, 1.0]
    np.testing.assert_allclose(state["received_slow"], [0.96 + 0.96**2, 0.96], rtol=1e-6)
    assert state["received_first_at"].tolist() == [START + DAY, START + WEEK + 9]
    assert state["received_last_at"].tolist() == [START + WEEK, START + WEEK + 9]
    assert state["state_at"] == START + WEEK + 10
    assert (state["events_total"], state["weeks_total"], state["last_session_id"]) == (1, 1, "s")
    assert state["history_items"].tolist() == [2]
    np.testing.assert_allclose(state["history_slow"], [0.96**2], rtol=1e-6)  # a week later than it was


def test_other_kinds_and_strangers_are_no_ties() -> None:
    state = FOLDING.fold(FOLDING.empty(), [wrote("bob", START, kind="view"), wrote("nobody we know", START)])
    assert len(state["received_items"]) == 0


def test_where_items_are_no_people_no_row_has_such_lists() -> None:
    plain = Folding(FOLDING.calendar, vocabulary("ann", people=False), WINDOWS)
    assert not set(columns.RECEIVED_LISTS) & set(plain.empty())
    odd = plain.fold(plain.empty(), [Event("ann", f"{RECEIVED}message", START, "s")])
    assert odd["events_total"] == 1  # a kind of that name is a kind like any other there


def test_arrays_decay_as_states_do() -> None:
    state = FOLDING.fold(FOLDING.empty(), [Event("ann", "message", START, "s"), wrote("bob", START + 5)])
    later = START + 3 * WEEK
    row = {name: [value] for name, value in state.items() if name not in ("vocabulary", columns.LAST_SESSION)}
    rows = UserRows.from_online(row | {"user_id": ["u"]}, now=later)
    moved = moved_on(rows, later, FOLDING.calendar)
    expected = FOLDING.moved(state, later)
    np.testing.assert_allclose(moved.lists["received_slow"].values, expected["received_slow"], rtol=1e-6)
    np.testing.assert_allclose(expected["received_slow"], [0.96**3], rtol=1e-6)


@pytest.mark.world
@pytest.mark.parametrize(("seed", "timezone"), [(0, "UTC"), (1, "America/New_York")])
def test_folding_every_event_into_both_rows_equals_the_batch(tmp_path: Path, seed: int, timezone: str) -> None:
    world = people_worlds.chatter(seed, timezone=timezone)
    profiles, split = tmp_path / "profiles", json.dumps({"warmup_weeks": 1, "validate_weeks": 1, "test_weeks": 1})
    steps.run_profiles(
        json.dumps(people_worlds.PROFILES), split, json.dumps(people_worlds.VOCABULARY),
        clean=world.write(tmp_path / "clean"), destination=profiles,
    )  # fmt: skip
    calendar = Calendar(worlds.FIRST_DAY, timezone)
    folding = Folding(calendar, Vocabulary.load(profiles / "vocabulary"), WINDOWS)
    end = max(int(e["timestamp"].timestamp()) for e in world.events) + 1  # type: ignore[attr-defined]
    states = {user: folding.empty() for user in world.users}
    ordered = sorted(world.events, key=lambda e: e["timestamp"])  # type: ignore[arg-type, return-value]
    for line in ordered:
        done = event_of(line | {"timestamp": int(line["timestamp"].timestamp())}, calendar)  # type: ignore[attr-defined]
        user, other = str(line["user_id"]), str(line["item_id"])
        states[user] = folding.update(states[user], done)
        states[other] = folding.update(states[other], mirrored(done, by=user))
    received = _newest(profiles / "user_received.parquet")
    history = _newest(profiles / "user_history.parquet")
    assert set(received) > set(history)  # who is silent has received too
    for user in world.users:
        state = folding.moved(states[user], end)
        for names, batch in ((columns.RECEIVED_LISTS, received), (columns.HISTORY_LISTS, history)):
            expected = batch.get(user) or {name: [] for name in names}
            _same_lists(state, expected, names)


def _newest(path: Path) -> dict[str, dict[str, list[float]]]:
    table = pq.read_table(path)
    week = max(table["week"].to_pylist())
    return {row["user_id"]: row for row in table.to_pylist() if row["week"] == week}


def _same_lists(state: dict[str, object], expected: dict[str, list[float]], names: tuple[str, ...]) -> None:
    """Compare parallel lists by their key: ties in the order of sums differ by rounding."""
    mine, theirs = (np.argsort(np.asarray(of[names[0]], dtype=np.int64)) for of in (state, expected))
    for name in names:
        ours = np.asarray(state[name], dtype=LIST_TYPES[name])[mine]
        np.testing.assert_allclose(
            ours, np.asarray(expected[name], dtype=LIST_TYPES[name])[theirs], rtol=1e-5, err_msg=name
        )


@pytest.mark.world
def test_small_blocks_give_the_same_received_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from components.profiles.build import blocks

    world = people_worlds.chatter(3, people=9)
    split = json.dumps({"warmup_weeks": 1, "validate_weeks": 1, "test_weeks": 1})
    clean = world.write(tmp_path / "clean")

    def built(name: str) -> list[dict[str, object]]:
        steps.run_profiles(
            json.dumps(people_worlds.PROFILES), split, json.dumps(people_worlds.VOCABULARY),
            clean=clean, destination=tmp_path / name,
        )  # fmt: skip
        rows = pq.read_table(tmp_path / name / "user_received.parquet").to_pylist()
        return sorted(rows, key=lambda row: (row["week"], row["user_id"]))

    whole = built("whole")
    monkeypatch.setattr(blocks, "BLOCK_EVENTS", 7)
    assert built("cut") == whole
    assert random.Random(0).choice(whole)["received_items"]

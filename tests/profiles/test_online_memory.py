"""Event memories in the online store, on real servers: what the batch writes, what a push adds, who may read."""
# fixtures of another module are arguments here

import contextlib
import dataclasses
import datetime as dt
import sqlite3
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.profiles.online import materialise, row_stream
from feature_repo import columns, memory
from feature_repo.errors import ServerError
from feature_repo.online import feast_values, memory_cells, mentions
from feature_repo.online.profiles import DAILY, OnlineProfiles
from feature_repo.privacy import sealing
from feature_repo.privacy.sealing import SealError
from feature_repo.update import Event
from pipelines.answers import memory_parity
from pipelines.answers.offline_rows import Offline
from tests import worlds
from tests.profiles.conftest import Made, built
from tests.profiles.online_stores import LAST, Place, end_of, purchase

FIRST, SECOND = "ab" * 32, "cd" * 32  # keys


def remembered(event: dict[str, Any]) -> memory.Remembered:
    at = int(event["timestamp"].timestamp())
    return memory.Remembered(at, event["session_id"], event["item_id"], event["event"], event["value"])


def truth(world: worlds.World, user: str) -> list[memory.Remembered]:
    """Say what a user's memory must be."""
    return sorted(remembered(event) for event in world.events if event["user_id"] == user)[-64:]


def cell_of(profiles: OnlineProfiles, user: str) -> bytes:
    """Return what the store holds."""
    found = feast_values.number(profiles.online.read(DAILY, [user])[0], columns.MEMORY, "bytes_val", b"")
    assert isinstance(found, bytes)
    return found


def test_the_store_holds_the_batch_and_a_push_adds_in_place(place: Place, made: Made) -> None:
    users = made.world.users
    place.materialise(made.profiles)
    profiles = place.open(made.profiles)
    assert profiles.memories([*users, "nobody"]) == [*(truth(made.world, user) for user in users), None]
    end = end_of(made.profiles)
    new, late = purchase("never seen before", end + 5), Event("late", "view", end - 86_400 * 30, "s", known_at=end)
    profiles.push_all({"u03": [new, late], "somebody new": [new]})
    held, hers = profiles.memories(["u03", "somebody new"])
    told = [memory.Remembered(e.at, e.session_id, e.item_id, e.event, e.value) for e in (new, late)]
    assert held == sorted([*truth(made.world, "u03"), *told])[-64:]
    assert hers == told[:1]
    assert held is not None
    assert held[-1].item_id == "never seen before"


def test_events_that_no_batch_holds_are_in_the_next_one_s_memories_once(
    place: Place, made: Made, later: Path, bought_later: dict[str, object]
) -> None:
    place.materialise(made.profiles)
    at = int(bought_later["timestamp"].timestamp())  # type: ignore[attr-defined]
    place.open(made.profiles).push_all({"u00": [Event("i1", "purchase", at, "late", value=7.0, known_at=at)]})
    place.materialise(later)
    assert place.open(later).memories(["u00"]) == [sorted([*truth(made.world, "u00"), remembered(bought_later)])[-64:]]


def test_memories_are_encrypted_under_the_newest_key_and_read_under_any(
    place: Place, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.materialise(made.profiles)
    profiles, users = place.open(made.profiles), made.world.users
    assert memory_cells.unpacked(cell_of(profiles, "u03")) != b""
    monkeypatch.setenv(sealing.KEYS, FIRST)
    assert profiles.memories(["u03"]) == [truth(made.world, "u03")]  # of before there was a key
    assert place.materialise(made.profiles)["written"] == len(users)
    first = sealing.given().newest
    assert cell_of(profiles, "u03").startswith(f"~{first}:".encode())
    monkeypatch.setenv(sealing.KEYS, f"{SECOND},{FIRST}")
    assert profiles.memories(["u03"]) == [truth(made.world, "u03")]
    assert place.materialise(made.profiles)["written"] == len(users)
    monkeypatch.setenv(sealing.KEYS, SECOND)  # the first may go now
    assert profiles.memories(users) == [truth(made.world, user) for user in users]
    assert place.materialise(made.profiles)["written"] == 0


@pytest.mark.parametrize("keys", ["", FIRST])
def test_without_its_key_a_memory_is_no_empty_one(
    place: Place, made: Made, monkeypatch: pytest.MonkeyPatch, keys: str
) -> None:
    monkeypatch.setenv(sealing.KEYS, SECOND)
    place.materialise(made.profiles)
    sealed = cell_of(profiles := place.open(made.profiles), "u03")
    monkeypatch.setenv(sealing.KEYS, keys)
    with pytest.raises(SealError, match=r"INTENTFLOW_DATA_KEYS: online store: an event memory is encrypted under the"):
        profiles.memories(["u03"])
    with pytest.raises(SealError):
        profiles.push_all({"u03": [purchase("i1", end_of(made.profiles) + 5)]})
    assert cell_of(profiles, "u03") == sealed
    if not keys:
        with pytest.raises(SealError, match="this step has no key and would write them in plain"):
            place.materialise(made.profiles)
    assert profiles.read(["u03"], now=LAST).known[0]  # what models read is not encrypted, and goes on
    monkeypatch.setenv(sealing.KEYS, SECOND)
    damaged = feast_values.value("bytes_val", sealed[:-9])
    with pytest.raises(ServerError, match="is damaged"):
        memory_cells.unpacked(damaged.bytes_val)


def test_a_row_of_before_memories_is_read_and_said(place: Place, made: Made, caplog: pytest.LogCaptureFixture) -> None:
    if place.server.kind != "sqlite":
        pytest.skip("features are deleted in SQLite's words here; what is absent is read alike from every store")
    place.materialise(made.profiles)
    with contextlib.closing(sqlite3.connect(place.home / "online.db")) as db, db:
        tables = [n for (n,) in db.execute("SELECT name FROM sqlite_master WHERE name LIKE '%_user_daily'")]
        gone = [db.execute(f"DELETE FROM {name} WHERE feature_name = 'memory'").rowcount for name in tables]
    assert sum(gone) == len(made.world.users)
    profiles = place.open(made.profiles)
    assert profiles.memories(["u03"]) == [None]
    before = profiles.read(["u03"], now=LAST).numbers["events_total"][0]
    event = purchase("i1", end_of(made.profiles) + 5)
    for number in range(2):
        profiles.push_all({"u03": [dataclasses.replace(event, at=event.at + number)]})
    assert profiles.read(["u03"], now=LAST).numbers["events_total"][0] == before + 2
    assert [e.item_id for e in profiles.memories(["u03"])[0] or ()] == ["i1", "i1"]
    assert caplog.text.count("were written before rows had event memories") == 1


def test_files_of_before_memories_leave_none_behind(place: Place, made: Made, tmp_path: Path) -> None:
    """Such as a rollback materialises: rows without a memory, not rows of people who did nothing."""
    old = built(made.world, tmp_path / "old")
    daily = pq.read_table(old / "user_daily.parquet").drop([columns.MEMORY])
    pq.write_table(daily, old / "user_daily.parquet")
    place.materialise(old)
    assert place.open(old).memories(["u03"]) == [None]


def test_a_person_who_is_an_item_goes_out_of_the_rows_of_others(place: Place, made: Made) -> None:
    place.materialise(made.profiles)
    profiles, end = place.open(made.profiles), end_of(made.profiles)
    whom = "00000000deadbeef"
    profiles.push_all({"u03": [Event(whom, "follow", end + 5, "s", known_at=end + 5), purchase("i1", end + 6)]})
    assert mentions.count(place.project, [whom]) == 1
    assert mentions.remove(place.project, [whom]) == 1
    assert mentions.count(place.project, [whom]) == 0
    kept = sorted([*truth(made.world, "u03"), memory.Remembered(end + 6, f"s{end + 6}", "i1", "purchase", 7.0)])[-64:]
    assert profiles.memories(["u03"]) == [kept]
    assert mentions.remove(place.project, [whom]) == 0
    assert place.materialise(made.profiles)["written"] == 1  # sums still counted the event
    assert profiles.memories(["u03"]) == [kept]
    assert int(profiles.read(["u03"], now=LAST).numbers["events_total"][0]) == 48 + 1


def test_parity_compares_what_the_store_remembers_with_files_and_pushes(place: Place, made: Made) -> None:
    place.materialise(made.profiles)
    profiles, end = place.open(made.profiles), end_of(made.profiles)
    profiles.push_all({"u03": [purchase("i1", end + 5), purchase("i2", end + 3)], "new": [purchase("i1", end + 6)]})
    files_end = dt.datetime.fromtimestamp(end, dt.UTC)
    batch = {}
    for part in row_stream.rows(made.profiles, pa.array(made.world.users), data_end=files_end, batch=500):
        batch |= part
    digests = row_stream.digests(made.profiles, fallback="")
    digest_of = dict(zip(*(digests[name].to_pylist() for name in digests.column_names), strict=True))
    offline = Offline(profiles.folding, batch, end, {}, digest_of)
    users = [*made.world.users, "new", "nobody"]
    assert list(memory_parity.differences(profiles, offline, users)) == []
    state = profiles.folding.fold(batch["u05"] | {columns.VOCABULARY: ""}, [purchase("planted", end + 9)])
    wrong = {**batch["u05"], columns.MEMORY: state[columns.MEMORY], columns.LAST_SESSION: "s", columns.SEGMENT: 0.0}
    profiles.online.write(DAILY, [("u05", end, {**wrong, columns.MEMORY: memory_cells.packed(wrong[columns.MEMORY])})])
    newest = truth(made.world, "u05")[-1]
    assert list(memory_parity.differences(profiles, offline, users)) == [
        ("u05", f"purchase of planted at {end + 9}", f"purchase of {newest.item_id} at {newest.at}")
    ]
    other = dataclasses.replace(offline, digests=digest_of | {"u05": "of files that the store does not have yet"})
    assert list(memory_parity.differences(profiles, other, users)) == []


def test_a_row_with_a_memory_is_read_by_a_release_that_asks_for_none(place: Place, made: Made) -> None:
    place.materialise(made.profiles)
    profiles = place.open(made.profiles)
    old = {name: kind for name, kind in profiles.online.kinds[DAILY].items() if name != columns.MEMORY}
    online = dataclasses.replace(profiles.online, kinds={**profiles.online.kinds, DAILY: old})
    row = online.read(DAILY, ["u03"])[0]
    assert row is not None
    assert set(row) >= set(old)
    assert set(feast_values.arrays([row], old)[1]) == set(columns.DAILY_LISTS)


def test_the_folded_row_of_materialise_names_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    assert materialise.under_key("17") == "17"
    monkeypatch.setenv(sealing.KEYS, FIRST)
    assert materialise.under_key("17") == f"17~{sealing.given().newest}"

"""Logs under a key: nothing of people on disk, every reader as before, and one line where the key is not at hand."""

import gzip
import json
import logging
from pathlib import Path

import pytest

from bentos.recommender.logs import json_lines, renaming, trace_people, traces
from bentos.recommender.logs.eventlog import EventLog
from bentos.recommender.logs.shipping import ship
from feature_repo.logs import object_store, parquet_files, request_log, shipped_log
from feature_repo.privacy import sealing
from feature_repo.privacy.pseudonyms import pseudonym
from feature_repo.privacy.sealing import SealError
from tests.bentos.recommender.test_requestlog import fill

OLD, NEW = "0a" * 32, "0b" * 32
ANN, BOB = "0123456789abcdef", "fedcba9876543210"
PEOPLE = trace_people.People((), (ANN,))
KEYS = {ANN: "id:first", BOB: "id:second"}


def event(user: str) -> dict[str, object]:
    return {"key": KEYS[user], "user_id": user, "item_id": "cherries", "timestamp": 7, "created_at": 7}


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv(sealing.KEYS, OLD)
    return monkeypatch


@pytest.fixture
def events(tmp_path: Path) -> Path:
    """The file of an event log with an event each of two people, both folded."""
    log = EventLog(tmp_path / "events")
    both = [event(ANN), event(BOB)]
    log.append(both)
    log.folded([str(one["key"]) for one in both])
    log.close()
    (path,) = json_lines.files(tmp_path / "events")
    return path


def lines(path: Path) -> list[dict[str, object]]:
    return list(json_lines.read(path))


def test_no_line_of_a_log_shows_anybody(events: Path) -> None:
    raw = events.read_bytes()
    assert all(line.startswith(b"~") for line in raw.splitlines())
    assert not any(word in raw for word in (ANN.encode(), b"cherries", b"folded"))
    assert [line.get("user_id") for line in lines(events)] == [ANN, BOB, None]


def test_a_restart_recovers_from_encrypted_lines_and_from_plain_ones_before_them(
    events: Path, key: pytest.MonkeyPatch
) -> None:
    key.setenv(sealing.KEYS, "")
    plain = EventLog(events.parent.with_name("plain"))
    plain.append([event(ANN)])
    plain.close()
    key.setenv(sealing.KEYS, f"{NEW},{OLD}")
    again = EventLog(events.parent)
    assert again.unseen([event(ANN), event(BOB)]) == []
    assert EventLog(events.parent.with_name("plain")).unfolded == 1


@pytest.mark.parametrize("given", ["", NEW])
def test_a_door_without_the_key_does_not_start_with_an_empty_log(
    events: Path, key: pytest.MonkeyPatch, given: str
) -> None:
    key.setenv(sealing.KEYS, given)
    with pytest.raises(SealError, match="a line is encrypted under the key"):
        EventLog(events.parent)


@pytest.mark.parametrize("left", [1, 6, 13, 14, 60])
def test_a_line_that_a_crash_cut_short_is_skipped_and_said(
    events: Path, caplog: pytest.LogCaptureFixture, left: int
) -> None:
    *whole, torn = events.read_bytes().splitlines(keepends=True)
    events.write_bytes(b"".join([*whole, torn[:left]]))
    with caplog.at_level(logging.WARNING):
        assert [line["user_id"] for line in lines(events)] == [ANN, BOB]
    assert "line 3: cut short, skipped" in caplog.text


def test_answers_are_encrypted_as_lines_and_as_parquet(tmp_path: Path, key: pytest.MonkeyPatch) -> None:
    fill(tmp_path, 20)
    before = list(request_log.read(tmp_path))
    (segment,) = request_log.log_files(tmp_path)
    assert b"greedy" not in segment.read_bytes()
    compacted = request_log.compact(segment)
    assert compacted is not None
    assert parquet_files.encrypted(compacted)
    assert b"greedy" not in compacted.read_bytes()
    assert b"request_id" not in compacted.read_bytes()
    again = list(request_log.read(tmp_path, newest_first=True))
    assert [line["request_id"] for line in again[::-1]] == [line["request_id"] for line in before]
    assert again[0]["numbers"] == before[-1]["numbers"]
    assert request_log.table(tmp_path, names=["mirrored", "request_id"])["mirrored"].to_pylist() == [False, True] * 10
    key.setenv(sealing.KEYS, f"{NEW},{OLD}")
    assert len(list(request_log.read(tmp_path))) == 20
    key.setenv(sealing.KEYS, NEW)
    with pytest.raises(SealError, match="a file of the request log is encrypted under the key"):
        list(request_log.read(tmp_path))


def test_forgetting_finds_and_blanks_encrypted_lines_and_keys_in_notes(events: Path) -> None:
    size = events.stat().st_size
    assert traces.find([events.parent], PEOPLE).hits == {events: 1}
    assert traces.users([events.parent]) == {ANN, BOB}
    traces.mask_keys(events.parent, PEOPLE)
    assert traces.clean(events, PEOPLE) == 1
    assert traces.find([events.parent], PEOPLE).hits == {}
    left = lines(events)
    assert [line.get("user_id") for line in left] == [BOB, None]
    assert left[1]["folded"] == ["x" * len(KEYS[ANN]), KEYS[BOB]]
    assert events.stat().st_size == size  # a door may be appending behind it


def test_forgetting_rewrites_an_encrypted_parquet_file_as_one(tmp_path: Path) -> None:
    folder = tmp_path / "requests"
    fill(folder, 3)
    path = request_log.compact(request_log.log_files(folder)[0])
    assert path is not None
    ann = pseudonym("ann", "00")
    assert renaming.replace_users(path, lambda user: {b"ann": ann.encode()}.get(user)) == (3, 0)
    assert parquet_files.encrypted(path)
    assert traces.find([folder], trace_people.People((), (ann,))).hits == {path: 3}
    assert traces.clean(path, trace_people.People((), (ann,))) == 3
    assert parquet_files.encrypted(path)
    assert list(request_log.read(folder)) == []


def test_rotating_the_pseudonyms_renames_encrypted_lines_under_the_newest_key(
    events: Path, key: pytest.MonkeyPatch
) -> None:
    key.setenv(sealing.KEYS, f"{NEW},{OLD}")
    new = pseudonym("ann", "01")
    size = events.stat().st_size
    assert renaming.replace_users(events, lambda user: {ANN.encode(): new.encode()}.get(user)) == (1, 1)
    assert events.stat().st_size == size
    assert [line.get("user_id") for line in lines(events)] == [new, None]


def test_shipped_copies_stay_encrypted_and_are_read_and_cleaned(events: Path, tmp_path: Path) -> None:
    ship(events, str(tmp_path / "store"), host="door")
    with object_store.reached(str(tmp_path / "store")) as store:
        assert [line.get("user_id") for line in shipped_log.read_events(store)] == [ANN, BOB, None]
    (copy,) = (tmp_path / "store").rglob("*.gz")
    assert b"cherries" not in gzip.decompress(copy.read_bytes())
    assert traces.find([copy], PEOPLE).hits == {copy: 1}
    assert traces.event_keys(copy, PEOPLE) == {KEYS[ANN]}
    assert traces.mask_notes(copy, [KEYS[ANN]], PEOPLE) == 1
    assert traces.clean(copy, PEOPLE) == 1
    assert [line.get("user_id") for line in json_lines.read(copy)] == [BOB, None]
    assert json.loads(json.dumps(lines(copy)))[1]["folded"][0].startswith("xxx")

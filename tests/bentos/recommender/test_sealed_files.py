"""Logs of before there was a key: sealed whole, read as before, and left alone while a service appends."""

import gzip
import os
import shutil
from pathlib import Path

import pytest

from bentos.recommender.logs import json_lines, line_bytes, sealed_files
from bentos.recommender.logs.eventlog import EventLog
from bentos.recommender.logs.sealed_files import SealedFiles
from feature_repo.logs import parquet_files, request_log
from feature_repo.privacy import sealing
from feature_repo.privacy.sealing import SealError

OLD, NEW = "0a" * 32, "0b" * 32
ANN = "0123456789abcdef"


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv(sealing.KEYS, "")
    return monkeypatch


def log(folder: Path, name: str = "id:1") -> EventLog:
    made = EventLog(folder)
    made.append([{"key": name, "user_id": ANN, "item_id": "cherries", "timestamp": 7, "created_at": 7}])
    return made


def said(folder: Path) -> list[object]:
    return [line for path in json_lines.files(folder) for line in json_lines.read(path)]


def answers(folder: Path) -> Path:
    """Write a parquet file of two answers."""
    rows = [{"request_id": f"r{n}", "user_id": ANN, "endpoint": "recommend"} for n in range(2)]
    path = folder / "2026-11-23.00001.parquet"
    table = request_log.table_of(rows)
    with parquet_files.writer(path, table.schema, **request_log.WRITTEN) as writer:
        writer.write_table(table)
    return path


def test_plain_files_are_sealed_and_say_what_they_said(tmp_path: Path, key: pytest.MonkeyPatch) -> None:
    log(tmp_path).close()
    (lines,) = json_lines.files(tmp_path)
    shutil.copy(lines, tmp_path / "2020-01-01.00001.jsonl")
    packed = tmp_path / "2020-01-02.00001.jsonl.gz"
    packed.write_bytes(gzip.compress(lines.read_bytes() + b"\n"))  # a blank line is of somebody who was forgotten
    parquet = answers(tmp_path)
    parquet.chmod(0o600)
    before, shown = said(tmp_path), [dict(one) for one in request_log.read_file(parquet)]
    key.setenv(sealing.KEYS, NEW)
    assert sealed_files.seal(tmp_path) == SealedFiles(files=4, lines=3, answers=2)
    assert said(tmp_path) == before
    assert [dict(one) for one in request_log.read_file(parquet)] == shown
    everything = [gzip.decompress(p.read_bytes()) if p == packed else p.read_bytes() for p in tmp_path.iterdir()]
    assert not any(ANN.encode() in data or b"cherries" in data for data in everything)
    assert parquet.stat().st_mode & 0o777 == 0o600
    assert sealed_files.seal(tmp_path) == SealedFiles()  # nothing is left to do


def test_what_is_sealed_is_on_disk_before_it_takes_the_file_s_place(tmp_path: Path, key: pytest.MonkeyPatch) -> None:
    log(tmp_path).close()
    answers(tmp_path)
    done: list[tuple[str, int]] = []
    flush, replace = os.fsync, os.replace
    key.setattr(os, "fsync", lambda opened: (done.append(("flush", os.fstat(opened).st_ino)), flush(opened))[1])
    key.setattr(os, "replace", lambda a, b: (done.append(("replace", os.stat(a).st_ino)), replace(a, b))[1])
    key.setenv(sealing.KEYS, NEW)
    assert sealed_files.seal(tmp_path).files == 2
    folder = tmp_path.stat().st_ino
    inodes = [path.stat().st_ino for path in sorted(tmp_path.iterdir())]
    assert sorted(done) == sorted(
        [(what, one) for one in inodes for what in ("flush", "replace")] + [("flush", folder)] * 2
    )
    for one in inodes:
        at = done.index(("replace", one))
        assert (done[at - 1], done[at + 1]) == (("flush", one), ("flush", folder))


@pytest.mark.parametrize("moment", ["before it is read", "while it is written anew"])
def test_a_file_that_is_pruned_meanwhile_stays_gone(tmp_path: Path, key: pytest.MonkeyPatch, moment: str) -> None:
    parquet = answers(tmp_path)
    kept = shutil.copy(parquet, tmp_path / "2026-11-24.00001.parquet")
    key.setenv(sealing.KEYS, NEW)
    asked = "encrypted" if moment == "before it is read" else "writer"
    ask = getattr(parquet_files, asked)

    def pruned_first(*given: object, **more: object) -> object:
        parquet.unlink(missing_ok=True)
        return ask(*given, **more)

    key.setattr(parquet_files, asked, pruned_first)
    assert sealed_files.seal(tmp_path) == SealedFiles(files=1, answers=2)
    assert [str(path) for path in tmp_path.iterdir()] == [str(kept)]


def test_a_file_of_lines_that_is_packed_meanwhile_is_no_fault(tmp_path: Path, key: pytest.MonkeyPatch) -> None:
    log(tmp_path).close()
    (path,) = json_lines.files(tmp_path)
    key.setenv(sealing.KEYS, NEW)
    of_lines = line_bytes.of_lines
    key.setattr(line_bytes, "of_lines", lambda one: of_lines(one) and not path.unlink())
    assert sealed_files.seal(tmp_path) == SealedFiles()


def test_an_earlier_key_may_go_afterwards(tmp_path: Path, key: pytest.MonkeyPatch) -> None:
    key.setenv(sealing.KEYS, OLD)
    log(tmp_path).close()
    parquet = answers(tmp_path)
    before = said(tmp_path)
    key.setenv(sealing.KEYS, f"{NEW},{OLD}")
    assert sealed_files.seal(tmp_path) == SealedFiles(files=2, lines=1, answers=2)
    key.setenv(sealing.KEYS, NEW)
    assert said(tmp_path) == before
    assert len(list(request_log.read_file(parquet))) == 2


def test_what_no_key_at_hand_opens_is_refused_and_stays(tmp_path: Path, key: pytest.MonkeyPatch) -> None:
    key.setenv(sealing.KEYS, OLD)
    log(tmp_path).close()
    (path,) = json_lines.files(tmp_path)
    before = path.read_bytes()
    key.setenv(sealing.KEYS, NEW)
    with pytest.raises(SealError, match="is encrypted under the key"):
        sealed_files.seal(tmp_path)
    assert path.read_bytes() == before


def test_a_file_that_a_service_appends_to_is_left_alone_and_counted(tmp_path: Path, key: pytest.MonkeyPatch) -> None:
    service = log(tmp_path)
    (path,) = json_lines.files(tmp_path)
    before = path.read_bytes()
    key.setenv(sealing.KEYS, NEW)
    assert sealed_files.seal(tmp_path) == SealedFiles(open=1, open_lines=1)
    assert path.read_bytes() == before
    service.close()
    assert sealed_files.seal(tmp_path) == SealedFiles(files=1, lines=1)
    assert EventLog(tmp_path).unfolded == 1  # a door that starts recovers from it


def test_a_line_that_a_crash_cut_short_is_sealed_too_and_skipped_as_before(
    tmp_path: Path, key: pytest.MonkeyPatch
) -> None:
    log(tmp_path).close()
    (path,) = json_lines.files(tmp_path)
    path.write_bytes(path.read_bytes() + b'{"user_id":"0123456789ab')
    key.setenv(sealing.KEYS, NEW)
    assert sealed_files.seal(tmp_path).lines == 2
    assert b"0123456789ab" not in path.read_bytes()
    assert len(said(tmp_path)) == 1


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path, key: pytest.MonkeyPatch) -> None:
    key.setenv(sealing.KEYS, NEW)
    assert sealed_files.seal(tmp_path / "events") == SealedFiles()

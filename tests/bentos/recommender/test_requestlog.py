"""The request log on disk: segments become parquet, nothing is lost on the way, a sample is a sample."""

import base64
import dataclasses
import fcntl
import os
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from pydantic_core import from_json, to_json

from bentos.recommender.logs import requestlog, shipping
from bentos.recommender.logs.requestlog import LoggedAnswer, RequestLog
from feature_repo import columns
from feature_repo.logs import packed_answer, request_log
from feature_repo.rows import Ragged, UserRows
from tests.patience import patient

ITEM = {"item_id": "i1", "position": 1, "score": 0.5, "source": "history", "propensity": 1.0}
ROWS = UserRows.unknown(["ann"], now=1_514_764_800)
ANSWER = LoggedAnswer("r0", "recommend", "rel", "greedy@1", "fresh", ROWS, np.asarray([0.25, 1 / 3]), 1.5)
ANSWER = dataclasses.replace(ANSWER, asked={"k": 1, "context": {"page": "home"}}, items=[ITEM], trace_id="ab")


def fill(folder: Path, count: int, **options: float) -> None:
    log = RequestLog(folder, **options)
    for n in range(count):
        log.append(dataclasses.replace(ANSWER, request_id=f"r{n}", mirrored=n % 2 == 1))
    log.close()


def test_a_closed_segment_becomes_parquet_and_reads_as_before(tmp_path: Path) -> None:
    fill(tmp_path, 20)
    before = list(requestlog.read(tmp_path))
    (segment,) = request_log.log_files(tmp_path)
    compacted = request_log.compact(segment)
    assert compacted is not None
    assert [path.suffix for path in tmp_path.iterdir()] == [".parquet"]
    again = list(requestlog.read(tmp_path))
    for line in (*before, *again):
        line["logged_at"] = line["logged_at"].replace("Z", "+00:00")[:19]
    assert again == before
    assert requestlog.rows_of(again[0]).numbers.keys() == ROWS.numbers.keys()
    assert [line["request_id"] for line in request_log.read(tmp_path, newest_first=True)][:2] == ["r19", "r18"]
    assert request_log.table(tmp_path, names=["request_id", "mirrored"])["mirrored"].to_pylist() == [False, True] * 10
    assert tuple(pq.read_schema(compacted).names) == columns.REQUEST_LOG


def test_a_segment_that_is_written_to_is_left_alone(tmp_path: Path) -> None:
    log = RequestLog(tmp_path)
    log.append(ANSWER)
    (segment,) = request_log.log_files(tmp_path)
    assert request_log.compact(segment) is None
    assert segment.exists()
    log.close()


def test_what_a_killed_process_left_is_compacted_by_the_next_and_new_answers_go_to_a_new_file(tmp_path: Path) -> None:
    fill(tmp_path, 2)
    (segment,) = request_log.log_files(tmp_path)
    with segment.open("ab") as stream:
        stream.write(b'{"request_id":"torn')
    kept = segment.read_bytes()
    request_log.compact(segment)
    segment.write_bytes(kept)  # as if it was killed before the segment went
    log = RequestLog(tmp_path)
    log._shipping.turn()
    log.append(dataclasses.replace(ANSWER, request_id="new"))
    log.close()
    assert [path.name[11:] for path in request_log.log_files(tmp_path)] == ["00000.parquet", "00001.jsonl"]
    assert [line["request_id"] for line in requestlog.read(tmp_path)] == ["r0", "r1", "new"]


def test_a_segment_that_is_old_is_left_for_a_new_one(tmp_path: Path) -> None:
    fill(tmp_path, 3, max_age_s=0.0)
    assert len(request_log.log_files(tmp_path)) == 3


def test_a_sample_says_how_much_its_lines_count_and_keeps_every_degraded_answer(tmp_path: Path) -> None:
    log = RequestLog(tmp_path, sample=0.25)
    for n in range(200):
        log.append(dataclasses.replace(ANSWER, request_id=f"r{n}", degraded="timeout" if n < 20 else None))
    log.close()
    lines = list(requestlog.read(tmp_path))
    assert [line["sample"] for line in lines][:20] == [1.0] * 20
    assert sum(1 / line["sample"] for line in lines) == pytest.approx(200, rel=0.25)
    assert [line["request_id"] for line in lines[20:]] == [
        f"r{n}" for n in range(20, 200) if requestlog.drawn(f"r{n}", 0.25)
    ]


def test_closed_files_are_copied_to_a_store_that_was_away(tmp_path: Path) -> None:
    folder, store = tmp_path / "log", tmp_path / "store"
    fill(folder, 3)
    store.write_text("a file where the folder should be")
    ship = shipping.Shipping(folder, f"file://{store}", every_s=60)
    with pytest.raises(OSError):
        ship.turn()
    store.unlink()
    ship.turn()
    ship.turn()
    ship.close()
    (copied,) = [path for path in store.rglob("*") if path.is_file()]
    assert [line["request_id"] for line in request_log.read_file(copied)] == ["r0", "r1", "r2"]


def _until(true: Callable[[], bool], within_s: float = 20.0) -> None:
    deadline = time.monotonic() + patient(within_s)
    while not true() and time.monotonic() < deadline:
        time.sleep(0.01)


def test_what_waits_for_the_store_is_told_after_each_turn(tmp_path: Path) -> None:
    folder, store, told = tmp_path / "log", tmp_path / "store", []
    fill(folder, 3)
    store.write_text("a file where the folder should be")
    ship = shipping.Shipping(folder, f"file://{store}", every_s=0.02, on_turn=told.append)
    _until(lambda: bool(told))
    ship.close()
    (away,) = told
    (path,) = folder.glob("*.parquet")
    assert (away.failed, away.sent, away.waiting) == (True, 0, 1)
    assert away.waiting_since == pytest.approx(path.stat().st_mtime)
    assert away.size_bytes == path.stat().st_size
    store.unlink()
    told.clear()
    ship = shipping.Shipping(folder, f"file://{store}", every_s=0.02, on_turn=told.append)
    _until(lambda: bool(told))
    ship.close()
    assert (told[0].failed, told[0].sent, told[0].waiting, told[0].waiting_since) == (False, 1, 0, 0.0)


def test_without_a_store_nothing_waits_for_one(tmp_path: Path) -> None:
    folder, told = tmp_path / "log", []
    fill(folder, 3)
    ship = shipping.Shipping(folder, every_s=0.02, on_turn=told.append)
    _until(lambda: bool(told))
    ship.close()
    assert (told[0].failed, told[0].waiting, told[0].waiting_since) == (False, 0, 0.0)


def rows(user: str, length: int = 200) -> UserRows:
    """Return a user's row with a history."""
    made, random = UserRows.unknown([user], now=1_514_764_800), np.random.default_rng(length)
    lists = dict(made.lists)
    for name in ("history_slow", "history_items", "history_last_at"):
        values = (random.random(length) * 1e4).astype(lists[name].values.dtype)
        lists[name] = Ragged(values, np.asarray([0, length]))
    return dataclasses.replace(made, known=np.asarray([True]), lists=lists)


def test_readers_get_what_was_answered_whatever_form_the_line_has(tmp_path: Path) -> None:
    """Old lines hold decimals: they, packed lines and parquet read alike."""
    answers = [
        dataclasses.replace(ANSWER, request_id=f"r{n}", rows=rows(u)) for n, u in enumerate(("ann", "bo", "ann"))
    ]
    lines = [from_json(to_json(requestlog.line_of(answer))) for answer in answers]
    (tmp_path / "old").mkdir()
    old = tmp_path / "old" / "2026-11-29.00000.jsonl"
    old.write_bytes(b"".join(to_json(line) + b"\n" for line in lines))
    log = RequestLog(tmp_path / "new")
    for answer in answers:
        log.append(answer)
    log.close()
    (segment,) = request_log.log_files(tmp_path / "new")
    assert segment.stat().st_size < old.stat().st_size / 2

    def read(path: Path, *, newest_first: bool = False) -> list[dict[str, object]]:
        return [dict(a, logged_at="") for a in request_log.read_file(path, newest_first=newest_first)]

    expected = [dict(line, logged_at="") for line in lines]
    assert read(old) == read(segment) == expected
    assert read(segment, newest_first=True) == expected[::-1]
    for path in (old, segment):
        compacted = request_log.compact(path)
        assert compacted is not None
        assert read(compacted) == expected
        assert read(compacted, newest_first=True) == expected[::-1]


def test_a_users_row_is_in_a_segment_once(tmp_path: Path) -> None:
    fill(tmp_path, 2)
    (segment,) = request_log.log_files(tmp_path)
    first, second = (from_json(text) for text in segment.read_bytes().splitlines())
    assert len(first["packed"]) == 2
    assert "packed" not in second
    assert second["row"] == first["row"]


def test_a_row_whose_line_was_cut_short_is_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed: list[int] = []
    log, write = RequestLog(tmp_path, on_failure=lambda: failed.append(1)), os.write
    monkeypatch.setattr(os, "write", lambda file, block: write(file, block[:-9]))
    log.append(ANSWER)
    monkeypatch.undo()
    log.append(dataclasses.replace(ANSWER, request_id="r1"))
    log.close()
    assert failed == [1]
    assert [line["request_id"] for line in requestlog.read(tmp_path)] == ["r1"]


def test_a_new_process_and_a_new_segment_depend_on_no_line_of_before(tmp_path: Path) -> None:
    fill(tmp_path, 2)
    fill(tmp_path, 2)
    (segment,) = request_log.log_files(tmp_path)
    assert [len(from_json(text).get("packed", ())) for text in segment.read_bytes().splitlines()] == [2, 0, 2, 0]
    for path in tmp_path.iterdir():
        path.unlink()
    fill(tmp_path, 2, max_age_s=0.0)
    assert all(len(list(request_log.read_file(path))) == 1 for path in request_log.log_files(tmp_path))


def test_a_person_whom_an_answer_shows_is_found_in_an_open_segment(tmp_path: Path) -> None:
    from bentos.recommender.logs import trace_people, traces

    shown = "f00d" * 4
    log = RequestLog(tmp_path / "requests")
    for n, item in enumerate((shown, "i1")):
        log.append(dataclasses.replace(ANSWER, request_id=f"r{n}", items=[ITEM | {"item_id": item}]))
    log.close()
    people = trace_people.People((), (shown,))
    assert len(traces.find([tmp_path / "requests"], people).hits) == 1
    (segment,) = request_log.log_files(tmp_path / "requests")
    assert traces.clean(segment, people) == 1
    assert not traces.find([tmp_path / "requests"], people).hits


def test_a_person_who_is_blanked_takes_no_other_answers_along(tmp_path: Path) -> None:
    from bentos.recommender.logs import trace_people, traces

    ann, bo = "a" * 16, "b" * 16
    log = RequestLog(tmp_path / "requests")
    for n, user in enumerate((ann, bo, ann, bo)):
        log.append(dataclasses.replace(ANSWER, request_id=f"r{n}", rows=UserRows.unknown([user], now=1)))
    (segment,) = request_log.log_files(tmp_path / "requests")
    assert traces.clean(segment, trace_people.People((), (ann,))) == 2
    log.append(dataclasses.replace(ANSWER, request_id="r4", rows=UserRows.unknown([bo], now=1)))
    log.close()
    assert [line["request_id"] for line in requestlog.read(tmp_path / "requests")] == ["r1", "r3", "r4"]


def of_before(answer: LoggedAnswer) -> bytes:
    """Return a line as doors wrote it while its items lay within the text of its scores."""
    line, bodies = requestlog.packed_line(answer)
    texts = {key: packed_answer.text_of(body) for key, body in bodies.items()}
    items = [dict(item) for item in line.pop("items")]
    head = to_json({"arrays": [["probabilities", "d", False, 2, 0]], "more": {"items": items}})
    body = struct.pack("<I", len(head)) + head + answer.probabilities.astype("<f8").tobytes()
    squeeze = zlib.compressobj(6, zdict=packed_answer.PRIMER)
    texts[line["scores"]] = base64.b64encode(squeeze.compress(body) + squeeze.flush()).decode()
    return to_json(line | {packed_answer.PACKED: texts}) + b"\n"


def two_of_before(tmp_path: Path) -> Path:
    """Write a segment of before: ann is shown cid, then i1."""
    segment = tmp_path / "requests" / "2026-11-01.00000.jsonl"
    segment.parent.mkdir()
    user = UserRows.unknown(["a" * 16], now=1)
    answers = [
        dataclasses.replace(ANSWER, request_id=f"r{n}", rows=user, items=[ITEM | {"item_id": item}])
        for n, item in enumerate(("c" * 16, "i1"))
    ]
    segment.write_bytes(b"".join(map(of_before, answers)))
    return segment


def shown(folder: Path) -> list[tuple[str, str]]:
    return [(line["user_id"][0], line["items"][0]["item_id"]) for line in requestlog.read(folder)]


@pytest.mark.parametrize("is_open", [False, True])
def test_a_person_whom_an_answer_of_before_shows_is_found_and_taken_out(tmp_path: Path, is_open: bool) -> None:
    from bentos.recommender.logs import trace_people, traces

    segment, people = two_of_before(tmp_path), trace_people.People((), ("c" * 16,))
    assert shown(segment.parent) == [("a", "c" * 16), ("a", "i1")]
    assert traces.find([segment.parent], people).hits == {segment: 1}
    with segment.open("rb") as door:
        if is_open:
            fcntl.flock(door, fcntl.LOCK_SH)
        assert traces.clean(segment, people) == 1
    assert segment.exists() is is_open
    assert not traces.find([segment.parent], people).hits
    assert shown(segment.parent) == [("a", "i1")]


@pytest.mark.parametrize("is_open", [False, True])
def test_a_person_whom_an_answer_of_before_shows_is_renamed_or_the_answer_goes(tmp_path: Path, is_open: bool) -> None:
    from bentos.recommender.logs import renaming

    segment = two_of_before(tmp_path)
    names = {b"a" * 16: b"b" * 16, b"c" * 16: b"d" * 16}
    with segment.open("rb") as door:
        if is_open:
            fcntl.flock(door, fcntl.LOCK_SH)
        assert renaming.replace_users(segment, names.get) == ((1, 1) if is_open else (2, 0))
    assert shown(segment.parent) == ([("b", "i1")] if is_open else [("b", "d" * 16), ("b", "i1")])

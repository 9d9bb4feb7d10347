"""The append-only files under both logs."""

import os
import threading
from pathlib import Path

import pytest

from bentos.recommender.logs import json_lines
from bentos.recommender.logs.eventlog import EventLog
from bentos.recommender.logs.json_lines import Lines


def test_lines_come_back_in_order(tmp_path: Path) -> None:
    log = Lines(tmp_path)
    log.append(b'{"n":1}', b'{"n":2}')
    log.append(b'{"n":3}')
    log.close()
    (path,) = json_lines.files(tmp_path)
    assert [line["n"] for line in json_lines.read(path)] == [1, 2, 3]


def test_a_file_is_left_when_it_is_full_or_its_day_is_over(tmp_path: Path) -> None:
    day = ["2017-12-30"]
    log = Lines(tmp_path, max_bytes=20, today=lambda: day[0])
    for n in (1, 2, 3):
        log.append(b'{"n":%d}' % n)  # 8 bytes with its end: two to a file
    day[0] = "2017-12-31"
    log.append(b'{"n":4}')
    log.close()
    found = {path.name: [line["n"] for line in json_lines.read(path)] for path in json_lines.files(tmp_path)}
    assert found == {
        "2017-12-30.00000.jsonl": [1, 2],
        "2017-12-30.00001.jsonl": [3],
        "2017-12-31.00000.jsonl": [4],
    }


def test_the_oldest_files_go_first_when_too_much_is_kept(tmp_path: Path) -> None:
    log = Lines(tmp_path, max_bytes=20, keep_bytes=40, today=lambda: "2017-12-30")
    for n in range(1, 8):
        log.append(b'{"n":%d}' % n)  # two to a file
    log.close()
    assert [line["n"] for path in json_lines.files(tmp_path) for line in json_lines.read(path)] == [5, 6, 7]


def test_a_new_process_goes_on_in_the_last_file(tmp_path: Path) -> None:
    for n in (1, 2):
        log = Lines(tmp_path)
        log.append(b'{"n":%d}' % n)
        log.close()
    assert len(json_lines.files(tmp_path)) == 1


def test_a_line_cut_short_by_a_crash_costs_itself_only(tmp_path: Path) -> None:
    log = Lines(tmp_path)
    log.append(b'{"n":1}')
    log.close()
    (path,) = json_lines.files(tmp_path)
    with path.open("ab") as stream:
        stream.write(b'{"n":')
    log = Lines(tmp_path)
    log.append(b'{"n":3}')
    log.close()
    assert [line["n"] for line in json_lines.read(path)] == [1, 3]


def test_threads_do_not_mix_their_lines(tmp_path: Path) -> None:
    log = Lines(tmp_path, sync_every_s=0.01)
    writers = [threading.Thread(target=lambda n=n: [log.append(b'{"n":%d}' % n)] * 1) for n in range(40)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    log.close()
    (path,) = json_lines.files(tmp_path)
    assert sorted(line["n"] for line in json_lines.read(path)) == list(range(40))


def test_a_full_disk_raises_and_the_next_line_stands_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, write = Lines(tmp_path), os.write
    log.append(b'{"n":1}')
    monkeypatch.setattr(os, "write", lambda file, block: write(file, block[:3]))
    with pytest.raises(OSError, match="cut short"):
        log.append(b'{"n":2}')
    monkeypatch.undo()
    log.append(b'{"n":3}')
    log.close()
    (path,) = json_lines.files(tmp_path)
    assert [line["n"] for line in json_lines.read(path)] == [1, 3]


def test_the_event_log_forgets_the_oldest_keys_first(tmp_path: Path) -> None:
    log = EventLog(tmp_path, remember=2)
    events = [{"key": key, "timestamp": n} for n, key in enumerate("abc")]
    log.append(events)
    log.folded(["a", "b", "c"])
    assert [event["key"] for event in log.unseen(events)] == ["a"]
    log.close()
    again = EventLog(tmp_path, remember=2)
    assert again.latest == 2
    assert "c" not in [event["key"] for event in again.unseen(events)]


def test_an_event_that_waits_for_its_profile_is_logged_once_and_keeps_its_time(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    first, again = ({"key": "a", "timestamp": n, "created_at": n} for n in (1, 2))
    log.append(log.unseen([first]))
    kept = {"key": "a", "timestamp": 1, "created_at": 2}
    assert log.unseen([again]) == [kept]
    log.append(log.unseen([again]))
    log.close()
    reopened = EventLog(tmp_path)
    assert reopened.unseen([again]) == [kept]
    reopened.append(reopened.unseen([again]))
    reopened.folded(["a"])
    assert reopened.unseen([again]) == []
    (path,) = json_lines.files(tmp_path)
    assert list(json_lines.read(path)) == [first, {"folded": ["a"]}]


EVENT = {"key": "a", "timestamp": 1, "created_at": 1}


@pytest.mark.parametrize("max_age_s", [None, -1.0], ids=["one file", "a file for each line"])
def test_an_event_that_another_process_folded_is_a_duplicate_here(tmp_path: Path, max_age_s: float | None) -> None:
    """A batch may hold it by then, so that no list beside its user's row would tell."""
    here, there = (EventLog(tmp_path, max_age_s=max_age_s) for _ in range(2))
    events = [EVENT | {"key": f"e{n}"} for n in range(12)]
    for event in events:
        there.append([event])
        there.folded([event["key"]])
    assert here.unseen(events) == []
    there.append([EVENT])
    assert here.unseen([EVENT | {"created_at": 5}]) == [EVENT | {"created_at": 5}], "logged there, folded nowhere"
    there.folded(["a"])
    assert here.unseen([EVENT]) == []


def test_what_waits_for_its_profile_is_counted_over_all_processes(tmp_path: Path) -> None:
    here, there = EventLog(tmp_path), EventLog(tmp_path)
    here.append([EVENT])
    assert (here.unfolded, there.unfolded) == (1, 1)
    there.folded(["a"])  # its sender repeated it there
    assert (here.unfolded, there.unfolded) == (0, 0)


def test_half_a_line_of_another_process_is_read_once_it_is_whole_and_a_file_of_its_name_anew(tmp_path: Path) -> None:
    log, path = EventLog(tmp_path), tmp_path / "2026-11-29.00000.jsonl"
    path.write_bytes(b'{"folded":["a"')
    assert len(log.unseen([EVENT])) == 1
    with path.open("ab") as other:
        other.write(b"]}\n")
    assert log.unseen([EVENT]) == []
    aside = tmp_path / "aside"
    aside.write_bytes(b'{"folded":["b"]}\n{"folded":["a"]}\n')
    aside.rename(path)  # as `seal` does
    assert log.unseen([EVENT | {"key": "b"}]) == []
    path.unlink()
    assert log.unseen([EVENT]) == []

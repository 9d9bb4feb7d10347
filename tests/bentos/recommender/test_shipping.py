"""Logs outlive their pod: closed files of both kinds reach the store, at the end and after it."""

import dataclasses
import fcntl
import gzip
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bentos.recommender.logs import leftovers, shipping
from bentos.recommender.logs.eventlog import EventLog
from bentos.recommender.logs.leftovers import LOCK, Leftovers
from bentos.recommender.logs.requestlog import RequestLog
from feature_repo.logs import object_store, request_log, shipped_log
from tests.bentos.recommender.test_requestlog import ANSWER
from tests.patience import patient

EVENT = {"key": "e1", "timestamp": 1, "user_id": "ann"}


def names(store: Path) -> list[str]:
    """Name what a store holds, without the days."""
    return sorted(str(path.relative_to(store))[:-18] + path.name[10:] for path in store.rglob("*") if path.is_file())


def events_in(store: Path) -> list[str]:
    return [line["key"] for line in shipped_log.read_events(object_store.opened(str(store))) if "key" in line]


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(shipping.socket, "gethostname", lambda: "door-1")
    return "door-1"


def test_at_its_end_a_door_ships_what_both_logs_hold(tmp_path: Path, host: str) -> None:
    store = tmp_path / "store"
    events = EventLog(tmp_path / "home" / "events", max_age_s=900)
    log = RequestLog(tmp_path / "home" / "requests", store=str(store), events=events)
    log.append(ANSWER)
    events.append([EVENT])
    events.close()
    log.close()
    assert [path.name for path in sorted(store.iterdir())] == ["_events", host]
    assert events_in(store) == ["e1"]
    found = object_store.opened(str(store))
    assert [answer["request_id"] for answer in shipped_log.read(found)] == ["r0"]
    assert len(shipped_log.files_of(found)) == 2


def test_a_store_that_is_away_at_the_end_leaves_the_files_here(tmp_path: Path, host: str) -> None:
    (tmp_path / "store").write_text("a file where the folder should be")
    log = RequestLog(tmp_path / "requests", store=str(tmp_path / "store"))
    log.append(ANSWER)
    log.close()
    assert [a["request_id"] for a in request_log.read(tmp_path / "requests")] == ["r0"]


@pytest.mark.process
def test_what_a_killed_predecessor_left_is_shipped_at_the_next_start(tmp_path: Path) -> None:
    """In a process of its own, killed for good in the middle."""
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "from bentos.recommender.logs.eventlog import EventLog\n"
        "log = EventLog(Path(sys.argv[1]))\n"
        "log.append([{'key': 'e1', 'timestamp': 1}])\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "events")], check=False, timeout=patient(60))
    assert done.returncode == -signal.SIGKILL
    ship = shipping.Shipping(tmp_path / "requests", str(tmp_path / "store"), events=tmp_path / "events", every_s=60)
    ship.turn()
    assert events_in(tmp_path / "store") == ["e1"]
    ship.close()


def test_an_event_file_that_is_written_to_is_left_alone_and_one_that_grew_is_sent_again(tmp_path: Path) -> None:
    events = EventLog(tmp_path / "events")
    events.append([EVENT])
    ship = shipping.Shipping(tmp_path / "requests", str(tmp_path / "store"), events=events.folder, every_s=60)
    ship.turn()
    assert events_in(tmp_path / "store") == []
    events.close()
    ship.turn()
    again = EventLog(tmp_path / "events")
    again.append([EVENT | {"key": "e2"}])
    again.close()
    ship.turn()
    ship.turn()
    assert events_in(tmp_path / "store") == ["e1", "e2"]
    ship.close()


def test_a_quiet_door_leaves_a_file_that_is_old(tmp_path: Path) -> None:
    events = EventLog(tmp_path / "events", max_age_s=0.0)
    events.append([EVENT])
    ship = shipping.Shipping(
        tmp_path / "requests", str(tmp_path / "store"), events=events.folder, leave=[events.leave_old], every_s=60
    )
    ship.turn()
    assert events_in(tmp_path / "store") == ["e1"]
    events.append([EVENT | {"key": "e2"}])
    assert len(list((tmp_path / "events").iterdir())) == 2, "what was shipped does not grow"
    ship.close()
    events.close()


def test_event_files_here_go_once_the_store_has_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipping, "EVENTS_KEEP_BYTES", 100)
    folder = tmp_path / "events"
    folder.mkdir()
    for n in range(3):
        (folder / f"2026-11-2{n}.00000.jsonl").write_text(f'{{"key":"e{n}","more":"{"x" * 40}"}}\n')
    kept = shipping.Shipping(tmp_path / "requests", "", events=folder, every_s=60)
    kept.turn()
    kept.close()
    assert len(list(folder.iterdir())) == 3, "without a store they are the only copy"
    ship = shipping.Shipping(tmp_path / "requests", str(tmp_path / "store"), events=folder, every_s=60)
    ship.turn()
    ship.close()
    assert [path.name for path in folder.iterdir()] == ["2026-11-22.00000.jsonl"]
    assert events_in(tmp_path / "store") == ["e0", "e1", "e2"]


def gone_door(doors: Path, *, touched_s_ago: float) -> Path:
    """A folder that a door left in the middle of its work."""
    home = doors / "door-0"
    log, events = RequestLog(home / "requests"), EventLog(home / "events")
    log.append(ANSWER)
    events.append([EVENT])
    log.close()
    events.close()
    (home / LOCK).touch()
    at = time.time() - touched_s_ago
    os.utime(home / LOCK, (at, at))
    return home


def test_the_logs_of_a_door_that_is_gone_are_shipped_under_its_name(tmp_path: Path, host: str) -> None:
    home, store = gone_door(tmp_path / "doors", touched_s_ago=2 * leftovers.GONE_S), tmp_path / "store"
    ours = tmp_path / "doors" / "door-1"
    found = Leftovers.begin(ours, tmp_path / "doors")
    ship = shipping.Shipping(ours / "requests", str(store), leftovers=found, every_s=60)
    assert found.take(ship._ship_folder) == 1
    assert not home.exists()
    assert ours.exists()
    assert events_in(store) == ["e1"]
    assert [path.name for path in sorted(store.iterdir())] == ["_events", "door-0"]
    ship.close()


@pytest.mark.parametrize("why", ["it lives", "it was touched", "it starts"])
def test_a_door_that_may_live_keeps_its_folder(tmp_path: Path, why: str) -> None:
    home = gone_door(tmp_path / "doors", touched_s_ago=1.0 if why == "it was touched" else 2 * leftovers.GONE_S)
    if why == "it starts":
        (home / LOCK).unlink()
    with (home / "other").open("w"), open(home / (LOCK if why == "it lives" else "other"), "r+b") as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        found = Leftovers.begin(tmp_path / "doors" / "door-1", tmp_path / "doors")
        assert found.take(lambda folder: pytest.fail(f"took {folder}")) == 0
    found.close()


def test_what_cannot_be_shipped_stays(tmp_path: Path) -> None:
    home = gone_door(tmp_path / "doors", touched_s_ago=2 * leftovers.GONE_S)
    (tmp_path / "store").write_text("a file where the folder should be")
    found = Leftovers.begin(tmp_path / "doors" / "door-1", tmp_path / "doors")
    ship = shipping.Shipping(found.home / "requests", str(tmp_path / "store"), leftovers=found, every_s=60)
    with pytest.raises(OSError):
        found.take(ship._ship_folder)
    assert [a["request_id"] for a in request_log.read(home / "requests")] == ["r0"]
    ship.close()


class _Fails:
    """A compactor that cannot do its work, as one on a full disk."""

    def compact(self, path: Path, **_: object) -> None:
        raise OSError(f"{path.name}: No space left on device")

    def close(self) -> None:
        """Nothing is open."""


def test_what_cannot_be_made_parquet_stays_too(tmp_path: Path) -> None:
    home = gone_door(tmp_path / "doors", touched_s_ago=2 * leftovers.GONE_S)
    found = Leftovers.begin(tmp_path / "doors" / "door-1", tmp_path / "doors")
    ship = shipping.Shipping(
        found.home / "requests", str(tmp_path / "store"), leftovers=found, compactor=_Fails(), every_s=60
    )
    with pytest.raises(OSError, match="No space left"):
        found.take(ship._ship_folder)
    assert [a["request_id"] for a in request_log.read(home / "requests")] == ["r0"]
    ship.close()


def test_a_gone_doors_segments_are_shipped_also_by_a_door_that_ends(tmp_path: Path) -> None:
    """Its folder goes after that."""
    home, store = gone_door(tmp_path / "doors", touched_s_ago=2 * leftovers.GONE_S), tmp_path / "store"
    found = Leftovers.begin(tmp_path / "doors" / "door-1", tmp_path / "doors")
    ship = shipping.Shipping(found.home / "requests", str(store), leftovers=found, every_s=60)
    ship._closed.set()
    assert found.take(ship._ship_folder) == 1
    assert not home.exists()
    assert [answer["request_id"] for answer in shipped_log.read(object_store.opened(str(store)))] == ["r0"]
    ship.close()


def test_one_of_the_processes_that_share_a_folder_makes_the_parquet(tmp_path: Path) -> None:
    first, second = (shipping.Shipping(tmp_path / "requests", every_s=60) for _ in range(2))

    def answered() -> list[Path]:
        log = RequestLog(tmp_path / "requests")
        log.append(ANSWER)
        log.close()
        return list((tmp_path / "requests").glob("*.jsonl"))

    (segment,) = answered()
    first.turn()
    assert not segment.exists()
    (segment,) = answered()
    second.turn()
    assert segment.exists(), "the first one lives"
    first.close()
    second.turn()
    assert not segment.exists()
    second.close()


def test_a_folder_of_shipped_files_is_kept_in_bounds_oldest_first(tmp_path: Path) -> None:
    for n in range(4):
        path = tmp_path / "_events" / "door-1" / f"2026-11-2{n}.00000.jsonl.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(b"", mtime=0) + b"x" * 80)
    assert shipped_log.prune(object_store.opened(str(tmp_path)), keep_bytes=250) == 2
    assert [path.name[:10] for path in sorted(tmp_path.rglob("*.gz"))] == ["2026-11-22", "2026-11-23"]


def test_a_full_volume_costs_lines_and_no_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A volume that takes nothing: the door starts, answers are counted as unlogged, events are refused."""
    (tmp_path / "full").write_text("no folder can be made below this")
    unlogged: list[int] = []
    unstored: list[int] = []
    events = EventLog(tmp_path / "full" / "events", on_failure=unstored.append)
    log = RequestLog(tmp_path / "full" / "requests", events=events, on_failure=lambda: unlogged.append(1))
    log.append(ANSWER)
    log.append(dataclasses.replace(ANSWER, request_id="r1"))
    with pytest.raises(OSError):
        events.append([EVENT])
    assert (unlogged, unstored) == ([1, 1], [1])
    assert events.unseen([EVENT]) == [EVENT], "its sender may try again"
    assert events.unfolded == 0
    log.close()
    events.close()


def test_of_processes_that_share_a_folder_one_copies_and_the_next_takes_over(tmp_path: Path, host: str) -> None:
    """The lock is of an open file, so that two of these are like two processes."""
    store = tmp_path / "store"

    def answered(number: int) -> None:
        log = RequestLog(tmp_path / "requests")
        log.append(dataclasses.replace(ANSWER, request_id=f"r{number}"))
        log.close()

    def status(one: shipping.Shipping) -> tuple[int, int]:
        before = len(one._sent)
        one.turn()
        found = one._status(len(one._sent) - before, failed=False)
        return found.sent, found.waiting

    answered(0)
    first, second = (shipping.Shipping(tmp_path / "requests", str(store), every_s=60) for _ in range(2))
    assert [status(first), status(second)] == [(1, 0), (0, 0)], "each counted the file, or both copied it"
    answered(1)
    assert [status(second), status(first)] == [(0, 0), (1, 0)]
    answered(2)
    first.close()
    answered(3)
    assert status(second)[1] == 0
    second.close()
    found = object_store.opened(str(store))
    assert [answer["request_id"] for answer in shipped_log.read(found)] == ["r0", "r1", "r2", "r3"]

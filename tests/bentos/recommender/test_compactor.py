"""Segments become parquet in a process of its own, which may be killed at any time: no answer twice, none lost."""

import shutil
import threading
from pathlib import Path

import psutil
import pytest

from bentos.recommender.logs import compactor as module
from bentos.recommender.logs.compactor import Compactor
from feature_repo import files
from feature_repo.logs import request_log
from tests.bentos.recommender.test_requestlog import fill

pytestmark = pytest.mark.process
NEVER = threading.Event()


def segments(folder: Path, many: int) -> list[Path]:
    """Return segments of three answers each."""
    for place in range(many):
        fill(folder / "made", 3)
        (made,) = (folder / "made").glob("*.jsonl")
        made.rename(folder / f"2026-11-29.{place:05d}.jsonl")
    shutil.rmtree(folder / "made")
    return sorted(folder.glob("*.jsonl"))


def asked(folder: Path) -> list[str]:
    """Return the requests that the log holds."""
    return [answer["request_id"] for answer in request_log.read(folder)]


def child() -> psutil.Process | None:
    """Return the process that makes parquet."""
    found = [p for p in psutil.Process().children() if module.__name__ in p.cmdline()]
    assert len(found) < 2
    return found[0] if found else None


def test_one_idle_process_turns_few_segments_and_an_ordinary_one_many(tmp_path: Path) -> None:
    first, second, third = segments(tmp_path, 3)
    made = Compactor(few=1, rest_s=0.0)
    made.compact(first, waiting=1, stop=NEVER)
    idle = child()
    assert idle is not None
    assert "idle" in idle.cmdline()
    made.compact(second, waiting=2, stop=NEVER)
    hasty = child()
    assert hasty is not None
    assert hasty.pid != idle.pid
    assert "idle" not in hasty.cmdline()
    made.compact(third, waiting=1, stop=NEVER)
    made.rest()
    assert child() is None, "it goes once nothing waits"
    assert {path.suffix for path in tmp_path.iterdir()} == {".parquet"}
    assert asked(tmp_path) == ["r0", "r1", "r2"] * 3


def test_a_process_that_does_not_come_to_it_is_replaced_by_one_that_does(tmp_path: Path) -> None:
    """The first one is stopped, as one would be that never gets the processor."""
    first, second = segments(tmp_path, 2)
    made = Compactor(patience_s=60.0)
    made.compact(first, waiting=1, stop=NEVER)
    slow = child()
    assert slow is not None
    slow.suspend()
    made._patience_s = 0.1
    made.compact(second, waiting=1, stop=NEVER)
    made.close()
    assert not slow.is_running()
    assert asked(tmp_path) == ["r0", "r1", "r2"] * 2
    assert not list(tmp_path.glob("*.jsonl"))


def test_a_door_that_ends_does_not_wait_and_what_is_half_written_goes(tmp_path: Path) -> None:
    first, second = segments(tmp_path, 2)
    made, stop = Compactor(), threading.Event()
    made.compact(first, waiting=1, stop=stop)
    slow = child()
    assert slow is not None
    slow.suspend()
    half = files.aside_of(second.with_suffix(".parquet"), slow.pid)
    half.write_text("half a file")
    stop.set()
    made.compact(second, waiting=1, stop=stop)
    assert child() is None
    assert not half.exists()
    assert second.exists(), "the next start turns it"
    assert asked(tmp_path) == ["r0", "r1", "r2"] * 2


def test_a_process_that_was_killed_is_told_of_and_the_next_turn_has_all(tmp_path: Path) -> None:
    first, second = segments(tmp_path, 2)
    made = Compactor()
    made.compact(first, waiting=1, stop=NEVER)
    victim = child()
    assert victim is not None
    victim.kill()
    half = files.aside_of(second.with_suffix(".parquet"), victim.pid + 1)  # of one that a kill of the door took along
    half.write_text("half a file")
    with pytest.raises(OSError, match=r"2026-11-29.00001.jsonl: the process that makes it parquet ended with -9"):
        made.compact(second, waiting=1, stop=NEVER)
    made.compact(second, waiting=1, stop=NEVER)
    made.close()
    assert not half.exists()
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".parquet", ".parquet"]
    assert asked(tmp_path) == ["r0", "r1", "r2"] * 2


def test_what_the_process_could_not_do_is_told_in_its_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line under a key that the environment lacks; the segment stays."""
    monkeypatch.setenv("INTENTFLOW_DATA_KEYS", "ab" * 32)
    (segment,) = segments(tmp_path, 1)
    monkeypatch.setenv("INTENTFLOW_DATA_KEYS", "cd" * 32)
    made = Compactor()
    with pytest.raises(OSError, match=r"SealError: .*is encrypted under the key"):
        made.compact(segment, waiting=1, stop=NEVER)
    made.close()
    assert [path.name for path in tmp_path.iterdir()] == [segment.name]

"""Turns segments of the request log into parquet in a process of its own, so that no answer waits for that.

In a thread of the door it took the lock of Python, and the processor's caches, from answers. Here it takes a processor
that nobody wants (SCHED_IDLE), unless more than a few segments wait, or one for long: then it takes its share as any
other process does, since a log beyond its bound loses its oldest answers, and `forget` waits for the segment at hand.

`python -m bentos.recommender.logs.compactor` reads paths, one a line, and answers each with a line: empty, or what
failed. It ends with its input, so it does not outlive the door, and may be killed at any time: a parquet file
appears whole (request_log.compact), and the segment goes only after that.
"""

import contextlib
import logging
import os
import selectors
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TextIO

from feature_repo import files
from feature_repo.checkout import ROOT
from feature_repo.logs import request_log
from feature_repo.privacy.sealing import SealError

IDLE = "idle"
FEW = 4  # segments that may wait for an idle processor
PATIENCE_S = 15.0  # that one of them may
LOOK_S = 0.2  # between looks whether to go on
REST_S = 60.0  # how long the process is kept with nothing to do: a start costs as much as a segment
FAILURES = (OSError, ValueError, SealError)  # arrow's errors are of the first two kinds
log = logging.getLogger("intentflow.door")


class Compactor:
    """The process, started when there is something to do. Use it from one thread at a time."""

    def __init__(self, *, few: int = FEW, patience_s: float = PATIENCE_S, rest_s: float = REST_S) -> None:
        self._few, self._patience_s, self._rest_s = few, patience_s, rest_s
        self._process: subprocess.Popen[bytes] | None = None
        self._idle, self._used_at = True, 0.0

    def compact(self, path: Path, *, waiting: int, stop: threading.Event) -> None:
        """Turn a segment into parquet, one of so many that wait; return early, with nothing done, where `stop` is set.

        Raises OSError with what failed.
        """
        idle = waiting <= self._few
        if self._process is not None and self._idle and not idle:
            self.close()  # without a privilege a process cannot be given its share back
        told = self._asked(path, stop, idle=idle)
        if told is None and self._idle and not stop.is_set():
            self.close(path)
            told = self._asked(path, stop, idle=False)
        if told is None:
            self.close(path)
        elif told:
            raise OSError(told)

    def rest(self) -> None:
        """Let the process go, if it was of no use for a while or takes its full share."""
        if self._process is not None and (not self._idle or time.monotonic() - self._used_at >= self._rest_s):
            self.close()

    def close(self, *of: Path) -> None:
        """End the process, whatever it does."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.communicate()
        for path in of:
            files.aside_of(path.with_suffix(request_log.PARQUET), process.pid).unlink(missing_ok=True)

    def _asked(self, path: Path, stop: threading.Event, *, idle: bool) -> str | None:
        """Have the process turn a segment into parquet; return what failed, None where it is not to be waited for."""
        process = self._process or self._started(idle=idle)
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(os.fsencode(path) + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            return self._ended(path)
        deadline = time.monotonic() + self._patience_s if self._idle else float("inf")
        with selectors.DefaultSelector() as waits:
            waits.register(process.stdout, selectors.EVENT_READ)
            while not waits.select(LOOK_S):
                if stop.is_set() or time.monotonic() > deadline:
                    return None
        self._used_at = time.monotonic()
        said = process.stdout.readline()
        return said.decode(errors="replace").strip() if said.endswith(b"\n") else self._ended(path)

    def _started(self, *, idle: bool) -> subprocess.Popen[bytes]:
        paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
        self._idle = idle
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, *([IDLE] if idle else [])],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0,  # what a terminal sends is the door's; a session of its own would have a share of its own
        )
        return self._process

    def _ended(self, path: Path) -> str:
        """Say how the process ended, which nobody asked for."""
        process = self._process
        self.close(path)
        return f"{path.name}: the process that makes it parquet ended with {process and process.returncode}"


def main(given: TextIO, told: TextIO) -> None:
    """Turn one segment after the other into parquet, as far as their paths come in."""
    for line in given:
        try:
            request_log.compact(Path(line.rstrip("\n")))
            failure = ""
        except FAILURES as error:
            failure = " ".join(f"{type(error).__name__}: {error}".split())
        print(failure, file=told, flush=True)


def take_what_is_left() -> None:
    """Run when no other process wants the processor, where the system has such a thing."""
    with contextlib.suppress(OSError):
        if hasattr(os, "SCHED_IDLE"):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        else:
            os.nice(19)


if __name__ == "__main__":
    if IDLE in sys.argv[1:]:
        take_what_is_left()
    logging.basicConfig(format="%(levelname)s %(message)s")
    main(sys.stdin, sys.stdout)

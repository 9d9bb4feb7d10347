"""Append-only JSON lines on disk, one file a day and a size: what the request log and the event log write to.

A line is written with one call to the system, so that it survives a killed process and several processes can
share a folder. It survives a power cut once it is synced: at once, or within a second by a thread.
"""

import datetime as dt
import logging
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic_core import from_json

SUFFIX = ".jsonl"
log = logging.getLogger("intentflow.door")


def utc_day() -> str:
    """Return today's date, which names the files: rotation follows wall time whatever the service's clock."""
    return dt.datetime.now(dt.UTC).date().isoformat()


class Lines:
    """A folder of files `<day>.<number>.jsonl` that grows at its end."""

    def __init__(
        self,
        folder: Path,
        *,
        max_bytes: int = 64 << 20,  # of a file
        keep_bytes: int | None = None,  # of all files: the oldest go first; None: nothing goes
        sync_every_s: float = 0.0,  # 0: before `append` returns
        today: Callable[[], str] = utc_day,
    ) -> None:
        self.folder = folder
        self._max_bytes, self._keep_bytes = max_bytes, keep_bytes
        self._sync_every_s, self._today = sync_every_s, today
        self._lock = threading.Lock()
        self._day, self._file = "", -1
        self._torn = False  # the last write was cut short: the next begins on a line of its own
        self._dirty, self._closed = threading.Event(), threading.Event()
        folder.mkdir(parents=True, exist_ok=True)
        if sync_every_s:
            threading.Thread(target=self._sync_now_and_then, name=f"sync {folder.name}", daemon=True).start()

    def append(self, *lines: bytes) -> None:
        """Write lines (without their ends) after each other; all are on disk when this returns, if so asked."""
        block = b"".join(line + b"\n" for line in lines)
        with self._lock:
            self._open(len(block))
            block = b"\n" + block if self._torn else block
            self._torn = os.write(self._file, block) != len(block)
            if self._torn:
                raise OSError(f"{self.folder}: a line was cut short; is the disk full?")
            if not self._sync_every_s:
                os.fdatasync(self._file)
        self._dirty.set()

    def close(self) -> None:
        """Sync and close."""
        self._closed.set()
        self._dirty.set()
        with self._lock:
            if self._file >= 0:
                os.fdatasync(self._file)
                os.close(self._file)
                self._file = -1

    def _open(self, more: int) -> None:
        """Make the open file today's last one with room for `more` bytes."""
        day = self._today()
        if self._file >= 0 and day == self._day and os.fstat(self._file).st_size + more <= self._max_bytes:
            return
        if self._file >= 0:
            os.fdatasync(self._file)
            os.close(self._file)
        number = max((int(p.name.split(".")[1]) for p in self.folder.glob(f"{day}.*{SUFFIX}")), default=0)
        path = self.folder / f"{day}.{number:05d}{SUFFIX}"
        if path.exists() and path.stat().st_size + more > self._max_bytes:
            path = self.folder / f"{day}.{number + 1:05d}{SUFFIX}"
        self._file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_APPEND, 0o640)
        self._day, self._torn = day, _ends_torn(self._file)
        self._prune(path)
        _sync_folder(self.folder)

    def _prune(self, current: Path) -> None:
        """Delete the oldest files beyond what is to be kept, never the current one."""
        if self._keep_bytes is None:
            return
        left = self._keep_bytes - self._max_bytes  # the current file may grow to its full size
        for path in sorted(set(files(self.folder)) - {current}, reverse=True):
            left -= path.stat().st_size
            if left < 0:
                path.unlink(missing_ok=True)

    def _sync_now_and_then(self) -> None:
        while not self._closed.wait(self._sync_every_s):
            self._dirty.wait()
            self._dirty.clear()
            with self._lock:
                file = os.dup(self._file) if self._file >= 0 else -1
            if file >= 0:  # outside the lock: a slow disk must not hold up answers
                try:
                    os.fdatasync(file)
                finally:
                    os.close(file)


def files(folder: Path) -> list[Path]:
    """List a folder's files, oldest first."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def read(path: Path) -> Iterator[dict[str, Any]]:
    """Yield a file's lines; one that was cut short by a crash is skipped and said so."""
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                yield from_json(line)
            except ValueError:
                log.warning("%s line %d: cut short, skipped", path, number)


def _ends_torn(file: int) -> bool:
    size = os.fstat(file).st_size
    return size > 0 and os.pread(file, 1, size - 1) != b"\n"


def _sync_folder(folder: Path) -> None:
    """Make a new file's name durable."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)

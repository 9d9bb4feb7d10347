"""Append-only JSON lines on disk, one file a day and a size: what the request log and the event log write to.

A line is written with one call to the system, so that it survives a killed process and several processes can
share a folder. It survives a power cut once it is synced: at once, or within a second by a thread.
An open file is locked (shared), so that no process compacts a file that still grows.
"""

import contextlib
import datetime as dt
import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from feature_repo.logs import request_log
from feature_repo.privacy import sealing

SUFFIX, PACKED = request_log.SEGMENT, request_log.PACKED
read = request_log.read_lines
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
        max_age_s: float | None = None,  # of a file, since this process opened it
        keep_bytes: int | None = None,  # of all files: the oldest go first; None: nothing goes
        sync_every_s: float = 0.0,  # 0: before `append` returns
        today: Callable[[], str] = utc_day,
    ) -> None:
        self.folder = folder
        self._max_bytes, self._keep_bytes = max_bytes, keep_bytes
        self._max_age_s, self._opened_at = max_age_s, 0.0
        self._sync_every_s, self._today = sync_every_s, today
        self._lock = threading.Lock()
        self._day, self._file = "", -1
        self._left = False  # the last file is not opened again: it was closed for its age
        self._torn = False  # the last write was cut short: the next begins on a line of its own
        self._noted: set[str] = set()  # names that lines of the open file may refer to
        self._dirty, self._closed = threading.Event(), threading.Event()
        with contextlib.suppress(OSError):  # a full volume must not keep a service from its start; `append` says so
            folder.mkdir(parents=True, exist_ok=True)
        if sync_every_s:
            threading.Thread(target=self._sync_now_and_then, name=f"sync {folder.name}", daemon=True).start()

    def append(self, *lines: bytes, sync: bool = True) -> None:
        """Write lines (without their ends) after each other; all are on disk when this returns, if so asked.

        Without `sync` they are on disk with the next ones that are.
        """
        keys = sealing.given()
        block = b"".join(keys.seal(line) + b"\n" for line in lines)
        with self._lock:
            self._open(len(block))
            self._write(block, sync=sync)
        self._dirty.set()

    def append_referring(self, make: Callable[[set[str]], bytes], *, most: int) -> None:
        """Write a line that may refer to earlier lines of its file.

        `make` gets the names that this process noted for the file, adds its own, and returns a line of `most` bytes.
        """
        with self._lock:
            keys = sealing.given()
            self._open(most * 3 // 2 if keys.newest else most)  # a seal is a third longer than its text
            self._write(keys.seal(make(self._noted)) + b"\n")
        self._dirty.set()

    def _write(self, block: bytes, *, sync: bool = True) -> None:
        """Write to the open file, whose next line stands alone whatever happens to this one."""
        block = b"\n" + block if self._torn else block
        try:
            written = os.write(self._file, block)
        except OSError:
            self._noted.clear()  # what this line was to hold is not there
            raise
        self._torn = written != len(block)
        if self._torn:
            self._noted.clear()
            raise OSError(f"{self.folder}: a line was cut short; is the disk full?")
        if sync and not self._sync_every_s:
            os.fdatasync(self._file)

    def leave_old(self) -> None:
        """Close the open file if it is older than a file may be, though nothing is appended."""
        with self._lock:
            if self._file >= 0 and self._aged():
                self._leave()

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
        if self._file >= 0:
            if day == self._day and not self._aged() and os.fstat(self._file).st_size + more <= self._max_bytes:
                return
            self._leave()
        aged = self._left and day == self._day
        self.folder.mkdir(parents=True, exist_ok=True)
        found = [path.name.split(".") for path in request_log.log_files(self.folder) if path.name.startswith(f"{day}.")]
        found = [parts for parts in found if parts[1].isdigit()]  # a day that was merged has another name
        number = max((int(parts[1]) for parts in found), default=0)
        closed = aged or any(int(parts[1]) == number and parts[2] != SUFFIX[1:] for parts in found)
        path = self.folder / f"{day}.{number + closed:05d}{SUFFIX}"
        if path.exists() and path.stat().st_size + more > self._max_bytes:
            path = self.folder / f"{day}.{number + closed + 1:05d}{SUFFIX}"
        self._file, self._opened_at, self._left = _locked(path), time.monotonic(), False
        self._day, self._torn = day, _ends_torn(self._file)
        self._noted.clear()
        self._prune(path)
        _sync_folder(self.folder)

    def _aged(self) -> bool:
        return self._max_age_s is not None and time.monotonic() - self._opened_at > self._max_age_s

    def _leave(self) -> None:
        """Close the open file; one that was closed for its age is not taken up again."""
        file, self._file, self._left = self._file, -1, self._aged()
        try:
            os.fdatasync(file)
        finally:
            os.close(file)

    def _prune(self, current: Path) -> None:
        """Delete the oldest files beyond what is to be kept, never the current one."""
        if self._keep_bytes is None:
            return
        left = self._keep_bytes - self._max_bytes  # the current file may grow to its full size
        for path in sorted(set(request_log.log_files(self.folder)) - {current}, reverse=True):
            with contextlib.suppress(FileNotFoundError):  # compacted meanwhile
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
                except OSError as error:  # this thread goes on: the next second may be better
                    log.warning("%s: could not be synced: %s", self.folder, error)
                finally:
                    os.close(file)


def files(folder: Path) -> list[Path]:
    """List a folder's files, oldest first; old ones may be compressed (pipelines/jobs/archive.py)."""
    return sorted([*folder.glob(f"*{SUFFIX}"), *folder.glob(f"*{SUFFIX}{PACKED}")])


def read_from(path: Path, begin: int) -> tuple[list[dict[str, Any]], int]:
    """Return the lines that stand whole behind a place in a file, and where they end."""
    with path.open("rb") as stream:
        stream.seek(begin)
        data = stream.read()
    whole = data[: data.rfind(b"\n") + 1]
    return list(request_log.parsed(whole.split(b"\n"), path)), begin + len(whole)


def is_closed(path: Path) -> bool:
    """Tell whether no process has a file open to write to."""
    with path.open("r+b") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _locked(path: Path) -> int:
    """Open a file to append to, and keep compaction away while it is open."""
    while True:
        file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_APPEND, 0o640)
        fcntl.flock(file, fcntl.LOCK_SH)
        if request_log.same_file(file, path):
            return file
        os.close(file)  # it was compacted between the two calls


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

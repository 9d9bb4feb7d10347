"""Turns closed segments of the request log into parquet and copies these to a store, in a thread of its own.

No answer waits for it. A store that is away is tried again; the bound on the log's bytes holds all the while, so a
store that stays away for days costs the oldest files.
"""

import contextlib
import logging
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from feature_repo.logs import object_store, request_log

EVERY_S = 5.0
PAUSE_S = 30.0  # after a store failed
log = logging.getLogger("intentflow.door")


@dataclass(frozen=True)
class ShippingStatus:
    """The folder after one look at it, for the metrics."""

    size_bytes: int  # of all files of the folder
    sent: int  # files that this turn copied
    waiting: int  # closed files that the store does not have; 0 without a store
    waiting_since: float  # epoch seconds; when the oldest of them was closed, 0 where none waits
    failed: bool


class Shipping:
    """The thread of one folder."""

    def __init__(
        self,
        folder: Path,
        store: str = "",
        *,
        every_s: float = EVERY_S,
        on_turn: Callable[[ShippingStatus], None] = lambda _: None,
    ) -> None:
        self._folder, self._store, self._every_s, self._on_turn = folder, store, every_s, on_turn
        self._sent: set[str] = set()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"compact {folder.name}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop after the file that is under way."""
        self._closed.set()
        self._thread.join(timeout=self._every_s)

    def turn(self) -> None:
        """Compact every segment that nobody writes to, and send what was not sent."""
        for path in sorted(self._folder.glob(f"*{request_log.SEGMENT}")):
            if self._closed.is_set():
                return
            request_log.compact(path)
        if self._store:
            for path in sorted(self._folder.glob(f"*{request_log.PARQUET}")):
                if path.name not in self._sent and not self._closed.is_set():
                    send(path, self._store)
                    self._sent.add(path.name)

    def _run(self) -> None:
        pause = self._every_s
        while not self._closed.wait(pause):
            before, failed = len(self._sent), False
            try:
                self.turn()
            except (OSError, ValueError) as error:  # arrow's errors are of these two kinds
                log.warning("request log: %s: %s; tried again in %.0f s", self._store or self._folder, error, PAUSE_S)
                failed = True
            pause = PAUSE_S if failed else self._every_s
            self._on_turn(self._status(len(self._sent) - before, failed=failed))

    def _status(self, sent: int, *, failed: bool) -> ShippingStatus:
        """Measure the folder; a file that disappears while it is read is not counted."""
        size, waiting = 0, []
        for path in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                found = path.stat()
                size += found.st_size
                if self._store and path.suffix == request_log.PARQUET and path.name not in self._sent:
                    waiting.append(found.st_mtime)
        return ShippingStatus(size, sent, len(waiting), min(waiting, default=0.0), failed)


def send(path: Path, store: str) -> str:
    """Copy a file to a folder or a URL, under this machine's name, whole or not at all; return where it lies."""
    found = object_store.opened(store)
    target = f"{found.base}/{socket.gethostname()}/{path.name}"
    there = found.entry(target)
    if there is not None and there.size == path.stat().st_size:
        return target
    with path.open("rb") as source, found.written(target) as sink:
        while block := source.read(4 << 20):
            sink.write(block)
    return target

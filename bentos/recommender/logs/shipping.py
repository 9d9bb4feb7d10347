"""Turns closed segments of the request log into parquet; copies these and closed event files to a store.

A thread of its own does it, and may have a process make the parquet (compactor.py): no answer waits. A store that is
away is tried again; the bound on the request log's bytes holds all the while, so a store that stays away for days costs
its oldest files. Files of the event log go only once the store has them. Of several processes that share a folder one
does all that, as long as it lives: two would write to one name in the store at once. Where things lie in a store:
feature_repo/logs/shipped_log.py.
"""

import contextlib
import fcntl
import gzip
import io
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bentos.recommender.logs import json_lines
from bentos.recommender.logs.compactor import FAILURES, Compactor
from bentos.recommender.logs.leftovers import Leftovers
from feature_repo import columns
from feature_repo.logs import object_store, request_log, shipped_log

EVERY_S = 5.0
PAUSE_S = 30.0  # after a store failed
LEFTOVERS_EVERY_S = 300.0
AGAIN_S = 0.1  # between looks at the end, whether this process is to copy
LAST_S = 20.0  # for what is left at the end; a pod has 75 s
LOCK = "shipping.lock"  # of the process that looks after a folder's files
EVENTS_KEEP_BYTES = 512 << 20  # of event files here that the store has too
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
    """The thread of one door's logs."""

    def __init__(
        self,
        folder: Path,
        store: str = "",
        *,
        keep_bytes: int = 0,
        events: Path | None = None,  # folder of the event log
        leftovers: Leftovers | None = None,
        leave: Sequence[Callable[[], None]] = (),  # close files that are old, before each turn
        compactor: Compactor | None = None,  # that makes parquet; None: this thread does
        every_s: float = EVERY_S,
        on_turn: Callable[[ShippingStatus], None] = lambda _: None,
    ) -> None:
        self._folder, self._store, self._every_s, self._on_turn = folder, store, every_s, on_turn
        self._keep_bytes, self._events, self._leftovers, self._leave = keep_bytes, events, leftovers, leave
        self._compactor = compactor
        self._took_at = time.monotonic() - LEFTOVERS_EVERY_S + PAUSE_S  # soon after the start
        self._lock = -1  # an open file, once this process is the one that looks after the folder
        self._sent: set[tuple[str, int]] = set()  # files that the store has, by name and size
        self._closed, self._given_up = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"compact {folder.name}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop after the file that is under way; with a store send what is left, for as long as a pod may take."""
        self._closed.set()
        self._thread.join(timeout=self._every_s)
        if self._compactor is not None and not self._thread.is_alive():
            self._compactor.close()
        if self._store and not self._thread.is_alive():
            last = threading.Thread(target=self._last, name=f"ship {self._folder.name}", daemon=True)
            last.start()
            last.join(timeout=LAST_S)
        self._given_up.set()
        if not self._thread.is_alive() and self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
        if self._leftovers is not None:
            self._leftovers.close()

    def turn(self) -> None:
        """Compact every segment that nobody writes to, and send what was not sent."""
        self._compact_and_send(self._closed, self._compactor)

    def _is_keeper(self) -> bool:
        """Be the process that looks after this folder's files, unless another is; tell whether it is this one."""
        if self._store:
            self._folder.mkdir(parents=True, exist_ok=True)
        if self._lock < 0 and self._folder.is_dir():
            found = os.open(self._folder / LOCK, os.O_CREAT | os.O_RDWR, 0o640)
            try:
                fcntl.flock(found, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(found)
            else:
                self._lock = found
        return self._lock >= 0

    def _compact_and_send(self, stop: threading.Event, compactor: Compactor | None = None) -> None:
        for leave in self._leave:
            leave()
        if not self._is_keeper():
            return
        self._compact(self._folder, stop, compactor)
        if not self._store:
            return
        for path in self._unsent():
            if not stop.is_set() and path.exists():
                key = (path.name, path.stat().st_size)
                ship(path, self._store)
                self._sent.add(key)
        if self._events is not None:
            self._prune_events(self._events)

    def _compact(self, folder: Path, stop: threading.Event, compactor: Compactor | None) -> None:
        """Turn the segments of a folder into parquet that nobody writes to."""
        closed = [path for path in sorted(folder.glob(f"*{request_log.SEGMENT}")) if _is_closed(path)]
        for place, path in enumerate(closed):
            if stop.is_set():
                return
            if compactor is None:
                request_log.compact(path)
            else:
                compactor.compact(path, waiting=len(closed) - place, stop=stop)
        if compactor is not None:
            compactor.rest()

    def _unsent(self) -> list[Path]:
        """List closed files that the store does not have: answers first, then events."""
        if self._lock < 0 or not self._store:
            return []
        found = sorted(self._folder.glob(f"*{request_log.PARQUET}"))
        found += [] if self._events is None else json_lines.files(self._events)
        unsent = []
        for path in found:
            with contextlib.suppress(FileNotFoundError):
                key = (path.name, path.stat().st_size)
                if key not in self._sent and (path.suffix == request_log.PARQUET or json_lines.is_closed(path)):
                    unsent.append(path)
        return unsent

    def _prune_events(self, folder: Path) -> None:
        """Delete the oldest event files that the store has, beyond what is kept here."""
        sizes: dict[Path, int] = {}
        for path in json_lines.files(folder):
            with contextlib.suppress(FileNotFoundError):  # archived meanwhile
                sizes[path] = path.stat().st_size
        left = sum(sizes.values()) - EVENTS_KEEP_BYTES
        for path, size in sizes.items():
            with contextlib.suppress(FileNotFoundError):
                if left > 0 and (path.name, size) in self._sent and json_lines.is_closed(path):
                    path.unlink()
                    left -= size

    def _shared_volume(self) -> None:
        """Say that this door lives; now and then take what gone doors left, and keep the store's folder in bounds."""
        if self._leftovers is not None:
            self._leftovers.touch()
        if time.monotonic() - self._took_at < LEFTOVERS_EVERY_S or self._lock < 0 or not self._store:
            return
        self._took_at = time.monotonic()
        if self._leftovers is not None and (gone := self._leftovers.take(self._ship_folder)):
            log.info("shipped and removed the logs of %d doors that are gone", gone)
        if self._keep_bytes and "://" not in self._store:
            shipped_log.prune(object_store.opened(self._store), keep_bytes=self._keep_bytes)

    def _ship_folder(self, home: Path) -> None:
        """Ship what a door left, under its own name."""
        whole = threading.Event()  # never set: the folder is removed after this
        self._compact(home / columns.REQUESTS_FOLDER, whole, self._compactor)
        for path in sorted((home / columns.REQUESTS_FOLDER).glob(f"*{request_log.PARQUET}")):
            ship(path, self._store, host=home.name)
        for path in json_lines.files(home / columns.EVENTS_FOLDER):
            ship(path, self._store, host=home.name)

    def _run(self) -> None:
        pause = self._every_s
        while not self._closed.wait(pause):
            before, failed = len(self._sent), False
            try:
                self.turn()
                self._shared_volume()
            except FAILURES as error:
                where = object_store.shown(self._store) or self._folder
                log.warning("logs: %s: %s; tried again in %.0f s", where, error, PAUSE_S)
                failed = True
            pause = PAUSE_S if failed else self._every_s
            self._on_turn(self._status(len(self._sent) - before, failed=failed))

    def _last(self) -> None:
        """Send what the end leaves, after the process that looks after the folder sent its own."""
        try:
            while not self._is_keeper() and not self._given_up.wait(AGAIN_S):
                pass
            self._compact_and_send(self._given_up)
        except FAILURES as error:
            log.warning("logs: %s: %s; what is left stays here", object_store.shown(self._store), error)

    def _status(self, sent: int, *, failed: bool) -> ShippingStatus:
        """Measure the folder; a file that disappears while it is read is not counted."""
        size, waiting = 0, []
        for path in self._folder.iterdir() if self._folder.is_dir() else ():
            with contextlib.suppress(FileNotFoundError):
                size += path.stat().st_size
        for path in self._unsent():
            with contextlib.suppress(FileNotFoundError):
                waiting.append(path.stat().st_mtime)
        return ShippingStatus(size, sent, len(waiting), min(waiting, default=0.0), failed)


def _is_closed(path: Path) -> bool:
    """Tell whether nobody writes to a file; one that is gone needs nothing more."""
    try:
        return json_lines.is_closed(path)
    except FileNotFoundError:
        return False


def ship(path: Path, store: str, *, host: str = "") -> str:
    """Copy a closed file to where readers look for its kind; return where it lies."""
    return send(path, store, host=host) if path.suffix == request_log.PARQUET else send_events(path, store, host=host)


def send(path: Path, store: str, *, host: str = "") -> str:
    """Copy a file to a folder or a URL, under this machine's name, whole or not at all; return where it lies."""
    found = object_store.opened(store)
    target = f"{found.base}/{host or socket.gethostname()}/{path.name}"
    there = found.entry(target)
    if there is not None and there.size == path.stat().st_size:
        return target
    with path.open("rb") as source, found.written(target) as sink:
        while block := source.read(4 << 20):
            sink.write(block)
    return target


def send_events(path: Path, store: str, *, host: str = "") -> str:
    """Copy a file of the event log, compressed; one that grew since is copied again."""
    found = object_store.opened(store)
    data = path.read_bytes()
    if path.suffix == json_lines.PACKED:
        data = gzip.decompress(data)
    target = shipped_log.events_path(found, host or socket.gethostname(), path.name)
    if found.entry(target) is not None:
        with found.system.open_input_file(target) as stream:
            if shipped_log.whole_size(stream) == len(data):
                return target
    packed = io.BytesIO(gzip.compress(data, mtime=0))
    with found.written(target) as sink:
        while block := packed.read(4 << 20):
            sink.write(block)
    return target

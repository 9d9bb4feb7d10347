"""Beside the answers: turns closed segments of the request log into parquet, and copies these to a store.

A thread of its own, so that no answer waits for it. A store that is away is tried again; retention by bytes goes on
meanwhile, so a store that stays away for days costs the oldest files.
"""

import logging
import socket
import threading
from pathlib import Path
from typing import Any

from feature_repo import answers

EVERY_S = 5.0
PAUSE_S = 30.0  # after a store failed
log = logging.getLogger("intentflow.door")


class Shipping:
    """The thread of one folder."""

    def __init__(self, folder: Path, store: str = "", *, every_s: float = EVERY_S) -> None:
        self._folder, self._store, self._every_s = folder, store, every_s
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
        for path in sorted(self._folder.glob(f"*{answers.SEGMENT}")):
            if self._closed.is_set():
                return
            answers.compact(path)
        if self._store:
            for path in sorted(self._folder.glob(f"*{answers.PARQUET}")):
                if path.name not in self._sent and not self._closed.is_set():
                    send(path, self._store)
                    self._sent.add(path.name)

    def _run(self) -> None:
        pause = self._every_s
        while not self._closed.wait(pause):
            try:
                self.turn()
                pause = self._every_s
            except (OSError, ValueError) as error:  # arrow's errors are of these two kinds
                log.warning("request log: %s: %s; tried again in %.0f s", self._store or self._folder, error, PAUSE_S)
                pause = PAUSE_S


def send(path: Path, store: str) -> str:
    """Copy a file to a folder or a URL, under this machine's name, whole or not at all; return where it lies."""
    from pyarrow import fs

    system, base = _opened(store)
    target = f"{base}/{socket.gethostname()}/{path.name}"
    info = system.get_file_info(target)
    if info.type == fs.FileType.File and info.size == path.stat().st_size:
        return target
    local = isinstance(system, fs.LocalFileSystem)  # an object store shows an object only once it is whole
    if local:
        system.create_dir(target.rpartition("/")[0], recursive=True)
    aside = f"{target}.part" if local else target
    with path.open("rb") as source, system.open_output_stream(aside) as sink:
        while block := source.read(4 << 20):
            sink.write(block)
    if local:
        system.move(aside, target)
    return target


def _opened(store: str) -> tuple[Any, str]:
    """Return a store's file system and the path in it."""
    from pyarrow import fs

    if "://" not in store:
        return fs.LocalFileSystem(), str(Path(store).absolute())
    system, base = fs.FileSystem.from_uri(store)
    return system, base.rstrip("/")

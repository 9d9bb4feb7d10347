"""One process at a time folds events into a user's row: a lock on a byte of a file, one byte for some of all users.

A push reads a row, folds and writes it (feature_repo/online/profiles.py). The router sends a user to one process, but
others ask as well, and a process that takes another's place may be asked while that one still writes. The kernel
releases the locks of a process that was killed. Doors that share no folder share no lock: docs/online.md.
"""

import contextlib
import fcntl
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

FILE = "pushes.lock"
STRIPES = 4096


class PushLock:
    """Locks of users, for all processes that use this state folder. Threads of one process take turns by themselves."""

    def __init__(self, folder: Path) -> None:
        self._path, self._file = folder / FILE, -1

    @contextlib.contextmanager
    def held(self, users: Iterable[str]) -> Iterator[None]:
        """Hold the locks of users; in order, so that no two wait for each other."""
        if self._file < 0:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self._path, os.O_CREAT | os.O_RDWR, 0o640)
        stripes = sorted({zlib.crc32(user.encode()) % STRIPES for user in users})
        try:
            for stripe in stripes:
                fcntl.lockf(self._file, fcntl.LOCK_EX, 1, stripe)
            yield
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN)

"""Counts of callers' requests that all processes of a door share: a table in a file that each of them maps.

A caller is a keyed hash, in a folder that goes with the door. A row is free once its window has ended; where a caller's
places are all taken, the window that ends first is forgotten, so a full table lets in rather than refuses.
"""

import fcntl
import hashlib
import mmap
import os
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from limits.storage import Storage

FILE, SECRET = "callers", "callers.key"
ROW = struct.Struct("<QdQ")  # the caller's hash, the window's end in epoch seconds, the count
ROWS = 1 << 16
NEAR = 16  # rows in which a caller may be


class SharedCounts(Storage):
    """Counts of windows, for processes that were given the same folder. Use it from one thread of each."""

    STORAGE_SCHEME = None

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self._clock, self._secret = clock, _secret(folder / SECRET)
        self._file = os.open(folder / FILE, os.O_CREAT | os.O_RDWR, 0o600)
        os.ftruncate(self._file, ROWS * ROW.size)
        self._table = mmap.mmap(self._file, ROWS * ROW.size)

    @property
    def base_exceptions(self) -> type[Exception]:
        """Name what it may raise."""
        return OSError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count a hit; return how many there are in the window."""
        mark = self._mark(key)
        fcntl.lockf(self._file, fcntl.LOCK_EX)
        try:
            at, end, count = self._found(mark)
            if end <= (now := self._clock()):
                count, end = 0, now + expiry
            ROW.pack_into(self._table, at, mark, end, count + amount)
            return count + amount
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN)

    def get(self, key: str) -> int:
        """Return how many hits there are."""
        _, end, count = self._found(self._mark(key))
        return count if end > self._clock() else 0

    def get_expiry(self, key: str) -> float:
        """Return when the window ends."""
        _, end, _ = self._found(self._mark(key))
        return end or self._clock()

    def check(self) -> bool:
        """Tell that it works."""
        return True

    def reset(self) -> int | None:
        """Forget all."""
        self._table[:] = bytes(len(self._table))
        return None

    def clear(self, key: str) -> None:
        """Forget one."""
        at, _, _ = self._found(self._mark(key))
        ROW.pack_into(self._table, at, 0, 0.0, 0)

    def _mark(self, key: str) -> int:
        """Return a caller's hash, never 0: that is an empty row."""
        return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8, key=self._secret).digest(), "little") | 1

    def _found(self, mark: int) -> tuple[int, float, int]:
        """Return a caller's row, or the one to take for them: its place, the end of the window and the count."""
        first, at, soonest = mark >> 1, 0, float("inf")
        for place in range(first, first + NEAR):
            here = place % ROWS * ROW.size
            there, end, count = ROW.unpack_from(self._table, here)
            if there == mark:
                return here, end, count
            if end < soonest:
                at, soonest = here, end
        return at, 0.0, 0


def _secret(path: Path) -> bytes:
    """Read the key of the hashes; the first process makes it."""
    made = path.with_name(f"{path.name}.{os.getpid()}")
    if not path.exists():
        made.write_bytes(os.urandom(32))
        with suppress(FileExistsError):
            os.link(made, path)  # whole, or not at all
        made.unlink()
    return path.read_bytes()

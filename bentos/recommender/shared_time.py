"""The latest time that any process of a door has seen: eight bytes of a file that all of them map.

With the clock `data_end` an event moves time on, and the next answer must rest on it whichever process gives it.
"""

import fcntl
import mmap
import os
from pathlib import Path

BYTES = 8
FILE = "clock"


class SharedTime:
    """An instant in epoch seconds that only moves on; 0 before the first."""

    def __init__(self, folder: Path) -> None:
        self._file = os.open(folder / FILE, os.O_CREAT | os.O_RDWR, 0o600)
        os.ftruncate(self._file, BYTES)
        self._cell = memoryview(mmap.mmap(self._file, BYTES)).cast("q")  # one aligned word: read and written whole

    def read(self) -> int:
        """Return the instant."""
        return self._cell[0]

    def saw(self, seconds: int) -> None:
        """Move on to `seconds`, never back."""
        if seconds <= self._cell[0]:
            return
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            self._cell[0] = max(self._cell[0], seconds)
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

"""What doors that are gone left on a shared volume: shipped by the doors that run, then removed.

On a volume that all doors mount, each door's state folder is named after its pod. A door holds the lock of a file in
its folder and touches it; a folder whose lock is free and whose file was not touched for a while is of a pod that is
gone. Only then is it safe to move anything: a door numbers its files by what it sees.
"""

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

LOCK = "door.lock"
TOUCH_EVERY_S = 60.0
GONE_S = 1800.0  # a pod that crashes again and again starts every five minutes, and loads for three


@dataclass
class Leftovers:
    """The folders of all doors, seen from one of them."""

    home: Path  # this door's
    doors: Path
    lock: int = -1
    now: Callable[[], float] = time.time
    _touched: float = field(default=0.0, repr=False)

    @classmethod
    def begin(cls, home: Path, doors: Path) -> "Leftovers":
        """Mark this door's folder as in use; on a full volume that is tried again at each turn."""
        found = cls(home, doors)
        with contextlib.suppress(OSError):
            found.touch()
        return found

    def touch(self) -> None:
        """Hold the lock, and say that this door lives."""
        if self.lock < 0:
            self.home.mkdir(parents=True, exist_ok=True)
            self.lock = os.open(self.home / LOCK, os.O_CREAT | os.O_RDWR, 0o640)
            fcntl.flock(self.lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        if self.now() - self._touched >= TOUCH_EVERY_S:
            os.utime(self.lock)
            self._touched = self.now()

    def take(self, ship: Callable[[Path], None]) -> int:
        """Call `ship` for each folder of a door that is gone, and remove what it leaves; return how many went."""
        gone = 0
        for folder in sorted(self.doors.iterdir()):
            if folder.is_dir() and not _is(folder, self.home):
                with _held(folder / LOCK, before=self.now() - GONE_S) as free:
                    if free:
                        ship(folder)
                        shutil.rmtree(folder, ignore_errors=True)  # a mount's empty folder may be root's
                        gone += 1
        return gone

    def close(self) -> None:
        """Let the folder go."""
        if self.lock >= 0:
            os.close(self.lock)
            self.lock = -1


@contextlib.contextmanager
def _held(path: Path, *, before: float) -> Iterator[bool]:
    """Hold a lock that is free and was not touched since; two doors never take one folder at once."""
    try:
        lock = os.open(path, os.O_RDWR)
    except FileNotFoundError:  # of a pod that starts, or another door took it
        yield False
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield os.fstat(lock).st_mtime < before and path.exists()
    except BlockingIOError:
        yield False
    finally:
        os.close(lock)


def _is(folder: Path, home: Path) -> bool:
    try:
        return folder.samefile(home)
    except FileNotFoundError:
        return False

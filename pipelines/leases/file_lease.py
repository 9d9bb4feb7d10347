"""The lease on this machine: a kernel lock on a file of the state folder.

The kernel frees it the moment its holder ends, however it ends.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from feature_repo import files
from feature_repo.errors import Refused
from pipelines.leases.lease import FOLDER, JOBS, Lease, next_token

POLL_S = 0.2


@contextmanager
def held_here(home: Path, *, job: str = "", wait_s: float = 0) -> Iterator[Lease]:
    """Hold the lease of a state folder of this machine."""
    folder = home / JOBS / job if job else home / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    handle = _locked(folder / "lease.lock", folder / "lease.json", deadline=time.monotonic() + wait_s)
    try:
        last = files.read_json(folder / "lease.json")["token"] if (folder / "lease.json").is_file() else 0
        token, holder = next_token(last), f"process {os.getpid()}"
        files.write_json(folder / "lease.json", {"token": token, "holder": holder})
        yield Lease(token, holder, lambda: _same(handle, folder / "lease.lock"))
    finally:
        os.close(handle)  # which unlocks


def _locked(path: Path, record: Path, *, deadline: float) -> int:
    """Open and lock the file; children that are started do not inherit it, so that none holds it after us."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _same(handle, path):
                return handle
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(handle)
                holder = files.read_json(record)["holder"] if record.is_file() else "another process"
                raise Refused(f"{path}: {holder} holds the lease and acts already; wait for it, or end it") from None
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
        time.sleep(POLL_S)


def _same(handle: int, path: Path) -> bool:
    """Tell whether an open file is still the one that others find: not after its folder was removed."""
    try:
        there, mine = path.stat(), os.fstat(handle)
    except OSError:
        return False
    return (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino)

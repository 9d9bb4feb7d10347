"""The lease: of all loops that may roll one recommender out, one acts at a time; of each job as well.

On this machine a lock of the kernel's on a file of the state folder, which is free again the moment its holder ends,
however it ends. On a cluster a `coordination.k8s.io/v1` Lease, written by compare-and-swap and renewed by a thread
(`pipelines/leases/cluster_lease.py`). Not kept in MLflow: it has no compare-and-swap.

A holder that was paused may wake after another took over. Two things stop it: it asks `still()` before each act, and
what it writes carries its token, which is larger than every token before, so that a writer can refuse an older one.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from feature_repo import files
from feature_repo.errors import Refused
from pipelines.environment import Installation

FOLDER = "rollout"  # of the state folder
JOBS = "jobs"  # of the state folder: a folder for each job's lease
POLL_S = 0.2


class LeaseLost(Refused):
    """Another holder acts now. Whoever meets this stops, and blames nobody."""


@dataclass(frozen=True)
class Lease:
    """The right to act, for as long as `still()` says so."""

    token: int  # larger than that of every holder before
    holder: str
    still: Callable[[], bool]

    def require(self) -> None:
        """Raise Refused where the lease was lost: whoever holds it now goes on from the registry's state."""
        if not self.still():
            raise LeaseLost(f"lease: {self.holder} lost it (token {self.token}); another loop acts now, this one stops")


@contextmanager
def held(place: Installation, *, job: str = "", wait_s: float = 0) -> Iterator[Lease]:
    """Hold the lease of the rollout, or of a job; raises Refused where a living holder keeps it past `wait_s`."""
    if place.environment.kubernetes.namespace:
        from pipelines.leases import cluster_lease

        with cluster_lease.held(place, job=job, wait_s=wait_s) as lease:
            yield lease
    else:
        with held_here(place.home, job=job, wait_s=wait_s) as lease:
            yield lease


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


def next_token(last: int, *, now_s: float | None = None) -> int:
    """Return a token above `last`; the clock's milliseconds, so that a lost record does not begin at 1 again.

    >>> next_token(7, now_s=0.005), next_token(7, now_s=1.0)
    (8, 1000)
    """
    return max(last + 1, int((time.time() if now_s is None else now_s) * 1000))


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

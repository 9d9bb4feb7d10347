"""The lease: of all loops that may roll one recommender out, one acts at a time; of each job as well.

A holder that was paused may wake after another took over. Two things stop it: it asks `still()` before each act, and
what it writes carries its token, which is larger than every token before, so that a writer can refuse an older one.
Leases are not kept in MLflow: it has no compare-and-swap. `place_lease.py` takes one.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from feature_repo.errors import Refused

FOLDER = "rollout"  # of the state folder
JOBS = "jobs"  # of the state folder: a folder for each job's lease


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


def next_token(last: int, *, now_s: float | None = None) -> int:
    """Return a token above `last`; the clock's milliseconds, so that a lost record does not begin at 1 again.

    >>> next_token(7, now_s=0.005), next_token(7, now_s=1.0)
    (8, 1000)
    """
    return max(last + 1, int((time.time() if now_s is None else now_s) * 1000))

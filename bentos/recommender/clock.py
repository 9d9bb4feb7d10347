"""The service's one clock: wall time, or the end of the release's data, moved on by each later event.

A demonstration serves data that ended years ago; with `data_end` its time is the end of that data. Rungs, ages and the
defaults and checks of timestamps use this clock and no other.
"""

import threading
import time
from typing import Protocol

from bentos.recommender.shared_time import SharedTime
from feature_repo.errors import SpecError, nearest

DAY = 86400
CLOCKS = ("wall", "data_end")


class Clock(Protocol):
    """Says what time it is for the service, and how far ahead of it an event may be."""

    ahead_s: int

    def now(self) -> int:
        """Return the time, epoch seconds."""

    def saw(self, timestamp: int) -> None:
        """Take note that something happened at `timestamp`."""


class WallClock:
    """The machine's time."""

    ahead_s = 300  # clients' clocks differ from ours

    def now(self) -> int:
        """Return the time, epoch seconds."""
        return int(time.time())

    def saw(self, timestamp: int) -> None:
        """Do nothing: wall time moves by itself."""


class DataEndClock:
    """Stands at the end of the data, and moves when an event says that time has passed."""

    ahead_s = 31 * DAY  # one event of a stray clock must not move time by years and make every profile stale

    def __init__(self, data_end: int, shared: SharedTime | None = None) -> None:
        """`shared` is what other processes of the same door see as well."""
        self._now, self._shared = data_end, shared
        self._lock = threading.Lock()

    def now(self) -> int:
        """Return the time, epoch seconds."""
        return self._now if self._shared is None else max(self._now, self._shared.read())

    def saw(self, timestamp: int) -> None:
        """Move on to just after `timestamp`, never back: a state holds what came before its time."""
        if self._shared is not None:
            self._shared.saw(timestamp + 1)
        with self._lock:
            self._now = max(self._now, timestamp + 1)


def make_clock(kind: str, data_end: int, *, shared: SharedTime | None = None) -> Clock:
    """Make the clock that the environment asks for.

    >>> clock = make_clock("data_end", 100)
    >>> clock.saw(200)
    >>> clock.now()
    201
    """
    if kind not in CLOCKS:
        raise SpecError(
            f"INTENTFLOW_CLOCK: '{kind}' is no clock; have {', '.join(CLOCKS)}{nearest(kind, list(CLOCKS))}"
        )
    return WallClock() if kind == "wall" else DataEndClock(data_end, shared)

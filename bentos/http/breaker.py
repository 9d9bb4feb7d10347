"""A circuit breaker: a store that is away costs a few requests their patience, not every one.

After a few failures in a row nothing is asked for a while; then one request tries again, and the others still wait
for nothing. Its drivers' own limits of time (feature_repo/online/profiles.py) say how long a failure takes.
"""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from feature_repo.errors import StoreAway

Answer = TypeVar("Answer")
FAILURES = 3  # in a row; one may be a connection that an idle server closed
REST_S = 5.0


class Breaker:
    """Guards the calls to one store. Threads share it."""

    def __init__(
        self, *, failures: int = FAILURES, rest_s: float = REST_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most, self._rest_s, self._clock = failures, rest_s, clock
        self._failed, self._until = 0, 0.0
        self._lock = threading.Lock()

    def call(self, ask: Callable[[], Answer]) -> Answer:
        """Return what `ask` returns; raises StoreAway where it does, and at once while the store rests."""
        if not self._may():
            raise StoreAway("the store was away just now; it is asked again in a moment")
        try:
            answer = ask()
        except StoreAway:
            self.failed()
            raise
        with self._lock:
            self._failed = 0
        return answer

    def failed(self) -> None:
        """Count a failure; also of a call that nobody waits for any more."""
        with self._lock:
            self._failed += 1
            self._until = self._clock() + self._rest_s

    def _may(self) -> bool:
        with self._lock:
            if self._failed < self._most:
                return True
            if self._clock() < self._until:
                return False
            self._until = self._clock() + self._rest_s  # this one tries; the others go on without
            return True

"""A circuit breaker: only a few requests wait for a store that is away.

After a few failures in a row no request asks the store for a while; then one request tries again, while the others are
still refused at once. The timeouts of the store's client (feature_repo/online/profiles.py) bound a failure.
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

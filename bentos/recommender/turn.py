"""One request's turn: answered once, by the thread that works on it or, when that is late, by the loop that waits.

The loop then makes the same call again, overdue: the ladder asks neither store nor models and answers from memory.
"""

import threading
import time
import uuid

from feature_repo.rows import UserRows


class GivenUp(Exception):
    """This call's answer is no longer wanted: the request was answered, and logged, by the other one."""


class Turn:
    """What is known of a request while it is worked on."""

    def __init__(self) -> None:
        self.request_id = uuid.uuid4().hex
        self.started = time.perf_counter()
        self.reading = False  # a thread waits for the store
        self.rows: UserRows | None = None  # once read
        self.overdue = False  # set by the loop; a thread that sees it asks for nothing more
        self._answering = threading.Lock()

    def answer(self) -> None:
        """Claim the right to answer; raises GivenUp where it is taken."""
        if not self._answering.acquire(blocking=False):
            raise GivenUp

    @property
    def latency_ms(self) -> float:
        """Return how long it has taken so far."""
        return 1000 * (time.perf_counter() - self.started)

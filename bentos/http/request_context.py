"""What is known of one request while it is worked on: its id, its patience, its stages, and who answers it.

A request is answered once: by the thread that works on it or, when that thread is late, by the event loop that waits.
The loop then makes the same call again, overdue: the ladder asks neither store nor models and answers from memory.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bentos.endpoints.recommend import RerankDraft
    from bentos.http.callers import Caller
    from bentos.recommender.catalogue import ShownItems
    from feature_repo.rows import UserRows


UNTRACED = nullcontext()


class GivenUp(Exception):
    """This call's answer is no longer wanted: the request was answered, and logged, by the other one."""


class RequestContext:
    """What is known of a request while it is worked on."""

    def __init__(self) -> None:
        self.request_id = os.urandom(16).hex()
        self.started = time.perf_counter()
        self.reading = False  # a thread waits for the store
        self.endpoint = ""  # its name in the request log
        self.rows: UserRows | None = None  # once read
        self.caller = ""  # who asks: a key, a subject of a token, or an address
        self.who: Caller | None = None  # the same with its rights; None: callers are not recognised, or the router asks
        self.address = ""  # of the caller, or of its network
        self.origin = ""  # of the page that asks, where it may
        self.items: ShownItems | None = None  # what the answer is made from: the same to its end
        self.mirrored = False  # by the router itself, with its token: no caller sees the answer
        self.reranks = False  # a language model stands by that may order the answer
        self.draft: RerankDraft | None = None  # what it may order a list by; the answer is logged once it did
        self.trace_id: str | None = None
        self.stages: list[tuple[str, int, int]] | None = None  # name, start and end in epoch ns; None: not traced
        self.patience_ms: int | None = None  # the caller's own
        self.overdue = False  # set by the event loop; a thread that sees it asks for nothing more
        self._answering = threading.Lock()

    def stage(self, name: str) -> AbstractContextManager[None]:
        """Note how long something takes, where the request is traced."""
        return UNTRACED if self.stages is None else _noted(self.stages, name)

    def answer(self) -> None:
        """Claim the right to answer; raises GivenUp where it is taken."""
        if not self._answering.acquire(blocking=False):
            raise GivenUp

    @property
    def left_s(self) -> float | None:
        """Return what is left of the caller's own patience; None: it named none."""
        return None if self.patience_ms is None else max(0.001, (self.patience_ms - self.latency_ms) / 1000)

    @property
    def latency_ms(self) -> float:
        """Return how long it has taken so far."""
        return 1000 * (time.perf_counter() - self.started)


@contextmanager
def _noted(stages: list[tuple[str, int, int]], name: str) -> Iterator[None]:
    start = time.time_ns()
    try:
        yield
    finally:
        stages.append((name, start, time.time_ns()))

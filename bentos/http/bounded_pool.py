"""A bounded pool for blocking calls: a few threads, a bound on calls at once, and a bound on the wait for each.

A call that nobody waits for any more keeps its place until it ends: a bound that forgot it would not bound the work.
Calls wait in their order, so a queue longer than the time of an answer would have every call begin just before its
caller gives it up: all work, no answers. The pool therefore refuses what would wait for longer than half of that time,
as far as the calls before took; a few are always let in.
The metrics call a pool a lane (label `lane`: reads, writes).
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from bentos.http.problems import OVERLOADED, TIMEOUT, refused
from bentos.http.request_context import GivenUp

Answer = TypeVar("Answer")
THREADS = 4  # where calls wait for others: a store or models behind a network
ALONE = 1  # where they only compute: more threads would wait for each other in Python, for half of the processor
FEW = 8  # calls a thread that are let in whatever calls took: one that was slow says little
SHARE = 0.5  # of an answer's time, that a call may wait to begin
WEIGHT = 0.1  # of the last call in how long calls take


class BoundedPool:
    """Runs blocking calls for the event loop. Use it from the loop's thread only."""

    def __init__(self, *, timeout_s: float, max_concurrency: int, threads: int = THREADS) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="door")
        self._timeout_s, self._most, self._running = timeout_s, max_concurrency, 0
        self._threads, self._typical_s = threads, 0.0

    async def run(
        self,
        call: Callable[[], Answer],
        *,
        late: Callable[[], Answer] | None = None,
        timeout_s: float | None = None,  # what is left of the caller's own patience
    ) -> Answer:
        """Return what `call` returns, or what `late` returns where it is too slow; refuse when the pool is full.

        Without a `late` a call that is too slow is refused as well.
        """
        if self._running >= (most := self.most):
            raise refused("service", f"{self._running} requests are running", f"{most}", status=OVERLOADED)
        patience_s = self._timeout_s if timeout_s is None else min(self._timeout_s, timeout_s)
        loop = asyncio.get_running_loop()
        self._running += 1
        running = self._pool.submit(self._timed, call)
        running.add_done_callback(lambda _: loop.call_soon_threadsafe(self._leave))
        try:
            return await asyncio.wait_for(asyncio.wrap_future(running), patience_s)
        except TimeoutError:
            if running.done() and not running.cancelled():  # just in time
                return running.result()
            if late is None:
                allowed = f"{patience_s} s an answer"
                raise refused("service", "no answer in time", allowed, status=TIMEOUT) from None
        try:
            return late()
        except GivenUp:  # the call was just about to answer
            return await asyncio.wrap_future(running)

    @property
    def most(self) -> int:
        """Return how many calls may run and wait now."""
        if not self._typical_s:
            return self._most
        in_time = int(SHARE * self._timeout_s / self._typical_s * self._threads)
        return min(self._most, max(in_time, FEW * self._threads))

    def close(self) -> None:
        """Wait for what runs, drop what waits."""
        self._pool.shutdown(cancel_futures=True)

    def _timed(self, call: Callable[[], Answer]) -> Answer:
        """Run a call, in its thread, and take note of how long it takes."""
        started = time.perf_counter()
        try:
            return call()
        finally:
            seconds, typical_s = time.perf_counter() - started, self._typical_s
            self._typical_s = typical_s + WEIGHT * (seconds - typical_s) if typical_s else seconds

    def _leave(self) -> None:
        self._running -= 1

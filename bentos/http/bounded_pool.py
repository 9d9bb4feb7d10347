"""A bounded pool for blocking calls: a few threads, a bound on calls at once, and a bound on the wait for each.

A call that nobody waits for any more keeps its place until it ends: a bound that forgot it would not bound the work.
The metrics call a pool a lane (label `lane`: reads, writes).
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from bentos.http.problems import OVERLOADED, TIMEOUT, refused
from bentos.http.request_context import GivenUp

Answer = TypeVar("Answer")
THREADS = 4  # scoring holds a core; more threads only hide waits for the profile store


class BoundedPool:
    """Runs blocking calls for the event loop. Use it from the loop's thread only."""

    def __init__(self, *, timeout_s: float, max_concurrency: int, threads: int = THREADS) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="door")
        self._timeout_s, self._most, self._running = timeout_s, max_concurrency, 0

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
        if self._running >= self._most:
            raise refused("service", f"{self._running} requests are running", f"{self._most}", status=OVERLOADED)
        patience_s = self._timeout_s if timeout_s is None else min(self._timeout_s, timeout_s)
        loop = asyncio.get_running_loop()
        self._running += 1
        running = self._pool.submit(call)
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

    def close(self) -> None:
        """Wait for what runs, drop what waits."""
        self._pool.shutdown(cancel_futures=True)

    def _leave(self) -> None:
        self._running -= 1

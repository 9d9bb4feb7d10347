"""A bounded pool for blocking calls: a few threads, a bound on calls at once, and a bound on the wait for each.

A call that nobody waits for any more keeps its place until it ends: a bound that forgot it would not bound the work.
Calls wait in their order, so a queue longer than the time of an answer would have every call begin just before its
caller gives it up: all work, no answers. The pool therefore refuses what would wait for longer than half of that time,
as far as the calls before took; a few are always let in.

Where calls only compute, `inline`, they run in the event loop's own thread, one in each of its rounds: a second thread
would wait for the first one's lock of Python, and the loop for it. Probes and refusals come between two calls. Where
many wait the loop has a few rounds for them, since uvloop takes one new connection a round, however many stand in line.
A call that took long waited for something, so for a while after it calls go to the thread, where they hold nobody up.
The metrics call a pool a lane (label `lane`: reads, writes).
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from bentos.http.no_room import no_room
from bentos.http.problems import TIMEOUT, refused
from bentos.http.request_context import GivenUp

Answer = TypeVar("Answer")
Loop = asyncio.AbstractEventLoop
THREADS = 4  # where calls wait for others: a store or models behind a network
ALONE = 1  # where they only compute: more threads would wait for each other in Python, for half of the processor
FEW = 8  # calls a thread that are let in whatever calls took: one that was slow says little
ROUNDS = 4  # of the loop between two calls while more than a few wait: uvloop takes one new connection in each
SHARE = 0.5  # of an answer's time, that a call may wait to begin
WEIGHT = 0.1  # of the last call in how long calls take
LONG, REST_S = 0.5, 10.0  # the share of an answer's time after which a call is long; how long calls are not inline then


class BoundedPool:
    """Runs blocking calls for the event loop. Use it from the loop's thread only."""

    def __init__(self, *, timeout_s: float, max_concurrency: int, threads: int = THREADS, inline: bool = False) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="door")
        self._timeout_s, self._most, self._running = timeout_s, max_concurrency, 0
        self._threads, self._typical_s = threads, 0.0
        self._inline, self._resting = inline, 0.0
        self._turns: deque[tuple[asyncio.Future[bool], float]] = deque()  # who waits for a turn in the loop, until when
        self._rounds = 0  # of the loop since the last call
        self._taken = False  # this round of the loop has had its call, or will give its turn to one that waits

    def require_room(self) -> None:
        """Refuse where the pool is full: at once, before anything of a request is read."""
        if self._running >= (most := self.most):
            raise no_room(self._running, most)

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
        self.require_room()
        patience_s = self._timeout_s if timeout_s is None else min(self._timeout_s, timeout_s)
        loop = asyncio.get_running_loop()
        if self._inline and time.monotonic() >= self._resting:
            began = time.monotonic()
            if (found := await self._here(call, late, patience_s, loop)) is not None:
                return found[0]
            patience_s = max(0.0, patience_s - (time.monotonic() - began))
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

    async def _here(
        self, call: Callable[[], Answer], late: Callable[[], Answer] | None, patience_s: float, loop: Loop
    ) -> tuple[Answer] | None:
        """Make a call in the loop's thread when its turn comes; None where it is to go to the thread instead."""
        self._running += 1
        try:
            if self._taken and not await self._turn(patience_s, loop):
                if late is not None:
                    return (late(),)
                raise refused("service", "no answer in time", f"{patience_s} s an answer", status=TIMEOUT)
            if not self._taken:  # nobody waits: this round is ours
                self._taken = True
                loop.call_soon(self._next, loop)
            if time.monotonic() < self._resting:
                return None
            began = time.monotonic()
            try:
                return (self._timed(call),)
            finally:
                if (ended := time.monotonic()) - began > LONG * self._timeout_s:
                    self._resting = ended + REST_S
        finally:
            self._running -= 1

    def _turn(self, patience_s: float, loop: Loop) -> "asyncio.Future[bool]":
        """Wait in line for a round of the loop; False: the time was up before."""
        turn: asyncio.Future[bool] = loop.create_future()
        self._turns.append((turn, time.monotonic() + patience_s))
        return turn

    def _next(self, loop: Loop) -> None:
        """Give the first who waits their turn, and tell those whose time is up; the others come in later rounds."""
        if len(self._turns) >= FEW and self._rounds < ROUNDS:
            self._rounds += 1
            loop.call_soon(self._next, loop)
            return
        self._rounds = 0
        now, left = time.monotonic(), False
        for turn, until in [one for one in self._turns if one[1] <= now]:
            self._turns.remove((turn, until))
            if not turn.done():
                turn.set_result(False)
        while self._turns and not left:
            turn, _ = self._turns.popleft()
            if left := not turn.done():  # else who waited is gone
                turn.set_result(True)
        self._taken = left or bool(self._turns)
        if self._taken:
            loop.call_soon(self._next, loop)

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

"""Copies of requests: mirrored reads for a candidate in shadow, and copies of writes for the other arm.

Both wait in bounded queues, so that a slow door never delays an answer; what does not fit is dropped and counted. A
mirrored read is sent once. A copy of a write is sent until the door takes it or its time is up, in the order of the
originals.
"""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable
from functools import partial

import msgspec

from bentos.http.headers import PATIENCE, SHADOW
from bentos.http.problems import FAULT, OVERLOADED
from bentos.router.counts import LOST, Metrics
from bentos.router.door_connection import Lost, Outcome
from bentos.router.headers import key, lines, without
from bentos.router.proxy import RoutedRequest
from bentos.router.requests import RECOMMEND, items_of, overlap
from bentos.router.routes import CANDIDATE, STABLE, Arm, Backend, Routes
from bentos.router.settings import Settings
from bentos.router.upstreams import Doors

MOST_BYTES = 64 << 20  # of bodies that wait, in each queue
PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0  # between attempts at a copy
log = logging.getLogger("intentflow.router")


class _Waiting(msgspec.Struct, frozen=True):
    routed: RoutedRequest
    arm: Arm  # that it goes to
    backend: Backend
    status: int  # of the answer to the original
    body: bytes
    since: float

    @property
    def size(self) -> int:
        return len(self.routed.sent.body) + len(self.body)


class _Queue:
    """First in, first out; bounded in number and in bytes."""

    def __init__(self, most: int) -> None:
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue(most)
        self._bytes = 0

    def put(self, one: _Waiting) -> bool:
        """Take one in, if there is room."""
        if self._queue.full() or self._bytes + one.size > MOST_BYTES:
            return False
        self._queue.put_nowait(one)
        self._bytes += one.size
        return True

    async def get(self) -> _Waiting:
        """Wait for one."""
        one = await self._queue.get()
        self._bytes -= one.size
        return one

    def done(self) -> None:
        """Mark one as done."""
        self._queue.task_done()

    async def empty(self) -> None:
        """Wait until all are done."""
        await self._queue.join()


class Mirror:
    """Sends mirrored reads and copies of writes."""

    def __init__(self, doors: Doors, metrics: Metrics, settings: Settings, *, current: Callable[[], Routes | None]):
        self._doors, self._metrics, self._settings, self._current = doors, metrics, settings, current
        self._mark = lines([(SHADOW, settings.token)])
        self._reads: deque[_Waiting] = deque()  # that wait for their turn
        self._read_bytes = 0
        self._copies: dict[Arm, _Queue] = {arm: _Queue(settings.copy_queue) for arm in (STABLE, CANDIDATE)}
        self._tasks: list[asyncio.Task[None]] = []
        self._asking = 0  # mirrored reads that the candidate has
        self._started = self._stopped = False

    def start(self) -> None:
        """Begin to work through the queues."""
        self._started = True
        self._tasks = [asyncio.create_task(self._work(queue)) for queue in self._copies.values()]

    async def stop(self, timeout_s: float) -> None:
        """Send the copies of writes that wait, within `timeout_s`; give up mirrored reads."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                for queue in self._copies.values():
                    await queue.empty()
        self._stopped = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def mirror(self, routed: RoutedRequest, status: int, body: bytes) -> None:
        """Have the candidate answer a read that stable has answered, too."""
        assert routed.routes.candidate is not None
        one = _Waiting(routed, CANDIDATE, routed.routes.candidate, status, body, time.monotonic())
        if self._asking < self._settings.mirror_at_once and not self._stopped:
            self._ask(one)
        elif len(self._reads) < self._settings.mirror_queue and self._read_bytes + one.size <= MOST_BYTES:
            self._reads.append(one)
            self._read_bytes += one.size
        else:
            routed.counts.mirror_dropped += 1
            self._metrics.side("mirror", "dropped")

    def copy(self, routed: RoutedRequest, taken_by: Arm) -> None:
        """Send a write that one arm took to every other one."""
        for other in routed.routes.others(taken_by):
            backend = routed.routes.backend(other)
            assert backend is not None, "a named arm has a door"
            if not self._queue(other).put(_Waiting(routed, other, backend, 0, b"", time.monotonic())):
                self._note(routed, "dropped")

    def _queue(self, arm: Arm) -> _Queue:
        """Return an arm's queue; an experiment's is made, with who works through it, when it is first needed."""
        if (queue := self._copies.get(arm)) is None:
            queue = self._copies[arm] = _Queue(self._settings.copy_queue)
            if self._started:
                self._tasks.append(asyncio.create_task(self._work(queue)))
        return queue

    async def _work(self, queue: _Queue) -> None:
        while True:
            one = await queue.get()
            try:
                await self._copied(one)
            except Exception:  # one that cannot be sent must not end the worker
                log.exception("a copy of %s failed", one.routed.endpoint)
            finally:
                queue.done()

    def _ask(self, one: _Waiting) -> None:
        """Ask the candidate: without a task, since mirrored reads are as frequent as reads."""
        self._asking += 1
        done = partial(self._mirrored, one, time.perf_counter())
        self._doors.ask(one.backend, one.routed.sent.marked(self._mark), done, patience_s=self._settings.patience_s)

    def _mirrored(self, one: _Waiting, started: float, outcome: Outcome) -> None:
        self._asking -= 1
        try:
            self._compare(one, outcome, time.perf_counter() - started)
        except Exception:  # one that cannot be compared must not end the others
            log.exception("a copy of %s failed", one.routed.endpoint)
        if self._reads and not self._stopped:
            following = self._reads.popleft()
            self._read_bytes -= following.size
            self._ask(following)

    def _compare(self, one: _Waiting, outcome: Outcome, seconds: float) -> None:
        """Count what the candidate answered beside what stable had."""
        counts = one.routed.counts
        status, body = LOST, b""
        if not isinstance(outcome, Lost):
            outcome.discard()
            status, body = outcome.status, outcome.body
        counts.mirrored += 1
        failed = status == LOST or status >= FAULT
        self._metrics.side("mirror", "failed" if failed else "answered")
        counts.differing += status != one.status
        if failed:
            counts.mirror_errors += 1
            return
        counts.mirror_times.add(seconds)
        if one.routed.endpoint == RECOMMEND and one.status == status == 200:
            ours, theirs = items_of(one.body), items_of(body)
            if ours is not None and theirs is not None:
                counts.overlap_sum += overlap(ours, theirs)
                counts.compared += 1

    async def _copied(self, one: _Waiting) -> None:
        """Send a copy until the door takes it, refuses it for good, leaves the routes, or time is up."""
        pause_s = PAUSE_S
        while self._holds(one.backend):
            started, status = time.perf_counter(), LOST
            with contextlib.suppress(Lost):
                status, _ = await self._send(one, self._settings.timeout_s)
            seconds = time.perf_counter() - started
            one.routed.counts.arm(one.arm).event(status)
            self._metrics.attempt(one.arm, one.backend.release, status, endpoint=one.routed.endpoint, seconds=seconds)
            if 0 < status < FAULT and status != OVERLOADED:
                return self._note(one.routed, "sent" if status < 400 else "failed")
            if time.monotonic() - one.since > self._settings.copy_s:
                return self._note(one.routed, "failed")
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        return self._note(one.routed, "dropped")

    def _holds(self, backend: Backend) -> bool:
        """Say whether a door is still in the routes, in whichever arm."""
        routes = self._current()
        return routes is not None and backend in (routes.stable, routes.candidate, *routes.arms)

    async def _send(self, one: _Waiting, patience_s: float) -> tuple[int, bytes]:
        sent = one.routed.sent
        if one.routed.hurried:  # its caller does not wait for a copy, which has to arrive
            sent = msgspec.structs.replace(sent, headers=without(sent.headers, key(PATIENCE)))
        sent = sent.marked(self._mark)
        answer = await self._doors.send(one.backend, sent, patience_s=patience_s)
        answer.discard()
        return answer.status, answer.body

    def _note(self, routed: RoutedRequest, outcome: str) -> None:
        routed.counts.copies[outcome] += 1
        self._metrics.side("events", outcome)
        if outcome != "sent":
            log.warning("a copy of %s %s: profiles of the other release lack it", routed.endpoint, outcome)

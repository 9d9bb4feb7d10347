"""A bounded pool answers a request once: by its thread, or where that is late by the call that needs no wait."""

import asyncio
import threading
import time

import pytest

from bentos.http.bounded_pool import FEW, BoundedPool
from bentos.http.problems import Rejected
from bentos.http.request_context import GivenUp, RequestContext


def late_answer(call_s: float, *, late: bool = True, claims: bool = False) -> str:
    """Run one call of so many seconds on a pool that waits for a tenth; `claims`: it answers just before the loop."""
    context, pool = RequestContext(), BoundedPool(timeout_s=0.1, max_concurrency=1)

    def call() -> str:
        if claims:
            context.answer()
        time.sleep(call_s)
        if not claims:
            context.answer()
        return "the call's"

    def at_once() -> str:
        context.answer()
        return "the late one's"

    try:
        return asyncio.run(pool.run(call, late=at_once if late else None))
    finally:
        pool.close()


def test_a_call_in_time_answers() -> None:
    assert late_answer(0.0) == "the call's"


def test_a_call_that_is_late_is_answered_at_once() -> None:
    started = time.monotonic()
    pool, go = BoundedPool(timeout_s=0.1, max_concurrency=1), threading.Event()

    async def ask() -> tuple[str, float]:
        answer = await pool.run(lambda: str(go.wait(5)), late=lambda: "the late one's")
        answered = time.monotonic() - started
        go.set()
        return answer, answered

    answer, answered = asyncio.run(ask())
    pool.close()
    assert answer == "the late one's"
    assert answered < 3


def test_a_call_that_was_about_to_answer_is_waited_for() -> None:
    assert late_answer(0.3, claims=True) == "the call's"


def test_without_a_late_answer_a_late_call_is_refused() -> None:
    with pytest.raises(Rejected, match=r"service: no answer in time; allowed: 0\.1 s an answer"):
        late_answer(0.3, late=False)


def test_a_turn_is_answered_once() -> None:
    context = RequestContext()
    context.answer()
    with pytest.raises(GivenUp):
        context.answer()


def pool_after(call_s: float, *, timeout_s: float, threads: int = 1) -> int:
    """Run some calls of so many seconds; return how many calls the pool lets in then."""
    pool = BoundedPool(timeout_s=timeout_s, max_concurrency=64, threads=threads)

    async def run() -> None:
        for _ in range(5):
            await pool.run(lambda: time.sleep(call_s))

    try:
        asyncio.run(run())
        return pool.most
    finally:
        pool.close()


def test_calls_that_would_begin_too_late_are_not_let_in() -> None:
    assert pool_after(0.02, timeout_s=0.6) <= 15, "half of the time, in calls of a fiftieth of a second"
    assert pool_after(0.02, timeout_s=0.6, threads=3) <= 45


def test_calls_that_are_short_for_their_time_are_let_in_as_the_spec_says() -> None:
    assert pool_after(0.0, timeout_s=60.0) == 64


def test_a_few_calls_are_let_in_however_slow_the_last_ones_were() -> None:
    assert pool_after(0.1, timeout_s=0.3) == FEW
    assert pool_after(0.1, timeout_s=0.3, threads=2) == 2 * FEW


def test_a_pool_that_is_full_in_time_says_how_many_it_lets_in() -> None:
    pool, go = BoundedPool(timeout_s=0.3, max_concurrency=64, threads=1), threading.Event()

    async def scene() -> None:
        await pool.run(lambda: time.sleep(0.1))
        waiting = [asyncio.create_task(pool.run(go.wait, late=lambda: False)) for _ in range(FEW)]
        await asyncio.sleep(0)
        with pytest.raises(Rejected, match=f"service: {FEW} requests are running; allowed: {FEW}") as found:
            await pool.run(lambda: True)
        assert (found.value.status, found.value.headers) == (429, {"Retry-After": "1"})
        go.set()
        await asyncio.gather(*waiting)

    asyncio.run(scene())
    pool.close()

"""A bounded pool answers a request once: by its thread, or where that is late by the call that needs no wait."""

import asyncio
import itertools
import threading
import time

import pytest

from bentos.http.bounded_pool import FEW, ROUNDS, BoundedPool
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
        assert (found.value.status, found.value.headers) == (
            429,
            {"Retry-After": "1", "X-IntentFlow-Room": str(FEW)},
        )
        go.set()
        await asyncio.gather(*waiting)

    asyncio.run(scene())
    pool.close()


def inline(**more: float) -> BoundedPool:
    return BoundedPool(timeout_s=more.get("timeout_s", 5.0), max_concurrency=64, threads=1, inline=True)


def test_a_call_that_computes_runs_in_the_loop_and_the_loop_goes_on_between_two() -> None:
    pool, order = inline(), []

    async def ask() -> set[int]:
        async def one(number: int) -> int:
            def call() -> int:
                order.append(f"call {number}")
                return threading.get_ident()

            return await pool.run(call)

        async def beside() -> None:
            for _ in range(8):
                order.append("probe")
                await asyncio.sleep(0)

        *threads, _ = await asyncio.gather(one(0), one(1), one(2), beside())
        return set(threads)

    assert asyncio.run(ask()) == {threading.get_ident()}
    calls = [place for place, what in enumerate(order) if what.startswith("call")]
    assert [order[place] for place in calls] == ["call 0", "call 1", "call 2"]
    assert all("probe" in order[a:b] for a, b in itertools.pairwise(calls)), "calls came without a pause"
    pool.close()


def test_after_a_call_that_took_long_calls_leave_the_loop_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = inline(timeout_s=0.2)
    monkeypatch.setattr("bentos.http.bounded_pool.REST_S", 0.3)

    async def ask() -> list[bool]:
        await pool.run(lambda: time.sleep(0.15))
        at_once = await pool.run(threading.get_ident)
        await asyncio.sleep(0.4)
        return [found == threading.get_ident() for found in (at_once, await pool.run(threading.get_ident))]

    assert asyncio.run(ask()) == [False, True]
    pool.close()


def test_who_waits_for_a_turn_longer_than_they_may_gets_the_late_answer() -> None:
    pool = inline()

    async def ask() -> list[str]:
        slow = [pool.run(lambda: time.sleep(0.05) or "the call's") for _ in range(4)]
        return await asyncio.gather(
            *slow, pool.run(lambda: "the call's", late=lambda: "the late one's", timeout_s=0.02)
        )

    assert asyncio.run(ask()) == ["the call's"] * 4 + ["the late one's"]
    assert pool._running == 0
    pool.close()


def test_a_failed_call_leaves_its_place_and_the_next_has_its_turn() -> None:
    pool = inline()

    async def ask() -> list[object]:
        calls = [pool.run(lambda: 1 / 0), pool.run(lambda: "fine")]
        return await asyncio.gather(*calls, return_exceptions=True)

    broken, fine = asyncio.run(ask())
    assert isinstance(broken, ZeroDivisionError)
    assert fine == "fine"
    assert pool._running == 0
    pool.close()


def test_a_queue_in_the_loop_is_as_long_as_can_be_answered_in_time() -> None:
    pool = inline(timeout_s=1.0)

    async def ask() -> list[object]:
        for _ in range(4):
            await pool.run(lambda: time.sleep(0.05))
        crowd = [pool.run(lambda: time.sleep(0.05)) for _ in range(40)]
        return await asyncio.gather(*crowd, return_exceptions=True)

    found = asyncio.run(ask())
    refusals = sum(isinstance(one, Rejected) for one in found)
    assert 28 <= refusals <= 33, "ten calls of .05 s begin within half a second"
    pool.close()


def rounds_between(calls: int) -> list[int]:
    """Run so many calls at once in the loop; return how many rounds of it lie between each and the next."""
    pool, rounds, began = BoundedPool(timeout_s=60.0, max_concurrency=64, threads=1, inline=True), 0, list[int]()

    async def scene() -> None:
        def tick() -> None:
            nonlocal rounds
            rounds += 1
            loop.call_soon(tick)

        loop = asyncio.get_running_loop()
        tick()
        await asyncio.gather(*(pool.run(lambda: began.append(rounds)) for _ in range(calls)))

    try:
        asyncio.run(scene())
    finally:
        pool.close()
    return [b - a for a, b in itertools.pairwise(began)]


def test_the_loop_has_more_rounds_between_calls_while_many_wait() -> None:
    few = rounds_between(3)
    many = rounds_between(FEW + 4)
    assert max(few) <= 2
    assert min(many[:3]) >= ROUNDS
    assert max(many[-3:]) <= 2, "the last few wait for nobody"

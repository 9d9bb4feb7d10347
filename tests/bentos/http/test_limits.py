"""Limits by caller and scope, in memory and with a Redis that is away."""

import asyncio
from typing import Any

import pytest

from bentos.access import Access
from bentos.http.limits import CALLERS, Counted, Limits
from bentos.http.problems import Rejected
from tests.bentos.http.test_auth import ASK, opened_by


def test_a_caller_over_the_limit_is_told_when_to_come_again() -> None:
    now = [1000.0]
    limits = Limits({"recommend": "2/minute"}, clock=lambda: now[0])

    async def hit(caller: str, scope: str = "recommend") -> dict[str, str]:
        try:
            await limits.hit(scope, caller)
        except Rejected as refusal:
            return {str(refusal.status): refusal.headers["Retry-After"]}
        return {}

    async def asks() -> list[dict[str, str]]:
        found = [await hit("ann") for _ in range(3)] + [await hit("bob"), await hit("ann", "events")]
        now[0] += 61
        return [*found, await hit("ann")]

    assert asyncio.run(asks()) == [{}, {}, {"429": "60"}, {}, {}, {}]


def test_the_service_answers_429_and_probes_are_free(world: Any) -> None:
    client, opened = opened_by(world, Access(), limits=Limits({"recommend": "1/minute"}))
    codes = [client.post("/recommend", json=ASK).status_code for _ in range(3)]
    assert codes == [200, 429, 429]
    assert int(client.post("/recommend", json=ASK).headers["Retry-After"]) >= 1
    assert opened.metrics.refused.labels("rate_limited")._value.get() == 3


def test_a_store_that_is_away_lets_callers_in_and_counts_them_here() -> None:
    limits = Limits({"recommend": "1/minute"}, store="redis://127.0.0.1:1")

    async def asks() -> None:
        await limits.hit("recommend", "ann")  # finds the store away
        await limits.hit("recommend", "ann")
        with pytest.raises(Rejected):
            await limits.hit("recommend", "ann")

    asyncio.run(asks())


def test_only_so_many_callers_are_remembered() -> None:
    counted = Counted()
    for caller in range(CALLERS + 5):
        counted.incr(str(caller), 60)
    assert (counted.get("0"), counted.get(str(CALLERS))) == (0, 1)

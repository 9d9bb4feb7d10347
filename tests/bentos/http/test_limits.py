"""Limits by caller and scope, in memory and with a Redis that is away."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from bentos.access import Access, Bounds
from bentos.endpoints.schemas import Event
from bentos.http.callers import Caller, PageRights
from bentos.http.event_bounds import EventBounds
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


def test_a_key_s_own_rate_is_of_all_processes_where_no_bound_is_set(tmp_path: Path) -> None:
    bounds = Bounds(user="", caller="", server="")
    page = PageRights(frozenset({"view"}), frozenset(), "5/minute")
    who = Caller("key p", frozenset({"events"}), page=page)
    processes = [EventBounds(bounds, shared=tmp_path) for _ in "ab"]

    async def sends(process: EventBounds) -> int:
        events = [Event(user_id=f"u{n}", item_id=f"i{n}", event="view") for n in range(3)]
        try:
            await process.admit(who, "10.0.0.1", events)
        except Rejected as refusal:
            return refusal.status
        return 200

    async def both() -> list[int]:
        return [await sends(process) for process in processes]

    assert asyncio.run(both()) == [200, 429]


def test_a_key_s_own_rate_is_asked_of_the_store_where_no_bound_is_set(caplog: pytest.LogCaptureFixture) -> None:
    limits = Limits({}, store="redis://127.0.0.1:1", keyed=True)
    with caplog.at_level("WARNING", "intentflow.door"):
        asyncio.run(limits.hit("key", "key p", cost=3, rate="5/minute"))
    assert "their store is away" in caplog.text


def test_only_so_many_callers_are_remembered() -> None:
    counted = Counted()
    for caller in range(CALLERS + 5):
        counted.incr(str(caller), 60)
    assert (counted.get("0"), counted.get(str(CALLERS))) == (0, 1)

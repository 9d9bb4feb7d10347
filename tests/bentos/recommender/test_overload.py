"""Three times as many requests as the service can answer: it goes on answering, and the others hear so at once."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from bentos.http.bounded_pool import BoundedPool
from bentos.recommender.app import DoorContext, create_app
from bentos.recommender.metrics import Metrics
from tests.bentos.conftest import TinyRanker
from tests.bentos.sockets import Listening, listening

SCORING_S = 0.02  # of a thread, and of no processor: the test measures the queue and not this machine
TIMEOUT_S = 0.6
MEASURED_S, LOADED_S = 1.5, 3.0


@dataclass
class SlowRanker(TinyRanker):
    """Takes its time."""

    def recommend(self, *args: Any, **kwargs: Any) -> Any:
        time.sleep(SCORING_S)
        return super().recommend(*args, **kwargs)


@pytest.fixture(params=[False, True], ids=["in a thread", "in the loop"])
def server(world: Any, request: pytest.FixtureRequest) -> Iterator[Listening]:
    world.documents = None
    world.ranker = SlowRanker(world.ranker.vocabulary)
    world.knows("ann", 3)
    door = world.door()
    # More requests than it can answer in their time are allowed at once, as with a slow model and the default of 64.
    reads = BoundedPool(timeout_s=TIMEOUT_S, max_concurrency=64, threads=1, inline=request.param)
    writes = BoundedPool(timeout_s=5, max_concurrency=2, threads=1)
    app = create_app()
    app.state.opened = DoorContext(door, reads, writes, Metrics(door.release, registry=CollectorRegistry()), {})
    with listening(app) as found:
        yield found
    reads.close()
    writes.close()
    door.close()


@dataclass(frozen=True)
class Reply:
    """What one request got."""

    status: int
    rung: str
    retry_after: str
    seconds: float


async def asked(client: aiohttp.ClientSession, url: str) -> Reply:
    started = time.monotonic()
    async with client.post(f"{url}/recommend", json={"user_id": "ann"}) as reply:
        body = await reply.json()
        rung = body["profile"]["rung"] if reply.status == 200 else ""
        return Reply(reply.status, rung, reply.headers.get("Retry-After", ""), time.monotonic() - started)


async def capacity(client: aiohttp.ClientSession, url: str) -> float:
    """Return answers a second to clients who each wait for theirs."""
    until, answered = time.monotonic() + MEASURED_S, 0

    async def one() -> None:
        nonlocal answered
        while time.monotonic() < until:
            assert (await asked(client, url)).rung == "fresh"
            answered += 1

    started = time.monotonic()
    await asyncio.gather(*(one() for _ in range(4)))
    return answered / (time.monotonic() - started)


async def load(client: aiohttp.ClientSession, url: str, rate: float) -> tuple[list[Reply], float]:
    """Ask at a rate, whatever comes back; return the replies and how long asking took."""
    started, tasks = time.monotonic(), list[asyncio.Task[Reply]]()
    while (now := time.monotonic() - started) < LOADED_S:
        while len(tasks) < rate * now:
            tasks.append(asyncio.create_task(asked(client, url)))
        await asyncio.sleep(0.005)
    replies = await asyncio.gather(*tasks)
    return list(replies), time.monotonic() - started


def test_at_three_times_its_capacity_it_answers_on_and_refuses_the_rest_at_once(server: Listening) -> None:
    async def scene() -> tuple[float, list[Reply], float]:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as client:
            able = await capacity(client, server.url)
            return able, *await load(client, server.url, 3 * able)

    able, replies, took_s = asyncio.run(scene())
    good = [one for one in replies if one.rung == "fresh"]
    shed = [one for one in replies if one.status == 429]
    assert len(good) / took_s >= 0.8 * able
    assert len(good) + len(shed) >= 0.98 * len(replies), "hardly any answer is of a lower rung, or an error"
    assert {one.retry_after for one in shed} == {"1"}
    assert len(shed) > len(good), "the load was none"
    answered, refused = (sorted(one.seconds for one in some)[len(some) // 2] for some in (good, shed))
    assert refused < answered / 2, "a refusal waits in no queue"

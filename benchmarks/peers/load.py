"""Load from a process of its own: closed loop (so many clients, one request after the other) or open loop (a rate).

`python -m benchmarks.peers.load URL BODIES --seconds S [--clients N | --rate R]` posts the lines of a file, each once
before any comes again, and prints one JSON document. In an open loop a request's time counts from when it was due, so
a server that stalls is charged for those that wait.
"""

import argparse
import asyncio
import dataclasses
import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import numpy as np

TIMEOUT_S = 30.0


@dataclasses.dataclass
class Seen:
    """What came back."""

    seconds: list[float] = dataclasses.field(default_factory=list)
    errors: int = 0

    def document(self, took_s: float) -> dict[str, float | int]:
        """Return the figures."""
        p50, p99 = np.quantile(self.seconds or [0.0], (0.5, 0.99)) * 1000
        return {
            "requests": len(self.seconds) + self.errors,
            "errors": self.errors,
            "p50_ms": round(float(p50), 3),
            "p99_ms": round(float(p99), 3),
            "requests_per_s": round(len(self.seconds) / took_s, 2),
        }


async def load(url: str, bodies: list[bytes], *, seconds: float, clients: int, rate: float | None) -> Seen:
    """Post for some seconds."""
    seen, turn = Seen(), itertools.cycle(bodies)
    connector, timeout = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(TIMEOUT_S)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        end = time.perf_counter() + seconds
        if rate is None:
            await asyncio.gather(*(_client(session, url, turn, end, seen) for _ in range(clients)))
        else:
            await _paced(session, url, turn, end, seen, rate)
    return seen


async def _client(session: aiohttp.ClientSession, url: str, turn: Iterator[bytes], end: float, seen: Seen) -> None:
    while (start := time.perf_counter()) < end:
        await _post(session, url, next(turn), start, seen)


async def _paced(
    session: aiohttp.ClientSession, url: str, turn: Iterator[bytes], end: float, seen: Seen, rate: float
) -> None:
    due, running = time.perf_counter(), set()
    while due < end:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        task = asyncio.create_task(_post(session, url, next(turn), due, seen))
        running.add(task)
        task.add_done_callback(running.discard)
        due += 1 / rate
    await asyncio.gather(*running)


async def _post(session: aiohttp.ClientSession, url: str, body: bytes, start: float, seen: Seen) -> None:
    try:
        async with session.post(url, data=body, headers={"Content-Type": "application/json"}) as answer:
            await answer.read()
            fine = answer.status == 200
    except (aiohttp.ClientError, TimeoutError):
        fine = False
    if fine:
        seen.seconds.append(time.perf_counter() - start)
    else:
        seen.errors += 1


def main() -> None:
    """Read the switches, load, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("bodies", type=Path, help="file with one body a line")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--clients", type=int, default=8, help="in a closed loop")
    parser.add_argument("--rate", type=float, help="requests a second: makes it an open loop")
    asked = parser.parse_args()
    bodies = asked.bodies.read_bytes().splitlines()
    start = time.perf_counter()
    seen = asyncio.run(load(asked.url, bodies, seconds=asked.seconds, clients=asked.clients, rate=asked.rate))
    print(json.dumps(seen.document(time.perf_counter() - start)))


if __name__ == "__main__":
    main()

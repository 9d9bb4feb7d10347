"""Load from a process of its own: closed loop (so many clients, one request after the other) or open loop (a rate).

`python -m benchmarks.peers.load URL[,URL…] BODIES --seconds S [--clients N | --rate R]` posts the lines of a file, each
once before any comes again, and prints one JSON document. In an open loop a request's time counts from when it was due,
so a server that stalls is charged for those that wait.
"""

import argparse
import asyncio
import dataclasses
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import uvloop

TIMEOUT_S = 30.0
REFUSED = (429, 503)
Turn = tuple[str, bytes]


@dataclasses.dataclass
class Seen:
    """What came back."""

    seconds: list[float] = dataclasses.field(default_factory=list)
    errors: int = 0  # whatever is not 200
    refused: list[float] = dataclasses.field(default_factory=list)  # seconds to a 429 or 503: they are errors, too

    def document(self, took_s: float) -> dict[str, float | int]:
        """Return the figures."""
        p50, p99 = np.quantile(self.seconds or [0.0], (0.5, 0.99)) * 1000
        return {
            "requests": len(self.seconds) + self.errors,
            "errors": self.errors,
            "refused": len(self.refused),
            "refused_p99_ms": round(1000 * float(np.quantile(self.refused or [0.0], 0.99)), 3),
            "p50_ms": round(float(p50), 3),
            "p99_ms": round(float(p99), 3),
            "requests_per_s": round(len(self.seconds) / took_s, 2),
            "took_s": round(took_s, 3),
        }


async def load(url: str, bodies: list[bytes], *, seconds: float, clients: int, rate: float | None) -> Seen:
    """Post for some seconds."""
    seen, turn = Seen(), _turns(url.split(","), bodies)
    connector, timeout = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(TIMEOUT_S)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        end = time.perf_counter() + seconds
        if rate is None:
            await asyncio.gather(*(_client(session, turn, end, seen) for _ in range(clients)))
        else:
            await _paced(session, turn, end, seen, rate)
    return seen


def _turns(urls: list[str], bodies: list[bytes]) -> Iterator[Turn]:
    """Yield bodies over and over, each with the next address."""
    return zip(itertools.cycle(urls), itertools.cycle(bodies), strict=False)


async def _client(session: aiohttp.ClientSession, turn: Iterator[Turn], end: float, seen: Seen) -> None:
    while (start := time.perf_counter()) < end:
        await _post(session, next(turn), start, seen)


async def _paced(session: aiohttp.ClientSession, turn: Iterator[Turn], end: float, seen: Seen, rate: float) -> None:
    due, running = time.perf_counter(), set()
    while due < end:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        task = asyncio.create_task(_post(session, next(turn), due, seen))
        running.add(task)
        task.add_done_callback(running.discard)
        due += 1 / rate
    await asyncio.gather(*running)


async def _post(session: aiohttp.ClientSession, turn: Turn, start: float, seen: Seen) -> None:
    url, body = turn
    status = 0
    try:
        async with session.post(url, data=body, headers={"Content-Type": "application/json"}) as answer:
            await answer.read()
            status = answer.status
    except (aiohttp.ClientError, TimeoutError):
        status = 0  # a head without its body is no answer
    if status == 200:
        seen.seconds.append(time.perf_counter() - start)
        return
    seen.errors += 1
    if status in REFUSED:
        seen.refused.append(time.perf_counter() - start)


def run_load(url: str, bodies: Path, *how: str, seconds: float) -> dict[str, Any]:
    """Load from another process and return its figures."""
    command = [sys.executable, "-m", "benchmarks.peers.load", url, str(bodies), "--seconds", str(seconds), *how]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 120)
    return dict(json.loads(done.stdout))


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
    # The load shares the cores with what it loads: uvloop, which the door's servers have as well, takes less of them.
    seen = uvloop.run(load(asked.url, bodies, seconds=asked.seconds, clients=asked.clients, rate=asked.rate))
    print(json.dumps(seen.document(time.perf_counter() - start)))


if __name__ == "__main__":
    main()

"""What does the router add to a request? `python -m benchmarks.router`.

A door of nothing but a fixed answer of a real one's size, asked directly and through the router in turns: the
difference of the medians is what the router adds to a request, and `cpu_ms` the processor time of the router's own
process, of all its threads. `cost` measures the same before any door; benchmarks/serving.py shows it beside the real
one. `--against` takes a checkout of another commit, whose router is asked in the same turns (`before_cpu_ms`): a
machine that other work shares drifts by more than two routers differ.
"""

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import secrets
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import psutil
import requests

from benchmarks import script
from benchmarks.script import Document
from benchmarks.servers import free_port
from bentos.router import start
from bentos.router.routes import Backend, Routes
from feature_repo.checkout import ROOT
from feature_repo.errors import ServerError, SpecError

REQUESTS, QUICK_REQUESTS = 8000, 400  # of each measurement
RATE, PACED = 100.0, 8  # requests a second in the calm measurement, and one in so many of the others' requests
TURNS = 4
CONNECTIONS = (1, 16)
USERS = 1000
START_S = 30.0


def measure(asked: argparse.Namespace) -> Document:
    """Measure each mode, one request at a time and many."""
    amount = QUICK_REQUESTS if asked.quick else REQUESTS
    if asked.against is not None and not (asked.against / "bentos" / "router" / "__main__.py").is_file():
        raise SpecError(f"--against: {asked.against} holds no router; give a checkout (git worktree add FOLDER COMMIT)")
    bodies = [json.dumps({"user_id": str(user), "k": 10}).encode() for user in range(USERS)]
    with _door() as stable, _door() as candidate:
        backends = Backend(release="stable", url=stable), Backend(release="candidate", url=candidate)
        modes = {
            "stable": Routes(stable=backends[0]),
            "canary": Routes(rollout="r", mode="canary", share=0.5, stable=backends[0], candidate=backends[1]),
            "shadow": Routes(rollout="r", mode="shadow", stable=backends[0], candidate=backends[1]),
        }
        found = {
            f"{mode}, {at_once} at once": cost(
                stable, bodies, routes=routes, amount=amount, at_once=at_once, against=asked.against
            )
            for mode, routes in modes.items()
            for at_once in CONNECTIONS
        }
        calm = cost(
            stable, bodies, routes=modes["stable"], amount=amount // PACED, at_once=4, rate=RATE, against=asked.against
        )
        found |= {f"stable, {RATE:.0f} a second": calm}
    return {"requests": amount, "router": found}


def cost(
    url: str,
    bodies: Sequence[bytes],
    *,
    routes: Routes | None = None,
    amount: int = REQUESTS,
    at_once: int = 1,
    rate: float | None = None,  # requests a second; None: as fast as they are answered
    against: Path | None = None,  # a checkout of another commit
) -> Document:
    """Ask a door's /recommend directly and through a router of its own; say what the router adds."""
    routes = routes or Routes(stable=Backend(release="stable", url=url))
    with contextlib.ExitStack() as held:
        routed, process = held.enter_context(router(routes))
        places, processes = {"direct": url, "routed": routed}, {"routed": process}
        if against is not None:
            places["before"], processes["before"] = held.enter_context(router(routes, code=against))
        for place in places.values():
            asyncio.run(load(place, bodies, amount=max(amount // 10, at_once), at_once=at_once))
        walls: dict[str, list[float]] = {name: [] for name in places}
        cpu_s = dict.fromkeys(processes, 0.0)
        for turn in range(TURNS):
            for name in sorted(places, reverse=bool(turn % 2)):  # in turns: what else the machine does hits both
                used_s = {one: _cpu_s(process) for one, process in processes.items()}
                walls[name] += asyncio.run(
                    load(places[name], bodies, amount=amount // TURNS, at_once=at_once, rate=rate)
                )
                if name in processes:
                    cpu_s[name] += _cpu_s(processes[name]) - used_s[name]
    ms = {name: np.percentile(np.asarray(values) * 1000, [50, 99]) for name, values in walls.items()}
    return {
        "cpu_ms": round(cpu_s["routed"] / len(walls["routed"]) * 1000, 4),
        **({"before_cpu_ms": round(cpu_s["before"] / len(walls["before"]) * 1000, 4)} if "before" in cpu_s else {}),
        "added_p50_ms": round(float(ms["routed"][0] - ms["direct"][0]), 4),
        **{f"{name}_p50_ms": round(float(found[0]), 4) for name, found in ms.items()},
        **{f"{name}_p99_ms": round(float(found[1]), 4) for name, found in ms.items()},
    }


async def load(
    url: str, bodies: Sequence[bytes], *, amount: int, at_once: int, rate: float | None = None
) -> list[float]:
    """Ask over so many connections, each answer before the next request; return seconds by request.

    With a `rate` no request is sent before its turn. Any failure ends it.
    """
    host, port = url.removeprefix("http://").split(":")
    began = time.perf_counter()

    async def connection(first: int) -> list[float]:
        reader, writer = await asyncio.open_connection(host, int(port))
        seconds = []
        for number in range(first, amount, at_once):
            body = bodies[number % len(bodies)]
            head = f"POST /recommend HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            if rate is not None:
                await asyncio.sleep(began + number / rate - time.perf_counter())
            started = time.perf_counter()
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            answer = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(answer.partition(b"content-length:")[2].partition(b"\r\n")[0]))
            seconds.append(time.perf_counter() - started)
            if not answer.startswith(b"http/1.1 200"):
                raise ServerError(f"{url}: answered {answer[:60]!r}")
        writer.close()
        return seconds

    return [one for every in await asyncio.gather(*map(connection, range(at_once))) for one in every]


@contextlib.contextmanager
def router(routes: Routes, *, code: Path | None = None) -> Iterator[tuple[str, psutil.Process]]:
    """Run a router with these routes, of another checkout if one is given; yield its URL and its process."""
    with tempfile.TemporaryDirectory(prefix="intentflow-router-") as folder:
        file, port = Path(folder) / "routes.json", free_port()
        start.write(file, routes)
        # Its environment is what it reads and nothing else: no settings of the shell's enter the measurement.
        env = start.environment(file, token=secrets.token_hex(16), port=port)
        env |= {"PYTHONPATH": str((code or ROOT).resolve())}
        process = subprocess.Popen(start.command(), env=env, stderr=subprocess.DEVNULL, cwd=folder)
        try:
            _ready(f"{start.url(port)}/readyz")
            yield start.url(port), psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait(30)


@contextlib.contextmanager
def _door() -> Iterator[str]:
    port = free_port()
    process = multiprocessing.get_context("spawn").Process(target=_answer, args=(port,), daemon=True)
    process.start()
    try:
        _ready(f"http://127.0.0.1:{port}/")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.join()


def _answer(port: int) -> None:
    """Be a door that thinks about nothing."""
    import uvloop
    from aiohttp import web

    reasons = {"history_slow": 0.25, "intent": 0.5, "share_4w": 0.01}
    item = {"item_id": "1234567", "title": "A THING TO BUY", "score": 0.5, "source": "history", "propensity": 1.0}
    body = json.dumps({"items": [item | {"reasons": reasons}] * 10, "profile": {"degraded": False}}).encode()

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        await request.read()
        return web.Response(body=body, content_type="application/json")

    async def serve() -> None:
        runner = web.ServerRunner(web.Server(handle, access_log=None))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        await asyncio.Event().wait()

    uvloop.run(serve())


def _ready(url: str) -> None:
    deadline = time.monotonic() + START_S
    while True:
        with contextlib.suppress(requests.RequestException):
            if requests.get(url, timeout=1).ok:
                return
        if time.monotonic() > deadline:
            raise ServerError(f"{url}: no answer within {START_S:.0f} s")
        time.sleep(0.05)


def _cpu_s(process: psutil.Process) -> float:
    """Return the processor time of a process's threads, which the kernel knows by the nanosecond."""
    spent = 0
    for thread in Path(f"/proc/{process.pid}/task").glob("*/schedstat"):
        spent += int(thread.read_text().split()[0])
    return spent / 1e9


def text(document: Document) -> str:
    """Return the table."""
    before = ["before_cpu_ms"] if any("before_cpu_ms" in found for found in document["router"].values()) else []
    columns = ["cpu_ms", *before, "added_p50_ms", "direct_p50_ms", "routed_p50_ms", "direct_p99_ms", "routed_p99_ms"]
    lines = [[name, *(found[column] for column in columns)] for name, found in document["router"].items()]
    return script.table(["", *columns], lines)


if __name__ == "__main__":
    made = script.parser(__doc__, trained=False)
    made.add_argument(
        "--against", type=Path, help="checkout of another commit, whose router is measured beside this one"
    )
    script.main(made, measure, text)

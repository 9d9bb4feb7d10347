"""Servers with the same models side by side: each is started, warmed, loaded in a closed and in an open loop, stopped.

The load comes from another process; requests go over distinct users; the profiles that a server read must be as many
as the requests that it answered. Servers take turns over several rounds, and each figure is the rounds' median, so
that other work on the machine meets all of them.
"""

import re
import statistics
import subprocess
import tempfile
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from benchmarks import script
from benchmarks.peers import servers
from benchmarks.peers.load import run_load
from benchmarks.peers.servers import Server
from benchmarks.script import Document
from feature_repo.errors import ServerError

if TYPE_CHECKING:
    from bentos.serve import Serving

OURS, ROUTED = "intentflow", "intentflow_routed"
REFERENCE = "starlette"
CLIENTS = 8
FAILURES = (ServerError, subprocess.SubprocessError, OSError)  # of a peer: it is left out, and said to be lacking
FIGURES = ("p50_ms", "p99_ms", "requests_per_s", "errors", "cpu_s_per_1k")


def compare(
    names: Sequence[str],
    users: Sequence[str],
    *,
    tag: str,
    release: Path,
    variables: Mapping[str, str],
    kept: Path,
    seconds: float,
    rate: float,
    rounds: int,
    lacks: dict[str, str],
) -> dict[str, Document]:
    """Return the figures by server; `tag` is our Bento, in the state folder that the variables name.

    `lacks` is told of each peer that could not be measured, and why.
    """
    from pipelines.releases.processes import free_port

    found: dict[str, list[Document]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory(prefix="intentflow-peers-") as folder:
        scratch = Path(folder)
        for number in range(rounds):
            for name in names:
                if name in lacks:
                    continue
                script.note(f"{name}, round {number + 1} of {rounds}")
                try:
                    with started(name, free_port(0), tag, release, variables, kept, scratch) as server:
                        found[name].append(_measured(server, users, scratch, seconds=seconds, rate=rate))
                except FAILURES as error:
                    lacks[name] = (str(error).splitlines() or [type(error).__name__])[0]
                    script.note(f"{name} is left out: {lacks[name]}")
    return {name: {f: round(statistics.median(d[f] for d in documents), 3) for f in documents[0]}
            for name, documents in found.items() if documents}  # fmt: skip


def short(found: Mapping[str, Document]) -> dict[str, Document]:
    """Return of each server what a reader compares first."""
    return {
        name: {"requests_per_s": of["requests_per_s"], "p99_ms": of["p99_ms"], "cpu_ms": of["cpu_s_per_1k"]}
        for name, of in found.items()
    }


def ratios(found: Mapping[str, Document]) -> dict[str, Document]:
    """Divide our figures by each other server's."""
    figures = ("p50_ms", "p99_ms", "requests_per_s", "cpu_s_per_1k")
    return {name: script.ratios(found[OURS], of, figures) for name, of in found.items() if name != OURS}


def bodies_of(server: Server, users: Sequence[str], scratch: Path) -> Path:
    """Write a file with a request for each user."""
    bodies = scratch / "bodies"
    bodies.write_bytes(b"\n".join(map(server.body, users)))
    return bodies


@contextmanager
def started(
    name: str, port: int, tag: str, release: Path, variables: Mapping[str, str], kept: Path, scratch: Path
) -> Iterator[Server]:
    """Run a server by its name; each process of ours is asked in turn, or the router sends each user to theirs."""
    if name not in (OURS, ROUTED):
        with servers.peer(name, port, variables=variables, release=release, scratch=scratch, kept=kept) as server:
            yield server
        return
    from bentos import serve

    door = serve.serve(tag, port=port, env=variables)
    try:
        mine = Server(
            name,
            ",".join(f"{url}/recommend" for url in door.workers or (door.url,)),
            (psutil.Process(door.process.pid),),
            _read_by(door.url),
            servers.plain,
        )
        if name == OURS:
            yield mine
        else:
            with _behind_router(mine, door, scratch, variables) as routed:
                yield routed
    finally:
        door.stop()


@contextmanager
def _behind_router(door: Server, ours: "Serving", scratch: Path, variables: Mapping[str, str]) -> Iterator[Server]:
    """Put the router before our door."""
    from bentos import serve
    from bentos.router import start
    from bentos.router.routes import Backend, Routes
    from pipelines.releases.processes import free_port

    port, routes = free_port(0), scratch / "routes.json"
    start.write(routes, Routes(stable=Backend(release="measured", url=ours.url, workers=ours.workers)))
    environment = dict(variables) | start.environment(routes, token="0" * 64, port=port)
    router = serve.started(start.command(), scratch / "router", env=environment, url=start.url(port))
    try:
        both = (*door.roots, psutil.Process(router.process.pid))
        yield Server(ROUTED, f"{router.url}/recommend", both, door.reads, servers.plain)
    finally:
        router.stop()


def _measured(server: Server, users: Sequence[str], scratch: Path, *, seconds: float, rate: float) -> Document:
    """Load one server; refuse figures of one that did not read a profile for each answer."""
    bodies = bodies_of(server, users, scratch)
    _load(server, bodies, "--clients", str(CLIENTS), seconds=min(seconds, 3.0))  # the first ones are for the caches
    reads, cpu = server.reads(), server.cpu()
    closed = _load(server, bodies, "--clients", str(CLIENTS), seconds=seconds)
    cpu = server.cpu() - cpu
    opened = _load(server, bodies, "--rate", str(rate), seconds=seconds)
    asked = closed["requests"] + opened["requests"]
    answered = asked - closed["errors"] - opened["errors"]
    if not answered <= server.reads() - reads <= asked:
        raise ServerError(f"{server.name}: {answered} answers from {server.reads() - reads} profiles read")
    return {
        "p50_ms": opened["p50_ms"],
        "p99_ms": opened["p99_ms"],
        "requests_per_s": closed["requests_per_s"],
        "errors": closed["errors"] + opened["errors"],
        "cpu_s_per_1k": round(1000 * cpu / closed["requests"], 3),
        "closed_p50_ms": closed["p50_ms"],
        "closed_p99_ms": closed["p99_ms"],
    }


def _load(server: Server, bodies: Path, *how: str, seconds: float) -> Document:
    return run_load(server.url, bodies, *how, seconds=seconds)


def _read_by(url: str) -> Callable[[], int]:
    """Count the profiles that our door has read, by its metrics."""

    def reads() -> int:
        with urllib.request.urlopen(f"{url}/metrics", timeout=10) as reply:
            found = re.findall(
                rb'^intentflow_profile_rung_total\{.*rung="(?:fresh|stale)".*\} ([0-9.e+]+)', reply.read(), re.M
            )
        return int(sum(map(float, found)))

    return reads

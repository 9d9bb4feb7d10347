"""One connection to a door: sends one request at a time and reads its answer, whole or in pieces as they come.

A connection is used again only after an answer whose end is certain and behind which nothing came: else the rest of one
answer could be taken for the next user's.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import cast

import httptools
import msgspec

from bentos.router.headers import Header, first_values, key

STREAMED = b"text/event-stream"
WHOLE_BYTES = 4 << 20  # a longer answer is passed on in pieces
HEAD_BYTES = 64 << 10  # of an answer
AHEAD_BYTES = 256 << 10  # of pieces that wait for a slow client
NO_BODY = frozenset((204, 304))
FINAL = 200  # below it an answer is not the last one to its request


class Lost(Exception):
    """No answer came: `refused` before the request was sent; `reset` or `late` after, so it may have been worked on.

    `held`: it was not sent, since enough requests try this door already (slow_start.py).
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Answer(msgspec.Struct):
    """A door's answer: whole, or to be streamed."""

    status: int
    headers: list[Header]
    named: dict[bytes, bytes]  # their first values
    body: bytes
    rest: "Rest | None" = None  # what is still to come

    @property
    def length(self) -> int | None:
        """Return the length that its head names."""
        length = self.named.get(b"content-length")
        return int(length) if length is not None else None

    def header(self, name: str) -> str | None:
        """Return the first value of a header."""
        value = self.named.get(key(name))
        return None if value is None else value.decode("latin-1")

    def discard(self) -> None:
        """Give the rest up."""
        if self.rest is not None:
            self.rest.give_up()


Outcome = Answer | Lost
Done = Callable[[Outcome], None]  # is told how a request ended, once


class Rest:
    """The pieces of an answer that is still to come."""

    def __init__(self, connection: "DoorConnection", *, silence_s: float) -> None:
        self._connection, self._silence_s = connection, silence_s
        self._parts: deque[bytes] = deque()
        self._size, self._ended, self._broken = 0, False, False
        self._waiter: asyncio.Future[None] | None = None

    def take(self, part: bytes) -> None:
        """Take a piece in; the door waits while the client is slow."""
        self._parts.append(part)
        self._size += len(part)
        if self._size > AHEAD_BYTES:
            self._connection.pause()
        self._wake()

    def end(self, *, broken: bool) -> None:
        """Take in that no more will come."""
        self._ended, self._broken = True, broken
        self._wake()

    def give_up(self) -> None:
        """Want no more of it."""
        if not self._ended:
            self._connection.abort()

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Yield the pieces; raise ConnectionResetError where the door breaks off or falls silent."""
        try:
            while True:
                while self._parts:
                    piece = self._parts.popleft()
                    self._size -= len(piece)
                    yield piece
                if self._ended:
                    break
                self._connection.resume()
                self._waiter = asyncio.get_running_loop().create_future()
                try:
                    await asyncio.wait_for(self._waiter, self._silence_s)
                except TimeoutError:
                    raise ConnectionResetError("the door fell silent") from None
            if self._broken:
                raise ConnectionResetError("the door broke off")
        finally:
            self.give_up()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class DoorConnection(asyncio.Protocol):
    """Sends and reads."""

    def __init__(self, *, silence_s: float, free: Callable[["DoorConnection"], None]) -> None:
        self._silence_s, self._free = silence_s, free
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._done: Done | None = None  # of the request that waits for its answer
        self._outcome: Outcome | None = None  # of it, until the parser is through
        self._due = 0.0  # when its answer is late
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._paused = False
        self._rest: Rest | None = None
        self._headers: list[Header] = []
        self._named: dict[bytes, bytes] = {}
        self._parts: list[bytes] = []
        self._status = self._size = 0
        self._head_only = self._to_the_end = self._over = self._spoilt = False
        self.idle_since = 0.0

    @property
    def open(self) -> bool:
        """Whether a request can be sent on it."""
        return self._transport is not None and not self._transport.is_closing()

    def ask(self, message: bytes, done: Done, *, head_only: bool, due: float) -> None:
        """Send a request; `done` gets its answer, or Lost once the loop's time is `due`."""
        assert self._transport is not None
        self._done, self._due = done, due
        self._head_only, self._over, self._rest = head_only, False, None
        if self._timer is None or due < self._timer_at:
            self._watch()
        self._transport.write(message)

    def abort(self) -> None:
        """End it at once."""
        if self._transport is not None:
            self._transport.abort()

    def pause(self) -> None:
        """Read no more for now."""
        if self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """End an answer that lasts until the door closes; any other one is broken."""
        self._transport = None
        if self._to_the_end and exc is None and not self._over:
            self._finish()
        elif self._rest is not None:
            self._rest.end(broken=True)
        self._fail("reset")
        self._deliver()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def data_received(self, data: bytes) -> None:
        """Read on."""
        if self._done is None and self._rest is None:  # it says something that nobody asked for
            self.abort()
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._spoilt = True
            if not self._over:
                if self._rest is not None:
                    self._rest.end(broken=True)
                self._fail("reset")
                self.abort()
                self._deliver()
                return
        if self._over:
            self._rest = None
            if self._spoilt:
                self.abort()
            else:
                self.resume()  # a slow client may have held it back until the last piece
                self._free(self)
        self._deliver()

    def on_message_begin(self) -> None:
        """An answer begins (called by the parser, as all of `on_…`)."""
        self._spoilt = self._spoilt or self._over
        self._headers, self._parts, self._size = [], [], 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take in a header; those after a body are dropped."""
        if not self._status:
            self._headers.append((name.lower(), value))
            self._size += len(name) + len(value)
            if self._size > HEAD_BYTES:
                raise ValueError("the headers are too large")

    def on_headers_complete(self) -> None:
        """Say how the body comes."""
        status = self._parser.get_status_code()
        if status < FINAL or self._over:
            return
        self._status, self._size = status, 0
        self._named = named = first_values(self._headers)
        length = named.get(b"content-length")
        if self._head_only:
            self._spoilt = True  # the parser waits for a body
            self._finish()
            return
        self._to_the_end = length is None and b"transfer-encoding" not in named and status not in NO_BODY
        kind = named.get(b"content-type")
        if (kind is not None and kind.lower().startswith(STREAMED)) or int(length or 0) > WHOLE_BYTES:
            self._begin_rest()

    def on_body(self, part: bytes) -> None:
        """Take in a part of the body."""
        if self._over:
            return
        if self._rest is not None:
            self._rest.take(part)
            return
        self._parts.append(part)
        self._size += len(part)
        if self._size > WHOLE_BYTES:
            self._begin_rest()

    def on_message_complete(self) -> None:
        """Give the answer out."""
        if self._status and not self._over:
            self._spoilt = self._spoilt or self._to_the_end or not self._parser.should_keep_alive()
            self._finish()

    def _begin_rest(self) -> None:
        """Give the head out now, and the body in pieces."""
        self._rest = Rest(self, silence_s=self._silence_s)
        for part in self._parts:
            self._rest.take(part)
        self._give(Answer(self._status, self._headers, self._named, b"", self._rest))

    def _finish(self) -> None:
        self._over = True
        if self._rest is not None:
            self._rest.end(broken=False)
        else:
            body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
            self._give(Answer(self._status, self._headers, self._named, body))
        self._status, self._to_the_end = 0, False

    def _give(self, answer: Answer) -> None:
        if self._done is not None and self._outcome is None:
            self._outcome = answer

    def _fail(self, reason: str) -> None:
        if self._done is not None and self._outcome is None:
            self._outcome = Lost(reason)

    def _deliver(self) -> None:
        """Tell who asked, last of all: who is told may send the next request on this connection."""
        if self._outcome is None or self._done is None:
            return
        done, outcome = self._done, self._outcome
        self._done = self._outcome = None
        done(outcome)

    def _watch(self) -> None:
        """Look when the answer is due; one timer lasts for many requests, since nearly all are answered before."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = self._due
        self._timer = self._loop.call_at(self._due, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._done is None:
            return
        if self._loop.time() < self._due:
            self._watch()
            return
        self._fail("late")
        self.abort()
        self._deliver()

"""One client's connection: reads its requests one after the other, strictly, and writes the answers in their order.

llhttp (httptools) reads the bytes and refuses what servers could read in two ways: two lengths, a length beside chunks,
bare line feeds, folded lines, spaces in names. What it lets through and this router has no use for is refused here. A
refusal is written, the rest of what the client sends is thrown away, and the connection ends.
"""

import asyncio
from collections import deque
from typing import TYPE_CHECKING, cast

import httptools

from bentos.http.bodies import MAX_BODY_BYTES
from bentos.http.problems import HEADERS_TOO_LARGE, MALFORMED, TOO_LARGE, UNAVAILABLE
from bentos.router import messages
from bentos.router.headers import Header, first_values
from bentos.router.messages import Request, Response

if TYPE_CHECKING:
    from bentos.router.listen import Site

LATE_CLIENT = 408
HEAD_BYTES = 16 << 10  # of a request's line and headers, as at the doors
HEADERS = 100
CHUNKED_BYTES = 8 * MAX_BODY_BYTES  # as they come: chunks of a byte cost five more
AHEAD = 32  # requests of a connection that wait for the one being answered
ENDLESS = float("inf")


class _Refused(Exception):
    """A request that is refused before it is whole."""

    def __init__(self, status: int, error: str, *, where: str, allowed: str) -> None:
        super().__init__(error)
        self.status, self.where, self.allowed = status, where, allowed


class ClientConnection(asyncio.Protocol):
    """Reads and writes. `due` is when the site must look at it: nothing waits for a client for ever."""

    def __init__(self, site: "Site") -> None:
        self._site = site
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._peer = "unknown"
        self._headers: list[Header] = []
        self._named: dict[bytes, bytes] = {}
        self._parts: list[bytes] = []
        self._target, self._method = b"", ""
        self._size = self._raw = 0  # bytes of the head or of the body; bytes since a head or a body began
        self._beside = 0  # bytes since a part of the body came: of a chunk's extension, or of trailers
        self._idle, self._reading, self._in_body, self._began = True, False, False, False
        self._old, self._keep_alive, self._continue = False, True, False
        self._upgraded_bytes = 0  # of a body that the parser leaves to an upgrade, which we do not make
        self._waiting: deque[Request | Response] = deque()
        self._asked: Request | None = None  # the one that is being answered
        self._task: asyncio.Task[None] | None = None  # that passes pieces on
        self._deaf = False  # what comes from now on is thrown away
        self._heard_all = False  # the client says no more
        self._ending = False  # its last answer is written
        self._drained: asyncio.Future[None] | None = None  # while the client does not read
        self.due = ENDLESS

    @property
    def busy(self) -> bool:
        """Whether a request of it is being answered."""
        return self._asked is not None or bool(self._waiting)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self._peer = str(peer[0]) if peer else "unknown"
        self._site.connections.add(self)
        self.due = self._site.time() + self._site.head_s
        if len(self._site.connections) > self._site.most:
            self._refuse(_full(f"{self._site.most} connections are open"))
            self._turn()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget what was not yet asked of a door; what was goes on, since a door may have taken it."""
        self._transport, self._deaf = None, True
        self._site.connections.discard(self)
        self._leave_body()
        self._drop_waiting()
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def eof_received(self) -> bool:
        """Let a client that has said all it has to say hear its answer."""
        self._heard_all = True
        return self.busy

    def pause_writing(self) -> None:
        """Wait for a client that does not read."""
        self.due = self._site.time() + self._site.write_s
        self._drained = self._site.loop.create_future()

    def resume_writing(self) -> None:
        """Go on."""
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained, self.due = None, self._site.time() + self._site.close_s if self._ending else ENDLESS

    def overdue(self) -> None:
        """End the wait for a client that is too slow."""
        if self._transport is None:
            return
        if self._ending or self._drained is not None:
            self._transport.abort()
        elif self.busy:
            self.due = ENDLESS
        elif self._idle:
            self._leave(self._site.close_s)
        else:
            where, seconds = ("body", self._site.body_s) if self._in_body else ("request", self._site.head_s)
            error = f"the {where} did not come"
            self._refuse(_Refused(LATE_CLIENT, error, where=where, allowed=f"{seconds:.0f} s"))
            self._turn()

    def close(self) -> None:
        """Close it, whatever it does."""
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Read on; answer once all is read that came, so that an answer never goes out amid the parser's work."""
        self._read(data)
        self._turn()
        if self._waiting and not self._deaf and self._transport is not None:
            self._transport.pause_reading()  # it asks ahead

    def _read(self, data: bytes) -> None:
        if self._deaf:
            return
        if self._upgraded_bytes:
            data = self._read_upgraded(data)
        if self._idle:
            self._idle, self.due = False, self._site.time() + self._site.head_s
        self._began = False
        come = len(data)
        self._beside += come
        while data and not self._deaf:
            data = self._feed(data)
        if self._deaf or not self._reading:
            return
        self._raw = 0 if self._began else self._raw + come
        if (self._beside if self._in_body else self._raw) > HEAD_BYTES:
            self._refuse(_large_head())
        elif self._raw > CHUNKED_BYTES:
            self._refuse(_large_body())

    def _feed(self, data: bytes) -> bytes:
        """Have the parser read; return what it leaves behind a request that asks for another protocol."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._parser = httptools.HttpRequestParser(self)
            return self._read_upgraded(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            if self._deaf:  # it comes after a request that ends the connection
                return b""
            cause = error.__context__
            where = "body" if self._in_body else "request"
            self._refuse(
                cause
                if isinstance(cause, _Refused)
                else _Refused(MALFORMED, f"no HTTP: {error}", where=where, allowed="HTTP/1.1")
            )
        return b""

    def _read_upgraded(self, data: bytes) -> bytes:
        """Read the body of a request that asks for another protocol as well; return what is left."""
        if not self._upgraded_bytes:
            return data
        part, rest = data[: self._upgraded_bytes], data[self._upgraded_bytes :]
        self._upgraded_bytes -= len(part)
        try:
            self._hold(part)
            if not self._upgraded_bytes:
                self._complete()
        except _Refused as refused:
            self._refuse(refused)
            return b""
        return rest

    def on_message_begin(self) -> None:
        """A request begins (called by the parser, as all of `on_…`)."""
        self._began = self._reading = True
        self._headers, self._parts, self._target, self._size = [], [], b"", 0

    def on_url(self, part: bytes) -> None:
        """Take in the target."""
        self._target += part
        self._size += len(part)
        if self._size > HEAD_BYTES:
            raise _large_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take in a header; those after a body are dropped."""
        if self._in_body:
            return
        self._headers.append((name.lower(), value))
        self._size += len(name) + len(value)
        if self._size > HEAD_BYTES or len(self._headers) > HEADERS:
            raise _large_head()

    def on_headers_complete(self) -> None:
        """Judge the head."""
        version, self._method = self._parser.get_http_version(), self._parser.get_method().decode()
        self._old, self._keep_alive = version == "1.0", self._parser.should_keep_alive()
        length, chunked = self._judged(version)
        self._named = first_values(self._headers)
        self._reading = self._in_body = True
        self._site.in_flight += 1
        self._size = self._beside = 0
        if length > MAX_BODY_BYTES:
            raise _large_body()
        if length and self._parser.should_upgrade():
            self._upgraded_bytes = length
        if not (length or chunked):
            return
        self.due = self._site.time() + self._site.body_s
        expected = self._named.get(b"expect")
        if expected is not None and expected.lower() == b"100-continue" and not self._old:
            self._continue = True
            self._say_continue()

    def on_body(self, part: bytes) -> None:
        """Take in a part of the body."""
        self._beside = 0
        self._hold(part)

    def _hold(self, part: bytes) -> None:
        """Keep a part of the body, as long as it and all bodies together are not too large."""
        self._parts.append(part)
        self._size += len(part)
        self._site.held_bytes += len(part)
        if self._size > MAX_BODY_BYTES:
            raise _large_body()
        if self._site.held_bytes > self._site.most_bytes:
            raise _full(f"bodies of {self._site.most_bytes} bytes are held")

    def on_message_complete(self) -> None:
        """Answer, or wait for the requests before."""
        if not self._upgraded_bytes:
            self._complete()

    def _judged(self, version: str) -> tuple[int, bool]:
        """Return a body's length and whether it comes in chunks; refuse a head that could be read in two ways."""
        length, chunked, hosts = 0, False, 0
        for name, value in self._headers:
            if name == b"content-length":
                length = int(value)
            elif name == b"transfer-encoding":
                chunked = True
                if value.strip().lower() != b"chunked" or version != "1.1":
                    raise _Refused(MALFORMED, "no such transfer encoding", where="Transfer-Encoding", allowed="chunked")
            elif name == b"host":
                hosts += 1
        if version not in ("1.0", "1.1"):
            raise _Refused(MALFORMED, f"no HTTP/{version}", where="request", allowed="HTTP/1.1")
        if hosts > 1 or (not hosts and version == "1.1"):
            raise _Refused(MALFORMED, f"{hosts} hosts", where="Host", allowed="one")
        if not self._target.startswith(b"/") or b"#" in self._target:
            raise _Refused(MALFORMED, "the target is no path", where="path", allowed="a path that begins with /")
        if chunked and self._parser.should_upgrade():
            raise _Refused(MALFORMED, "an upgrade with a body in chunks", where="Upgrade", allowed="Content-Length")
        return length, chunked

    def _say_continue(self) -> None:
        if self._continue and not self.busy and self._transport is not None:
            self._transport.write(messages.CONTINUE)
            self._continue = False

    def _complete(self) -> None:
        """Have a whole request answered."""
        if len(self._waiting) >= AHEAD + (
            self._asked is None
        ):  # one read holds thousands, and each costs memory until its turn
            raise _full(f"{AHEAD} requests of this connection wait")
        self._reading = self._in_body = self._continue = False
        body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        request = Request(self._method, self._target.decode("latin-1"), self._headers, self._named, body, self._peer)
        request.keep_alive, request.old = self._keep_alive, self._old
        if not self._keep_alive:
            self._deaf = True
        self._answer(request)

    def _refuse(self, refused: _Refused) -> None:
        """Answer what is no good request, and hear no more."""
        self._leave_body()
        self._idle, self._reading, self._deaf = False, False, True
        self._answer(self._site.refuse(refused.status, str(refused), where=refused.where, allowed=refused.allowed))

    def _leave_body(self) -> None:
        """Give up a request that is not whole."""
        if self._in_body:
            self._site.left(self._size)
        self._in_body, self._upgraded_bytes, self._parts = False, 0, []

    def _drop_waiting(self) -> None:
        """Give up what nobody can hear the answer to."""
        for one in self._waiting:
            if isinstance(one, Request):
                self._site.left(len(one.body))
        self._waiting.clear()

    def _answer(self, one: Request | Response) -> None:
        """Answer in turn."""
        if self._transport is not None:
            self._waiting.append(one)

    def _turn(self) -> None:
        """Have the next request answered, unless one is being."""
        if self._asked is not None or not self._waiting:
            return
        one = self._waiting.popleft()
        if isinstance(one, Request):
            self._asked = one
            self._site.handler(one, self._give)
        else:
            self._end(one)

    def _give(self, response: Response) -> None:
        """Write the answer to the request that is being answered."""
        request = self._asked
        assert request is not None
        close = not request.keep_alive or self._site.draining()
        if response.pieces is not None:
            self._task = self._site.loop.create_task(self._stream(request, response, close))
            return
        if self._transport is not None:
            only = request.method == "HEAD"
            self._transport.write(messages.whole(response, head_only=only, close=close, old=request.old))
        if self._drained is not None:
            self._drained.add_done_callback(lambda _: self._given(request, close))
        else:
            self._given(request, close)

    async def _stream(self, request: Request, response: Response, close: bool) -> None:
        broken = True
        try:
            close = await self._write_pieces(request, response, close)
            broken = False
        finally:
            self._task = None
            self._given(request, close or broken)

    def _given(self, request: Request, close: bool) -> None:
        """Go on behind an answer."""
        self._asked = None
        self._site.left(len(request.body))
        if self._transport is None:
            return
        if close:
            self._drop_waiting()
            self._leave(self._site.write_s)
        elif self._waiting:
            self._turn()
        else:
            self._go_on()

    async def _write_pieces(self, request: Request, response: Response, close: bool) -> bool:
        """Pass pieces on as they come; one that breaks off is seen as a broken answer, not as a short one."""
        assert response.pieces is not None
        close = close or (request.old and response.length is None)
        head, chunked = messages.head_of_pieces(response, close=close, old=request.old)
        try:
            if self._transport is not None:
                self._transport.write(head)
            async for piece in response.pieces:
                if self._transport is None:
                    break
                self._transport.write(messages.chunk(piece) if chunked else piece)
                if self._drained is not None:
                    await self._drained
        except ConnectionError:
            return True
        finally:
            await response.pieces.aclose()
        if chunked and self._transport is not None:
            self._transport.write(messages.LAST_CHUNK)
        return close

    def _go_on(self) -> None:
        """Wait for the next request."""
        assert self._transport is not None
        if self._heard_all:
            self._leave(self._site.write_s)
            return
        self._transport.resume_reading()
        self._say_continue()
        wait_s = self._site.body_s if self._in_body else self._site.head_s if self._reading else self._site.keep_s
        self._idle, self.due = not self._reading, self._site.time() + wait_s

    def _leave(self, within_s: float) -> None:
        """Close once what is written has gone; a client that never reads has so long."""
        assert self._transport is not None
        self._deaf = self._ending = True
        self.due = self._site.time() + within_s
        self._transport.close()

    def _end(self, response: Response) -> None:
        """Write a refusal. What the client still sends is thrown away for a while: a reset could cost it the answer."""
        assert self._transport is not None
        self._deaf = self._ending = True
        self._transport.write(messages.whole(response, head_only=False, close=True, old=False))
        self.due = self._site.time() + self._site.close_s
        if self._transport.can_write_eof():
            self._transport.write_eof()


def _large_head() -> _Refused:
    return _Refused(
        HEADERS_TOO_LARGE, "the headers are too large", where="headers", allowed=f"at most {HEAD_BYTES} bytes"
    )


def _large_body() -> _Refused:
    allowed = f"at most {MAX_BODY_BYTES} bytes"
    return _Refused(TOO_LARGE, "the body is too large", where="body", allowed=allowed)


def _full(error: str) -> _Refused:
    return _Refused(UNAVAILABLE, error, where="service", allowed="a retry")

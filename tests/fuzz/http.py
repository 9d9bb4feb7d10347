"""The router's two HTTP parsers as targets: what clients send, and what doors answer."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from bentos.http.problems import Problem
from bentos.router import requests as asked
from bentos.router.client_connection import ClientConnection
from bentos.router.door_connection import Answer, DoorConnection, Lost
from bentos.router.headers import Header
from bentos.router.listen import Site
from bentos.router.messages import Request, Response
from bentos.router.routes import Routes

ROUTES = Routes.model_validate(
    {
        "rollout": "r1",
        "mode": "canary",
        "share": 0.5,
        "stable": {"release": "a", "url": "http://a"},
        "candidate": {"release": "b", "url": "http://b"},
    }
)
Read = tuple[str, str, tuple[Header, ...], bytes]  # a request as the router's handler gets it


class Wire:
    """The side of a connection that a test holds: what was written, and whether it is open."""

    def __init__(self) -> None:
        self.written, self.closed = b"", False

    def get_extra_info(self, name: str) -> Any:
        """Say where the peer is."""
        return ("203.0.113.7", 4711) if name == "peername" else None

    def write(self, data: bytes) -> None:
        """Note what is written."""
        self.written += data

    def is_closing(self) -> bool:
        """Say whether it is closed."""
        return self.closed

    def close(self) -> None:
        """Close it."""
        self.closed = True

    abort = write_eof = close

    def can_write_eof(self) -> bool:
        """Say that half of it can be closed."""
        return True

    def pause_reading(self) -> None:
        """Go on: bytes come by hand."""

    resume_reading = pause_reading


def router(data: bytes) -> None:
    """A client's bytes, at once and cut into pieces: the same requests are read, and nothing of them stays held.

    The first byte says how long a piece is.
    """
    size, stream = (data[0] % 61 + 1, data[1:]) if data else (1, b"")
    whole, cut = run(lambda: _heard([stream])), run(lambda: _heard(_pieces(stream, size)))
    shorter = min(len(whole), len(cut))  # one read may hold more requests than may wait
    assert whole[:shorter] == cut[:shorter], "the same bytes are other requests when they are cut elsewhere"


def door_answers(data: bytes) -> None:
    """A door's bytes to one request, in pieces whose length the first byte says: an answer, or Lost."""
    size, stream = (data[0] % 61 + 1, data[1:]) if data else (1, b"")
    run(lambda: _answered(_pieces(stream, size)))


def _pieces(stream: bytes, size: int) -> list[bytes]:
    return [stream[at : at + size] for at in range(0, len(stream), size)]


async def _heard(pieces: list[bytes]) -> list[Read]:
    """Feed a connection; return the requests that it had answered."""
    read: list[Read] = []

    def answer(request: Request, give: Callable[[Response], None]) -> None:
        read.append((request.method, request.target, tuple(request.headers), request.body))
        endpoint = asked.endpoint_of(request.method, request.path)
        asked.arm_for(endpoint, request.body, ROUTES)
        asked.repeatable(request.method, endpoint, request.body)
        assert request.target.startswith("/")
        assert not request.from_here
        for name, value in request.headers:
            assert not set(b"\r\n\0") & set(name + value), "a header holds the end of a line"
        asyncio.get_running_loop().call_soon(give, Response(200, b"", b"{}"))

    def refuse(code: int, error: str, *, where: str, allowed: str) -> Response:
        body = Problem(error=error, where=where, allowed=allowed).model_dump_json().encode()
        assert b"\n" not in body
        return Response(code, b"", body)

    site, wire = Site(answer, refuse, draining=lambda: False), Wire()
    connection = ClientConnection(site)
    connection.connection_made(wire)  # type: ignore[arg-type]
    for piece in pieces:
        connection.data_received(piece)
        await _settled()
    connection.eof_received()
    await _settled()
    connection.connection_lost(None)
    await _settled()
    assert (site.in_flight, site.held_bytes) == (0, 0), "a connection that is gone still holds a part of the budget"
    assert not site.connections
    return read


async def _answered(pieces: list[bytes]) -> None:
    """Ask a door once and feed its answer."""
    wire = Wire()
    free: list[DoorConnection] = []
    connection = DoorConnection(silence_s=0.05, free=free.append)
    connection.connection_made(wire)  # type: ignore[arg-type]
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[Answer] = loop.create_future()

    def done(outcome: Answer | Lost) -> None:
        if isinstance(outcome, Lost):
            waiter.set_exception(outcome)
        else:
            waiter.set_result(outcome)

    connection.ask(b"", done, head_only=False, due=loop.time() + 60.0)
    for piece in pieces:
        if not wire.closed:
            connection.data_received(piece)
    assert not free or waiter.done(), "a connection is used again before its answer is whole"
    connection.connection_lost(None)
    with contextlib.suppress(Lost):
        answer = await waiter
        asked.items_of(answer.body)
        asked.degraded(answer.body)
        assert answer.length is None or answer.length >= 0
        if answer.rest is not None:
            with contextlib.suppress(ConnectionResetError):
                async for _ in answer.rest.pieces():
                    pass


async def _settled() -> None:
    """Let the tasks of a connection run."""
    for _ in range(4):
        await asyncio.sleep(0)


def run(what: Callable[[], Any]) -> Any:
    """Run a coroutine; what a task of it raised and nobody awaited is raised here."""
    loop, raised = _loop(), []
    loop.set_exception_handler(lambda _, context: raised.append(context))
    found = loop.run_until_complete(what())
    for context in raised:
        raise context.get("exception") or AssertionError(context["message"])
    return found


_LOOPS: list[asyncio.AbstractEventLoop] = []


def _loop() -> asyncio.AbstractEventLoop:
    """Return one loop for all calls: a new one a call costs more than the parser."""
    if not _LOOPS:
        _LOOPS.append(asyncio.new_event_loop())
    return _LOOPS[0]

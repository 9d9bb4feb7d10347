"""ASGI middleware that has this process answer on a loopback port of its own as well, once the service has started.

The first port of a list that nobody listens on is this process's. Until the service is ready nobody listens there, and
nobody does after a kill, so who asks is refused at once and asks another process. It stops before the service does, and
answers what it has taken.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator, Sequence
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bentos.workers import LOOPBACK

BACKLOG = 2048
AGAIN_S = 1.0  # between looks for a port, where all are taken
log = logging.getLogger("intentflow.door")


class OwnPort:
    """Listens beside the server that runs it; `state.ports` lists the ports once the service has started."""

    def __init__(self, app: ASGIApp, *, state: Any) -> None:
        self._app, self._state = app, state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass requests on; begin and end with the service."""
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        listening: list[Listener] = []

        async def sending(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete" and self._state.ports:
                listening.append(Listener(scope["app"], self._state.ports))
            await send(message)

        async def receiving() -> Message:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                for one in listening:
                    await one.close()
            return message

        await self._app(scope, receiving, sending)


class Listener:
    """Serves an application on the first port that is free; make it in a running loop."""

    def __init__(self, app: ASGIApp, ports: Sequence[int]) -> None:
        config = uvicorn.Config(
            app, lifespan="off", log_config=None, access_log=False, server_header=False, backlog=BACKLOG
        )
        self._server = _Server(config)
        self._serving = asyncio.create_task(self._serve(ports))

    async def close(self) -> None:
        """Take no more connections and let running requests end."""
        self._server.should_exit = True
        if not self._server.started:
            self._serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._serving

    async def _serve(self, ports: Sequence[int]) -> None:
        while (own := bound(ports)) is None:
            log.warning("all of the ports %s are taken; this process answers on the shared one alone", list(ports))
            await asyncio.sleep(AGAIN_S)
        await self._server.serve(sockets=[own])


class _Server(uvicorn.Server):
    """A second server of a process: signals are the first one's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def bound(ports: Sequence[int]) -> socket.socket | None:
    """Listen on the first port that nobody listens on."""
    for port in ports:
        found = socket.socket()
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((LOOPBACK, port))
            found.listen(BACKLOG)  # two may be bound to a port, one can listen
        except OSError:
            found.close()
            continue
        return found
    return None

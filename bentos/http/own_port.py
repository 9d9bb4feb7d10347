"""ASGI middleware that has this process answer on a loopback port of its own as well, once the service has started.

The first port of a list that no process claims is this process's: a claim is a lock on a file in the folder that the
processes share, which the kernel gives back. The door holds the ports (bentos/launch.py), so that no program of another
user's takes one. Until the service is ready nobody listens there, and nobody does after a kill, so who asks is refused
at once and asks another process. It stops before the service does, and answers what it has taken.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bentos.workers import LOOPBACK

BACKLOG = 2048
AGAIN_S = 1.0  # between looks for a port, where all are taken
log = logging.getLogger("intentflow.door")


class OwnPort:
    """Listens beside the server that runs it, as `state.ports` and `state.shared` say once the service has started."""

    def __init__(self, app: ASGIApp, *, state: Any) -> None:
        self._app, self._state = app, state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass requests on; begin and end with the service."""
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        listening: list[Listener] = []

        async def sending(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete" and self._state.ports and self._state.shared:
                listening.append(Listener(scope["app"], self._state.ports, self._state.shared))
            await send(message)

        async def receiving() -> Message:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                for one in listening:
                    await one.close()
            return message

        await self._app(scope, receiving, sending)


class Listener:
    """Serves an application on the first port that no process claims; make it in a running loop."""

    def __init__(self, app: ASGIApp, ports: Sequence[int], shared: Path) -> None:
        config = uvicorn.Config(
            app, lifespan="off", log_config=None, access_log=False, server_header=False, backlog=BACKLOG
        )
        self._server = _Server(config)
        self._serving = asyncio.create_task(self._serve(ports, shared))

    async def close(self) -> None:
        """Take no more connections and let running requests end."""
        self._server.should_exit = True
        if not self._server.started:
            self._serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._serving

    async def _serve(self, ports: Sequence[int], shared: Path) -> None:
        try:
            while (own := bound(ports, shared)) is None:
                log.warning("processes have all of the ports %s; this one answers on the shared one", list(ports))
                await asyncio.sleep(AGAIN_S)
        except OSError as error:  # the router would send this process's users to whoever has its port
            log.error("a port of this door's, of %s, is taken: %s; this process ends", list(ports), error)
            os.kill(os.getpid(), signal.SIGTERM)
            return
        found, claim = own
        try:
            await self._server.serve(sockets=[found])
        finally:
            os.close(claim)


class _Server(uvicorn.Server):
    """A second server of a process: signals are the first one's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def bound(ports: Sequence[int], shared: Path) -> tuple[socket.socket, int] | None:
    """Listen on the first port that no process claims; return the socket, and the claim: an open file.

    Raises OSError where something else has the port.
    """
    for port in ports:
        claim = os.open(shared / f"port.{port}", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return _listening(port), claim
        except BlockingIOError:
            os.close(claim)
        except OSError:
            os.close(claim)
            raise
    return None


def _listening(port: int) -> socket.socket:
    """Listen beside the door's reservation, and beside what a killed process's connections left."""
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        found.bind((LOOPBACK, port))
        found.listen(BACKLOG)
    except OSError:
        found.close()
        raise
    return found

"""Listening for clients: aiohttp's plain server, the bounds on a client's body, and whether a client is local."""

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from bentos.http.bodies import MAX_BODY_BYTES

BODY_S = 30.0  # for a client to send its body
KEEP_S = 75.0  # an idle connection of a client
CLOSE_S = 1.0  # for connections to close

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


async def listen(handler: Handler, host: str, port: int) -> web.ServerRunner:
    """Listen, without a routing table and without an access log."""
    loop = asyncio.get_running_loop()

    def make(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=MAX_BODY_BYTES + 1)

    server = web.Server(handler, request_factory=make, access_log=None, keepalive_timeout=KEEP_S, auto_decompress=False)
    runner = web.ServerRunner(server, shutdown_timeout=CLOSE_S)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner


async def body_of(request: web.BaseRequest) -> bytes:
    """Read a request's body, but not a huge or a slow one."""
    if not request.body_exists:
        return b""
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise web.HTTPRequestEntityTooLarge(MAX_BODY_BYTES, request.content_length or 0)
    if request.content.is_eof():  # it came with the head, as small ones do: nothing to wait for
        return await request.read()
    async with asyncio.timeout(BODY_S):
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        return await request.read()


def from_here(request: web.BaseRequest) -> bool:
    """Say whether a request comes from this machine, and not through a proxy on it."""
    if "X-Forwarded-For" in request.headers or "Forwarded" in request.headers:
        return False
    try:
        return ipaddress.ip_address(request.remote or "").is_loopback
    except ValueError:
        return False

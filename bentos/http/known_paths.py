"""ASGI middleware that keeps paths which strangers make up out of what BentoML counts.

BentoML's own middleware counts each request under its path as it came, before any key is read: a stranger who asks for
a path never asked before adds some twenty series to `/metrics`, five kilobytes that stay for as long as the process
does. Middleware of ours comes after BentoML's, so once the service has started this one puts itself before all of it:
what no known path asks for goes straight to the guard and the routes, which refuse it as before, uncounted. What asks
an endpoint goes the short way (direct.py), which counts it.
"""

from collections.abc import Callable, Mapping
from typing import Any

from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bentos.http.direct import Direct, direct


class KnownPaths:
    """Wraps the application that it is middleware of, when that has started."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        known: frozenset[str],
        guard: Callable[[ASGIApp], ASGIApp],
        endpoints: Mapping[str, Direct],  # by path
    ) -> None:
        self._app, self._known, self._guard, self._endpoints = app, known, guard, endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on; at the start take the first place."""
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                first(scope["app"], known=self._known, guard=self._guard, endpoints=self._endpoints)
            await send(message)

        await self._app(scope, receive, sending)


def first(
    app: Any, *, known: frozenset[str], guard: Callable[[ASGIApp], ASGIApp], endpoints: Mapping[str, Direct]
) -> None:
    """Have a Starlette application's middleware see only requests of `known` paths; others meet `guard` and the routes.

    Requests of `endpoints` by their method meet `guard` and the endpoint. Web sockets of unknown paths are closed: the
    door has none.
    """
    counted: ASGIApp = app.middleware_stack
    uncounted = guard(ExceptionMiddleware(app.router))
    short, methods = direct(app, endpoints, guard), {path: one.method for path, one in endpoints.items()}

    async def chosen(scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        path = "" if kind == "lifespan" else scope["path"]
        if kind == "http" and path in short and scope["method"] == methods[path]:
            await short[path](scope, receive, send)
        elif kind == "lifespan" or path in known:
            await counted(scope, receive, send)
        elif kind == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        else:
            await uncounted(scope, receive, send)

    app.middleware_stack = chosen

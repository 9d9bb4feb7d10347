"""The short way to the door's endpoints: guard and endpoint, without BentoML's middleware and two routers.

That middleware costs as much as reading the user's row: it makes a task and a timer of 65 s for each request, spans
that nobody reads and a context that nobody asks for, and looks its metrics up by their labels for each count. Here
each request counts in the same metrics of BentoML, under the same labels, found once. Its limit of time is not missed:
the pools (bounded_pool.py) and `bodies.received` keep tighter ones. Endpoints that stream, other methods and BentoML's
own pages stay with BentoML.
"""

import functools
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any, Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Direct(Protocol):
    """ASGI application of one endpoint."""

    method: str
    streams: bool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""


def direct(app: Any, endpoints: Mapping[str, Direct], guard: Callable[[ASGIApp], ASGIApp]) -> dict[str, ASGIApp]:
    """Return of a Starlette application that BentoML made the short way to each of its endpoints, by path."""
    counts = BentoCounts.of(app.middleware_stack)
    return {path: _counted(path, guard(one), counts) for path, one in endpoints.items() if not one.streams}


def _counted(path: str, app: ASGIApp, counts: "BentoCounts | None") -> ASGIApp:
    """Have requests of a path count in BentoML's metrics, where it has any."""
    if counts is None:
        return app

    async def counted(scope: Scope, receive: Receive, send: Send) -> None:
        started, status = perf_counter(), 0
        counts.last.set_to_current_time()
        running = counts.running(path)

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif not message.get("more_body", False):
                total, seconds = counts.answered(path, status)
                total.inc()
                seconds.observe(max(perf_counter() - started, 0))
            await send(message)

        running.inc()
        try:
            await app(scope, receive, sending)
        finally:
            running.dec()

    return counted


class BentoCounts:
    """The metrics in which BentoML's middleware counts requests, with their labels filled in once."""

    def __init__(self, middleware: Any, labels: Mapping[str, str]) -> None:
        self.last = middleware.metrics_last_request_timestamp.labels(**labels)
        self.running = functools.cache(
            lambda path: middleware.metrics_request_in_progress.labels(endpoint=path, **labels)
        )
        self.answered = functools.cache(
            lambda path, status: (
                middleware.metrics_request_total.labels(endpoint=path, http_response_code=status, **labels),
                middleware.metrics_request_duration.labels(endpoint=path, http_response_code=status, **labels),
            )
        )

    @classmethod
    def of(cls, stack: Any) -> "BentoCounts | None":
        """Return the metrics of the middleware in a stack; None: BentoML is set to count nothing."""
        from bentoml._internal.context import server_context
        from bentoml._internal.server.http.instruments import RunnerTrafficMetricsMiddleware

        while stack is not None and not isinstance(stack, RunnerTrafficMetricsMiddleware):
            stack = getattr(stack, "app", None)
        if stack is None:
            return None
        if not stack._is_setup:
            stack._setup()
        labels = {
            "service_name": server_context.bento_name,
            "service_version": server_context.bento_version,
            "runner_name": server_context.service_name,
        }
        return cls(stack, labels)

"""The HTTP side of the door: a Starlette application that service.py mounts in BentoML.

Each endpoint of bentos/endpoints reads a strict model from the body, runs its function in a bounded pool, and writes
the answer or one line of refusal. BentoML's own endpoint would cost about a millisecond more a call. What answers an
endpoint is an ASGI application of its own (`Endpoint`), which bentos/http/direct.py asks without any router.
"""

import dataclasses
import datetime as dt
import json
import logging
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.datastructures import Headers, State
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from bentos.access import Bounds
from bentos.endpoints import popular
from bentos.endpoints.describe import Descriptions
from bentos.endpoints.events import Accepted
from bentos.endpoints.openapi import merged
from bentos.endpoints.operations import OPERATIONS, Operation
from bentos.endpoints.recommend import Recommendations
from bentos.endpoints.shelves import Shelves
from bentos.http import sse
from bentos.http.auth import Check
from bentos.http.bodies import BODY_S, received
from bentos.http.bounded_pool import BoundedPool
from bentos.http.event_bounds import EventBounds
from bentos.http.guard import CONTEXT
from bentos.http.limits import Limits
from bentos.http.problems import FAULT, OUR_FAULT, OVERLOADED, Problem, Rejected, rejected
from bentos.http.request_context import RequestContext
from bentos.http.tracing import Tracing
from bentos.recommender.door import Door
from bentos.recommender.metrics import Metrics
from bentos.recommender.words import Words
from feature_repo.endpoints import POPULAR

OK, NOT_FOUND, WRONG_METHOD = 200, 404, 405
JSON, EVENT_STREAM = b"application/json", f"{sse.MEDIA_TYPE}; charset=utf-8".encode()
log = logging.getLogger("intentflow.door")


@dataclasses.dataclass(frozen=True)
class DoorContext:
    """What the routes work with once the service has started."""

    door: Door
    reads: BoundedPool
    writes: BoundedPool
    metrics: Metrics
    openapi: dict[str, Any]  # BentoML's own document
    check: Check | None = None  # of callers' keys or tokens; None: everyone is let in
    limits: Limits = dataclasses.field(default_factory=lambda: Limits({}))
    bounds: EventBounds = dataclasses.field(default_factory=lambda: EventBounds(Bounds()))
    open_pages: frozenset[str] = frozenset()
    shadow_token: str = ""
    tracing: Tracing | None = None
    auth: popular.Auth = "none"
    words: Words | None = None  # a language model that rewrites texts
    events: BoundedPool | None = None  # for events, which share turns; None: they go with the other writes
    _popular: dict[int | None, bytes] = dataclasses.field(default_factory=dict)

    def pool(self, operation: Operation) -> BoundedPool:
        """Return where an operation runs."""
        if operation.endpoint.kind == "write" and self.events is not None:
            return self.events
        return self.writes if operation.writes else self.reads

    @property
    def release(self) -> str:
        """Return the id of the release that answers."""
        return self.door.release.id

    @property
    def popular(self) -> bytes:
        """The document of what is popular; one release always says the same of one version of the catalogue."""
        version = self.door.catalogue.current.version
        if version not in self._popular:
            made = popular.document(self.door, auth=self.auth, made_at=dt.datetime.now(dt.UTC))
            self._popular.clear()
            self._popular[made.catalogue_version] = json.dumps(popular.sealed(made)).encode()
            return self._popular[made.catalogue_version]
        return self._popular[version]


def create_app(operations: Sequence[Operation] = OPERATIONS) -> Starlette:
    """Make the application; `app.state.opened` is set when the service starts."""
    app = Starlette(exception_handlers={WRONG_METHOD: _wrong_method})
    app.state.operations = operations
    app.state.endpoints = {operation.path: Endpoint(operation, app.state) for operation in operations}
    app.router.routes += [
        *(Route(path, one, methods=[one.method]) for path, one in app.state.endpoints.items()),
        Route("/docs.json", _docs, methods=["GET"]),
        Route(POPULAR, _popular, methods=["GET"]),
        Route("/{path:path}", _nowhere, methods=["POST"]),  # other methods fall through to BentoML's pages
    ]
    return app


def scopes(operations: Sequence[Operation] = OPERATIONS) -> dict[str, str]:
    """Return the scope that each path asks for."""
    return {operation.path: operation.scope for operation in operations}


class Endpoint:
    """ASGI application of one operation; it asks no router and no middleware for anything."""

    def __init__(self, operation: Operation, state: State) -> None:
        self._operation, self._state = operation, state
        self._path, self._pool = operation.path, "writes" if operation.writes else "reads"
        self.method, self.streams = operation.endpoint.method, operation.streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        started, operation = time.perf_counter(), self._operation
        opened: DoorContext = self._state.opened
        running = opened.metrics.running(self._pool)
        running.inc()
        events = operation.streams and sse.wanted(Headers(scope=scope).get("accept", ""))
        try:
            code, body, headers = await _answer(opened, operation, scope, receive, events=events)
        finally:
            running.dec()
        if code == OVERLOADED:
            opened.metrics.shed.labels(self._pool).inc()
        opened.metrics.answered(self._path, code, seconds=time.perf_counter() - started)
        if not isinstance(body, bytes):
            streaming = StreamingResponse(body, code, media_type=sse.MEDIA_TYPE, headers=sse.HEADERS)
            await streaming(scope, receive, send)
            return
        kind = JSON
        if code == OK and events:
            of, name = operation.contract.pieces
            body, kind, headers = sse.events(body, of=of, name=name), EVENT_STREAM, sse.HEADERS
        told = [(name.lower().encode("latin-1"), text.encode("latin-1")) for name, text in headers.items()]
        told += [(b"content-length", b"%d" % len(body)), (b"content-type", kind)]
        await send({"type": "http.response.start", "status": code, "headers": told})
        await send({"type": "http.response.body", "body": body})


async def _answer(
    opened: DoorContext, operation: Operation, scope: Scope, receive: Receive, *, events: bool
) -> tuple[int, bytes | AsyncIterator[bytes], dict[str, str]]:
    """Return an answer's status, JSON and headers; every refusal and every fault is one line.

    Where a model writes and the caller wants `events`, they come in place of the JSON, as the model makes them.
    """
    asks = operation.asks_of(opened.door)
    try:
        opened.pool(operation).require_room()
        ask = asks.model_validate_json(await received(receive, within_s=BODY_S))
        context: RequestContext = scope.get(CONTEXT) or RequestContext()
        if operation.endpoint.kind == "write" and not context.mirrored:  # the door of the original has bounded a copy
            operation.require_own(ask, context)  # first: what is refused must not count for an item
            entries, item_of = getattr(ask, operation.endpoint.name), opened.door.item_id
            await opened.bounds.admit(context.who, context.address, entries, item_of=item_of)
        context.reranks = opened.words is not None and opened.words.reader is not None
        answer = await _answered(opened, operation, ask, context)
        if opened.words is not None and isinstance(answer, Recommendations):
            answer = await opened.words.ordered(answer, context)
        if opened.words is not None and isinstance(answer, Descriptions):
            if events:
                opened.metrics.counted(answer)
                return OK, opened.words.events(answer, context), {}
            answer = await opened.words.whole(answer, context)
        if opened.words is not None and isinstance(answer, Shelves):
            answer = await opened.words.titled(answer, context)
    except ValidationError as error:
        return _refused(rejected(error, asks))
    except Rejected as refusal:
        return _refused(refusal)
    except Exception:  # the traceback belongs in our log, not in the answer
        log.exception("%s failed", operation.path)
        return FAULT, OUR_FAULT.model_dump_json().encode(), {}
    opened.metrics.counted(answer)
    if context.who is not None and context.who.page is not None and isinstance(answer, Accepted):
        answer = answer.without_findings()
    return OK, answer.model_dump_json().encode(), {}


async def _answered(opened: DoorContext, operation: Operation, ask: BaseModel, context: RequestContext) -> BaseModel:
    """Run the endpoint's function in its pool; a read that is late is answered from what is in memory."""

    def call() -> BaseModel:
        return operation.answer(opened.door, ask, context)

    def late() -> BaseModel:
        context.overdue = True
        return call()

    pool = opened.pool(operation)
    if operation.writes:
        return await pool.run(call, timeout_s=context.left_s)
    return await pool.run(call, late=late, timeout_s=context.left_s)


def _refused(refusal: Rejected) -> tuple[int, bytes, dict[str, str]]:
    return refusal.status, refusal.problem.model_dump_json().encode(), refusal.headers


async def _docs(request: Request) -> Response:
    opened: DoorContext = request.app.state.opened
    asked = [(operation, operation.asks_of(opened.door)) for operation in request.app.state.operations]
    return JSONResponse(merged(opened.openapi, asked))


async def _popular(request: Request) -> Response:
    """Give the router its document; to everyone else the path is none."""
    context: RequestContext | None = request.scope.get(CONTEXT)
    if context is None or not context.mirrored:
        return _no_such(request, NOT_FOUND)
    opened: DoorContext = request.app.state.opened
    return Response(opened.popular, OK, media_type="application/json")


async def _nowhere(request: Request) -> Response:
    return _no_such(request, NOT_FOUND)


async def _wrong_method(request: Request, _: Exception) -> Response:
    known = any(request.url.path == operation.path for operation in request.app.state.operations)
    return _no_such(request, WRONG_METHOD if known else NOT_FOUND)


def _no_such(request: Request, status: int) -> Response:
    have = [operation.endpoint for operation in request.app.state.operations]
    allowed = ", ".join(f"{one.method} {one.path}" for one in have)
    error = f"no endpoint {request.method} {request.url.path}; have {allowed}"
    here = [one.method for one in have if one.path == request.url.path]
    headers = {"Allow": here[0]} if status == WRONG_METHOD else {}
    return JSONResponse(Problem(error=error, where="path", allowed=allowed).model_dump(), status, headers=headers)

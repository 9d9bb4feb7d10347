"""The HTTP side of the door: a Starlette application that service.py mounts in BentoML.

Each endpoint reads a strict model from the body, runs the door's method on the lane, and writes the answer or
one line of refusal. BentoML's own endpoint would cost about a millisecond more a call.
"""

import dataclasses
import functools
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bentos.http import sse
from bentos.http.auth import Check
from bentos.http.bodies import whole_body
from bentos.http.bounded_pool import BoundedPool
from bentos.http.guard import TURN
from bentos.http.limits import Limits
from bentos.http.problems import FAULT, OUR_FAULT, OVERLOADED, Problem, Rejected, rejected
from bentos.http.request_context import RequestContext
from bentos.http.tracing import Tracing
from bentos.recommender import schemas
from bentos.recommender.door import Door
from bentos.recommender.metrics import Metrics
from bentos.recommender.openapi import Operation, merged

OK, NOT_FOUND, WRONG_METHOD = 200, 404, 405
log = logging.getLogger("intentflow.door")


@dataclasses.dataclass(frozen=True)
class Endpoint(Operation):
    """An operation and the door's method behind it."""

    method: str
    writes: bool = False  # on a lane of its own: it may take longer, and must not hold up the others

    def call(self, door: Door, ask: BaseModel, turn: RequestContext) -> BaseModel:
        """Ask the door."""
        answer: BaseModel = getattr(door, self.method)(ask, turn=turn)
        return answer

    def late(self, door: Door, ask: BaseModel, turn: RequestContext) -> BaseModel:
        """Ask the door for what it can say at once."""
        turn.overdue = True
        return self.call(door, ask, turn)


ENDPOINTS = (
    Endpoint("/recommend", schemas.RecommendRequest, schemas.Recommendations, "Items for a user", "recommend"),
    Endpoint("/intents", schemas.IntentsRequest, schemas.Intents, "What a user is about to do", "intents"),
    Endpoint("/rank", schemas.RankRequest, schemas.Scores, "Scores of given items for a user", "rank"),
    Endpoint("/events", schemas.EventsRequest, schemas.Accepted, "Take note of events", "events", writes=True),
    Endpoint("/explain", schemas.ExplainRequest, schemas.Explanation, "Why an item for a user", "explain"),
    Endpoint(
        "/describe",
        schemas.DescribeRequest,
        schemas.Descriptions,
        "Text about items for a user",
        "describe",
        streams=True,
    ),
)


SCOPES: dict[str, str] = {endpoint.path: "events" if endpoint.writes else "recommend" for endpoint in ENDPOINTS}


@dataclasses.dataclass(frozen=True)
class DoorContext:
    """What the routes work with once the service has started."""

    door: Door
    reads: BoundedPool
    writes: BoundedPool
    metrics: Metrics
    openapi: dict[str, Any]  # BentoML's own document
    check: Check | None = None  # how callers are known; None: everyone is let in
    limits: Limits = dataclasses.field(default_factory=lambda: Limits({}))
    open_pages: frozenset[str] = frozenset()
    shadow_token: str = ""
    tracing: Tracing | None = None

    @property
    def release(self) -> str:
        """Return the id of what is served."""
        return self.door.release.id

    def asks(self, endpoint: Endpoint) -> type[BaseModel]:
        """Return the model of an endpoint's request: of events, one that keeps to the release's rules."""
        return self.door.rules.request if endpoint.asks is schemas.EventsRequest else endpoint.asks


def create_app() -> Starlette:
    """Make the application; `app.state.opened` is set when the service starts."""
    routes = [Route(endpoint.path, _handler(endpoint), methods=["POST"]) for endpoint in ENDPOINTS]
    routes += [
        Route("/docs.json", _docs, methods=["GET"]),
        Route("/{path:path}", _nowhere, methods=["POST"]),  # other methods fall through to BentoML's pages
    ]
    return Starlette(routes=routes, exception_handlers={WRONG_METHOD: _wrong_method})


def _handler(endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        started = time.perf_counter()
        opened: DoorContext = request.app.state.opened
        lane = "writes" if endpoint.writes else "reads"
        opened.metrics.in_flight.labels(lane).inc()
        try:
            code, body, headers = await _answer(opened, endpoint, request)
        finally:
            opened.metrics.in_flight.labels(lane).dec()
        if code == OVERLOADED:
            opened.metrics.shed.labels(lane).inc()
        opened.metrics.answered(endpoint.path, code, seconds=time.perf_counter() - started)
        if code == OK and endpoint.streams and sse.wanted(request.headers.get("accept", "")):
            return Response(sse.events(body), code, media_type=sse.MEDIA_TYPE, headers=sse.HEADERS)
        return Response(body, code, headers, media_type="application/json")

    return handle


async def _answer(opened: DoorContext, endpoint: Endpoint, request: Request) -> tuple[int, bytes, dict[str, str]]:
    """Return an answer's status, JSON and headers; every refusal and every fault is one line."""
    asks = opened.asks(endpoint)
    try:
        ask = asks.model_validate_json(await whole_body(request))
        turn: RequestContext = request.scope.get(TURN) or RequestContext()
        call, late = (functools.partial(ask_it, opened.door, ask, turn) for ask_it in (endpoint.call, endpoint.late))
        left_s = turn.left_s
        if endpoint.writes:
            answer = await opened.writes.run(call, timeout_s=left_s)
        else:
            answer = await opened.reads.run(call, late=late, timeout_s=left_s)
    except ValidationError as error:
        return _refused(rejected(error, asks))
    except Rejected as refusal:
        return _refused(refusal)
    except Exception:  # the traceback belongs in our log, not in the answer
        log.exception("%s failed", endpoint.path)
        return FAULT, OUR_FAULT.model_dump_json().encode(), {}
    opened.metrics.counted(answer)
    return OK, answer.model_dump_json().encode(), {}


def _refused(refusal: Rejected) -> tuple[int, bytes, dict[str, str]]:
    return refusal.status, refusal.problem.model_dump_json().encode(), refusal.headers


async def _docs(request: Request) -> Response:
    opened: DoorContext = request.app.state.opened
    return JSONResponse(merged(opened.openapi, [dataclasses.replace(e, asks=opened.asks(e)) for e in ENDPOINTS]))


async def _nowhere(request: Request) -> Response:
    return _no_such(request, NOT_FOUND)


async def _wrong_method(request: Request, _: Exception) -> Response:
    return _no_such(request, WRONG_METHOD if any(request.url.path == e.path for e in ENDPOINTS) else NOT_FOUND)


def _no_such(request: Request, status: int) -> Response:
    allowed = ", ".join(f"POST {endpoint.path}" for endpoint in ENDPOINTS)
    error = f"no endpoint {request.method} {request.url.path}; have {allowed}"
    headers = {"Allow": "POST"} if status == WRONG_METHOD else {}
    return JSONResponse(Problem(error=error, where="path", allowed=allowed).model_dump(), status, headers=headers)

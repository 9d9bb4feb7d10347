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

from bentos.recommender import schemas
from bentos.recommender.door import Door
from bentos.recommender.lane import Lane
from bentos.recommender.metrics import Metrics
from bentos.recommender.openapi import Operation, merged
from bentos.recommender.problems import TOO_LARGE, Problem, Rejected, refused, rejected
from bentos.recommender.turn import Turn

MAX_BODY_BYTES = 2 << 20
FAULT, NOT_FOUND, WRONG_METHOD = 500, 404, 405
log = logging.getLogger("intentflow.door")


@dataclasses.dataclass(frozen=True)
class Endpoint(Operation):
    """An operation and the door's method behind it."""

    method: str
    writes: bool = False  # on a lane of its own: it may take longer, and must not hold up the others

    def call(self, door: Door, ask: BaseModel, turn: Turn) -> BaseModel:
        """Ask the door."""
        answer: BaseModel = getattr(door, self.method)(ask, **({} if self.writes else {"turn": turn}))
        return answer

    def late(self, door: Door, ask: BaseModel, turn: Turn) -> BaseModel:
        """Ask the door for what it can say at once."""
        turn.overdue = True
        return self.call(door, ask, turn)


ENDPOINTS = (
    Endpoint("/recommend", schemas.RecommendRequest, schemas.Recommendations, "Items for a user", "recommend"),
    Endpoint("/intents", schemas.IntentsRequest, schemas.Intents, "What a user is about to do", "intents"),
    Endpoint("/rank", schemas.RankRequest, schemas.Scores, "Scores of given items for a user", "rank"),
    Endpoint("/events", schemas.EventsRequest, schemas.Accepted, "Take note of events", "events", writes=True),
    Endpoint("/explain", schemas.ExplainRequest, schemas.Explanation, "Why an item for a user", "explain"),
)


@dataclasses.dataclass(frozen=True)
class Opened:
    """What the routes work with once the service has started."""

    door: Door
    reads: Lane
    writes: Lane
    metrics: Metrics
    openapi: dict[str, Any]  # BentoML's own document

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
        opened: Opened = request.app.state.opened
        code, body = await _answer(opened, endpoint, request)
        opened.metrics.answered(endpoint.path, code, seconds=time.perf_counter() - started)
        return Response(body, code, media_type="application/json")

    return handle


async def _answer(opened: Opened, endpoint: Endpoint, request: Request) -> tuple[int, bytes]:
    """Return an answer's status and JSON; every refusal and every fault is one line."""
    asks = opened.asks(endpoint)
    try:
        ask = asks.model_validate_json(await _body(request))
        turn = Turn()
        call, late = (functools.partial(ask_it, opened.door, ask, turn) for ask_it in (endpoint.call, endpoint.late))
        answer = await (opened.writes.run(call) if endpoint.writes else opened.reads.run(call, late=late))
    except ValidationError as error:
        return _refused(rejected(error, asks))
    except Rejected as refusal:
        return _refused(refusal)
    except Exception:  # the traceback belongs in our log, not in the answer
        log.exception("%s failed", endpoint.path)
        problem = Problem(error="a fault of the service; its log says more", where="service", allowed="a retry")
        return FAULT, problem.model_dump_json().encode()
    opened.metrics.counted(answer)
    return 200, answer.model_dump_json().encode()


async def _body(request: Request) -> bytes:
    """Read a body, but not a huge one."""
    parts, size = [], 0
    async for part in request.stream():
        parts.append(part)
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise refused("body", "too large", f"at most {MAX_BODY_BYTES} bytes", status=TOO_LARGE)
    return b"".join(parts)


def _refused(refusal: Rejected) -> tuple[int, bytes]:
    return refusal.status, refusal.problem.model_dump_json().encode()


async def _docs(request: Request) -> Response:
    opened: Opened = request.app.state.opened
    return JSONResponse(merged(opened.openapi, [dataclasses.replace(e, asks=opened.asks(e)) for e in ENDPOINTS]))


async def _nowhere(request: Request) -> Response:
    return _no_such(request, NOT_FOUND)


async def _wrong_method(request: Request, _: Exception) -> Response:
    return _no_such(request, WRONG_METHOD if any(request.url.path == e.path for e in ENDPOINTS) else NOT_FOUND)


def _no_such(request: Request, status: int) -> Response:
    allowed = ", ".join(f"POST {endpoint.path}" for endpoint in ENDPOINTS)
    error = f"no endpoint {request.method} {request.url.path}; have {allowed}"
    return JSONResponse(Problem(error=error, where="path", allowed=allowed).model_dump(), status)

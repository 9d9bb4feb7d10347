"""What the services `intent` and `ranking` share: a Starlette application around one model, behind the door.

It sends and takes arrays (bentos/wire.py) and names its release and vocabulary in every answer. The profile store, raw
ids and rungs are the door's. Only the door asks it: a cluster's network policy keeps others out.
"""

import dataclasses
import logging
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bentos import threads, wire
from bentos.http import headers
from bentos.http.bodies import whole_body
from bentos.http.bounded_pool import BoundedPool
from bentos.http.problems import FAULT, OUR_FAULT, UNACCEPTABLE, Problem, Rejected, refused
from bentos.recommender import settings
from bentos.release import Release
from components.step import reason_left
from feature_repo.errors import DataError

MAX_BODY_BYTES = 32 << 20
ANOTHER_RELEASE = 409
Arrays = Mapping[str, np.ndarray]
Call = Callable[[Arrays, Mapping[str, Any]], bytes]
log = logging.getLogger("intentflow.model")


@dataclasses.dataclass(frozen=True)
class ModelApp:
    """A model that is ready to be asked."""

    release: Release
    vocabulary: str  # digest of the model's own
    calls: Mapping[str, Call]  # by path
    pool: BoundedPool

    @property
    def headers(self) -> dict[str, str]:
        """Name what answers."""
        return {headers.RELEASE: self.release.id, headers.VOCABULARY: self.vocabulary}


def create_app(*paths: str) -> Starlette:
    """Make the application; `app.state.model_app` is set when the service starts."""
    routes = [Route(path, _asked, methods=["POST"]) for path in paths]
    return Starlette(routes=[*routes, Route("/model", _model, methods=["GET"])])


def opened(load: Callable[[Release], tuple[str, Mapping[str, Call]]]) -> ModelApp:
    """Load the release's model; write the reason of a failure where `serve` reads it."""
    with reason_left():  # BentoML would try again for ever
        release = Release.verified(settings.release_folder(os.environ))
        vocabulary, calls = load(release)
        threads.limit(settings.threads(os.environ))
        if vocabulary != release.vocabulary:
            raise DataError(f"release {release.id}: its model has the vocabulary {vocabulary}, not its own")
    serving = release.serving
    pool = BoundedPool(timeout_s=serving.timeout_s, max_concurrency=serving.max_concurrency, threads=2)
    return ModelApp(release, vocabulary, calls, pool)


async def _model(request: Request) -> Response:
    model_app: ModelApp = request.app.state.model_app
    return JSONResponse(
        {"release": model_app.release.id, "vocabulary": model_app.vocabulary}, headers=model_app.headers
    )


async def _asked(request: Request) -> Response:
    """Answer one question in arrays; every refusal and every fault is one line."""
    model_app: ModelApp = request.app.state.model_app
    try:
        wanted = request.headers.get(headers.RELEASE, model_app.release.id)
        if wanted != model_app.release.id:
            raise refused("release", f"{wanted} is not served here", model_app.release.id, status=ANOTHER_RELEASE)
        arrays, fields = wire.unpacked(await whole_body(request, most_bytes=MAX_BODY_BYTES))
        call = model_app.calls[request.url.path]
        body = await model_app.pool.run(lambda: call(arrays, fields))
    except DataError as error:
        return _problem(model_app, UNACCEPTABLE, Problem(error=str(error), where="body", allowed="arrays of rows"))
    except Rejected as refusal:
        return _problem(model_app, refusal.status, refusal.problem)
    except Exception:  # the traceback belongs in our log, not in the answer
        log.exception("%s failed", request.url.path)
        return _problem(model_app, FAULT, OUR_FAULT)
    return Response(body, media_type=wire.MEDIA_TYPE, headers=model_app.headers)


def _problem(model_app: ModelApp, status: int, problem: Problem) -> Response:
    return JSONResponse(problem.model_dump(), status, headers=model_app.headers)

"""What the services `intent` and `ranking` share: a Starlette application around one model, behind the door.

It speaks arrays (bentos/wire.py) and names its release and vocabulary in every answer. It knows no user store, no
raw ids and no rungs: those are the door's. It is for the door alone; a cluster's network policy keeps others out.
"""

import dataclasses
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bentos import wire
from bentos.recommender.lane import Lane
from bentos.recommender.problems import TOO_LARGE, UNACCEPTABLE, Problem, Rejected, refused
from bentos.recommender.settings import release_folder
from bentos.release import Release
from feature_repo import artifacts
from feature_repo.errors import DataError, SpecError, UserError

ERROR_FILE = "INTENTFLOW_ERROR_FILE"  # where bentos/serve.py looks for the reason of a failed start
MAX_BODY_BYTES = 32 << 20
ANOTHER_RELEASE, FAULT = 409, 500
Arrays = Mapping[str, np.ndarray]
Call = Callable[[Arrays, Mapping[str, Any]], bytes]
log = logging.getLogger("intentflow.model")


@dataclasses.dataclass(frozen=True)
class Served:
    """A model that is ready to be asked."""

    release: Release
    vocabulary: str  # digest of the model's own
    calls: Mapping[str, Call]  # by path
    lane: Lane

    @property
    def headers(self) -> dict[str, str]:
        """Name what answers."""
        return {wire.RELEASE_HEADER: self.release.id, wire.VOCABULARY_HEADER: self.vocabulary}


def create_app(*paths: str) -> Starlette:
    """Make the application; `app.state.served` is set when the service starts."""
    routes = [Route(path, _asked, methods=["POST"]) for path in paths]
    return Starlette(routes=[*routes, Route("/model", _model, methods=["GET"])])


def opened(load: Callable[[Release], tuple[str, Mapping[str, Call]]]) -> Served:
    """Load the release's model; the reason of a failure is left where `serve` hears of it."""
    try:
        release = Release.load(release_folder(os.environ))
        _threads(os.environ.get("OMP_NUM_THREADS", "1"))
        vocabulary, calls = load(release)
        if vocabulary != release.vocabulary:
            raise DataError(f"release {release.id}: its model has the vocabulary {vocabulary}, not its own")
    except Exception as error:  # whatever it is: BentoML would try again for ever
        if path := os.environ.get(ERROR_FILE):
            code = error.exit_code if isinstance(error, UserError) else 1
            artifacts.write_json(Path(path), {"code": code, "message": str(error)})
        raise
    serving = release.serving
    lane = Lane(timeout_s=serving.timeout_s, max_concurrency=serving.max_concurrency, threads=2)
    return Served(release, vocabulary, calls, lane)


def _threads(text: str) -> None:
    import torch

    if not text.isdecimal() or int(text) < 1:
        raise SpecError(f"OMP_NUM_THREADS: '{text}' is no number of threads; allowed: 1 or more")
    torch.set_num_threads(int(text))


async def _model(request: Request) -> Response:
    served: Served = request.app.state.served
    return JSONResponse({"release": served.release.id, "vocabulary": served.vocabulary}, headers=served.headers)


async def _asked(request: Request) -> Response:
    """Answer one question in arrays; every refusal and every fault is one line."""
    served: Served = request.app.state.served
    try:
        wanted = request.headers.get(wire.RELEASE_HEADER, served.release.id)
        if wanted != served.release.id:
            raise refused("release", f"{wanted} is not served here", served.release.id, status=ANOTHER_RELEASE)
        arrays, said = wire.unpacked(await _body(request))
        call = served.calls[request.url.path]
        body = await served.lane.run(lambda: call(arrays, said))
    except DataError as error:
        return _problem(served, UNACCEPTABLE, Problem(error=str(error), where="body", allowed="arrays of rows"))
    except Rejected as refusal:
        return _problem(served, refusal.status, refusal.problem)
    except Exception:  # the traceback belongs in our log, not in the answer
        log.exception("%s failed", request.url.path)
        problem = Problem(error="a fault of the service; its log says more", where="service", allowed="a retry")
        return _problem(served, FAULT, problem)
    return Response(body, media_type=wire.MEDIA_TYPE, headers=served.headers)


async def _body(request: Request) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        parts.append(part)
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise refused("body", "too large", f"at most {MAX_BODY_BYTES} bytes", status=TOO_LARGE)
    return b"".join(parts)


def _problem(served: Served, status: int, problem: Problem) -> Response:
    return JSONResponse(problem.model_dump(), status, headers=served.headers)

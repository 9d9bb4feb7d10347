"""Bare Starlette on uvicorn: the least that HTTP costs in Python. `python -m benchmarks.peers.with_starlette PORT`."""

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from benchmarks.peers.answer import Answerer


def app() -> Starlette:
    """Make the application."""
    answerer = Answerer()

    async def recommend(request: Request) -> JSONResponse:
        return JSONResponse(await run_in_threadpool(answerer.recommend, (await request.json())["user_id"]))

    return Starlette(routes=[Route("/recommend", recommend, methods=["POST"])])


if __name__ == "__main__":
    uvicorn.run(app(), port=int(sys.argv[1]), access_log=False, log_level="warning")

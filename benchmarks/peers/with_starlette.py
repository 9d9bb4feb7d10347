"""Bare Starlette on uvicorn, a process a core, each answer in the event loop: the least that HTTP costs in Python.

`python -m benchmarks.peers.with_starlette PORT`.
"""

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from benchmarks.peers.answer import Answerer, processes


def app() -> Starlette:
    """Make the application."""
    answerer = Answerer()

    async def recommend(request: Request) -> JSONResponse:
        return JSONResponse(answerer.recommend((await request.json())["user_id"]))

    return Starlette(routes=[Route("/recommend", recommend, methods=["POST"])])


if __name__ == "__main__":
    uvicorn.run(
        "benchmarks.peers.with_starlette:app",
        factory=True,
        port=int(sys.argv[1]),
        workers=processes(),
        access_log=False,
        log_level="warning",
    )

"""FastAPI on uvicorn, a process a core, answers in the event loop. `python -m benchmarks.peers.with_fastapi PORT`."""

import sys
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from benchmarks.peers.answer import Answerer, processes


class Asked(BaseModel):
    """A request."""

    user_id: str


def app() -> FastAPI:
    """Make the application."""
    answerer, made = Answerer(), FastAPI()

    @made.post("/recommend")
    async def recommend(asked: Asked) -> dict[str, Any]:
        return answerer.recommend(asked.user_id)

    return made


if __name__ == "__main__":
    uvicorn.run(
        "benchmarks.peers.with_fastapi:app",
        factory=True,
        port=int(sys.argv[1]),
        workers=processes(),
        access_log=False,
        log_level="warning",
    )

"""BentoML as documented: an API of a service, a worker a core. `python -m benchmarks.peers.with_bentoml PORT`."""

import os
import sys
from typing import Any

import bentoml

from benchmarks.peers.answer import Answerer, processes


@bentoml.service(workers=processes(), traffic={"timeout": 60}, logging={"access": {"enabled": False}})
class Plain:
    """The models behind one API."""

    def __init__(self) -> None:
        self.answerer = Answerer()

    @bentoml.api  # type: ignore[untyped-decorator]
    async def recommend(self, user_id: str) -> dict[str, Any]:
        """Answer."""
        return self.answerer.recommend(user_id)


if __name__ == "__main__":
    words = ["serve", "benchmarks.peers.with_bentoml:Plain", "--host", "127.0.0.1", "--port", sys.argv[1]]
    os.execv(sys.executable, [sys.executable, "-m", "bentoml", *words])

"""Ray Serve, a replica a core, for throughput, HTTP proxy on loopback. `python -m benchmarks.peers.with_ray PORT`."""

import logging
import os
import signal
import sys
from typing import Any

import ray
from ray import serve
from starlette.requests import Request

from benchmarks.peers.answer import Answerer, processes


@serve.deployment(num_replicas=processes(), max_ongoing_requests=64, ray_actor_options={"num_cpus": 1})
class Recommender:
    """A replica with the models."""

    def __init__(self) -> None:
        self.answerer = Answerer()

    async def __call__(self, request: Request) -> dict[str, Any]:
        """Answer."""
        return self.answerer.recommend((await request.json())["user_id"])


if __name__ == "__main__":
    os.environ.setdefault("RAY_SERVE_THROUGHPUT_OPTIMIZED", "1")
    ray.init(num_cpus=processes() + 1, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR,
             _metrics_export_port=None, object_store_memory=100 << 20)  # fmt: skip
    serve.start(
        http_options={"host": "127.0.0.1", "port": int(sys.argv[1])}, logging_config={"enable_access_log": False}
    )
    serve.run(Recommender.bind(), route_prefix="/recommend")  # type: ignore[attr-defined]
    signal.sigwait([signal.SIGTERM, signal.SIGINT])
    serve.shutdown()
    ray.shutdown()

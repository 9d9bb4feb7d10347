"""LitServe, a worker and an API server a core, its fast queue. `python -m benchmarks.peers.with_litserve PORT`."""

import sys
from typing import Any

import litserve

from benchmarks.peers.answer import Answerer, processes


class Recommender(litserve.LitAPI):  # type: ignore[misc]
    """The three steps that LitServe asks for."""

    def setup(self, device: str) -> None:
        """Load the models in the worker's process."""
        self.answerer = Answerer()

    def decode_request(self, request: dict[str, Any]) -> str:
        """Take the user from the body."""
        return str(request["user_id"])

    def predict(self, user: str) -> dict[str, Any]:
        """Answer."""
        return self.answerer.recommend(user)

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        """Leave it as it is."""
        return output


if __name__ == "__main__":
    server = litserve.LitServer(
        Recommender(api_path="/recommend"), accelerator="cpu", workers_per_device=processes(), fast_queue=True
    )
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, access_log=False,
               log_level="warning", num_api_servers=processes())  # fmt: skip

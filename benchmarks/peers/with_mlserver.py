"""MLServer, its V2 protocol, a process of inference a core. `python -m benchmarks.peers.with_mlserver PORT`."""

import asyncio
import json
import socket
import sys

from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import StringCodec
from mlserver.types import InferenceRequest, InferenceResponse

from benchmarks.peers.answer import Answerer, processes


class Recommender(MLModel):  # type: ignore[misc]
    """One string in, one JSON string out."""

    async def load(self) -> bool:
        """Load the models."""
        self.answerer = Answerer()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer."""
        (user,) = StringCodec.decode_input(payload.inputs[0])
        text = json.dumps(self.answerer.recommend(user))
        return InferenceResponse(model_name=self.name, outputs=[StringCodec.encode_output("answer", [text])])


def free_port() -> int:
    """Return a port that nobody has: its neighbours may be others' connections."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


async def serve(port: int) -> None:
    """Run until the process is told to end."""
    settings = Settings(
        host="127.0.0.1", http_port=port, grpc_port=free_port(), metrics_port=free_port(), parallel_workers=processes(),
        logging_settings=None, debug=False, metrics_endpoint=None,
    )  # fmt: skip
    server = MLServer(settings)
    await server.start(models_settings=[ModelSettings(name="recommender", implementation=Recommender)])


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))

"""The BentoML service `intent`: the intent model behind the door, as a process of its own.

By default the door has the model in its own process. An environment that scales the two apart starts this service and
sets INTENTFLOW_INTENT_URL at the door. The routes are in bentos/models.py, the format of bodies in bentos/wire.py.
"""

from collections.abc import Mapping
from typing import Any

import bentoml

from bentos import models, wire
from bentos.release import INTENT, Release

app = models.create_app("/predict")


@bentoml.service(name="intent", workers=1, traffic={"timeout": 65}, logging={"access": {"enabled": False}})
@bentoml.asgi_app(app, path="/")
class Intent:
    """Predicts what users are about to do."""

    def __init__(self) -> None:
        app.state.model_app = self._model_app = models.opened(load)

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    def close(self) -> None:
        """Let running requests end."""
        self._model_app.pool.close()


def load(release: Release) -> tuple[str, Mapping[str, models.Call]]:
    """Load the release's intent model; return its vocabulary's digest and its calls."""
    from components.intent.score import IntentScorer

    scorer = IntentScorer.served(release.folder / INTENT)

    def predict(arrays: models.Arrays, fields: Mapping[str, Any]) -> bytes:
        return wire.packed({"probabilities": scorer.predict(wire.rows_unpacked(arrays, fields))})  # [B, C]

    return scorer.vocabulary.digest, {"/predict": predict}

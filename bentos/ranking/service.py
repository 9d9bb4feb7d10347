"""The BentoML service `ranking`: the ranker behind the door, as a process of its own.

By default the door has the ranker in its own process. An environment that scales the two apart starts this service and
sets INTENTFLOW_RANKING_URL at the door. The routes are in bentos/models.py, the format of bodies in bentos/wire.py.
"""

from collections.abc import Mapping
from typing import Any

import bentoml
import numpy as np

from bentos import models, wire
from bentos.release import RANKING, Release
from feature_repo.errors import DataError
from feature_repo.rows import UserRows

app = models.create_app("/recommend", "/score")


@bentoml.service(name="ranking", workers=1, traffic={"timeout": 65}, logging={"access": {"enabled": False}})
@bentoml.asgi_app(app, path="/")
class Ranking:
    """Finds and orders items for users."""

    def __init__(self) -> None:
        app.state.model_app = self._model_app = models.opened(load)

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    def close(self) -> None:
        """Let running requests end."""
        self._model_app.pool.close()


def load(release: Release) -> tuple[str, Mapping[str, models.Call]]:
    """Load the release's ranker; return its vocabulary's digest and its calls."""
    from components.ranking.score import Ranker

    ranker = Ranker.load(release.folder / RANKING)
    targets = len(ranker.vocabulary.targets)

    def recommend(arrays: models.Arrays, fields: Mapping[str, Any]) -> bytes:
        rows, probabilities = _one(arrays, fields, targets)
        exclude = frozenset(_integers(arrays, "exclude").tolist())
        found = ranker.recommend(rows, probabilities, k=_k(fields), exclude=exclude)
        items = {
            "items": np.asarray([one.item_index for one in found], dtype=np.int64),
            "scores": np.asarray([one.score for one in found], dtype=np.float64),
        }
        return wire.packed(items, {"sources": [o.source for o in found], "reasons": [o.reasons for o in found]})

    def score(arrays: models.Arrays, fields: Mapping[str, Any]) -> bytes:
        rows, probabilities = _one(arrays, fields, targets)
        return wire.packed({"scores": ranker.score(rows, probabilities, _integers(arrays, "items"))})  # [M]

    return ranker.vocabulary.digest, {"/recommend": recommend, "/score": score}


def _one(arrays: models.Arrays, fields: Mapping[str, Any], targets: int) -> tuple[UserRows, np.ndarray]:
    """Read one user's row and intents [C]."""
    rows, probabilities = wire.rows_unpacked(arrays, fields), arrays.get("probabilities")
    if len(rows) != 1 or probabilities is None or probabilities.shape != (targets,):
        raise DataError(f"body: allowed is one row and its {targets} probabilities")
    return rows, probabilities


def _integers(arrays: models.Arrays, name: str) -> np.ndarray:
    found = arrays.get(name)
    if found is None or found.ndim != 1 or found.dtype != np.int64:
        raise DataError(f"body: {name} is no list of int64")
    return found


def _k(fields: Mapping[str, Any]) -> int:
    k = fields.get("k")
    if not isinstance(k, int) or k < 1:
        raise DataError(f"body: k is {k!r}; allowed: 1 or more")
    return k

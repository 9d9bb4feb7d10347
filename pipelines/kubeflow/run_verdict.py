"""What a run left in the registry: why it failed, by the pipelines' last step, and its release's gates.

A laptop before a cluster may not reach the registry. Then nothing is known, and that is no error.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from feature_repo.errors import ServerError, UserError
from pipelines.environment import Installation, exported

UNKNOWN = "unknown"


def last_failure(place: Installation, run_id: str) -> dict[str, Any] | None:
    """Return what the run said of its failure, None where the registry does not know or does not answer."""
    from components.registry import client, release
    from monitoring.runs import failure

    model = release.model_name(place.spec.name)
    try:
        with _registry(place), client.connected() as registry:
            found = client.registered_model(registry, model)
    except (ServerError, UserError):
        return None
    text = "" if found is None else found.tags.get(failure.MARK, "")
    try:
        said = json.loads(text) if text else {}
    except ValueError:
        return None
    return said if isinstance(said, dict) and said.get("run") == run_id else None


def gates(place: Installation, run_id: str) -> str:
    """Return how the release of a run was judged, '' where it has none, UNKNOWN where the registry does not answer."""
    from components.registry import client, release

    try:
        with _registry(place), client.connected() as registry:
            found = client.version_tagged(registry, release.model_name(place.spec.name), release.ASKED, run_id)
    except (ServerError, UserError):
        return UNKNOWN
    return "" if found is None else str(found.tags.get("gates", ""))


@contextmanager
def _registry(place: Installation) -> Iterator[None]:
    """Name the place's registry to MLflow's client; its credentials are those of whoever asks."""
    with exported({"MLFLOW_TRACKING_URI": place.environment.mlflow.tracking_uri}):
        yield

"""A spec's search as a Katib Experiment, to be applied by a person; nothing is sent to a cluster here."""

from pathlib import PurePosixPath
from typing import Any

import yaml

from components.distributed.settings import Trainer
from feature_repo import files
from feature_repo.errors import SpecError
from pipelines.environment import Installation
from pipelines.graphs.parameters import spec_slices


def rendered(place: Installation, *, rows: str, parallel: int) -> dict[str, Any]:
    """Return the Experiment; `rows` is the folder of training rows as the runtime's pods see it."""
    from components.intent.search.experiment import experiment

    model = place.spec.models.intent
    if model.search is None:
        raise SpecError(
            f"{place.spec_path}: models.intent.search: is missing, so nothing is searched; add trials and a space"
        )
    if not PurePosixPath(rows).is_absolute():
        raise SpecError(
            f"--rows: '{rows}' is no folder that a pod sees; give the path on the volume that it mounts, such as "
            "/state/rows"
        )
    kubeflow, slices = place.environment.kubeflow, spec_slices(place.spec)
    settings = (kubeflow.trainer if kubeflow else None) or Trainer()
    return experiment(
        f"{place.spec.name}-{files.digest([slices['intents'], slices['intent_model'], rows])}",
        model,
        intents=slices["intents"],
        ranking_weeks=slices["ranking_weeks"],
        rows=rows,
        settings=settings,
        namespace=settings.namespace,
        parallel=parallel,
    )


def text(document: dict[str, Any]) -> str:
    """Return it as `kubectl apply -f -` reads it."""
    return str(yaml.safe_dump(document, sort_keys=False, width=10_000)).rstrip("\n")

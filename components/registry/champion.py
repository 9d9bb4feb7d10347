"""What the registry holds about judged releases: the champion's numbers for the gates, a version's verdict for people.

Only reads. Gates judge elsewhere, aliases move elsewhere.
"""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components import resamples
from components.registry import client as mlflow_client
from components.registry.gate_inputs import Champion, ResourceUse, cohorts
from components.registry.lineage import PARTS
from components.registry.release import TOLERANCE, VERDICT, model_name
from components.resamples import Resamples

if TYPE_CHECKING:
    from mlflow import MlflowClient

GONE = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


def champion(name: str) -> Champion | None:
    """Return what the champion was measured to be, or None without a champion."""
    if mlflow_client.unmade():
        return None
    with mlflow_client.connected() as client:
        model = mlflow_client.registered_model(client, model_name(name))
        version = None if model is None else model.aliases.get("champion")
        if version is None:
            return None
        versions = client.search_model_versions(f"name='{model_name(name)}' and version_number={int(version)}")
        if not versions:  # the alias names a version that was deleted: nobody to compare with
            return None
        held = versions[0]
        tags = held.tags
        found: dict[str, Any] = {part: {"cohorts": _cohorts(client, name, part, tags)} for part in PARTS}
        drawn: dict[str, Resamples] = {part: _resamples(client, str(held.run_id or ""), part) for part in PARTS}
    return Champion(
        values={str(key): float(value) for key, value in json.loads(tags.get("metrics", "{}")).items()},
        cohorts={cohort: group.values for cohort, group in cohorts(found).items()},
        segments=tags.get("segments", ""),
        used={gate: ResourceUse(**used) for gate, used in json.loads(tags.get(TOLERANCE, "{}")).items()},
        resamples=drawn,
    )


def verdict(name: str, version: str) -> dict[str, Any]:
    """Return the verdict that a version of the release carries, {passed, verdict, gates}; empty where it is gone."""
    with mlflow_client.connected() as client:
        found = client.search_model_versions(f"name='{model_name(name)}' and version_number={int(version)}")
        return json.loads(found[0].tags.get(VERDICT, "{}")) if found else {}


def _cohorts(client: "MlflowClient", name: str, part: str, tags: Mapping[str, str]) -> Any:
    """Return the cohorts of a part's version, none where a person deleted it."""
    from mlflow.exceptions import MlflowException

    try:
        version = client.get_model_version(f"{name}-{part}", tags.get(f"{part}_version", ""))
    except MlflowException as error:
        if error.error_code not in GONE:
            raise
        return {}
    return json.loads(version.tags.get("cohorts", "{}"))


def _resamples(client: "MlflowClient", run_id: str, part: str) -> Resamples:
    """Fetch what a part's evaluation kept for intervals; empty where it is older than these, or its run is gone."""
    from mlflow.exceptions import MlflowException

    path = f"{part}/{resamples.FILE}"
    try:
        if all(one.path != path for one in client.list_artifacts(run_id, part)):
            return Resamples()
        with tempfile.TemporaryDirectory() as aside:
            return resamples.read(Path(client.download_artifacts(run_id, path, aside)).parent)
    except MlflowException as error:
        if error.error_code not in GONE:
            raise
        return Resamples()

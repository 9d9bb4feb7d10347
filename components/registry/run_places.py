"""Which runs a release's version came from: MLflow's, and Kubeflow's where a pod registered it. Only reads."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from components.registry import client as mlflow_client
from feature_repo import env_names

KUBEFLOW_RUN = "intentflow.kubeflow_run"  # a run's tag


@dataclass(frozen=True)
class RunPlace:
    """Ids by which the two tools find a run; '' where there is none."""

    experiment: str = ""  # MLflow's
    run: str = ""
    kubeflow: str = ""


def kubeflow_run() -> dict[str, str]:
    """Return the tag that tells which of Kubeflow's runs this process is of; {} outside Kubeflow."""
    found = os.environ.get(env_names.RUN, "")
    return {KUBEFLOW_RUN: found} if found else {}


def of_version(name: str, version: str) -> RunPlace:
    """Return the runs of a version of <name>-release; empty where it, or its run, is not there any more."""
    from mlflow.exceptions import MlflowException

    from components.registry.release import model_name  # which needs this module

    with mlflow_client.connected() as client:
        try:
            run_id = str(client.get_model_version(model_name(name), version).run_id or "")
            run = client.get_run(run_id) if run_id else None
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
            return RunPlace()
    if run is None:
        return RunPlace()
    tags: Mapping[str, str] = run.data.tags
    return RunPlace(str(run.info.experiment_id), run_id, tags.get(KUBEFLOW_RUN, ""))


def experiment(name: str) -> str:
    """Return the id of the recommender's experiment; '' where there is none."""
    with mlflow_client.connected() as client:
        found = client.get_experiment_by_name(name)
    return "" if found is None else str(found.experiment_id)

"""Which runs a release's version came from: MLflow's, and Kubeflow's where a pod registered it. Only reads."""

from collections.abc import Mapping
from dataclasses import dataclass

from components.registry import client as mlflow_client
from components.registry.register import KUBEFLOW_RUN
from components.registry.release import model_name


@dataclass(frozen=True)
class RunPlace:
    """Ids by which the two tools find a run; '' where there is none."""

    experiment: str = ""  # MLflow's
    run: str = ""
    kubeflow: str = ""


def of_version(name: str, version: str) -> RunPlace:
    """Return the runs of a version of <name>-release; empty where it, or its run, is not there any more."""
    from mlflow.exceptions import MlflowException

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

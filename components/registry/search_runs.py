"""A search's trials in MLflow: a run each, nested in the run of the result that the search led to.

Logged when the result is, by the step that registers: the search itself needs no server, and a dry run leaves nothing.
A trial is found again by its study and number, so logging twice makes nothing new.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.registry import client as mlflow_client
from feature_repo import files

if TYPE_CHECKING:
    from mlflow import MlflowClient

FILE = "search.json"
TRIAL = "intentflow.trial"  # the run's tag by which it is found again
PARENT = "mlflow.parentRunId"  # what MLflow nests by


def log(name: str, folder: Path, *, run_id: str) -> int:
    """Log the trials of a search's artifact below a run; return how many runs were made: none where none was asked for.

    A pipeline with the step of a search may run a form without one: then the folder is empty.
    """
    if folder.is_dir() and not any(folder.iterdir()):
        return 0
    found = files.read_json(folder / FILE)
    with mlflow_client.connected() as client:
        experiment = mlflow_client.experiment_id(client, name)
        there = _there(client, experiment, run_id)
        made = [trial for trial in found["trials"] if _mark(found, trial) not in there]
        for trial in made:
            _logged(client, experiment, found, trial, run_id=run_id)
    return len(made)


def _mark(found: dict[str, Any], trial: dict[str, Any]) -> str:
    return f"{found['study']}/{trial['number']}"


def _there(client: "MlflowClient", experiment: str, run_id: str) -> set[str]:
    """Name the trials whose runs are whole already."""
    marks: set[str] = set()
    token = None
    while True:
        page = client.search_runs(
            [experiment], f"tags.`{PARENT}` = '{run_id}' and attributes.status != 'RUNNING'", page_token=token
        )
        marks |= {run.data.tags[TRIAL] for run in page if TRIAL in run.data.tags}
        if not (token := page.token):
            return marks


def _logged(
    client: "MlflowClient", experiment: str, found: dict[str, Any], trial: dict[str, Any], *, run_id: str
) -> None:
    from mlflow.entities import Metric, Param, RunTag

    began = int(1000 * trial["began"])
    tags = {PARENT: run_id, TRIAL: _mark(found, trial), "mlflow.user": mlflow_client.user()}
    tags |= {
        "state": trial["state"],
        "own": str(trial["own"]).lower(),
        "best": str(trial["number"] == found["best"]).lower(),
    }
    run = client.create_run(experiment, start_time=began, tags=tags, run_name=f"trial {trial['number']}")
    metric = found["metric"]
    metrics = [
        Metric(f"{one['stage']}.{metric}", float(one[metric]), began, int(one["epoch"])) for one in trial["epochs"]
    ]
    if trial["value"] is not None:
        metrics.append(Metric(metric, float(trial["value"]), began, 0))
    params = [
        Param(key, value if isinstance(value, str) else json.dumps(value)) for key, value in trial["chosen"].items()
    ]
    why = [RunTag("why", trial["why"])] if "why" in trial else []
    client.log_batch(run.info.run_id, metrics=metrics[:900], params=params[:100], tags=why)
    status = {"complete": "FINISHED", "pruned": "KILLED"}.get(trial["state"], "FAILED")
    client.set_terminated(run.info.run_id, status=status, end_time=began + int(1000 * trial["seconds"]))

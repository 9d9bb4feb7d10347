"""What retraining decided: its state between runs, and each decision as a run in MLflow.

Where the registry is a server, the state is a tag of the model `<name>-release`, since pods share nothing else; where
it is a database on this machine, a file of the state folder, written aside and renamed. Unlike a mark the state must
not be lost in silence: what cannot be read or written raises. Only one run of a recommender is under way at a time
(components/run_lock.py, the laptop's run lock), so the state has one writer.

Decides nothing: monitoring/retraining does.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.registry import client as mlflow_client
from components.registry.release import model_name
from feature_repo import env_names, files
from feature_repo.errors import DataError, SpecError

if TYPE_CHECKING:
    from mlflow import MlflowClient

TAG = "retraining_state"  # of the registered model
FILE = Path("monitoring") / "retraining.json"  # of the state folder
DECISION = "intentflow.retraining"  # a run's tag by which a decision is found again
PARAM_CHARACTERS = 500  # of a parameter that MLflow's databases hold
State = dict[str, Any]


def read(name: str) -> State:
    """Return the state, {} where nothing was decided yet."""
    if not _server():
        path = _file()
        return {} if path is None or not path.is_file() else _parsed(path.read_text(), str(path))
    with mlflow_client.connected() as client:
        model = mlflow_client.registered_model(client, model_name(name))
    text = "" if model is None else model.tags.get(TAG, "")
    return _parsed(text, f"{model_name(name)}: tag {TAG}") if text else {}


def write(name: str, state: Mapping[str, Any]) -> None:
    """Replace the state."""
    if not _server():
        if (path := _file()) is None:
            raise SpecError(f"{env_names.HOME}: not set; the state of retraining needs a state folder, or a registry")
        files.write_json(path, dict(state))
        return
    with mlflow_client.connected() as client:
        if mlflow_client.registered_model(client, model_name(name)) is None:
            client.create_registered_model(model_name(name))
        client.set_registered_model_tag(model_name(name), TAG, files.canonical(dict(state)))


def log(name: str, decision: Mapping[str, Any], *, outcome: Mapping[str, Any] | None = None) -> str:
    """Keep a decision as a run, once, and return its id; `outcome` is added when its training has ended.

    A decision is told by its evidence, its action and its day.
    """
    mark = files.digest({key: decision[key] for key in ("key", "action", "reason", "at")})
    with mlflow_client.connected() as client:
        experiment = mlflow_client.experiment_id(client, name)
        found = client.search_runs([experiment], f"tags.`{DECISION}` = '{mark}'", max_results=1)
        run_id = str(found[0].info.run_id) if found else _made(client, experiment, mark, decision)
        for key, value in (outcome or {}).items():
            client.set_tag(run_id, f"retraining.{key}", str(value))
    return run_id


def _made(client: "MlflowClient", experiment: str, mark: str, decision: Mapping[str, Any]) -> str:
    tags = {DECISION: mark, "mlflow.user": mlflow_client.user()}
    tags |= {f"retraining.{key}": str(decision[key]) for key in ("action", "reason", "why")}
    run = client.create_run(experiment, tags=tags, run_name=f"retraining {decision['action']}")
    for key in ("action", "reason", "key", "at"):
        client.log_param(run.info.run_id, key, str(decision[key])[:PARAM_CHARACTERS])
    client.set_terminated(run.info.run_id, status="FINISHED")
    return str(run.info.run_id)


def _server() -> bool:
    return os.environ.get(mlflow_client.TRACKING_URI, "").startswith(("http://", "https://"))


def _file() -> Path | None:
    home = os.environ.get(env_names.HOME)
    return Path(home) / FILE if home else None


def _parsed(text: str, place: str) -> State:
    """Read a state; a broken one would let retraining begin anew, so it is refused."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise DataError(f"{place}: holds no state of retraining; restore it from a backup, or delete it to begin anew")
    return found

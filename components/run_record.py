"""What the steps of a run said, kept in MLflow where their pods share no folder; by REST, so that none imports an SDK.

An experiment `<recommender>-runs` has a run of MLflow's for each run of a pipeline, with a tag for each step: that it
began, what it found, or why it failed. The run's last step reads them. A server that is away costs a line in the log
and nothing else. Where pods share the state folder, files there say the same (components/step.py).
"""

import base64
import json
import logging
import os
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from feature_repo import env_names

URI = "MLFLOW_TRACKING_URI"
PATIENCE_S = 10.0
RUN, STEP = "intentflow.run", "step."  # tags
LONGEST = 4_500  # characters of a tag that every database of MLflow's holds
MOST = 8  # entries of a list that is cut
Entry = dict[str, Any]
log = logging.getLogger("intentflow")


def kept() -> bool:
    """Tell whether this process is a pod that shares no folder, and has a server to tell."""
    names = (env_names.ALONE, env_names.RUN, env_names.HOME)
    return all(os.environ.get(name) for name in names) and os.environ.get(URI, "").startswith(("http://", "https://"))


def note(entry: Entry) -> None:
    """Keep what a step said last: a line of its progress, or {step, code, message} of a failure."""
    try:
        found = _run() or _made()
        _post(
            "runs/set-tag", {"run_id": found["info"]["run_id"], "key": f"{STEP}{entry['step']}", "value": _text(entry)}
        )
    except (OSError, ValueError) as error:
        log.warning("what the step said was not kept in MLflow: %s", getattr(error, "reason", error))


def entries() -> list[Entry]:
    """Return what each step of this run said last; nothing where the server is away."""
    try:
        found = _run()
    except (OSError, ValueError) as error:
        log.warning("what the steps said was not read from MLflow: %s", getattr(error, "reason", error))
        return []
    tags = found["data"].get("tags", []) if found else []
    return [json.loads(tag["value"]) for tag in tags if tag["key"].startswith(STEP)]


def _run() -> Entry | None:
    experiment = _experiment()
    if experiment is None:
        return None
    wanted = {"experiment_ids": [experiment], "filter": f"tags.`{RUN}` = '{os.environ[env_names.RUN]}'"}
    found = _post("runs/search", wanted | {"max_results": 1}).get("runs", [])
    return dict(found[0]) if found else None


def _made() -> Entry:
    experiment = _experiment() or _post("experiments/create", {"name": _name()})["experiment_id"]
    run = os.environ[env_names.RUN]
    tags = [{"key": RUN, "value": run}]
    return dict(_post("runs/create", {"experiment_id": experiment, "run_name": run, "tags": tags})["run"])


def _experiment() -> str | None:
    try:
        found = _asked(f"experiments/get-by-name?experiment_name={urllib.parse.quote(_name())}")
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise
        return None
    return str(found["experiment"]["experiment_id"])


def _name() -> str:
    return f"{Path(os.environ[env_names.HOME]).name}-runs"


def _text(entry: Entry) -> str:
    """Return an entry as a tag holds it: long lists and texts are cut where it is too long."""
    text = json.dumps(entry, default=str)
    return text if len(text) <= LONGEST else json.dumps(_cut(entry), default=str)


def _cut(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _cut(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_cut(one) for one in value[:MOST]] + ([f"and {len(value) - MOST} more"] if len(value) > MOST else [])
    return f"{value[:160]}…" if isinstance(value, str) and len(value) > 160 else value


def _post(path: str, body: Entry) -> Entry:
    return _asked(path, json.dumps(body).encode())


def _asked(path: str, body: bytes | None = None) -> Entry:
    request = urllib.request.Request(f"{os.environ[URI].rstrip('/')}/api/2.0/mlflow/{path}", data=body)
    request.add_header("Content-Type", "application/json")
    if token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        request.add_header("Authorization", f"Bearer {token}")
    elif user := os.environ.get("MLFLOW_TRACKING_USERNAME"):
        pair = f"{user}:{os.environ.get('MLFLOW_TRACKING_PASSWORD', '')}".encode()
        request.add_header("Authorization", f"Basic {base64.b64encode(pair).decode()}")
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        return dict(json.load(answer))

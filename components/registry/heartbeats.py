"""What last became of a recommender's jobs and of its drift checks, for whoever watches.

A job ends and its process with it, so nobody can scrape it. It leaves a mark, and the rollout's loop, which always
runs, exports the marks as metrics (pipelines/rollout/metrics.py). Where the registry is a server, marks are tags of the
model `<name>-release`: pods share nothing else. Where it is a database on this machine, they are files of the state
folder, which cost no import of mlflow. A mark that cannot be left is logged and fails nothing; no registry is made for
it. Only one of a job runs at a time, so a mark has one writer.
"""

import json
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.registry import client as mlflow_client
from components.registry.release import model_name
from feature_repo import env_names, files
from feature_repo.errors import ServerError, UserError

JOB = "job."  # job.<name>: {"succeeded": epoch seconds, "failed": epoch seconds, "seconds": of the last success}
DRIFT = "drift"  # {"at": epoch seconds, "verdict", "share", "drifted", "lost": names, "compared", "release"} and, where
# signals were watched, {"class", "alarms": names of at most MOST_NAMED signals, "period": ISO}
MOST_NAMED = 20
NOTICE = "notice"  # what was last told of a verdict, to the address of monitoring.notify: monitoring/notice.py
SIGNALS = "signals"  # {"at": epoch seconds, "starts": of the period, "figures": {signal: [value, users]}}
QUALITY = "quality"  # what answers were worth: {"at": epoch seconds, "reason", "why", "period", "since", "release",
# "delay_days": of labels, "figures": {signal: [value, users]} of the newest ripe period}
RETRAINING = "retraining"  # of the last decision: {"at", "action", "reason", "why", "failures", "stopped", "until"}
FOLDER = "marks"  # of the state folder
Mark = Mapping[str, Any]
log = logging.getLogger("intentflow")


def ended(name: str, job: str, *, succeeded: bool, seconds: float | None = None) -> None:
    """Note that a job of a recommender ended now; what was known of earlier ends stays."""
    found: dict[str, Any] = dict(read(name).get(f"{JOB}{job}", {}))
    found["succeeded" if succeeded else "failed"] = round(time.time())
    if succeeded and seconds is not None:
        found["seconds"] = round(seconds, 1)
    leave(name, f"{JOB}{job}", found)


def drift(
    name: str,
    *,
    verdict: str,
    share: float,
    drifted: int,
    lost: list[str],
    compared: int,
    release: str,
    signals: Mark | None = None,
) -> None:
    """Note the verdict of a drift check that ended now, and by name the columns that lost their values.

    `signals` is what they say, where they were watched: class, alarms, period.
    """
    said = {"verdict": verdict, "share": share, "drifted": drifted, "compared": compared, "release": release}
    leave(name, DRIFT, {"at": round(time.time()), "lost": lost} | said | dict(signals or {}))


def signals(name: str, *, starts: str, figures: Mapping[str, tuple[float, float]]) -> None:
    """Note the values of the newest period that alerts of silence watch, each with the number of users behind it."""
    leave(
        name, SIGNALS, {"at": round(time.time()), "starts": starts, "figures": {k: list(v) for k, v in figures.items()}}
    )


def leave(name: str, key: str, value: Mark) -> None:
    """Keep a mark."""
    try:
        if _server():
            _tag(name, key, value)
        elif home := os.environ.get(env_names.HOME):
            files.write_json(Path(home) / FOLDER / f"{key}.json", dict(value))
    except (ServerError, UserError, OSError) as error:
        log.warning("the mark %s was not left: %s", key, error)


def read(name: str) -> dict[str, Mark]:
    """Return every mark by its key; {} where there is none, or where the registry does not answer."""
    try:
        if _server():
            return _tags(name)
        home = os.environ.get(env_names.HOME)
        paths = sorted((Path(home) / FOLDER).glob("*.json")) if home else []
        return {path.stem: files.read_json(path) for path in paths}
    except (ServerError, UserError, OSError) as error:
        log.warning("marks were not read: %s", error)
        return {}


def _server() -> bool:
    return os.environ.get(mlflow_client.TRACKING_URI, "").startswith(("http://", "https://"))


def _tag(name: str, key: str, value: Mark) -> None:
    with mlflow_client.connected() as client:
        if mlflow_client.registered_model(client, model_name(name)) is not None:
            client.set_registered_model_tag(model_name(name), key, json.dumps(value, sort_keys=True))


def _tags(name: str) -> dict[str, Mark]:
    with mlflow_client.connected() as client:
        model = mlflow_client.registered_model(client, model_name(name))
    tags = {} if model is None else model.tags
    wanted = (DRIFT, NOTICE, SIGNALS, QUALITY, RETRAINING)
    return {key: json.loads(text) for key, text in tags.items() if key in wanted or key.startswith(JOB)}

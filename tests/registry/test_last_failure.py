"""Where the registry is a server, a failed run is a tag of the model that holds the releases."""

import json
from pathlib import Path

import pytest

from components.registry import client as mlflow_client
from components.registry.release import model_name
from monitoring.runs import failure

FAILED = {"mode": "auto", "state": "FAILED", "job": "job-7", "task": "exit-handler-1", "message": "a pod was evicted"}


def test_the_last_failure_is_a_tag_that_the_ui_shows(
    server: object, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTENTFLOW_HOME", str(tmp_path))
    with mlflow_client.connected() as client:
        failure.report(name, "train", **FAILED)  # before there is any release: nothing is made
        assert mlflow_client.registered_model(client, model_name(name)) is None
        client.create_registered_model(model_name(name))
        failure.report(name, "train", **FAILED)
        tags = client.get_registered_model(model_name(name)).tags
    said = json.loads(tags[failure.MARK])
    assert (said["pipeline"], said["run"], said["why"]) == ("train", "job-7", "a pod was evicted")

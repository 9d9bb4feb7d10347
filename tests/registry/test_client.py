"""MLflow that is not there or cannot be used: one line each."""

import time

import pytest

from components.registry import client as mlflow_client
from components.registry import steps
from components.registry.aliases import status
from feature_repo import files
from feature_repo.errors import ServerError, SpecError
from tests.patience import patient


def test_an_address_that_is_not_set_is_one_line(monkeypatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(SpecError, match=r"^MLFLOW_TRACKING_URI: not set; give MLflow's address"):
        status("toy")


def test_a_server_that_does_not_answer_is_one_line_within_seconds(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ana:secret@127.0.0.1:9")
    monkeypatch.setenv("INTENTFLOW_ERROR_FILE", str(tmp_path / "error.json"))
    start = time.monotonic()
    with pytest.raises(ServerError) as said:
        steps.promote("toy", "1", mode="auto", why="test")
    assert time.monotonic() - start < patient(10)
    assert str(said.value).startswith("MLFLOW_TRACKING_URI=http://ana:***@127.0.0.1:9: MLflow does not answer (")
    assert str(said.value).endswith("start the server or correct the address, then run again")
    assert "\n" not in str(said.value)
    error = files.read_json(tmp_path / "error.json")
    assert (error["step"], error["code"], error["message"]) == ("promote", 1, str(said.value))


def test_a_database_that_is_none_is_one_line(monkeypatch, tmp_path) -> None:
    (tmp_path / "mlflow.db").write_text("this is no database, and it is long enough to be taken for one" * 20)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    with pytest.raises(ServerError, match=r"MLflow refused \(.*file is not a database") as said:
        status("toy")
    assert "\n" not in str(said.value)


def test_a_deleted_experiment_is_one_line_with_the_way_back(sqlite, name) -> None:
    with mlflow_client.connected() as client:
        client.delete_experiment(mlflow_client.experiment_id(client, name))
        with pytest.raises(SpecError, match=r"was deleted in MLflow; bring it back with `mlflow experiments restore"):
            mlflow_client.experiment_id(client, name)


def test_a_new_experiment_keeps_its_artifacts_where_the_environment_says(sqlite, name) -> None:
    with mlflow_client.connected() as client:
        experiment = client.get_experiment(mlflow_client.experiment_id(client, name))
        assert mlflow_client.experiment_id(client, name) == experiment.experiment_id
    assert experiment.artifact_location == str(sqlite)

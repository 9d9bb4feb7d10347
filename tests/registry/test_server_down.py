"""A server that dies in the middle of registering: one line, and the next run completes what is missing."""

import threading
import time

import pytest

from components.registry import client as mlflow_client
from components.registry.register import register
from feature_repo.errors import ServerError
from tests.patience import patient


@pytest.mark.slow  # a server is started twice; test_register.py has steps that were killed at each write
def test_a_server_that_dies_in_the_middle_is_one_line_and_the_next_run_completes(server, name, make, lineage) -> None:
    folders, died_at = make(), []

    def kill_when_a_model_arrives() -> None:
        deadline = time.monotonic() + patient(120)
        while time.monotonic() < deadline:
            if any("models" in path.parts for path in server.artifacts.rglob("MLmodel") if path not in before):
                died_at.append(time.monotonic())
                server.kill()
                return
            time.sleep(0.01)

    before = set(server.artifacts.rglob("MLmodel"))
    watch = threading.Thread(target=kill_when_a_model_arrives)
    watch.start()
    with pytest.raises(ServerError, match="MLflow does not answer") as said:
        register(name, folders, lineage=lineage)
    watch.join()
    assert time.monotonic() - died_at[0] < patient(30)
    assert server.uri in str(said.value)
    assert "\n" not in str(said.value)
    server.start()
    server.wait()
    registered = register(name, folders, lineage=lineage)
    assert {part: at.version for part, at in registered.versions.items()} == {"intent": "1", "ranking": "1"}
    with mlflow_client.connected() as client:
        experiment = mlflow_client.experiment_id(client, name)
        assert [run.info.status for run in client.search_runs([experiment])] == ["FINISHED"]
        assert len(client.search_logged_models([experiment])) == 2

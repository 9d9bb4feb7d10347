"""Marks: what a job leaves is read back, beside what was left before, on this machine and on a server."""

import pytest

from components.registry import client as mlflow_client
from components.registry import heartbeats


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("INTENTFLOW_HOME", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    return tmp_path


def test_a_failure_leaves_the_last_success_known(home, monkeypatch):
    monkeypatch.setattr(heartbeats.time, "time", lambda: 100.0)
    heartbeats.ended("shop", "train", succeeded=True, seconds=12.34)
    monkeypatch.setattr(heartbeats.time, "time", lambda: 200.0)
    heartbeats.ended("shop", "train", succeeded=False)
    heartbeats.ended("shop", "score", succeeded=False)
    assert heartbeats.read("shop") == {
        "job.train": {"succeeded": 100, "seconds": 12.3, "failed": 200},
        "job.score": {"failed": 200},
    }


def test_the_last_drift_check_is_the_one_that_counts(home):
    for verdict, drifted in (("stable", 0), ("drifted", 3)):
        heartbeats.drift("shop", verdict=verdict, share=drifted / 4, drifted=drifted, lost=[], compared=4, release="7")
    (mark,) = heartbeats.read("shop").values()
    assert (mark["verdict"], mark["share"], mark["drifted"], mark["release"]) == ("drifted", 0.75, 3, "7")


def test_on_this_machine_nothing_is_asked_of_the_registry(home):
    heartbeats.ended("shop", "train", succeeded=True)
    assert not (home / "mlflow.db").exists()


def test_without_a_state_folder_a_mark_is_nowhere_and_nothing_fails(monkeypatch):
    monkeypatch.delenv("INTENTFLOW_HOME", raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    heartbeats.ended("shop", "train", succeeded=True)
    assert heartbeats.read("shop") == {}


def test_a_registry_that_is_away_is_logged(home, monkeypatch, caplog):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    heartbeats.ended("shop", "train", succeeded=True)
    assert "the mark job.train was not left" in caplog.text
    assert heartbeats.read("shop") == {}


def test_on_a_server_marks_are_tags_beside_the_others(server):
    heartbeats.ended("marked", "train", succeeded=True)
    assert heartbeats.read("marked") == {}, "no model is made for a mark"
    with mlflow_client.connected() as client:
        client.create_registered_model("marked-release", tags={"rollout": "{}"})
    heartbeats.ended("marked", "train", succeeded=True)
    assert set(heartbeats.read("marked")) == {"job.train"}
    with mlflow_client.connected() as client:
        assert set(client.get_registered_model("marked-release").tags) == {"rollout", "job.train"}

"""A pipeline's result in MLflow, with a server and without one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from components.intent.score import IntentScorer
from components.registry import client as mlflow_client
from components.registry import frames, models
from components.registry.register import register
from feature_repo import artifacts
from feature_repo.errors import DataError

ASK = """
import json, sys
import mlflow, pandas as pd
name, frame = sys.argv[1], pd.read_pickle(sys.argv[2])
intent = mlflow.pyfunc.load_model(f"models:/{name}-intent/1").predict(frame.drop(columns=[c for c in frame if c.startswith("history")]))
ranking = mlflow.pyfunc.load_model(f"models:/{name}-ranking/1").predict(frame.assign(probabilities=intent["probabilities"]), params={"k": 3})
import components
print(json.dumps({"intent": intent["probabilities"].tolist(), "items": ranking["item_ids"].tolist(), "code": components.__path__[0]}))
"""


class Killed(BaseException):
    """The end of the process, as far as the code can see."""


def test_a_result_becomes_one_run_and_a_version_of_each_model(store, name, make, lineage) -> None:
    registered = register(name, make(quality=0.31), lineage=lineage)
    with mlflow_client.connected() as client:
        run = client.get_run(registered.run_id)
        files = {
            file.path
            for folder in ("intent", "ranking", "contract")
            for file in client.list_artifacts(run.info.run_id, folder)
        }
        intent, ranking = (client.get_model_version(f"{name}-{part}", "1") for part in ("intent", "ranking"))
    assert run.info.status == "FINISHED"
    assert run.data.metrics["intent.test.map"] == 0.31
    assert run.data.metrics["ranking.baselines.personal_frequency.ndcg_at_10"] == 0.25
    assert "intent.cohorts.new.map" not in run.data.metrics  # it was not measured
    assert run.data.params == {"intent.architecture": "cnn", "intent.width": "8", "ranking.candidates.history": "10"}
    assert run.data.tags["spec"] == "5bec5bec5bec"
    assert [data.dataset.digest for data in run.inputs.dataset_inputs] == ["da7ada7ada7a"]
    assert {"intent/card.md", "intent/training.json", "ranking/metrics.json", "contract/contract.html"} <= files
    assert intent.tags | {"data": "da7ada7ada7a", "git": "c0ffee", "lock": "10c10c10c10c"} == intent.tags
    assert (intent.tags["feature_service"], intent.tags["feature_service_digest"]) == ("intent_v1", "aaaa")
    assert ranking.tags["intent_version"] == "1"
    assert ranking.tags["intent_digest"] == intent.tags["digest"] == registered.versions["intent"].digest
    assert json.loads(ranking.tags["metrics"])["ndcg_at_10"] == 0.31
    assert intent.tags["vocabulary"] == registered.result.vocabulary.digest


def test_registering_twice_makes_nothing_new(store, name, make, lineage) -> None:
    first, before = register(name, make(), lineage=lineage), _everything(name)
    second = register(name, make(), lineage=lineage)
    assert first.created
    assert not second.created
    assert second.run_id == first.run_id
    assert _everything(name) == before


def test_equal_models_with_new_metrics_get_a_run_but_no_versions(sqlite, name, make, lineage) -> None:
    first = register(name, make(quality=0.30), lineage=lineage)
    second = register(name, make(quality=0.31), lineage=lineage)
    assert second.run_id != first.run_id
    assert [at.version for at in second.versions.values()] == ["1", "1"]
    assert not second.created


@pytest.mark.parametrize("at", ["log", "version", "clear"])
@pytest.mark.parametrize("part", ["intent", "ranking"])
def test_a_run_that_was_killed_is_completed_by_the_next(sqlite, name, make, lineage, monkeypatch, part, at) -> None:
    whole = getattr(models, at)

    def dies(*arguments, **named):
        if part in str(arguments):
            raise Killed
        return whole(*arguments, **named)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(models, at, dies)
        register(name, make(), lineage=lineage)
    registered = register(name, make(), lineage=lineage)
    assert [version.version for version in registered.versions.values()] == ["1", "1"]
    state = _everything(name)
    assert len(state["runs"]) == 1
    assert len(state["logged models"]) == 2
    assert {status for _, status in state["runs"]} == {"FINISHED"}


def test_the_registry_holds_no_pickle_no_cache_and_no_users(store, name, make, lineage) -> None:
    registered = register(name, make(), lineage=lineage)
    with mlflow_client.connected() as client:
        version = client.get_model_version(f"{name}-intent", "1")
        place = client.get_logged_model(version.source.removeprefix("models:/")).artifact_location
    folder = store / place.split("artifacts/", 1)[-1] if place.startswith("mlflow-artifacts:") else Path(place)
    if place.startswith("mlflow-artifacts:"):
        folder = store / place.removeprefix("mlflow-artifacts:/")
    held = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {"MLmodel", "artifacts/model/weights.safetensors", "code/components/intent/score.py"} <= held
    assert not [path for path in held if path.endswith((".pkl", ".pickle", ".pyc")) or "__pycache__" in path]
    assert not [path for path in held if Path(path).name in models.LEFT_OUT]
    assert set(registered.versions["intent"].files) == {
        path.removeprefix("artifacts/model/") for path in held if path.startswith("artifacts/model/")
    }


def test_both_models_load_and_answer_from_the_registry_alone(server, name, make, lineage, tmp_path) -> None:
    folders = make()
    registered = register(name, folders, lineage=lineage)
    frame = models.example("ranking", registered.result, windows_days=(7, 28, 91)).drop(columns=["probabilities"])
    frame.to_pickle(tmp_path / "frame.pkl")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ASK, name, str(tmp_path / "frame.pkl")],
        cwd=tmp_path, env=environment | {"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr[-2000:]
    said = json.loads(answer.stdout.splitlines()[-1])
    expected = IntentScorer.load(folders.intent).predict(frames.user_rows(frame))
    assert said["code"].endswith("code/components")
    np.testing.assert_allclose(said["intent"], expected, atol=1e-6)
    assert [len(items) for items in said["items"]] == [3, 3]
    assert said["items"][1] == ["i0", "i1", "i2"]  # an unknown user gets what is popular


def test_models_of_two_vocabularies_are_refused(sqlite, name, make, lineage) -> None:
    folders = make()
    targets = folders.ranking / "vocabulary" / "targets.json"
    targets.write_text(targets.read_text().replace("SOUP", "BREAD"))
    with pytest.raises(DataError, match="train both on one `profiles` artifact"):
        register(name, folders, lineage=lineage)
    assert not _everything(name)


@pytest.mark.parametrize(
    "missing", ["intent/weights.safetensors", "ranking_evaluation/metrics.json", "clean/snapshot.json"]
)
def test_a_folder_that_is_not_whole_is_named(sqlite, name, make, lineage, missing) -> None:
    folders = make()
    (folders.intent.parent / missing).unlink()
    with pytest.raises(DataError, match=r"run the pipeline again") as said:
        register(name, folders, lineage=lineage)
    assert Path(missing).name in str(said.value)
    assert "\n" not in str(said.value)


def _everything(name: str) -> dict[str, list]:
    """Return what the registry and the experiment hold of a recommender."""
    with mlflow_client.connected() as client:
        experiment = client.get_experiment_by_name(name)
        if experiment is None:
            return {}
        runs = client.search_runs([experiment.experiment_id])
        logged = client.search_logged_models([experiment.experiment_id])
        versions = [
            one
            for part in ("intent", "ranking", "release")
            for one in client.search_model_versions(f"name='{name}-{part}'")
        ]
        return {
            "runs": [(run.info.run_id, run.info.status) for run in runs],
            "metrics": [artifacts.canonical(run.data.metrics) for run in runs],
            "history": [len(client.get_metric_history(run.info.run_id, "intent.test.map")) for run in runs],
            "logged models": sorted(model.model_id for model in logged),
            "versions": sorted((one.name, str(one.version), one.last_updated_timestamp) for one in versions),
        }

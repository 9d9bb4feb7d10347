"""A pipeline's result in MLflow, with a server and without one."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from components.intent.score import IntentScorer
from components.ranking.score import Ranker
from components.registry import client as mlflow_client
from components.registry import frames, model_versions, run_places
from components.registry.lineage import Folders, Lineage
from components.registry.register import register
from components.registry.release import model_name
from feature_repo import files
from feature_repo.errors import DataError

ASK = """
import json, sys
import mlflow, pandas as pd
rows = pd.read_pickle(sys.argv[1])
intent = mlflow.pyfunc.load_model("models:/shared-intent/1")
ranking = mlflow.pyfunc.load_model("models:/shared-ranking/1")
chances = intent.predict(rows[intent.metadata.signature.inputs.input_names()])["probabilities"]
best = ranking.predict(rows.assign(probabilities=chances), params={"k": 3})
import components
print(json.dumps({"chances": chances.tolist(), "items": best["item_ids"].tolist(), "code": components.__path__[0]}))
"""
WITHOUT_SERVER = pytest.mark.parametrize("store", ["sqlite"], indirect=True)


FOLDERS = ("intent", "ranking", "contract", "segments")  # of a run's artifacts


class Killed(BaseException):
    """The end of the process, as far as the code can see."""


def test_a_result_becomes_one_run_and_a_version_of_each_model(shared) -> None:
    with mlflow_client.connected() as client:
        run = client.get_run(shared.registered.run_id)
        listed = (client.list_artifacts(run.info.run_id, folder) for folder in FOLDERS)
        files = {file.path for folder in listed for file in folder}
        intent, ranking = (client.get_model_version(f"shared-{part}", "1") for part in ("intent", "ranking"))
    assert run.info.status == "FINISHED"
    assert run.data.metrics["intent.test.map"] == 0.30
    assert run.data.metrics["ranking.baselines.personal_frequency.ndcg_at_10"] == 0.25
    assert "intent.cohorts.new.map" not in run.data.metrics  # it was not measured
    assert run.data.params == {"intent.architecture": "cnn", "intent.width": "8", "ranking.candidates.history": "10"}
    assert run.data.tags["spec"] == "5bec5bec5bec"
    assert [data.dataset.digest for data in run.inputs.dataset_inputs] == ["da7ada7ada7a"]
    assert {"intent/card.md", "intent/training.json", "ranking/metrics.json", "contract/contract.html"} <= files
    assert "segments/segments.html" in files
    assert intent.tags | {"data": "da7ada7ada7a", "git": "c0ffee", "lock": "10c10c10c10c"} == intent.tags
    assert (intent.tags["feature_service"], intent.tags["feature_service_digest"]) == ("intent_v1", "aaaa")
    assert ranking.tags["intent_version"] == "1"
    assert ranking.tags["intent_digest"] == intent.tags["digest"] == shared.registered.versions["intent"].digest
    assert json.loads(ranking.tags["metrics"])["ndcg_at_10"] == 0.30
    assert intent.tags["segments"] == ranking.tags["segments"] == shared.registered.result.vocabulary.segments != ""
    assert intent.tags["vocabulary"] == shared.registered.result.vocabulary.digest


def test_registering_twice_makes_nothing_new(shared, lineage) -> None:
    before = _everything("shared")
    # A second training gives equal models at another time of day.
    files.write_json(shared.folders.intent / "training.json", {"seconds": 123})
    again = register("shared", shared.folders, lineage=lineage)
    assert not again.created
    assert again.run_id == shared.registered.run_id
    assert _everything("shared") == before


def test_the_registry_holds_no_pickle_no_cache_and_no_users(shared) -> None:
    folder = shared.folder_of("intent")
    held = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {"MLmodel", "artifacts/model/weights.safetensors", "code/components/intent/score.py"} <= held
    assert not [path for path in held if path.endswith((".pkl", ".pickle", ".pyc")) or "__pycache__" in path]
    assert not [path for path in held if Path(path).name in model_versions.LEFT_OUT]
    model = {path.removeprefix("artifacts/model/") for path in held if path.startswith("artifacts/model/")}
    assert set(shared.registered.versions["intent"].files) == model


@pytest.mark.process
@WITHOUT_SERVER
def test_both_models_load_and_answer_from_the_registry_alone(shared, tmp_path) -> None:
    frame = model_versions.example("ranking", shared.registered.result, windows_days=(7, 28, 91))
    frame = frame.drop(columns=["probabilities"])
    frame.to_pickle(tmp_path / "rows")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    environment["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"
    command = [sys.executable, "-W", "ignore", "-c", ASK, str(tmp_path / "rows")]
    answer = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr[-2000:]
    said = json.loads(answer.stdout.splitlines()[-1])
    rows = frames.user_rows(frame)
    chances = IntentScorer.load(shared.folders.intent).predict(rows)
    ranker = Ranker.load(shared.folders.ranking)
    best = [ranker.recommend(rows.take(np.array([b])), chances[b], k=3) for b in range(2)]
    assert said["code"].endswith("code/components")
    np.testing.assert_allclose(said["chances"], chances, atol=1e-6)
    assert said["items"] == [[f"i{one.item_index}" for one in answer] for answer in best]


@WITHOUT_SERVER
def test_equal_models_with_new_metrics_get_a_run_but_no_versions(shared, make, lineage) -> None:
    again = register("shared", make(quality=0.31), lineage=lineage)
    assert again.run_id != shared.registered.run_id
    assert not again.created
    assert {part: at.version for part, at in again.versions.items()} == {"intent": "1", "ranking": "1"}


@pytest.mark.parametrize(("part", "at"), [("intent", "version"), ("ranking", "log")])
def test_a_step_that_was_killed_is_completed_by_the_next(sqlite, name, make, lineage, monkeypatch, part, at) -> None:
    whole = getattr(model_versions, at)

    def dies(*arguments, **named):
        if part in str(arguments[:2]):
            raise Killed
        return whole(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(model_versions, at, dies)
        with pytest.raises(Killed):
            register(name, make(), lineage=lineage)
    registered = register(name, make(), lineage=lineage)
    assert {part: at.version for part, at in registered.versions.items()} == {"intent": "1", "ranking": "1"}
    state = _everything(name)
    assert state["runs"] == [(registered.run_id, "FINISHED")]
    assert state["history"] == [1]
    assert len(state["logged models"]) == 2


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
        found = [client.search_model_versions(f"name='{name}-{part}'") for part in ("intent", "ranking", "release")]
        return {
            "runs": [(run.info.run_id, run.info.status) for run in runs],
            "metrics": [files.canonical(run.data.metrics) for run in runs],
            "history": [len(client.get_metric_history(run.info.run_id, "intent.test.map")) for run in runs],
            "logged models": sorted(model.model_id for model in logged),
            "versions": sorted((v.name, str(v.version), v.last_updated_timestamp) for part in found for v in part),
        }


@WITHOUT_SERVER
def test_a_run_names_the_run_of_kubeflow_s_that_registered_it(
    store: Path, name: str, make: Callable[..., Folders], lineage: Lineage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTENTFLOW_RUN", "run-4711")
    found = register(name, make(), lineage=lineage)
    with mlflow_client.connected() as client:
        run = client.get_run(found.run_id)
        client.create_registered_model(model_name(name))
        client.create_model_version(model_name(name), "file:///models", found.run_id)
        client.create_model_version(model_name(name), "file:///models")
    assert run_places.of_version(name, "1") == run_places.RunPlace(
        str(run.info.experiment_id), found.run_id, "run-4711"
    )
    assert run_places.of_version(name, "2") == run_places.RunPlace()  # it came from no run
    assert run_places.of_version(name, "99") == run_places.RunPlace()
    assert run_places.of_version("nobody", "1") == run_places.RunPlace()

"""A search's trials are runs of MLflow, nested in the result's own; logged once, however often they are logged."""

from pathlib import Path
from typing import Any

import pytest

from components.registry import client as mlflow_client
from components.registry import search_runs
from components.registry.lineage import SETTINGS, Folders, Result
from feature_repo import files

TRIALS = [
    {
        "number": 0,
        "state": "complete",
        "value": 0.30,
        "own": True,
        "chosen": {"learning_rate": 0.002, "architecture": "cnn"},
    },
    {
        "number": 1,
        "state": "pruned",
        "value": None,
        "own": False,
        "chosen": {"learning_rate": 0.9, "architecture": "cnn"},
    },
    {
        "number": 2,
        "state": "unfit",
        "value": None,
        "own": False,
        "chosen": {"calibrate": "none"},
        "why": "no probability",
    },
    {"number": 4, "state": "complete", "value": 0.25, "own": False, "chosen": {"learning_rate": 0.01}},
]


def artifact(folder: Path) -> Path:
    epochs = [{"stage": "early", "epoch": 1, "validate_bce": 0.5}, {"stage": "full", "epoch": 1, "validate_bce": 0.4}]
    trials: list[dict[str, Any]] = [{"epochs": epochs, "seconds": 2.5, "began": 1.7e9, **one} for one in TRIALS]
    folder.mkdir()
    files.write_json(folder / "search.json", {"study": "toy-1", "metric": "validate_bce", "best": 4, "trials": trials})
    return folder


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
def test_each_trial_is_a_nested_run_once(store: Path, name: str, tmp_path: Path) -> None:
    with mlflow_client.connected() as client:
        experiment = mlflow_client.experiment_id(client, name)
        parent = client.create_run(experiment).info.run_id
    folder = artifact(tmp_path / "search")
    assert search_runs.log(name, folder, run_id=parent) == 4
    assert search_runs.log(name, folder, run_id=parent) == 0
    with mlflow_client.connected() as client:
        runs = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent}'")
        found = {run.info.run_name: run for run in runs}
        curve = client.get_metric_history(found["trial 0"].info.run_id, "full.validate_bce")
    assert {name: run.info.status for name, run in found.items()} == {
        "trial 0": "FINISHED", "trial 1": "KILLED", "trial 2": "FAILED", "trial 4": "FINISHED",
    }  # fmt: skip
    assert found["trial 0"].data.params == {"learning_rate": "0.002", "architecture": "cnn"}
    assert found["trial 4"].data.metrics["validate_bce"] == 0.25
    assert "validate_bce" not in found["trial 1"].data.metrics
    assert [(one.step, one.value) for one in curve] == [(1, 0.4)]
    assert found["trial 2"].data.tags["why"] == "no probability"
    assert [run.info.run_name for run in runs if run.data.tags["best"] == "true"] == ["trial 4"]
    assert found["trial 0"].info.end_time - found["trial 0"].info.start_time == 2500


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
def test_a_run_that_a_kill_left_half_logged_is_logged_again(
    store: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """The end of the process."""

    with mlflow_client.connected() as client:
        experiment = mlflow_client.experiment_id(client, name)
        parent, kind = client.create_run(experiment).info.run_id, type(client)
    folder, count, whole = artifact(tmp_path / "search"), iter(range(99)), kind.set_terminated

    def ends(*arguments: Any, **named: Any) -> Any:
        if next(count) == 2:
            raise Killed
        return whole(*arguments, **named)

    monkeypatch.setattr(kind, "set_terminated", ends)
    with pytest.raises(Killed):
        search_runs.log(name, folder, run_id=parent)
    monkeypatch.setattr(kind, "set_terminated", whole)
    assert search_runs.log(name, folder, run_id=parent) == 2, "the half one and the one that was not begun"


def test_lineage_tells_the_settings_that_a_search_chose(make: Any, lineage: Any) -> None:
    folders: Folders = make()
    assert Result.read(folders, lineage).lineage.params == lineage.params
    chosen = {"architecture": "lstm", "width": 16}
    files.write_json(folders.intent / SETTINGS, chosen)
    assert Result.read(folders, lineage).lineage.params == lineage.params | {"intent": chosen}

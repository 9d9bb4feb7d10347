"""An encoder that a training begins with is looked at before anything runs: by `plan`, and by a run's first step."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from components.intent.networks import TREES
from feature_repo import files
from feature_repo.errors import DataError
from pipelines import plan
from pipelines.environment import Installation, place
from pipelines.graphs import admission, parameters
from tests.pipelines.test_environment import CLUSTER

OTHER = "0123456789ab"


def network(folder: Path, *, architecture: str = "cnn") -> str:
    """Write what a look at a model folder sees; return the digest of its weights."""
    (folder / "vocabulary").mkdir(parents=True)
    (folder / "weights.safetensors").write_bytes(b"of some network")
    files.write_json(folder / "config.json", {"network": {"architecture": architecture}})
    return files.file_digest(folder / "weights.safetensors")


def document(source: str) -> dict[str, Any]:
    return {
        "apiVersion": "intentflow/v1",
        "kind": "Recommender",
        "name": "shop",
        "data": {"source": {"type": "csv", "events": {"path": "events.csv"}}},
        "intents": [{"name": "visit"}],
        "models": {"intent": {"pretrain": {"source": source}}},
    }


def at(folder: Path, source: str, *, environment: str = "local") -> Installation:
    (folder / "events.csv").write_text("user_id,item_id,timestamp\n1,2,2024-01-01\n")
    (folder / "shop.yaml").write_text(yaml.safe_dump(document(source)))
    variables = CLUSTER | {"INTENTFLOW_STATE": str(folder / "state")}
    return place(folder / "shop.yaml", environment, variables=variables)


def admitted(folder: Path, source: str, monkeypatch: pytest.MonkeyPatch, *, which: str = "") -> None:
    for name, value in at(folder, source).variables.items():
        monkeypatch.setenv(name, value)
    form = parameters.form(at(folder, source).spec)["spec"]
    admission.admit("shop", form, mode="", which=which, k=0, note="")


def test_the_named_folder_passes_plan_and_the_first_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = f"./theirs@{network(tmp_path / 'theirs')}"
    assert "train_intent" in plan.plan(at(tmp_path, source)).steps
    admitted(tmp_path, source, monkeypatch)


@pytest.mark.parametrize(
    ("architecture", "name", "line"),
    [
        ("cnn", "none", "none holds no trained network; name the `intent` folder of a release"),
        ("cnn", "theirs", f" now, not {OTHER}; write ./theirs@"),
        (
            TREES,
            "theirs",
            "theirs holds trees, a rate or an ensemble, which have no one encoder; name a network's folder",
        ),
    ],
)
def test_another_is_refused_by_both_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, architecture: str, name: str, line: str
) -> None:
    network(tmp_path / "theirs", architecture=architecture)
    source = f"./{name}@{OTHER}"
    for asked in (lambda: plan.plan(at(tmp_path, source)), lambda: admitted(tmp_path, source, monkeypatch)):
        with pytest.raises(DataError) as refused:
            asked()
        assert str(refused.value).startswith("models.intent.pretrain.source: ")
        assert line in str(refused.value)


def test_where_the_pipeline_runs_elsewhere_its_first_step_tells(tmp_path: Path) -> None:
    source = f"./theirs@{OTHER}"
    assert "train_intent" in plan.plan(at(tmp_path, source, environment="cluster")).steps


def test_scoring_needs_no_such_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    admitted(tmp_path, f"./theirs@{OTHER}", monkeypatch, which="champion")

"""The steps as Kubeflow runs them: strings and folders in, folders out."""

import dataclasses
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from components.intent import component
from components.intent.examples import Examples, load
from components.intent.score import IntentScorer
from components.intent.spec import Intent, IntentModel
from components.registry import gate_metrics
from feature_repo.errors import DataError

from .conftest import INTENTS, SPLIT

INTENTS_JSON = json.dumps([intent.model_dump() for intent in INTENTS])
MODEL = IntentModel(architecture="cnn", width=16, layers=1, epochs=3, batch_size=64, learning_rate=1e-2)


@dataclass
class Artifact:
    """What a step sees of an artifact: a path, and metrics that it may log."""

    path: str
    logged: dict[str, Any] = field(default_factory=dict)

    def log_metric(self, name: str, value: float) -> None:
        self.logged[name] = value

    def log_roc_curve(self, fpr: list[float], tpr: list[float], threshold: list[float]) -> None:
        self.logged["roc"] = len(fpr), len(tpr), len(threshold)

    def log_confusion_matrix(self, categories: list[str], matrix: list[list[int]]) -> None:
        self.logged["confusion"] = categories, matrix


@pytest.fixture(scope="module")
def folders(rows_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    """Run both steps through the bodies that Kubeflow ships."""
    root = tmp_path_factory.mktemp("steps")
    names = ("intent", "curves", "evaluation", "metrics", "classification", "card")
    made = {name: Artifact(str(root / name)) for name in names}
    rows = Artifact(str(rows_folder))
    component.train_intent.python_func(
        INTENTS_JSON, MODEL.model_dump_json(), 4, "code", rows=rows, intent=made["intent"], intent_curves=made["curves"]
    )
    component.evaluate_intent.python_func(
        INTENTS_JSON, "code", rows=rows, intent=made["intent"], intent_evaluation=made["evaluation"],
        intent_metrics=made["metrics"], intent_classification=made["classification"], intent_card=made["card"],
    )  # fmt: skip
    return made


def test_the_model_folder_predicts_by_itself(folders: dict[str, Artifact], examples: Examples) -> None:
    scorer = IntentScorer.load(Path(folders["intent"].path))
    rows = examples.rows.take(examples.part("test"))
    scores = pq.read_table(Path(folders["intent"].path) / "out_of_time.parquet")
    test = np.isin(scores["week"].to_numpy(), SPLIT["test"])
    stored = np.array(scores["probabilities"].to_pylist(), dtype=np.float32)[test]
    np.testing.assert_allclose(scorer.predict(rows), stored, atol=1e-6)
    assert scores["user_id"].to_pylist()[-1] == rows.user_id[-1]


def test_training_tells_how_it_went(folders: dict[str, Artifact]) -> None:
    training = json.loads((Path(folders["intent"].path) / "training.json").read_text())
    assert {epoch["stage"] for epoch in training["epochs"]} == {"early", "full"}
    assert training["rows"]["train"] == 40 * len(SPLIT["train"])
    assert training["weeks"]["scored_by_early"] == SPLIT["train"][-4:]
    page = Path(folders["curves"].path).read_text()
    assert page.count("<polyline") == 6 * 2 * 2  # two losses and four figures of two networks, and the legends
    assert "Validation micro F1" in page
    assert set(training["epochs"][0]["figures"]) == {
        "map", "macro_auroc", "ece", "micro_f1", "micro_precision", "micro_recall", "brier"
    }  # fmt: skip
    last = training["epochs"][-1]["validate_bce"]
    assert f"the model that is kept <b>{last:.4g}</b>" in page


def test_evaluation_leaves_metrics_curve_and_card(folders: dict[str, Artifact]) -> None:
    out = Path(folders["evaluation"].path)
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["test"]["map"] > metrics["baselines"]["global_rate"]["map"]
    assert folders["metrics"].logged["intent.map"] == metrics["test"]["map"]
    judged = {name for name in gate_metrics.NAMES if name.startswith("intent.")} - {"intent.cohorts.worst"}
    assert judged <= set(folders["metrics"].logged)  # no cohort of this world has a hundred rows
    assert folders["classification"].logged["confusion"][0] == ["no", "yes"]
    assert json.loads((out / "classification.json").read_text())["tpr"][-1] == 1
    assert Path(folders["card"].path).read_text() == (out / "card.md").read_text()
    chosen = json.loads((Path(folders["intent"].path) / "thresholds.json").read_text())["targets"]
    assert {name: one["threshold"] for name, one in chosen.items()} == {
        name: one["threshold"] for name, one in metrics["targets"].items()
    }


def test_rows_of_other_intents_are_refused(rows_folder: Path) -> None:
    with pytest.raises(DataError, match=r"built for the intents \['buy', 'visit'\], the spec has \['watch'\]"):
        load(rows_folder, [Intent(name="watch", level="items.genres")])


def test_users_are_numbered_alike_under_another_key_of_pseudonyms(examples: Examples) -> None:
    """Bootstrap draws users by number, so intervals must not depend on how pseudonyms happen to sort."""
    renamed = np.array([f"z{99 - int(user[1:]):02}" for user in examples.rows.user_id], dtype=object)
    other = dataclasses.replace(examples, rows=dataclasses.replace(examples.rows, user_id=renamed))
    np.testing.assert_array_equal(other.users, examples.users)
    assert examples.users.max() == 39
    assert examples.users[:3].tolist() == [0, 1, 2]


def test_weeks_without_rows_are_named(examples: Examples) -> None:
    examples.split["later"] = [99]
    with pytest.raises(DataError, match=r"no user in the later weeks \[99\]"):
        examples.part("later")
    del examples.split["later"]


@pytest.mark.process
def test_torch_is_imported_within_the_frame_which_tells_its_threads_how_to_wait() -> None:
    script = (
        "import sys, os; import components.intent.steps; from components.step import step\n"
        "assert 'torch' not in sys.modules\n"
        "with step('train_intent'): print(os.environ['OMP_WAIT_POLICY'])"
    )
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    root = Path(component.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", script], cwd=root, env=environment, capture_output=True, text=True)
    assert done.stdout == "PASSIVE\n", done.stderr


def test_evaluation_tells_what_one_row_at_a_time_costs_and_that_it_is_the_batch(folders: dict[str, Artifact]) -> None:
    served = json.loads((Path(folders["evaluation"].path) / "served.json").read_text())
    assert 0 < served["latency"]["predict_ms_p50"] <= served["latency"]["predict_ms_p95"]
    assert served["variant"]["probability_gap"] < 1e-5
    assert served["memory"].get("rss_mib", 0) >= 0


def test_a_rate_takes_the_networks_place_and_its_evaluation_says_what_the_baseline_was_worth(
    folders: dict[str, Artifact], rows_folder: Path, tmp_path: Path
) -> None:
    made, judged = Artifact(str(tmp_path / "made")), Artifact(str(tmp_path / "judged"))
    component.baseline_intent.python_func(
        INTENTS_JSON, '{"intent": "decayed_rate"}', "code", rows=Artifact(str(rows_folder)), intent=folders["intent"],
        intent_evaluation=folders["evaluation"], baseline_intent=made, baseline_intent_evaluation=judged,
    )  # fmt: skip
    compared, found = (
        json.loads((Path(at.path) / "metrics.json").read_text()) for at in (folders["evaluation"], judged)
    )
    assert {name: found["test"][name] for name in ("map", "bce", "ece")} == {
        name: compared["baselines"]["decayed_rate"][name] for name in ("map", "bce", "ece")
    }
    assert json.loads((Path(judged.path) / "served.json").read_text())["variant"]["probability_gap"] < 1e-6
    assert "A baseline, `decayed_rate`: rates of " in (Path(judged.path) / "card.md").read_text()
    mine, theirs = (pq.read_table(Path(at.path) / "out_of_time.parquet") for at in (made, folders["intent"]))
    weeks = {"user_id", "week"}
    pairs = [set(zip(*(table[name].to_pylist() for name in sorted(weeks)), strict=True)) for table in (mine, theirs)]
    assert pairs[0] == pairs[1]  # a ranker that stays finds intents for each of its rows


def test_a_network_that_passed_its_gates_stays_with_its_evaluation(
    folders: dict[str, Artifact], rows_folder: Path, tmp_path: Path
) -> None:
    made, judged = Artifact(str(tmp_path / "made")), Artifact(str(tmp_path / "judged"))
    component.baseline_intent.python_func(
        INTENTS_JSON, '{"ranking": "item_knn"}', "code", rows=Artifact(str(rows_folder)), intent=folders["intent"],
        intent_evaluation=folders["evaluation"], baseline_intent=made, baseline_intent_evaluation=judged,
    )  # fmt: skip
    for before, after in ((folders["intent"], made), (folders["evaluation"], judged)):
        names = sorted(path.name for path in Path(before.path).iterdir() if path.is_file())
        assert names == sorted(path.name for path in Path(after.path).iterdir() if path.is_file())
        assert all((Path(before.path) / n).read_bytes() == (Path(after.path) / n).read_bytes() for n in names)

import json
from pathlib import Path

import pytest

from components.ranking import steps
from components.ranking.baseline_champion import run_baseline_ranking
from components.ranking.score import Ranker
from components.registry import gate_metrics
from components.step import ERROR_FILE
from feature_repo import files
from feature_repo.errors import DataError
from tests.ranking.board import SPEC

JSON = SPEC.model_dump_json()


@pytest.fixture(scope="module")
def model(folders: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the model folder that the training step writes."""
    ranker = tmp_path_factory.mktemp("step") / "ranker"
    curves = ranker.with_name("curves")
    steps.run_train_ranking(JSON, rows=str(folders[0]), intent=str(folders[1]), ranker=str(ranker), curves=str(curves))
    return ranker


def test_training_leaves_a_self_sufficient_folder(model: Path) -> None:
    expected = {
        "served_form.json",
        "weights.safetensors",
        "neighbours.safetensors",
        "config.json",
        "training.json",
        "item_state.parquet",
    }
    assert {p.name for p in model.iterdir()} == expected | {"vocabulary"}
    training = files.read_json(model / "training.json")
    assert training["spec"]["width"] == 16
    assert training["rows"]["train"] > training["rows"]["validate"]
    assert len(Ranker.load(model).catalogue) == 30


def test_training_draws_loss_and_ndcg_by_epoch(model: Path) -> None:
    page = model.with_name("curves").read_text()
    training = files.read_json(model / "training.json")
    kept = training["best_epoch"]
    assert f"epoch {kept + 1} of {len(training['epochs'])} was kept" in page
    assert f"<td>{training['epochs'][kept]['validate_ndcg_at_10']:.4g}</td>" in page


def test_weights_can_be_read_by_another_user(model: Path) -> None:
    """A server runs as another user than the one that trained."""
    modes = {path.name: path.stat().st_mode & 0o777 for path in model.glob("*.safetensors")}
    assert modes == {"weights.safetensors": 0o644, "neighbours.safetensors": 0o644}


def test_the_model_knows_items_as_of_the_latest_week(model: Path) -> None:
    ranker = Ranker.load(model)
    assert set(ranker.item_state["week"].to_pylist()) == {21}


def test_evaluation_leaves_metrics_and_card(model: Path, folders: tuple[Path, Path], tmp_path: Path) -> None:
    logged: dict[str, float] = {}
    steps.run_evaluate_ranking(
        JSON,
        rows=str(folders[0]),
        intent=str(folders[1]),
        ranker=str(model),
        evaluation=str(tmp_path / "evaluation"),
        card=str(tmp_path / "card"),
        log_metric=logged.__setitem__,
    )
    metrics = files.read_json(tmp_path / "evaluation/metrics.json")
    assert metrics["test"]["ndcg_at_10"] == logged["ranking.ndcg_at_10"] > 0.7
    assert {name for name in gate_metrics.NAMES if name.startswith("ranking.")} <= set(logged)
    assert metrics["baselines"]["personal_frequency"]["ndcg_at_10"] > 0
    assert (tmp_path / "card").read_text() == (tmp_path / "evaluation/card.md").read_text()


def test_a_failed_step_says_why_and_leaves_no_folder(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ERROR_FILE, str(tmp_path / "error.json"))
    intent = tmp_path / "intent"
    intent.mkdir()
    table = steps.examples.pq.read_table(folders[1] / "out_of_time.parquet").slice(5)
    steps.examples.pq.write_table(table, intent / "out_of_time.parquet")
    with pytest.raises(DataError):
        steps.run_train_ranking(JSON, rows=str(folders[0]), intent=str(intent), ranker=str(tmp_path / "ranker"))
    assert files.read_json(tmp_path / "error.json")["code"] == 2
    assert not (tmp_path / "ranker").exists()


def test_evaluation_tells_what_one_row_at_a_time_costs_and_that_it_is_the_batch(
    model: Path, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    steps.run_evaluate_ranking(
        JSON, rows=str(folders[0]), intent=str(folders[1]), ranker=str(model),
        evaluation=str(tmp_path / "evaluation"), card=str(tmp_path / "card"), log_metric=lambda name, value: None,
    )  # fmt: skip
    served = files.read_json(tmp_path / "evaluation/served.json")
    assert 0 < served["latency"]["recommend_ms_p50"] <= served["latency"]["recommend_ms_p95"]
    assert served["variant"]["score_gap"] < 1e-4
    assert abs(served["variant"]["ndcg_loss"]) < 1e-3


@pytest.mark.parametrize(("replaced", "architecture"), [("item_knn", "item_knn"), ("", "listwise_mlp")])
def test_a_baseline_takes_the_rankers_place_or_the_ranker_stays_and_is_judged_anew(
    replaced: str, architecture: str, model: Path, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    run_baseline_ranking(
        JSON, json.dumps({"ranking": replaced} if replaced else {"intent": "decayed_rate"}), rows=str(folders[0]),
        intent=str(folders[1]), ranker=str(model), baseline_ranker=str(tmp_path / "made"),
        baseline_evaluation=str(tmp_path / "judged"),
    )  # fmt: skip
    assert files.read_json(tmp_path / "made/config.json")["architecture"] == architecture
    found = files.read_json(tmp_path / "judged/metrics.json")
    card = (tmp_path / "judged/card.md").read_text()
    if replaced:
        compared = found["baselines"]["item_knn"]["ndcg_at_10"]  # of all items; served, it orders what was found
        assert found["test"]["ndcg_at_10"] == pytest.approx(compared, abs=0.05)
        assert "by a baseline, `item_knn`, and nothing that was trained." in card
    else:
        assert "A network (`listwise_mlp`) of width 16" in card
    assert files.read_json(tmp_path / "judged/served.json")["variant"]["score_gap"] < 1e-5

"""Real processes by torchrun on this machine: one model, equal weights, figures as of one process, or no model."""

import json
import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from components.distributed.ranks import digest
from components.intent import steps as intent_steps
from components.intent.spec import IntentModel
from components.ranking import steps as ranking_steps
from tests.distributed.worlds import (
    INTENTS_JSON,
    MODEL,
    RANKING,
    closing_lines,
    ended,
    intent_words,
    ranking_words,
    started,
)
from tests.intent.conftest import checkerboard, write_rows
from tests.patience import patient
from tests.ranking import board

# Dropout and the order of sums differ between one process and two, so weights do; what they say must not.
BCE, NDCG = 0.01, 0.03


@pytest.mark.slow
def test_two_ranks_write_one_intent_model_as_good_as_one_process_s(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    rows = write_rows(tmp_path / "rows", checkerboard())
    progress = tmp_path / "progress.jsonl"
    environment = {"INTENTFLOW_PROGRESS_FILE": str(progress)}
    code, said = ended(started(intent_words(rows, tmp_path / "out" / "two"), processes=2, environment=environment))
    assert code == 0, said
    first, second = closing_lines(said)
    assert (first["rank"], second["rank"], first["ranks"]) == (0, 1, 2)
    assert first["weights"] == second["weights"] == digest(load_file(tmp_path / "out" / "two" / "weights.safetensors"))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["two"]
    closings = [line for line in progress.read_text().splitlines() if '"seconds"' in line]
    assert len(closings) == 1, "one rank tells"

    intent_steps.run_train_intent(
        INTENTS_JSON, MODEL.model_dump_json(), ranking_weeks=4, rows=str(rows), intent=str(tmp_path / "one")
    )
    two, one = (
        json.loads((folder / "training.json").read_text()) for folder in (tmp_path / "out/two", tmp_path / "one")
    )
    assert (two["rows"], two["weeks"]) == (one["rows"], one["weeks"])
    best = [min(epoch["validate_bce"] for epoch in found["epochs"]) for found in (two, one)]
    assert best[0] == pytest.approx(best[1], abs=BCE)
    first_epochs = [found["epochs"][0]["train_bce"] for found in (two, one)]
    assert first_epochs[0] == pytest.approx(first_epochs[1], abs=BCE), "the loss is normalised alike"


@pytest.mark.slow
def test_two_ranks_write_one_ranker_as_good_as_one_process_s(tmp_path: Path) -> None:
    rows, intent = board.write(tmp_path, board.checkerboard())
    code, said = ended(started(ranking_words(rows, intent, tmp_path / "out" / "two"), processes=2))
    assert code == 0, said
    first, second = closing_lines(said)
    assert first["weights"] == second["weights"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["two"]
    ranking_steps.run_train_ranking(
        RANKING.model_dump_json(), rows=str(rows), intent=str(intent), ranker=str(tmp_path / "one")
    )
    two, one = (
        json.loads((folder / "training.json").read_text()) for folder in (tmp_path / "out/two", tmp_path / "one")
    )
    best = [max(epoch["validate_ndcg_at_10"] for epoch in found["epochs"]) for found in (two, one)]
    assert best[0] == pytest.approx(best[1], abs=NDCG)
    assert two["rows"] == one["rows"]


@pytest.mark.slow
def test_a_transformer_trains_on_two_ranks_though_one_of_its_tables_is_never_used(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows", checkerboard())
    model = MODEL.model_copy(update={"architecture": "transformer"})
    code, said = ended(started(intent_words(rows, tmp_path / "two", model), processes=2))
    assert code == 0, said
    first, second = closing_lines(said)
    assert first["weights"] == second["weights"]


@pytest.mark.slow
def test_two_ranks_share_the_network_of_an_ensemble_and_one_of_them_grows_its_trees(tmp_path: Path) -> None:
    """Each rank waits for the trees, and both end with the same; the trees are those of one process, to the byte."""
    rows = write_rows(tmp_path / "rows", checkerboard())
    asked = {"architecture": "ensemble", "members": ["gbdt", "cnn"], "trees": {"rounds": 20, "least": 20, "leaves": 8}}
    model = IntentModel.model_validate(MODEL.model_dump(exclude_unset=True) | asked)
    code, said = ended(started(intent_words(rows, tmp_path / "two", model), processes=2))
    assert code == 0, said
    first, second = closing_lines(said)
    assert first["weights"] == second["weights"]
    assert (first["validate_bce"], first["epochs"]) == (second["validate_bce"], second["epochs"])
    intent_steps.run_train_intent(
        INTENTS_JSON, model.model_dump_json(), ranking_weeks=4, rows=str(rows), intent=str(tmp_path / "one")
    )
    trees = [(tmp_path / name / "members" / "gbdt" / "weights.safetensors").read_bytes() for name in ("one", "two")]
    assert trees[0] == trees[1]
    two, one = (json.loads((tmp_path / name / "training.json").read_text()) for name in ("two", "one"))
    assert (two["rows"], two["weeks"]) == (one["rows"], one["weeks"])
    best = [min(e["validate_bce"] for e in found["epochs"] if e["stage"] == "full.cnn") for found in (two, one)]
    assert best[0] == pytest.approx(best[1], abs=BCE)
    assert two["members"]["cnn"] == pytest.approx(one["members"]["cnn"], abs=0.25)


@pytest.mark.slow
def test_trees_of_an_ensemble_that_cannot_grow_fail_the_job_with_their_reason(tmp_path: Path) -> None:
    world = checkerboard()
    never = {user: {week: [] for week in weeks} for user, weeks in world.items()}
    rows = write_rows(tmp_path / "rows", never)
    model = MODEL.model_copy(update={"architecture": "ensemble", "members": ("cnn", "gbdt")})
    code, said = ended(started(intent_words(rows, tmp_path / "two", model), processes=2))
    assert code != 0
    assert "gbdt needs pairs of both kinds" in said
    assert not (tmp_path / "two").exists()


@pytest.mark.slow
def test_torchrun_with_one_process_is_the_step_bit_for_bit(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows", checkerboard())
    code, said = ended(started(intent_words(rows, tmp_path / "torchrun"), processes=1))
    assert code == 0, said
    intent_steps.run_train_intent(
        INTENTS_JSON, MODEL.model_dump_json(), ranking_weeks=4, rows=str(rows), intent=str(tmp_path / "step")
    )
    weights = [(tmp_path / name / "weights.safetensors").read_bytes() for name in ("torchrun", "step")]
    assert weights[0] == weights[1]


@pytest.mark.slow
def test_a_rank_that_is_killed_fails_the_job_and_leaves_no_model(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows", checkerboard())
    endless = MODEL.model_copy(update={"epochs": 100, "batch_size": 8, "learning_rate": 1e-6})
    progress, error = tmp_path / "progress.jsonl", tmp_path / "error.json"
    environment = {"INTENTFLOW_PROGRESS_FILE": str(progress), "INTENTFLOW_ERROR_FILE": str(error)}
    job = started(intent_words(rows, tmp_path / "out" / "intent", endless), processes=2, environment=environment)
    try:
        by = time.monotonic() + patient(60)
        while not progress.exists() or "epoch" not in progress.read_text():
            assert time.monotonic() < by, "training never began"
            assert job.poll() is None
            time.sleep(0.1)
        (second,) = [c for c in psutil.Process(job.pid).children() if c.environ().get("RANK") == "1"]
        os.kill(second.pid, signal.SIGKILL)
        code, said = ended(job, timeout_s=60)
    finally:
        job.kill()
    assert code != 0
    assert "Signal 9 (SIGKILL) received by PID" in said, said  # torchrun says which rank was the first to end
    if error.exists():  # unless torchrun ended the other rank before it noticed
        assert "another rank of the job ended early; nothing was written" in json.loads(error.read_text())["message"]
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


@pytest.mark.slow
def test_a_rank_without_rows_says_so_in_one_line_and_the_job_fails(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows", checkerboard())
    split = json.loads((rows / "split.json").read_text())
    (rows / "split.json").write_text(json.dumps(split | {"validate": [90], "test": [91]}))
    code, said = ended(started(intent_words(rows, tmp_path / "intent"), processes=2))
    assert code != 0
    assert "rank 0: rows: no user in the validate weeks [90]" in said
    assert not (tmp_path / "intent").exists()

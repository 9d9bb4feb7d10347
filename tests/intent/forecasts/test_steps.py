"""The steps in their frame: what they leave, what they say, and that a refit is the judged heads on other rows."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from components import conditions
from components.intent import examples as rows_artifact
from components.intent.examples import Examples
from components.intent.forecasts import refit as refits
from components.intent.forecasts.learn import Learnt, document
from components.intent.forecasts.score import ForecastScorer, held
from components.intent.forecasts.steps import run_refit_forecasts, run_train_forecasts
from components.step import PROGRESS_FILE
from feature_repo import files
from feature_repo.errors import DataError
from tests.intent.conftest import SPLIT
from tests.intent.forecasts.conftest import RULE


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(PROGRESS_FILE, str(tmp_path / "progress.jsonl"))
    return tmp_path / "progress.jsonl"


def last(said: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads(said.read_text().splitlines()[-1])
    return found


def test_a_judged_model_its_card_and_then_its_refit(clean: Path, rows_folder: Path, said: Path, tmp_path: Path) -> None:
    made, again = tmp_path / "made", tmp_path / "again"
    logged: dict[str, float] = {}
    rule = RULE.model_dump_json()
    run_train_forecasts(
        rule, clean=clean, rows=rows_folder, destination=made, code="c0de", log_metric=logged.__setitem__
    )
    metrics = files.read_json(made / "evaluation" / "metrics.json")
    line = last(said)
    assert line["rmse_spend"] == metrics["test"]["rmse:spend"] == logged["forecast.rmse:spend"]
    assert line["accuracy_next"] == metrics["test"]["accuracy:next"]
    card = (made / "evaluation" / "card.md").read_text()
    assert "The sum of `value` of purchase events in the coming week, in EUR." in card
    assert "The `category` of the first event in the coming week, or none." in card
    assert "RMSE (EUR)" in card

    given = {"code": "c0de", "clean": clean, "rows": rows_folder, "judged": made}
    run_refit_forecasts(rule, refit=True, destination=again, **given)  # type: ignore[arg-type]
    proof = files.read_json(again / "model" / conditions.FILE)
    assert proof["weeks"] == [week for part in SPLIT.values() for week in part]
    assert (again / "evaluation" / "card.md").read_text() == card
    assert files.read_json(again / "model" / "forecasts.json") == files.read_json(made / "model" / "forecasts.json")
    with pytest.raises(DataError, match="only the rows of a refit may differ"):
        run_refit_forecasts(rule, refit=True, destination=tmp_path / "no", **given | {"code": "other"})  # type: ignore[arg-type]
    assert not (tmp_path / "no").exists()


def test_a_refit_on_the_training_weeks_alone_comes_to_the_judged_weights(
    learnt: Learnt, events: pa.Table, items: pa.Table, examples: Examples
) -> None:
    found = refits.refit(
        events, items, RULE, examples, learnt.scorer, epochs=document(learnt.epochs), weeks=SPLIT["train"]
    )
    for one, other in zip(found.scorer.fitted, learnt.scorer.fitted, strict=True):
        assert all(np.array_equal(one.arrays[name], other.arrays[name]) for name in one.arrays)


def test_without_such_an_intent_nothing_is_read_and_the_folder_says_so(tmp_path: Path, said: Path) -> None:
    nowhere = tmp_path / "nowhere"
    run_train_forecasts("", clean=nowhere, rows=nowhere, destination=tmp_path / "made")
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["none.json"]
    assert not held(tmp_path / "made" / "model")
    assert last(said)["asked"] is False
    run_refit_forecasts(
        "", code="", refit=True, clean=nowhere, rows=nowhere, judged=nowhere, destination=tmp_path / "again"
    )
    assert not conditions.asked(tmp_path / "again")


def test_what_serves_is_read_from_the_intent_models_folder(learnt: Learnt, rows_folder: Path, tmp_path: Path) -> None:
    found = rows_artifact.load(rows_folder)
    assert ForecastScorer.served(tmp_path) is None
    found.vocabulary.save(tmp_path / "vocabulary")
    found.context.save(tmp_path / "target_state.parquet")
    files.write_json(tmp_path / "calendar.json", found.calendar.document())
    (tmp_path / "forecasts").mkdir()
    learnt.scorer.save(tmp_path / "forecasts")
    served = ForecastScorer.served(tmp_path)
    assert served is not None
    rows = found.rows.take(found.part("test")[:3])
    for one, other in zip(served.predict(rows), learnt.scorer.predict(rows), strict=True):
        assert np.array_equal(one, other)

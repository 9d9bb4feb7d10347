"""Forecasts go with their release: measured, judged by gates of one intent, registered, held back by themselves."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from components.registry import baseline_steps, steps
from components.registry.baseline_champion import parts_of
from components.registry.gate_inputs import measured
from components.registry.gates import evaluate
from components.registry.lineage import Folders, Result
from components.registry.release import assemble
from components.registry.report import markdown
from components.registry.spec import Gate
from feature_repo import files
from feature_repo.release_folder import FORECASTS, ReleaseFolder
from tests.registry.conftest import LINEAGE, SERVING, result, write_evaluation

GATE = Gate(metric="forecast.rmse", intent="spend")


def with_forecasts(made: Folders, *, rmse: float) -> Folders:
    """Put a forecasts artifact beside a result whose best baseline has an RMSE of 6."""
    folder = made.clean.parent / "forecasts"
    for name in ("model", "evaluation"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "model" / "forecasts.json").write_text("{}")
    numbers = {
        "test": {"rmse:spend": rmse, "rmse:other": 99.0, "rows": 500},
        "baselines": {"mean": {"rmse:spend": 7.0}, "gbdt": {"rmse:spend": 6.0}},
    }
    files.write_json(folder / "evaluation" / "metrics.json", numbers)
    write_evaluation(folder / "evaluation", "rmse:spend", rmse, {"mean": 7.0, "gbdt": 6.0}, spread=0.1)
    return replace(made, forecasts=folder)


@pytest.mark.parametrize(("rmse", "word"), [(4.0, "passed"), (8.0, "refused"), (5.95, "undecided")])
def test_a_gate_judges_one_intent_against_its_best_baseline(tmp_path: Path, rmse: float, word: str) -> None:
    found = Result.read(with_forecasts(result(tmp_path, seed=0, quality=0.3), rmse=rmse), LINEAGE)
    candidate = measured(found.metrics, found.served, resamples=found.resamples)
    assert candidate.overall.baseline["forecast.rmse:spend"] == 6.0  # the lower one is the better
    verdict = evaluate([GATE], candidate, champion=None)
    assert verdict.word == word
    assert (verdict.outcomes[0].metric, verdict.outcomes[0].value) == ("forecast.rmse:spend", rmse)
    assert "forecast.rmse:spend" in markdown(verdict, title="Release")


def test_a_ceiling_is_of_the_named_intent(tmp_path: Path) -> None:
    found = Result.read(with_forecasts(result(tmp_path, seed=0, quality=0.3), rmse=4.0), LINEAGE)
    candidate = measured(found.metrics, found.served, resamples=found.resamples)
    for limit, word in ((5.0, "passed"), (3.0, "refused")):
        gate = Gate(metric="forecast.rmse", intent="spend", limit=limit)
        assert evaluate([gate], candidate, champion=None).word == word
    absent = Gate(metric="forecast.rmse", intent="nothing", limit=5.0)
    assert evaluate([absent], candidate, champion=None).word == "undecided"


def test_no_baseline_of_the_pair_stands_in_for_a_forecast() -> None:
    assert parts_of("forecast.rmse:spend") == ()


def test_a_result_without_forecasts_is_read_as_before(tmp_path: Path) -> None:
    made = result(tmp_path, seed=0, quality=0.3)
    assert "forecast" not in Result.read(made, LINEAGE).metrics
    assert made.forecasts_model is None


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("rmse", "passes"), [(4.0, True), (8.0, False)])
def test_they_travel_in_the_intent_models_folder_and_serve_nowhere_where_held_back(
    store: Path, name: str, tmp_path: Path, rmse: float, passes: bool
) -> None:
    folders = with_forecasts(result(tmp_path / "result", seed=9, quality=0.3), rmse=rmse)
    paths = [str(path) for path in list(vars(folders).values())[:5]]
    version, chosen, made, report = (tmp_path / one for one in ("version", "baselines", "made", "report"))
    given = {"lineage": LINEAGE.model_dump_json(), "serving": json.dumps(SERVING), "report": str(report)}
    given |= {"forecasts": str(folders.forecasts)}
    gates = json.dumps(
        {"gates": [{"metric": "forecast.rmse", "intent": "spend"}, {"metric": "intent.map", "limit": 0.1}]}
    )
    passed = steps.register(name, folders=paths, promotion=gates, release_version=str(version), mode="auto", **given)  # type: ignore[arg-type]
    assert passed is passes
    found = ReleaseFolder.read(assemble(name, version.read_text(), tmp_path / "release"))
    assert (found.intent / FORECASTS / "forecasts.json").is_file()
    if passes:
        return
    assert baseline_steps.need_baseline(
        name, version.read_text(), evaluations=(paths[2], paths[4]), baselines_file=str(chosen)
    )
    assert json.loads(chosen.read_text()) == {}  # neither part is replaced
    baseline_steps.register_baseline(
        name, candidate=version.read_text(), replaced=chosen.read_text(), folders=paths, release_version=str(made),
        why="passed its gates", **given,
    )  # fmt: skip
    served = ReleaseFolder.read(assemble(name, made.read_text(), tmp_path / "again"))
    assert not (served.intent / FORECASTS).exists()
    assert "forecasts: none, since they were held back" in report.read_text()

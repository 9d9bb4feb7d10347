"""The step on the checkerboard: it looks at no test row, parts validation users, proposes or applies, and goes on."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from components.intent import calibrate, search_space, train
from components.intent.examples import Examples
from components.intent.search import result, steps, study, trial
from components.intent.search.__main__ import run as run_trial
from components.intent.search.steps import DIFF, SEARCHES, resolved, run_search_intent
from components.intent.search.study import CHOSEN, Asked
from components.intent.spec import IntentModel, read_by
from components.registry import search_runs
from feature_repo import columns, files
from feature_repo.checkout import ROOT
from feature_repo.errors import DataError, SpecError
from pipelines import spec as recommenders
from tests.intent.conftest import INTENTS, SPLIT

INTENTS_JSON = json.dumps([one.model_dump(mode="json") for one in INTENTS])
OWN = {"architecture": "cnn", "width": 8, "layers": 1, "epochs": 2, "batch_size": 64, "learning_rate": 1e-5}
SPACE = {"learning_rate": {"low": 1e-5, "high": 0.05, "log": True}, "dropout": [0.0, 0.2]}


def spec(*, trials: int = 4, mode: str = "propose", **more: Any) -> IntentModel:
    return IntentModel.model_validate(OWN | more | {"search": {"trials": trials, "mode": mode, "space": SPACE}})


def run(rows: Path, folder: Path, asked: IntentModel, *, mode: str = "auto") -> tuple[dict[str, Any], IntentModel]:
    said = run_search_intent(
        "shop", INTENTS_JSON, asked.model_dump_json(), ranking_weeks=4, mode=mode, code="c", rows=str(rows),
        search=str(folder),
    )  # fmt: skip
    return files.read_json(folder / result.FILE), IntentModel.model_validate_json(said)


def results(document: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [(one["state"], one[CHOSEN], one["value"], one["epochs"]) for one in document["trials"]]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a state folder, and a spec's file beside it."""
    (tmp_path / "shop.yaml").write_text(
        yaml.safe_dump({"name": "shop", "models": {"intent": spec().model_dump(mode="json", exclude_unset=True)}})
    )
    monkeypatch.setenv("INTENTFLOW_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("INTENTFLOW_SPEC_FILE", str(tmp_path / "shop.yaml"))
    monkeypatch.delenv("INTENTFLOW_SEARCH_STORAGE", raising=False)
    return tmp_path / "state"


@pytest.fixture(scope="session")
def poisoned(rows_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the same rows, those of the test weeks with other labels and numbers."""
    folder = tmp_path_factory.mktemp("poisoned") / "rows"
    shutil.copytree(rows_folder, folder)
    table = pq.read_table(folder / "intent.parquet")
    test = np.isin(table[columns.WEEK].to_numpy(), SPLIT["test"])
    assert test.any()
    for name in ("label_ids", "target_weeks", "recent_targets", "n_events_28d"):
        if name not in table.column_names:
            continue
        kind = table.schema.field(name).type
        other = [
            (0.0 if kind == pa.float64() else []) if bad else value
            for bad, value in zip(test, table[name].to_pylist(), strict=True)
        ]
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(other, kind))
    pq.write_table(table, folder / "intent.parquet")
    return folder


def test_the_search_never_reads_a_test_row(rows_folder: Path, poisoned: Path, tmp_path: Path, home: Path) -> None:
    (document, settings), (other, same) = (
        run(rows, tmp_path / rows.parent.name, spec()) for rows in (rows_folder, poisoned)
    )
    assert results(document) == results(other)
    assert settings == same


def test_rows_of_validation_move_what_it_finds(rows_folder: Path, examples: Examples, home: Path) -> None:
    """The test before could hold if no row mattered at all."""
    asked = spec()
    found = examples.without_test()
    mine = trial.rows_of(found, asked)
    forged = found.labels.copy()
    forged[mine] = 1 - forged[mine]
    watch = lambda stage, epoch, loss: None  # noqa: E731
    losses = [
        trial.judged(one, asked, ranking_weeks=4, watch=watch, device="cpu").loss
        for one in (found, replace(found, labels=forged))
    ]
    assert abs(losses[0] - losses[1]) > 0.05


def test_a_trial_refuses_test_rows(examples: Examples) -> None:
    with pytest.raises(DataError, match="was given test weeks, which the evaluation alone reads"):
        trial.judged(examples, spec(), ranking_weeks=4, watch=lambda stage, epoch, loss: None)


def test_stopping_calibration_thresholds_and_search_share_no_user(examples: Examples) -> None:
    asked = spec(calibrate="temperature")
    whole, trimmed = train.folds(examples, asked), train.folds(examples.without_test(), asked)
    assert list(whole) == ["stop", "calibrate", "decide", "search"]
    ids = {name: set(examples.rows.user_id[rows]) for name, rows in whole.items()}
    assert sum(map(len, ids.values())) == len(set.union(*ids.values())) == 40
    found = examples.without_test()
    assert {name: set(found.rows.user_id[rows]) for name, rows in trimmed.items()} == ids
    assert list(train.folds(examples, spec())) == ["stop", "decide", "search"]
    assert calibrate.uses_of(calibrates=True, searches=False) == ("stop", "calibrate", "decide")


def test_users_keep_their_part_where_rows_are_not_in_order_of_time(examples: Examples) -> None:
    """Numbered anew among fewer rows, users would change parts, and training would stop by the search's."""
    order = np.argsort(-examples.week, kind="stable")  # test weeks first
    turned = replace(examples, rows=examples.rows.take(order), week=examples.week[order], labels=examples.labels[order])
    some = np.flatnonzero((turned.week != SPLIT["test"][0]) | (np.arange(len(order)) % 3 > 0))
    turned = replace(turned, rows=turned.rows.take(some), week=turned.week[some], labels=turned.labels[some])
    late, found = turned.without_test(), train.folds(turned, spec())
    for name, rows in train.folds(late, spec()).items():
        assert set(late.rows.user_id[rows]) == set(turned.rows.user_id[found[name]]), name


def test_labels_of_the_search_s_users_move_no_weight_and_no_threshold(examples: Examples) -> None:
    asked = spec(learning_rate=1e-2)
    mine = train.folds(examples, asked)["search"]
    forged = examples.labels.copy()
    forged[mine] = 1 - forged[mine]
    rows = examples.rows.take(examples.part("test"))
    made = [
        train.train(one, asked, ranking_weeks=4, device="cpu") for one in (examples, replace(examples, labels=forged))
    ]
    np.testing.assert_array_equal(*(one.scorer.predict(rows) for one in made))
    first, second = (one.thresholds for one in made)
    assert first is not None
    assert second is not None
    assert first.apart
    np.testing.assert_array_equal(first.by_target, second.by_target)


def test_it_proposes_a_diff_and_trains_with_the_spec_s_own(rows_folder: Path, tmp_path: Path, home: Path) -> None:
    document, settings = run(rows_folder, tmp_path / "search", spec())
    assert settings == spec()
    own, best = (result.trial(document, document[key]) for key in ("own", "best"))
    assert own[CHOSEN] == {"learning_rate": 1e-5, "dropout": 0.1}
    assert best["value"] < own["value"]
    assert document["changes"]["learning_rate"] == [1e-5, best[CHOSEN]["learning_rate"]]
    low, high = document["gain"]["interval"]
    assert low <= document["gain"]["by"] <= high
    assert document["gain"]["by"] == pytest.approx(own["value"] - best["value"])
    diff = (home / SEARCHES / DIFF).read_text()
    assert f"+    learning_rate: {best[CHOSEN]['learning_rate']}" in diff
    assert (tmp_path / "search" / DIFF).read_text() == diff


def test_auto_hands_on_the_best_which_is_what_its_trial_trained(
    rows_folder: Path, tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = spec(mode="auto")
    document, settings = run(rows_folder, tmp_path / "search", asked)
    best = result.trial(document, document["best"])
    assert settings.learning_rate == best[CHOSEN]["learning_rate"]
    assert settings.search == asked.search
    capsys.readouterr()
    # The same trial by itself, as a TrainJob of Katib's runs it, comes to the same loss, and says so for the collector.
    words = [f"{name}={value}" for name, value in best[CHOSEN].items()]
    run_trial(INTENTS_JSON, asked.model_dump_json(), weeks=4, rows=str(rows_folder), settings=words)
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("validate_bce=")]
    assert said[-1] == f"validate_bce={best['value']:.6f}"
    assert [float(line.partition("=")[2]) for line in said[:-1]] == pytest.approx(
        [one["validate_bce"] for one in best["epochs"]], abs=1e-6
    )


def test_more_trials_go_on_and_another_space_begins_anew(rows_folder: Path, tmp_path: Path, home: Path) -> None:
    first, _ = run(rows_folder, tmp_path / "a", spec(trials=2))
    second, _ = run(rows_folder, tmp_path / "b", spec(trials=3, mode="auto"))
    assert results(second)[:2] == results(first)
    assert second["study"] == first["study"]
    assert second["trials"][0]["began"] == first["trials"][0]["began"], "it was not run again"
    other, _ = run(rows_folder, tmp_path / "c", spec(trials=1, dropout=0.3))
    assert other["study"] != first["study"]


def test_a_dry_run_keeps_nothing_outside_its_artifact(rows_folder: Path, tmp_path: Path, home: Path) -> None:
    document, _ = run(rows_folder, tmp_path / "search", spec(trials=2), mode="dry_run")
    assert len(document["trials"]) == 2
    assert not home.exists()


def test_where_the_file_was_edited_since_there_is_no_diff(rows_folder: Path, tmp_path: Path, home: Path) -> None:
    (home / SEARCHES).mkdir(parents=True)
    (home / SEARCHES / DIFF).write_text("of an earlier search")
    file = home.with_name("shop.yaml")
    file.write_text(file.read_text().replace("width: 8", "width: 16"))
    document, _ = run(rows_folder, tmp_path / "search", spec(trials=3))
    assert document["better"]
    assert (tmp_path / "search" / DIFF).read_text() == ""
    assert not (home / SEARCHES / DIFF).exists(), "an older proposal would be applied for this one"


def test_settings_that_do_not_go_together_are_unfit() -> None:
    space = {"text.tune": ["lora", "head"], "text.rank": [8, 16]}
    asked = IntentModel.model_validate({"architecture": "text", "text": {"tune": "lora"}, "search": {"space": space}})
    assert asked.search is not None
    search_space.require(asked, asked.search, read_by)
    with pytest.raises(study.UnfitError, match="and tune: head has none; drop rank"):
        resolved(Asked(asked, asked.search, 0), {"text.tune": "head", "text.rank": 16})
    assert resolved(Asked(asked, asked.search, 0), {"text.tune": "lora", "text.rank": 16}).text.rank == 16


def test_too_few_users_are_told(examples: Examples) -> None:
    two = np.flatnonzero(np.isin(examples.rows.user_id, ["u00", "u01"]))
    few = replace(examples, rows=examples.rows.take(two), week=examples.week[two], labels=examples.labels[two])
    with pytest.raises(
        DataError, match=r"models.intent.search: .* no third of users to search with; .* or drop search"
    ):
        train.folds(few, spec())


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["depth=3"], "the search has no field 'depth'"),
        (["dropout=0.7"], "is none of 0.0, 0.2"),
        (["learning_rate=x"], "is no number"),
    ],
)
def test_a_trial_s_words_are_checked(words: list[str], why: str) -> None:
    with pytest.raises(SpecError, match=why):
        run_trial(INTENTS_JSON, spec().model_dump_json(), weeks=4, rows="nowhere", settings=words)


def test_an_interval_over_users_knows_that_rows_of_one_are_alike() -> None:
    rng = np.random.default_rng(0)
    effect = rng.normal(size=30)
    own = np.zeros(300) + np.repeat(effect, 10)
    _, low, high = result.gain(own, np.zeros(300), np.repeat(np.arange(30), 10))
    _, lower, higher = result.gain(own, np.zeros(300), np.arange(300))
    assert high - low > 2 * (higher - lower)
    assert abs((high - low) / (2 * 1.96 * effect.std() / np.sqrt(30)) - 1) < 0.15


def test_a_form_without_a_search_is_handed_on_and_its_artifact_is_empty(
    rows_folder: Path, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise SpecError("Optuna is not installed here")

    monkeypatch.setattr(study, "require_installed", missing)
    model = IntentModel.model_validate(OWN).model_dump_json()
    said = run_search_intent(
        "shop", INTENTS_JSON, model, ranking_weeks=4, mode="auto", code="c", rows=str(rows_folder),
        search=str(tmp_path / "found"),
    )  # fmt: skip
    assert said == model
    assert (tmp_path / "found").is_dir()
    assert not list((tmp_path / "found").iterdir())
    assert not (home / SEARCHES).exists()
    assert search_runs.log("shop", tmp_path / "found", run_id="none") == 0


@pytest.mark.parametrize("vectors", [{"text": {}}, {"text": {"columns": ["title"]}}])
def test_what_the_whole_spec_fills_in_is_no_edit_of_the_file(
    vectors: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With vectors of texts a model of events reads titles, which the file does not say of it."""
    found = yaml.safe_load((ROOT / "pipelines" / "specs" / "synthetic.yaml").read_text())
    said = {"architecture": "gru", "reads": "events", "search": {"space": {"learning_rate": [0.002, 0.01]}}}
    file = tmp_path / "shop.yaml"
    file.write_text(yaml.safe_dump(found | {"models": found["models"] | {"intent": said}, "vectors": vectors}))
    monkeypatch.setenv("INTENTFLOW_SPEC_FILE", str(file))
    model = recommenders.load(file).models.intent
    assert model.titles
    assert model.search is not None
    document = {"better": True, "best": 1, "trials": [{"number": 1, CHOSEN: {"learning_rate": 0.01}}]}
    diff = steps._proposal(document, Asked(model, model.search, 0))
    assert "+    learning_rate: 0.01" in diff
    assert "titles" not in diff
    file.write_text(file.read_text().replace("reads: events", "reads: events\n    titles: false"))
    assert steps._proposal(document, Asked(model, model.search, 0)) == "", "it was edited"

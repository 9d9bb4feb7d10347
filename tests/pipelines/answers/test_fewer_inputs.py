"""A release whose intent model sees components of few numbers: its answers replay, and `why` speaks of the numbers."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bentos.recommender.logs import requestlog
from components.intent import inputs
from components.intent.score import IntentScorer
from components.intent.steps import run_train_intent
from components.ranking.score import Ranker
from feature_repo import columns, files, release_folder
from feature_repo.dropped_features import FILE
from pipelines.answers import explain, parity
from pipelines.environment import Installation, place
from pipelines.releases.release import models_of
from pipelines.runs import local, report
from tests.pipelines.conftest import USER, Shop

HELD = 4  # training weeks that the early stage leaves to the ranker


@pytest.fixture(scope="module")
def reduced(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> tuple[Installation, str]:
    """The shop with a release of its own: the intent model is trained again, on two components of five numbers."""
    at = place(shop.spec, "local", variables=shop.environment())
    tmp_path = tmp_path_factory.mktemp("reduced")
    home = tmp_path / "home"
    home.mkdir()
    for name in ("secrets", "events", "features"):
        (home / name).symlink_to(shop.home / name)
    shutil.copyfile(shop.home / "run.json", home / "run.json")
    last = local.last_run(shop.home)
    assert last is not None
    rows = Path(shutil.copytree(last.folders["rows"], tmp_path / "rows"))
    features = files.read_json(rows / FILE)
    features["selection"] |= {"relevance": "top_k", "k": 5, "join": "mean"}
    files.write_json(rows / FILE, features | {"reduce": {"method": "pca", "components": 2}})
    line = next(line for line in requestlog.read(shop.home / "requests") if line["endpoint"] == "recommend")
    old = models_of(shop.home, str(line["release"]))
    intents = json.dumps([intent.model_dump() for intent in at.spec.intents])
    model = at.spec.models.intent.model_copy(update={"epochs": 1})
    run_train_intent(
        intents, model.model_dump_json(), ranking_weeks=HELD, rows=str(rows), intent=str(tmp_path / "intent")
    )
    document = files.read_json(old / release_folder.FILE)
    rest = {k: v for k, v in document.items() if k not in ("id", "format")}
    rest["intent"] = {"version": "2", "digest": files.file_digest(tmp_path / "intent")}
    made = release_folder.identified(rest)
    folder = models_of(home, made["id"])
    shutil.copytree(old, folder)
    shutil.rmtree(folder / "intent")
    shutil.copytree(tmp_path / "intent", folder / "intent")
    files.write_json(folder / release_folder.FILE, made)
    answer = _answered(line, folder, made["id"])
    (home / "requests").mkdir()
    (home / "requests" / "2024-01-01.00000.jsonl").write_text(json.dumps(answer) + "\n")
    return dataclasses.replace(at, home=home), made["id"]


def _answered(line: dict[str, Any], folder: Path, release: str) -> dict[str, Any]:
    """Answer a logged question with the models of a release, as a door does: one row alone."""
    scorer, ranker, rows = (
        IntentScorer.load(folder / "intent"),
        Ranker.load(folder / "ranking"),
        requestlog.rows_of(line),
    )
    said = scorer.predict(rows)[0]
    found = ranker.recommend(rows, said, k=len(line["items"]))
    items = [
        old | {columns.ITEM_ID: ranker.vocabulary.item_ids[new.item_index], "score": new.score, "source": new.source}
        for old, new in zip(line["items"], found, strict=True)
    ]
    return line | {columns.RELEASE: release, "probabilities": said.tolist(), "items": items}


def test_answers_replay_and_why_names_the_numbers_themselves(reduced: tuple[Installation, str]) -> None:
    at, release = reduced
    scorer = IntentScorer.load(models_of(at.home, release) / "intent")
    assert (scorer.net.shape.profile, scorer.net.shape.components) == (5, 2)
    found = parity.parity(at, release)
    assert (found["checked"], found["mismatches"], found["passed"]) == (1, 0, True), found["reason"]
    assert "not recomputed" not in found["reason"]
    told = explain.why(at, user=USER)
    assert told["release"] == release
    names = {feature["name"] for feature in told["features"]}
    assert {"events_total", "value_28d", "sessions_7d"} <= names, "also those that the model does without"
    assert np.isfinite([intent["probability"] for intent in told["intents"]]).all()
    assert told["items"][0]["reasons"]
    text = explain.text(told)
    assert not {"component", "pca", "pc1"} & set(text.lower().split())


def test_the_report_says_what_the_intent_model_sees(reduced: tuple[Installation, str], shop: Shop) -> None:
    at, release = reduced
    folder = models_of(at.home, release) / "intent"
    said = report._inputs(folder)["inputs"]
    assert said["text"].startswith("5 of ")
    assert said["selection"]["kept"] == inputs.read(folder)["selection"]["kept"]
    assert set(said["selection"]["importance"]) == {*said["selection"]["kept"], *said["selection"]["dropped"]}
    document = json.loads((shop.home / "report.json").read_text())
    assert "inputs" not in document["features"]
    assert "Inputs " not in report.text(document)
    text = report.text(document | {"features": document["features"] | {"inputs": said}})
    assert f"Inputs     {said['text']}" in text

"""`intentflow items` on the finished shop, and answers over a changed catalogue, which replay by their version."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from bentos.recommender.logs import requestlog
from components.intent.score import IntentScorer
from components.ranking.score import Ranker
from feature_repo import columns
from feature_repo.errors import DataError, SpecError
from pipelines import items
from pipelines.answers import explain, parity
from pipelines.answers.past_catalogue import PastCatalogue
from pipelines.environment import Installation, place
from pipelines.releases.release import models_of
from tests.pipelines.conftest import USER, Shop


@pytest.fixture
def logged(shop: Shop, tmp_path: Path) -> tuple[Installation, dict[str, Any]]:
    """The shop with an online store and a request log of its own, and an answer of the demo."""
    at = place(shop.spec, "local", variables=shop.environment() | {"INTENTFLOW_STATE": str(tmp_path / "state")})
    home = at.home
    (home / "feast").mkdir(parents=True)
    for name in ("releases", "secrets", "events", "features", "mlflow"):
        (home / name).symlink_to(shop.home / name)
    shutil.copyfile(shop.home / "run.json", home / "run.json")
    line = next(line for line in requestlog.read(shop.home / "requests") if line["endpoint"] == "recommend")
    return at, line


def answered(at: Installation, line: dict[str, Any], version: int) -> dict[str, Any]:
    """Answer a logged question over a version of the catalogue, as a door does, and log it."""
    folder = models_of(at.home, str(line["release"]))
    ranker = PastCatalogue(at, Ranker.load(folder / "ranking")).ranker_of({columns.CATALOGUE_VERSION: version})
    rows, scorer = requestlog.rows_of(line), IntentScorer.load(folder / "intent")
    said = scorer.predict(rows)[0]
    found = ranker.recommend(rows, said, k=len(ranker.vocabulary.item_ids))
    shown = [
        {"item_id": ranker.vocabulary.item_ids[one.item_index], "position": n, "score": one.score,
         "source": one.source, "propensity": 1.0}
        for n, one in enumerate(found, 1)
    ]  # fmt: skip
    answer = line | {"probabilities": said.tolist(), "items": shown, columns.CATALOGUE_VERSION: version}
    log(at, answer)
    return answer


def log(at: Installation, answer: dict[str, Any]) -> None:
    (at.home / "requests").mkdir(exist_ok=True)
    (at.home / "requests" / "2024-01-01.00000.jsonl").write_text(json.dumps(answer) + "\n")


def test_the_command_puts_withdraws_lists_and_undoes_and_answers_over_each_version_replay(
    logged: tuple[Installation, dict[str, Any]], tmp_path: Path
) -> None:
    at, line = logged
    best = str(line["items"][0]["item_id"])
    ranker = Ranker.load(models_of(at.home, str(line["release"])) / "ranking")
    category = ranker.vocabulary.items["category"][0].as_py()
    file = tmp_path / "items.json"
    file.write_text(json.dumps([{"item_id": "kale", "title": "Kale", "category": category}]))
    assert items.act(at, "put", [str(file)], change_id="c1")["items"] == [{"item_id": "kale", "outcome": "added"}]
    assert items.act(at, "put", [str(file)], change_id="c1") == {
        "version": 1, "repeated": True, "items": [{"item_id": "kale", "outcome": "added"}],
    }  # fmt: skip
    assert items.act(at, "withdraw", [best])["items"] == [{"item_id": best, "outcome": "withdrawn"}]

    answer = answered(at, line, 2)
    names = [one["item_id"] for one in answer["items"]]
    assert "kale" in names
    assert best not in names
    found = parity.parity(at, str(line["release"]))
    assert (found["checked"], found["mismatches"]) == (1, 0), found["reason"]
    told = explain.why(at, request_id=str(line["request_id"]))
    assert told["catalogue_version"] == 2
    assert {one["title"] for one in told["items"] if one["item_id"] == "kale"} == {"Kale"}
    assert "Catalogue  version 2" in explain.text(told)

    undone = items.act(at, "undo", ["2"])
    assert (undone["version"], undone["items"]) == (3, [{"item_id": best, "outcome": "taken back"}])
    seen = items.listed(at)
    assert [(row["version"], row["id"], row["undoes"]) for row in seen["changes"]] == [
        (3, best, 2), (2, best, None), (1, "kale", None),
    ]  # fmt: skip
    assert "kale (version 1)" in items.text(seen)
    assert "command line" in seen["changes"][0]["who"]
    assert parity.parity(at, str(line["release"]))["mismatches"] == 0, "version 2 is what it was"


def test_an_answer_over_a_version_that_the_log_lacks_is_a_difference_and_why_says_so(
    logged: tuple[Installation, dict[str, Any]],
) -> None:
    at, line = logged
    log(at, line | {columns.CATALOGUE_VERSION: 7})
    found = parity.parity(at, str(line["release"]))
    assert (found["passed"], found["first"]["field"]) == (False, "catalogue_version")
    assert "ends at version 0: it was restored from an older copy, or is another one" in found["reason"]
    told = explain.why(at, user=USER)
    assert "reasons are those of the release's own items" in told["note"]


@pytest.mark.parametrize(
    ("action", "what", "said"),
    [
        ("put", [], "items put: nothing is not allowed; give FILE"),
        ("withdraw", [], "items withdraw: nothing is not allowed; give ID ..."),
        ("undo", ["two"], "items undo: two is not allowed; give VERSION"),
        ("list", ["all"], "items list: all is not allowed; give nothing more"),
        ("put", ["nowhere.json"], "items put: nowhere.json: no such file"),
    ],
)
def test_a_wrong_command_is_one_line(action: str, what: list[str], said: str) -> None:
    with pytest.raises(SpecError) as refusal:
        items.act(None, action, what)  # type: ignore[arg-type]  # the words are looked at first
    assert str(refusal.value) == said


@pytest.mark.parametrize(("text", "said"), [("{", "no JSON"), ('{"item_id": "a"}', "dict; allowed: a JSON list")])
def test_a_file_that_is_no_list_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "items.json"
    file.write_text(text)
    with pytest.raises(DataError, match=said):
        items.asked("put", [str(file)])


def test_a_wrong_field_of_a_file_is_named_by_its_place(tmp_path: Path) -> None:
    file = tmp_path / "items.json"
    file.write_text('[{"item_id": "a", "prise": 2}]')
    with pytest.raises(SpecError, match=r"items put: items\[0\]\.prise: no such field; did you mean 'price'\?"):
        items.asked("put", [str(file)])

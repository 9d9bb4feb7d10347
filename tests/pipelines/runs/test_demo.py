"""From a shop's CSV files to recommendations, by the command line alone; then again; then refused on purpose."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.graphs.index import reads
from tests.pipelines.conftest import USER, Shop

TWIN = {"fetch_twin", "twin_rows", "judge_twin_intent", "judge_twin_ranking"}  # hand on why there is no champion
REPORT = ("contract", "intent", "ranking", "release", "recommendations", "texts", "drift", "seconds",
          "peak_memory_gib", "uis", "first_answer_s")  # fmt: skip


@pytest.fixture(scope="session")
def report(shop: Shop) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((shop.home / "report.json").read_text())
    return found


def test_the_demo_leaves_a_report_with_everything(shop: Shop, report: dict[str, Any]) -> None:
    assert set(REPORT) <= set(report)
    assert report["contract"]["passed"] is True
    assert {"map", "macro_auroc", "ece"} <= set(report["intent"]["test"])
    assert {"ndcg_at_10", "recall_at_10"} <= set(report["ranking"]["test"])
    assert len(report["release"]["id"]) == 12
    assert sum(one["users"] for one in report["segments"]["segments"]) > 0
    assert set(report["ran"]) == {"admit", *reads()} | TWIN
    assert report["drift"]["verdict"] in ("stable", "drifted", "undecided")
    assert report["seconds"]["serve"] < report["first_answer_s"] < 3600
    printed = (shop.folder / "demo.out").read_text()
    for said in ("Contract", "Intent", "Ranking", report["release"]["id"], "Recommendations:", "Drift", "mlflow"):
        assert said in printed


def test_an_even_user_is_recommended_even_items(report: dict[str, Any]) -> None:
    items = [int(i["item_id"][1:]) for i in report["recommendations"]]
    assert len(items) == 5
    assert all(i % 2 == 0 for i in items)


def test_each_recommendation_has_a_text_that_says_who_wrote_it(shop: Shop, report: dict[str, Any]) -> None:
    assert [one["item_id"] for one in report["texts"]] == [one["item_id"] for one in report["recommendations"]]
    printed = (shop.folder / "demo.out").read_text()
    for item, text in zip(report["recommendations"], report["texts"], strict=True):
        assert text["source"] == "template@2"
        assert text["text"].startswith(item["title"])
        assert f"{text['text']}  [template@2]" in printed
    assert report["seconds"]["texts"] < 0.03 * report["first_answer_s"]


def test_the_models_know_the_checkerboard(report: dict[str, Any]) -> None:
    assert report["intent"]["test"]["map"] >= report["intent"]["baseline"]["map"]
    assert report["ranking"]["test"]["ndcg_at_10"] >= 0.85


def test_after_the_demo_plan_has_nothing_to_do(shop: Shop) -> None:
    assert shop.json("plan", str(shop.spec))["nothing"] is True


@pytest.mark.slow  # a demo again; the test above has what it would do
def test_a_second_demo_changes_nothing_that_is_true(shop: Shop, report: dict[str, Any], warm_steps: None) -> None:
    done = shop.here("demo", str(shop.spec), "--user", USER, "--json")
    assert done.returncode == 0, done.stderr
    again = json.loads(done.stdout)
    pure = {"ingest", "validate", "profiles", "training_set", "train_intent", "train_ranking"}
    assert pure & set(again["ran"]) == set()
    assert again["release"] == report["release"]
    assert again["recommendations"] == report["recommendations"]
    status = shop.json("status", str(shop.spec))
    assert [m["alias"] for m in status["history"]].count("champion") == 1
    assert status["aliases"]["champion"] == "1"


def test_json_is_one_document_and_notes_go_to_stderr(shop: Shop) -> None:
    done = shop.run("status", str(shop.spec), "--json")
    assert json.loads(done.stdout)["name"] == "shop"


def test_recommend_answers_an_unknown_user_with_popular_items(shop: Shop) -> None:
    answer = shop.json("recommend", str(shop.spec), "--user", "a stranger", "--k", "3")
    assert answer["profile"]["rung"] == "popular"
    assert [i["source"] for i in answer["items"]] == ["popular"] * 3


def test_recommend_refuses_k_of_0_in_one_line(shop: Shop) -> None:
    done = shop.here("recommend", str(shop.spec), "--user", USER, "--k", "0")
    assert done.returncode == 2
    assert "k" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_release_is_written_as_manifests_of_the_same_release(shop: Shop, report: dict[str, Any]) -> None:
    found = shop.json("release", str(shop.spec))
    assert found["id"] == report["release"]["id"]
    assert found["checked"]  # the manifests keep the rules of tests/k8s
    text = (Path(found["manifests"]) / "kustomization.yaml").read_text()
    assert found["id"] in text


def test_a_broken_contract_stops_with_exit_3_and_promotes_nothing(shop: Shop, warm_steps: None) -> None:
    before = shop.aliases()
    text = shop.spec.read_text()
    try:
        document = yaml.safe_load(text)
        document["data"]["contract"]["events"].append({"expect": "rows", "min": 1_000_000})
        shop.spec.write_text(yaml.safe_dump(document, sort_keys=False))
        done = shop.here("run", str(shop.spec))
    finally:
        shop.spec.write_text(text)
    assert done.returncode == 3
    assert "at least 1,000,000 rows" in done.stderr
    assert "Traceback" not in done.stderr
    assert shop.aliases() == before


def test_a_gate_that_refuses_gives_exit_3_and_keeps_the_champion(shop: Shop, warm_steps: None) -> None:
    text = shop.spec.read_text()
    try:
        shop.edit(promotion={"gates": [{"metric": "intent.bce", "against": "value", "limit": 0.0}]})
        done = shop.here("run", str(shop.spec))
    finally:
        shop.spec.write_text(text)
    assert done.returncode == 3
    assert "did not pass" in done.stderr
    assert "refused by its gates\n\nThe result is version" in done.stderr  # the page, before the line
    assert shop.aliases()["champion"] == "1"


@pytest.mark.slow  # a demo again; tests/registry/test_gate_intervals.py and test_steps.py have the rule itself
def test_a_demo_whose_gates_cannot_tell_prints_its_figures_and_promotes_nothing(shop: Shop, warm_steps: None) -> None:
    text, before = shop.spec.read_text(), shop.aliases()
    report = (shop.home / "report.json").read_bytes()
    try:
        shop.edit(promotion={"gates": [{"metric": "intent.map", "min_users": 41}]})
        done = shop.here("demo", str(shop.spec), "--user", USER)
        status = shop.here("status", str(shop.spec))
    finally:
        shop.spec.write_text(text)
        shop.json("apply", str(shop.spec))  # as it was declared before
    assert done.returncode == 3
    assert "did not pass (undecided)" in done.stderr
    assert "undecided by its gates" in done.stderr
    assert "40 users are behind it, fewer than 41; promotion.gates[0]" in done.stderr
    assert "item_knn" in done.stderr  # the table of models and baselines
    assert "The champion stays version 1" in done.stderr
    assert (shop.home / "report.json").read_bytes() == report
    assert "undecided by its gates" in status.stdout
    assert "    undecided: intent.map 1 was not judged: 40 users" in status.stdout
    assert shop.aliases() == before


def test_two_runs_at_once_are_refused(shop: Shop) -> None:
    import fcntl

    with (shop.home / "run.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = shop.here("run", str(shop.spec))
    assert done.returncode == 2
    assert "another run of this recommender is under way" in done.stderr

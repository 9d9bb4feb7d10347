"""A first run whose gates refuse serves all the same: the demo of a shop whose ranker item_knn beats, from nothing.

Its state is a new one, beside that of the shop whose demo has run: what was computed there is found in the cache.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.numpy import load_file

from feature_repo import files
from feature_repo.release_folder import ReleaseFolder
from feature_repo.vocabulary import Vocabulary
from pipelines.releases.release import models_of
from pipelines.runs import warm_start
from tests.pipelines.conftest import USER, Shop, sharing

pytestmark = pytest.mark.slow  # a demo of its own; tests/registry/test_baseline_champion.py has the rule itself


@dataclass(frozen=True)
class FirstShop(Shop):
    """The same files and the default gates, without a release so far."""

    state: Path

    @property
    def spec(self) -> Path:
        return self.folder / "first.yaml"

    @property
    def home(self) -> Path:
        return self.state / "shop"

    def environment(self) -> dict[str, str]:
        return super().environment() | {"INTENTFLOW_STATE": str(self.state)}


@pytest.fixture(scope="module")
def first(shop: Shop, starter: warm_start.Starter, tmp_path_factory: pytest.TempPathFactory) -> FirstShop:
    """Return the shop after its first demo, whose gates refused the ranker."""
    found = FirstShop(shop.folder, tmp_path_factory.mktemp("first"))
    document = yaml.safe_load(shop.spec.read_text())
    document.pop("promotion")
    found.spec.write_text(yaml.safe_dump(document, sort_keys=False))
    for kept in ("secrets", "runs/.kfp_cache"):  # the same names of people, the same work
        shutil.copytree(shop.home / kept, found.home / kept)
    with sharing(starter):
        done = found.here("demo", str(found.spec), "--user", USER)
    assert done.returncode == 0, done.stderr
    (found.state / "demo.out").write_text(done.stdout)
    return found


@pytest.fixture(scope="module")
def report(first: FirstShop) -> dict[str, Any]:
    found: dict[str, Any] = files.read_json(first.home / "report.json")
    return found


def test_a_refused_first_run_says_loudly_what_serves_and_what_to_edit(first: FirstShop, report: dict[str, Any]) -> None:
    said = (first.state / "demo.out").read_text()
    assert "shop: version 1 refused by its gates; the baseline, version 2, serves\n" in said
    assert "is below the baseline's" in said
    assert "with item_knn in the ranker's place and the intent model, whose own gates passed." in said
    assert "To edit: first.yaml declares no promotion.gates, so promotion.gates[1] is a default: {metric: rank" in said
    assert "The champion stays" not in said
    assert (report["release"]["passed"], report["release"]["baseline"]) == (False, True)
    assert "train_intent" not in report["ran"]
    status = first.here("status", str(first.spec)).stdout
    assert "baseline: no gate judged it; it serves because no champion was there (item_knn for ranking, ins" in status


def test_the_door_answers_what_item_knn_computes_by_hand(first: FirstShop, report: dict[str, Any]) -> None:
    told = first.json("why", str(first.spec), "--user", USER)
    assert told["baselines"] == {"ranking": "item_knn"}
    row = {feature["name"]: feature["value"] for feature in told["features"]}
    release = ReleaseFolder.read(models_of(first.home, report["release"]["id"]))
    ids = Vocabulary.load(release.ranking / "vocabulary").item_ids
    near = load_file(release.ranking / "neighbours.safetensors")
    scores = dict.fromkeys(ids, 0.0)
    for item, weight in zip(row["history_items"], row["history_slow"], strict=True):
        for other, similarity in zip(near["items"][item], near["similarities"][item], strict=True):
            scores[ids[other]] += weight / sum(row["history_slow"]) * float(similarity)
    best = sorted(scores, key=lambda item: -scores[item])[:5]
    assert [item["item_id"] for item in report["recommendations"]] == best
    assert [item["score"] for item in report["recommendations"]] == pytest.approx([scores[i] for i in best], abs=1e-5)


def test_the_next_candidate_is_compared_with_the_baseline_that_serves(first: FirstShop, warm_steps: None) -> None:
    document = yaml.safe_load(first.spec.read_text())
    gate = {"metric": "ranking.ndcg_at_10", "against": "champion"}
    first.spec.write_text(yaml.safe_dump(document | {"promotion": {"gates": [gate]}}, sort_keys=False))
    done = first.here("run", str(first.spec))
    assert done.returncode == 3
    assert "is below the champion's" in done.stderr
    assert "The champion stays version 2 of shop-release." in done.stderr
    assert "To edit: first.yaml, line " in done.stderr
    assert first.json("status", str(first.spec))["aliases"] == {"champion": "2"}

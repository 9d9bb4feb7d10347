"""Where nobody serves and the gates hold a candidate back, the best baselines become a release; else none is made."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.intent.rate_net import RateNet
from components.intent.score import IntentScorer
from components.ranking import baseline_champion as ranking_part
from components.registry import aliases, baseline_steps, champion, release, rollout_tags, steps
from components.registry import client as mlflow_client
from components.registry.baseline_champion import SAID, baselines
from components.registry.lineage import Folders
from feature_repo import files
from feature_repo.errors import Refused
from feature_repo.release_folder import ReleaseFolder
from tests.registry.conftest import EITHER

FIGURES = {
    "intent": {"baselines": {"global_rate": {"map": 0.1, "bce": 0.5}, "decayed_rate": {"map": 0.2, "bce": 0.6}}},
    "ranking": {
        "baselines": {
            "popular": {"ndcg_at_10": 0.1, "explore_ndcg_at_10": 0.3},
            "item_knn": {"ndcg_at_10": 0.4, "explore_ndcg_at_10": 0.2},
        }
    },
}


@pytest.mark.parametrize(
    ("metric", "replaced"),
    [
        ("ranking.ndcg_at_10", {"ranking": "item_knn"}),
        ("ranking.explore_ndcg_at_10", {"ranking": "popular"}),  # best by the metric that held it back
        ("intent.map", {"intent": "decayed_rate"}),
        ("intent.bce", {"intent": "global_rate"}),  # the lower is the better
        ("variant.map_loss", {"intent": "decayed_rate"}),  # baselines have none: by the metric that gates compare with
        ("latency.recommend_ms_p95", {"ranking": "item_knn"}),
        ("session.auroc", {}),  # the session model is no part: it alone is left out
        ("memory.model_mib", {"intent": "decayed_rate", "ranking": "item_knn"}),
    ],
)
def test_only_the_part_that_was_held_back_is_replaced_by_what_is_best_at_it(
    metric: str, replaced: dict[str, str]
) -> None:
    gates = [{"metric": "intent.map", "passed": True}, {"metric": "ranking.ndcg_at_10", "passed": True}]
    assert baselines({"gates": [*gates, {"metric": metric, "passed": False}]}, FIGURES) == replaced


GATES = [{"metric": "intent.map"}, {"metric": "ranking.ndcg_at_10", "against": "value", "limit": 0.5}]


def rate(folder: Path, name: str, *, instead_of: Path) -> None:
    """Write a rate's folder; the toy has no rows to count rates in."""
    like = IntentScorer.load(instead_of)
    net = RateNet.of(name, like.shape, rate=np.array([0.5, 0.25, 0.125]), prior_weeks=2.0)
    IntentScorer(net, like.vocabulary, like.context, like.calendar, like.profile).save(folder)


@pytest.fixture
def toy(shared, lineage, tmp_path):
    """Register a candidate, and the baseline where one is needed, as the pipeline does; return both versions."""

    def call(
        folders: Folders = shared.folders, *, mode: str = "auto", spec: str = lineage.spec, gates: Any = GATES
    ) -> tuple[str, str]:
        known = lineage.model_copy(update={"spec": spec}).model_dump_json()
        serving = json.dumps({"profiles": {"windows_days": [7, 28, 91]}})
        version, chosen, made = (tmp_path / name for name in ("version", "baselines", "made"))
        given: dict[str, Any] = {"lineage": known, "serving": serving, "report": str(tmp_path / "report")}
        paths = [str(path) for path in vars(folders).values()]
        promotion = json.dumps({"gates": gates, "mode": mode})
        passed = steps.register(
            "shared", folders=paths, promotion=promotion, release_version=str(version), mode=mode, **given
        )
        evaluations = (paths[2], paths[4])
        if passed or not baseline_steps.need_baseline(
            "shared", version.read_text(), evaluations=evaluations, baselines_file=str(chosen)
        ):
            return version.read_text(), ""
        replaced = json.loads(chosen.read_text())
        for part, place, write in (("intent", 1, rate), ("ranking", 3, ranking_part.write)):
            if part in replaced:
                (tmp_path / part).mkdir(exist_ok=True)
                write(tmp_path / part, replaced[part], instead_of=folders.model(part))
                paths[place] = str(tmp_path / part)
        why = baseline_steps.register_baseline(
            "shared", candidate=version.read_text(), replaced=chosen.read_text(), folders=paths,
            release_version=str(made), why="passed its gates; monday", **given,
        )  # fmt: skip
        steps.promote("shared", made.read_text(), mode=mode, why=why)
        return version.read_text(), made.read_text()

    return call


def _tags(version: str) -> dict[str, str]:
    with mlflow_client.connected() as client:
        return dict(client.get_model_version("shared-release", version).tags)


@EITHER
def test_a_held_back_first_candidate_lets_a_baseline_serve_and_a_repeat_changes_nothing(toy, shared, tmp_path) -> None:
    assert toy() == ("1", "2")
    before = aliases.status("shared")
    assert before.holders == {"champion": "2"}
    (move,) = [move for move in before.history if move.alias == "champion"]
    assert move.why == "a baseline, since no champion was there; monday"
    refused, tags = _tags("1"), _tags("2")
    assert (refused["gates"], "kind" in refused) == ("refused", False)
    assert (tags["kind"], tags["gates"], tags["instead_of"]) == ("baseline", "unjudged", refused["id"])
    assert tags["intent_version"] == refused["intent_version"]  # its gate passed: the model stays
    assert tags["ranking_version"] != refused["ranking_version"]
    assert champion.verdict("shared", "2") == {"passed": False, "verdict": "unjudged", "gates": [], "said": SAID}
    assert (tmp_path / "report").read_text().startswith(f"# Release {tags['id']} of shared (version 2)\n\nBaseline: no")
    served = ReleaseFolder.read(release.assemble("shared", "champion", tmp_path / "served"))
    assert (served.document["kind"], served.baselines) == ("baseline", {"ranking": "personal_frequency"})
    assert files.read_json(served.ranking / "config.json")["architecture"] == "personal_frequency"
    assert rollout_tags.read("shared").versions["2"].passed  # the rollout may serve it
    assert toy() == ("1", "2")
    assert aliases.status("shared") == before


# A server's run is read for its resamples in test_steps.py.
@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
def test_where_there_is_a_champion_no_baseline_is_made_and_the_next_candidate_is_compared_with_it(
    toy, shared, make
) -> None:
    toy()
    found = champion.champion("shared")
    assert found is not None
    assert found.values["ranking.ndcg_at_10"] == 0.30
    assert toy(make(seed=7), spec="another00000") == ("3", "")
    assert aliases.status("shared").holders == {"champion": "2"}
    good = make(seed=8, quality=0.6)
    assert toy(good, spec="better000000") == ("4", "")
    steps.promote("shared", "4", mode="auto", why="passed its gates")
    assert aliases.status("shared").holders == {"champion": "4", "previous": "2"}
    assert aliases.rollback("shared", who="ana", why="too slow").champion == "2"  # also to a baseline


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
def test_by_hand_a_baseline_waits_and_can_be_promoted_while_what_was_refused_cannot(toy, tmp_path) -> None:
    floor = [{"metric": "intent.map", "against": "value", "limit": 0.5}]
    assert toy(mode="manual", gates=floor) == ("1", "2")
    assert aliases.status("shared").holders == {"challenger": "2"}
    with pytest.raises(Refused, match="its gates refused it"):
        aliases.promote("shared", "1", who="ana", why="by hand")
    assert aliases.promote("shared", "challenger", who="ana", why="by hand").moved
    served = ReleaseFolder.read(release.assemble("shared", "champion", tmp_path / "served"))
    assert served.baselines == {"intent": "decayed_rate"}
    scorer = IntentScorer.load(served.intent)
    assert scorer.shape.architecture == "decayed_rate"


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
def test_a_dry_run_makes_none(toy) -> None:
    assert toy(mode="dry_run") == ("", "")
    assert aliases.status("shared").holders == {}


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
def test_a_champion_whose_alias_was_lost_is_one_still(toy, shared) -> None:
    version = shared.release().version
    aliases.promote("shared", version, who="ana", why="by hand")
    with mlflow_client.connected() as client:
        client.delete_registered_model_alias("shared-release", "champion")
    assert toy(spec="another00000") == ("2", "")

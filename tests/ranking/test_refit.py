"""The refit: the judged ranker's training once more with the newest weeks, and nothing else."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest
import torch

from components import conditions
from components.ranking import examples as rows_of
from components.ranking import lists, net_fit, refit, steps
from components.ranking.examples import World
from components.ranking.score import Ranker
from components.ranking.train import Trained
from feature_repo import files
from feature_repo.errors import DataError
from feature_repo.rows import Ragged
from tests.ranking.board import SPEC, SPLIT

JSON = SPEC.model_dump_json()
CHANGE = SPLIT["validate"][0]
SCORED = {
    "early": SPLIT["train"][:-6],
    "full": SPLIT["train"],
    "scored_by_early": SPLIT["train"][-6:],
    "scored_by_full": [*SPLIT["validate"], *SPLIT["test"]],
}


@pytest.fixture(scope="module")
def judged(folders: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Give rows, the intent model's folder that says when it learnt from what, and a judged ranker."""
    at = tmp_path_factory.mktemp("judged")
    shutil.copytree(folders[1], at / "intent")
    files.write_json(at / "intent" / steps.TRAINING, {"weeks": SCORED})
    steps.run_train_ranking(
        JSON, rows=str(folders[0]), intent=str(at / "intent"), ranker=str(at / "ranker"), code="c0de"
    )
    return folders[0], at / "intent", at / "ranker"


def refitted(judged: tuple[Path, Path, Path], to: Path, *, ranking: str = JSON, code: str = "c0de") -> Path:
    rows, intent, ranker = map(str, judged)
    steps.run_refit_ranking(ranking, code=code, refit=True, rows=rows, intent=intent, ranker=ranker, refitted=str(to))
    return to


def test_on_the_judged_weeks_it_comes_to_the_judged_weights(world: World, trained: Trained) -> None:
    late = [*SPLIT["validate"], *SPLIT["test"]]
    made = refit.refit(replace(world, split=SPLIT | {"incomplete": late}), SPEC, epochs=trained.best_epoch + 1)
    have, want = made.ranker.net.state_dict(), trained.ranker.net.state_dict()
    assert made.weeks == SPLIT["train"][-6:]
    assert all(torch.equal(have[name], want[name]) for name in want)


def _other_colour(world: World) -> World:
    """Let everyone buy what is popular and of the other colour, from the first validation week on."""
    had, bought = world.examples, []
    for row, (user, week) in enumerate(zip(had.rows.user_id, had.week, strict=True)):
        state = world.item_state.filter(pc.equal(world.item_state["week"], int(week)))
        popular = state["item_index"].to_numpy()[np.argsort(-state["share_4w"].to_numpy())][:10]
        other = popular[popular % 2 != int(user[1:]) % 2]
        bought.append(np.sort(other) if week >= CHANGE else had.bought.row(row))
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in bought])]).astype(np.int64)
    return replace(world, examples=replace(had, bought=Ragged(np.concatenate(bought).astype(np.int64), offsets)))


def test_what_changed_in_the_newest_weeks_is_learnt_by_the_refit_alone(world: World, trained: Trained) -> None:
    changed, weeks = _other_colour(world), SPLIT["test"]
    made = refit.refit(changed, SPEC, epochs=3)
    asked = lists.of_weeks(
        changed,
        weeks,
        dict.fromkeys(weeks, trained.ranker.neighbours),
        SPEC.candidates,
        report=lambda done: None,
    )
    reached = [net_fit.ndcg_at_k(one.net.score(asked.features), asked) for one in (trained.ranker, made.ranker)]
    assert reached[1] > 1.5 * reached[0]


def test_the_step_learns_from_the_newest_weeks_and_says_what_it_is_a_refit_of(
    judged: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    folder = refitted(judged, tmp_path / "refitted")
    said, training = files.read_json(folder / conditions.FILE), files.read_json(judged[2] / steps.TRAINING)
    assert said["weeks"] == [15, 16, 17, 18, 19, 20]
    assert said["epochs"] == training["best_epoch"] + 1
    assert said[conditions.JUDGED] == conditions.proof(judged[2], "")[conditions.JUDGED]
    assert Ranker.load(folder).features == Ranker.load(judged[2]).features


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"ranking": SPEC.model_copy(update={"dropout": 0.3}).model_dump_json()}, "spec models.ranking"),
        ({"code": "other"}, "code"),
    ],
)
def test_anything_else_that_differs_is_refused_by_name(
    given: dict[str, str], named: str, judged: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=rf"refit of the ranker: only the rows .* but so does {named} \("):
        refitted(judged, tmp_path / "refitted", **given)


LEAKS = {
    "the final network scored a week that it had learnt from": (
        SCORED | {"full": [*SPLIT["train"], 17]},
        "the scores of week 17 come from a network that had learnt from week 17",
    ),
    "the scores are the refitted model's own": (
        SCORED | {"full": [*SPLIT["train"], 17, 18, 19, 20]},
        "the scores of week 17 come from a network that had learnt from week 20",
    ),
    "the early network saw a later week": (
        SCORED | {"early": [*SPLIT["train"][:-6], 16]},
        "the scores of week 15 come from a network that had learnt from week 16",
    ),
    "nobody scored the newest week": (SCORED | {"scored_by_full": [17, 18, 19]}, "no scores of week 20"),
    "nobody knows": (None, "training.json names no weeks"),
}


@pytest.mark.parametrize("leak", LEAKS)
def test_intents_that_are_not_out_of_time_are_refused(
    leak: str, judged: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    weeks, said = LEAKS[leak]
    shutil.copytree(judged[1], tmp_path / "intent")
    files.write_json(tmp_path / "intent" / steps.TRAINING, {"weeks": weeks})
    with pytest.raises(DataError, match=said):
        refitted((judged[0], tmp_path / "intent", judged[2]), tmp_path / "refitted")


def test_weeks_that_have_rows_for_a_refit_alone_judge_nothing(world: World) -> None:
    thinned = replace(world, split=SPLIT | {"ranking": [*SPLIT["train"][-6:], 17, 18, 19]})
    assert thinned.weeks("test") == [19]
    assert refit.weeks_of(thinned, SPEC) == [15, 16, 17, 18, 19, 20]
    assert refit.weeks_of(replace(world, split=SPLIT | {"incomplete": [20]}), SPEC) == [14, 15, 16, 17, 18, 19]


def test_a_refit_that_cannot_rank_its_own_weeks_is_refused(world: World, trained: Trained) -> None:
    made = refit.Refitted(trained.ranker, [], 1, [20], ndcg_at_10=0.2)
    with pytest.raises(DataError, match=r"its NDCG@10 is 0\.2000 on the weeks that it learnt from, the judged"):
        refit.require_sane(made, {"best_epoch": 0, "epochs": [{"validate_ndcg_at_10": 0.8}]})


def test_where_none_is_asked_for_the_folder_says_so(judged: tuple[Path, Path, Path], tmp_path: Path) -> None:
    rows, intent, ranker = map(str, judged)
    steps.run_refit_ranking(
        JSON, code="c0de", refit=False, rows=rows, intent=intent, ranker=ranker, refitted=str(tmp_path / "refitted")
    )
    assert not conditions.asked(tmp_path / "refitted")
    assert rows_of.load(judged[0], judged[1]).weeks("test") == SPLIT["test"]  # and nothing else changes

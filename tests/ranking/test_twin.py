"""The champion's judged twin ranks a candidate's user-weeks: its own rows and items, named by the candidate's."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from components import resamples, twins
from components.ranking import steps
from components.ranking.candidates import CandidateSet
from components.ranking.evaluate import evaluate
from components.ranking.examples import World
from components.ranking.levels import Facts
from components.ranking.score import Ranker
from components.ranking.scored import Scored
from components.ranking.train import Trained
from components.ranking.twin import Twin, renamed
from components.twins import Twin as Known
from feature_repo import files, release_folder
from feature_repo.vocabulary import Vocabulary
from tests.ranking.board import SPEC


@pytest.fixture(scope="module")
def twin(folders: tuple[Path, Path], trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Give the folder of a twin's release, and what its intent model said of its own rows."""
    at = tmp_path_factory.mktemp("twin")
    ranking = at / "twin" / twins.RELEASE / "ranking"
    ranking.mkdir(parents=True)
    trained.ranker.save(ranking)
    shutil.copytree(folders[1], at / "intent")
    twins.write(Known("1", "2024-01-01T00:00:00+00:00"), at / "intent")
    return at / "twin", at / "intent"


def _judged(
    twin: tuple[Path, Path],
    folders: tuple[Path, Path],
    ranker: Ranker,
    to: Path,
    *,
    ranking: str = "{}",
    twin_rows: Path | None = None,
) -> Path:
    (to / "ranker").mkdir(parents=True)
    ranker.save(to / "ranker")
    steps.run_judge_twin_ranking(
        ranking, rows=str(folders[0]), intent=str(folders[1]), ranker=str(to / "ranker"), twin=str(twin[0]),
        twin_rows=str(twin_rows or folders[0]), twin_intent=str(twin[1]), evaluation=str(to / "said"),
    )  # fmt: skip
    return to / "said"


def _worse(ranker: Ranker) -> Ranker:
    """Return a ranker that orders by chance."""
    torch.manual_seed(1)
    net = type(ranker.net)(len(ranker.features), width=16, dropout=0.0)
    return replace(ranker, net=net.eval())


def test_a_twin_of_the_same_items_is_worth_what_it_is_worth_by_itself(
    twin: tuple[Path, Path], folders: tuple[Path, Path], trained: Trained, world: World, tmp_path: Path
) -> None:
    """The candidate beside it is a poor one, and lends its items and baselines alone."""
    said = _judged(twin, folders, _worse(trained.ranker), tmp_path)
    metrics, own = files.read_json(said / "metrics.json"), evaluate(trained.ranker, world)
    assert metrics["test"] == own.test
    assert resamples.read(said).rows_digest == own.rows_digest
    assert metrics["test"]["ndcg_at_10"] > evaluate(_worse(trained.ranker), world).test["ndcg_at_10"] + 0.1


def test_of_one_that_has_learnt_from_them_the_like_is_trained_and_judged(
    folders: tuple[Path, Path], trained: Trained, world: World, tmp_path: Path
) -> None:
    """Its release holds no ranker that could be asked; its spec is all that counts."""
    release, intents = tmp_path / "twin" / twins.RELEASE, shutil.copytree(folders[1], tmp_path / "intent")
    release.mkdir(parents=True)
    slices = {"ranking": SPEC.model_dump(mode="json")}
    files.write_json(release / "release.json", release_folder.identified({"serving": slices}))
    twins.write(Known("1", "2999-01-01T00:00:00+00:00").anew(), intents)
    said = _judged((tmp_path / "twin", intents), folders, _worse(trained.ranker), tmp_path / "run")
    metrics = files.read_json(said / "metrics.json")
    assert metrics["test"]["ndcg_at_10"] == pytest.approx(evaluate(trained.ranker, world).test["ndcg_at_10"], abs=0.02)
    assert twins.read(said).retrained


def test_baselines_are_the_candidates(
    twin: tuple[Path, Path], folders: tuple[Path, Path], trained: Trained, world: World
) -> None:
    asked = Twin.load(twin[0] / twins.RELEASE / "ranking", folders[0], twin[1], trained.ranker)
    assert asked.catalogue is trained.ranker.catalogue
    assert asked.neighbours is trained.ranker.neighbours
    assert evaluate(asked, world).baselines == evaluate(trained.ranker, world).baselines


def test_items_are_named_by_the_candidates_and_unknown_ones_are_passed_over() -> None:
    found = CandidateSet(np.array([0, 2, 1, 2]), np.array([0, 1, 0, 1], dtype=np.int8), np.array([0, 2, 4]))
    scored = Scored(found, Facts({}, {"weeks_bought": np.array([3.0, 0.0, 1.0, 2.0])}), np.array([0.1, 0.2, 0.3, 0.4]))
    named = renamed(scored, np.array([5, -1, 3]))  # the candidate has no item of the twin's second
    assert named.found.item.tolist() == [5, 3, 3]
    assert named.found.offsets.tolist() == [0, 2, 3]
    assert named.scores.tolist() == [0.1, 0.2, 0.4]
    assert named.facts["weeks_bought"].tolist() == [3.0, 0.0, 2.0]


def test_why_its_intents_could_not_be_told_is_why_it_is_not_judged(
    twin: tuple[Path, Path], folders: tuple[Path, Path], trained: Trained, tmp_path: Path
) -> None:
    twins_intent = tmp_path / "intent"
    twins_intent.mkdir()
    twins.write(Known("1", why="it has learnt from the first of them"), twins_intent)
    said = _judged((twin[0], twins_intent), folders, trained.ranker, tmp_path / "run")
    assert twins.read(said).why == "it has learnt from the first of them"


def test_a_twin_is_not_judged_by_items_that_came_after_its_own_where_the_spec_ranks_such(
    twin: tuple[Path, Path], folders: tuple[Path, Path], trained: Trained, tmp_path: Path
) -> None:
    earlier = tmp_path / "rows"
    shutil.copytree(folders[0], earlier)
    words = Vocabulary.load(earlier / "vocabulary")
    at = words.items.schema.get_field_index("item_id")
    ids = ["gone", *words.item_ids[1:]]
    replace(words, items=words.items.set_column(at, "item_id", [ids])).save(earlier / "vocabulary")
    later = '{"later_items": true}'
    said = _judged(twin, folders, trained.ranker, tmp_path / "other", ranking=later, twin_rows=earlier)
    why = twins.read(said).why
    assert re.fullmatch(r"items that came after its own are \d\.\d% of what was chosen on the candidate's", why)
    assert not (said / "metrics.json").exists()
    alike = _judged(twin, folders, trained.ranker, tmp_path / "same", ranking=later)
    assert not twins.read(alike).why

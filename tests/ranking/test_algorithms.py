"""The contract of every algorithm that `models.ranking.algorithm` names, on the checkerboard."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from components.ranking import examples, refit, steps
from components.ranking.examples import World
from components.ranking.lists import Lists
from components.ranking.models import ALGORITHMS, BY_NAME, ENSEMBLE, TREES, lambdamart
from components.ranking.score import Ranker
from components.ranking.sources import OF_LEARNT
from components.ranking.spec import Ranking
from components.ranking.train import Trained, train
from feature_repo.errors import SpecError
from tests.ranking.board import ITEMS, SPEC, Happened, cold_rows, intents, start

WITHOUT = importlib.util.find_spec("lightgbm") is None
NEEDS = pytest.mark.skipif(WITHOUT, reason="lightgbm, the extra `trees`, is not installed")
GROW = (TREES, ENSEMBLE)  # an ensemble's members are the network and trees unless a spec says others
EVERY = pytest.mark.parametrize(
    "algorithm", [pytest.param(one.name, marks=NEEDS if one.name in GROW else ()) for one in ALGORITHMS]
)


@pytest.fixture(scope="module")
def made(folders: tuple[Path, Path]) -> dict[str, tuple[World, Ranking, Trained]]:
    """Give each algorithm's world, spec and ranker, trained once."""
    found = {}
    for one in ALGORITHMS:
        if one.name not in GROW or not WITHOUT:
            spec = SPEC.model_copy(update={"algorithm": one.name})
            world = examples.load(*folders, spec)
            found[one.name] = (world, spec, train(world, spec))
    return found


Made = dict[str, tuple[World, Ranking, Trained]]


@EVERY
def test_it_ranks_saves_serves_and_scores_one_as_many(algorithm: str, made: Made, tmp_path: Path) -> None:
    world, _, trained = made[algorithm]
    least = 0.1 if algorithm == "popular" else 0.25  # chance has about .15, and popular items are nobody's own
    assert trained.epochs[trained.best_epoch].validate_ndcg_at_10 > least
    trained.ranker.save(tmp_path)
    served, some = Ranker.served(tmp_path), world.examples.of_weeks([19])
    assert Ranker.load(tmp_path).net.architecture == served.net.architecture
    scored, again = (one.rank(some.rows, some.probabilities) for one in (trained.ranker, served))
    np.testing.assert_allclose(scored.scores, again.scores, atol=1e-5)
    for b in range(5):
        alone = served.rank(some.rows.take(np.array([b])), some.probabilities[[b]])
        mine = slice(scored.found.offsets[b], scored.found.offsets[b + 1])
        assert alone.found.item.tolist() == scored.found.item[mine].tolist()
        np.testing.assert_allclose(alone.scores, scored.scores[mine], atol=1e-5)


@EVERY
def test_a_cold_user_and_a_long_list_get_every_item_once(algorithm: str, made: Made) -> None:
    answer = made[algorithm][2].ranker.recommend(cold_rows(start(21)), np.asarray(intents("u00"), np.float32), k=99)
    assert sorted(one.item_index for one in answer) == list(range(ITEMS))


@EVERY
def test_the_same_spec_gives_the_same_scores(algorithm: str, made: Made) -> None:
    world, spec, trained = made[algorithm]
    some = world.examples.of_weeks([19])
    first, second = (one.ranker.rank(some.rows, some.probabilities) for one in (trained, train(world, spec)))
    np.testing.assert_array_equal(first.scores, second.scores)


@EVERY
def test_it_is_fitted_once_more_on_the_newest_weeks(algorithm: str, made: Made) -> None:
    world, spec, trained = made[algorithm]
    training = steps._training(trained, spec)
    again = refit.refit(world, spec, epochs=refit.epochs_of(training), judged=training)
    refit.require_sane(again, training)
    assert again.weeks[-1] > max(world.weeks("train"))


@EVERY
def test_a_spec_may_ask_for_it_and_without_a_word_has_the_digest_it_had(algorithm: str) -> None:
    assert Ranking(algorithm=algorithm).model_dump().get("algorithm", "network") == algorithm
    assert "algorithm" not in Ranking().model_dump()
    assert Ranking(algorithm=algorithm).learn == ((BY_NAME[algorithm].source,) if BY_NAME[algorithm].source else ())


def test_a_formula_reads_the_score_of_the_source_that_was_fitted_for_it(made: Made) -> None:
    world, _, trained = made["sequence"]
    some = world.examples.of_weeks([19])
    facts = trained.ranker.rank(some.rows, some.probabilities).facts
    assert set(trained.ranker.neighbours.learnt) == {"sequence"}
    assert (facts[OF_LEARNT["sequence"]] > 0).any()


def test_another_algorithm_is_refused() -> None:
    with pytest.raises(ValueError, match="'network', 'lambdamart', 'frequency'"):
        Ranking(algorithm="forest")


def test_trees_without_their_library_are_refused_before_any_work(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(SpecError, match=r"models\.ranking\.algorithm: lambdamart is trained by the package"):
        train(world, SPEC.model_copy(update={"algorithm": TREES}))


@NEEDS
def test_trees_score_as_the_library_that_trained_them() -> None:
    rng = np.random.default_rng(3)
    features = rng.normal(size=(900, 7)).astype(np.float32)
    bought = features[:, 2] * features[:, 4] + rng.normal(size=900) > 1
    of = Lists(features, bought, np.full(30, 3), np.arange(31) * 30, recall=1.0)
    trees, _ = lambdamart.fit(of, seed=0, trees=25)
    assert trees.value.shape[0] == 25
    with pytest.raises(RuntimeError, match="its served form is off"):
        lambdamart.require_same(trees, trees.score(features) + 0.1, features)


def test_trees_read_a_number_that_is_none_as_0() -> None:
    lines = ["Tree=0", "split_feature=0", "threshold=-0.5", "left_child=-1", "right_child=-2", "leaf_value=3 4"]
    trees = lambdamart.served("\n".join(lines))
    assert trees.score(np.array([[np.nan], [-1.0]], np.float32)).tolist() == [4.0, 3.0]
    assert trees.score(np.empty((0, 1), np.float32)).tolist() == []


def test_tables_of_leaves_say_what_a_walk_through_the_trees_says() -> None:
    """Trees of one to ten splits, filled up to the largest, thresholds among the values."""
    rng = np.random.default_rng(1)
    parts = []
    for splits in (1, 3, 10, 7):
        child, free = np.full((splits, 2), -1), [(0, 0), (0, 1)]
        for split in range(1, splits):  # hung where a way out was; what is left over are leaves
            child[free.pop(rng.integers(len(free)))] = split
            free += [(split, 0), (split, 1)]
        for leaf, way in enumerate(free):
            child[way] = -1 - leaf
        words = [
            ("split_feature", rng.integers(0, 3, splits)),
            ("threshold", rng.integers(-2, 3, splits) / 2),
            ("left_child", child[:, 0]),
            ("right_child", child[:, 1]),
            ("leaf_value", rng.normal(size=splits + 1)),
        ]
        parts.append("\n".join(["Tree=", *(f"{name}={' '.join(map(str, values))}" for name, values in words)]))
    trees = lambdamart.served("\n".join(parts))
    x = (rng.integers(-3, 4, (400, 3)) / 2).astype(np.float32)
    x[0], x[1] = np.nan, [np.inf, -np.inf, 0.0]
    assert trees._tables is not None
    np.testing.assert_array_equal(trees.score(x), trees._walked(x).astype(np.float32))
    assert len(np.unique(trees.score(x))) > 15
    x[:, 1] = 0.5  # of all rows
    np.testing.assert_array_equal(trees.score(x), trees._walked(x).astype(np.float32))


def test_trees_of_more_leaves_than_tables_hold_are_walked() -> None:
    n = 40  # a ladder: each split sends what is at most its number to a leaf of its own
    lines = [
        "Tree=0",
        "split_feature=" + "0 " * n,
        "threshold=" + " ".join(map(str, range(n))),
        "left_child=" + " ".join(str(-1 - leaf) for leaf in range(n)),
        "right_child=" + " ".join(map(str, [*range(1, n), -1 - n])),
        "leaf_value=" + " ".join(map(str, range(n + 1))),
    ]
    trees = lambdamart.served("\n".join(lines))
    assert trees._tables is None
    assert trees.score(np.array([[0.0], [7.5], [99.0]], np.float32)).tolist() == [0.0, 8.0, 40.0]


def test_a_tree_without_a_split_adds_its_one_value() -> None:
    trees = lambdamart.served("Tree=0\nnum_leaves=1\nleaf_value=0.25\n")
    assert trees.score(np.zeros((2, 3), np.float32)).tolist() == [0.25, 0.25]


def test_every_algorithm_has_words_for_the_card_and_the_spec(happened: dict[str, Happened]) -> None:
    about = str(Ranking.model_fields["algorithm"].description)
    assert all(f"{one.name}: {one.about}" in about for one in ALGORITHMS)

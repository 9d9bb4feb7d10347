"""Ordering the best anew: maximal marginal relevance and calibrated categories, by hand and as they serve."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from components.ranking import list_figures, rerank
from components.ranking.card import write
from components.ranking.catalogue import Catalogue
from components.ranking.diversity_spec import Diversity
from components.ranking.evaluate import BY_SCORE, evaluate
from components.ranking.examples import World
from components.ranking.list_figures import Made
from components.ranking.score import Ranker
from components.ranking.scored import top
from components.ranking.spec import Ranking
from components.ranking.train import train
from components.ranking.twin import Twin
from components.resamples import MODEL
from feature_repo.errors import DataError
from tests.ranking.board import SPEC, known_row, user_rows

A, B, NONE = 0, 1, 2  # targets; NONE is no target
SAME = Diversity(mmr=1.0)


def things(*targets: int, kind: list[int] | None = None, brand: list[int] | None = None) -> Catalogue:
    """Return items of one target each, NONE of none."""
    unknown = [-1] * len(targets)
    return Catalogue(
        targets=np.array(targets)[:, None], visits=np.array([], np.int64), n_targets=2,
        kind=np.array(kind or unknown), brand=np.array(brand or unknown), state={},
    )  # fmt: skip


def ordered(catalogue: Catalogue, option: Diversity, *, k: int, had: dict[int, list[int]] | None = None) -> list[int]:
    """Order all items anew, which stand by their number, for a user with a history of `had`."""
    items, rows = np.arange(len(catalogue)), user_rows(known_row("u00", had or {}, 9))
    return [int(item) for item in rerank.best(items[None], items, rows, catalogue, option, k=k)[0]]


def test_likeness_is_the_mean_over_what_the_catalogue_tells() -> None:
    alike = rerank.likeness(np.arange(3), things(A, A, B, kind=[5, 5, 7], brand=[1, 2, 1]))
    np.testing.assert_allclose(alike, [[1, 2 / 3, 1 / 3], [2 / 3, 1, 0], [1 / 3, 0, 1]])
    unbranded = rerank.likeness(np.arange(3), things(A, A, B, kind=[5, -1, -1]))
    np.testing.assert_allclose(unbranded, [[1, 0.5, 0], [0.5, 0.5, 0], [0, 0, 0.5]])  # unknown is like nothing


def test_several_targets_are_alike_by_the_shared_part() -> None:
    both = replace(things(A, B), targets=np.array([[A, B], [A, NONE]]))
    assert rerank.likeness(np.arange(2), both)[0, 1] == 0.5
    assert rerank.shares(np.arange(2), both).tolist() == [[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]]


def test_marginal_relevance_by_hand() -> None:
    """Gains 1, .631, .5, .431; half of them less half of the likeness to what stands above."""
    assert ordered(things(A, A, A, B), Diversity(mmr=0.5), k=4) == [0, 3, 1, 2]
    assert ordered(things(A, A, A, B), Diversity(mmr=0.9), k=4) == [0, 1, 3, 2]  # .468, .388; .35
    assert ordered(things(A, A, A, B), Diversity(mmr=0.95), k=4) == [0, 1, 2, 3]


def test_a_determinantal_process_by_hand() -> None:
    """Two A are alike but for the ridge: beside the first the second adds sqrt(1 - .99²) = .141, whose log is -1.96."""
    assert ordered(things(A, A, A, B), Diversity(dpp=0.5), k=4) == [0, 3, 1, 2]
    assert ordered(things(A, A, A, B), Diversity(dpp=0.89), k=4) == [0, 3, 1, 2]  # .562 - .216 = .346 against .383
    assert ordered(things(A, A, A, B), Diversity(dpp=0.95), k=4) == [0, 1, 3, 2]  # .501 against .409; .370, .409
    assert ordered(things(A, A, A, B), Diversity(dpp=0.99), k=4) == [0, 1, 2, 3]
    worth = rerank._spanning(np.ones(2), np.array([[1.0, 0.5], [0.5, 1.0]]), 0.0)
    assert worth([0])[1] == pytest.approx(np.log(1 - (0.99 * 0.5) ** 2) / 2)


def test_the_volumes_of_a_determinantal_process_are_those_of_its_determinants() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.random((6, 4))
    vectors /= np.linalg.norm(vectors, axis=1)[:, None]
    alike = vectors @ vectors.T
    kernel = (1 - rerank.RIDGE) * alike + rerank.RIDGE * np.eye(6)
    worth, chosen = rerank._spanning(np.zeros(6), alike, 0.0), list[int]()
    for following in (2, 0, 5):
        for one in {0, 1, 2, 3, 4, 5} - set(chosen):
            both, before = (np.linalg.det(kernel[np.ix_(at, at)]) if at else 1.0 for at in ([*chosen, one], chosen))
            assert worth(chosen)[one] == pytest.approx(np.log(both / before) / 2)
        chosen.append(following)


def test_items_that_nothing_is_known_of_are_as_good_beside_any() -> None:
    assert ordered(things(NONE, NONE, A, A), Diversity(dpp=0.5), k=4) == [0, 1, 2, 3]


def test_calibration_gives_categories_the_shares_of_the_history() -> None:
    """The history is half A and half B: from ten A first and ten B after, the list takes both alike."""
    catalogue = things(*[A] * 10, *[B] * 10)
    half = ordered(catalogue, Diversity(calibrate=0.9), k=10, had={8: [0, 10]})
    assert sum(item >= 10 for item in half) == 5
    quarter = ordered(catalogue, Diversity(calibrate=0.9), k=8, had={8: [0, 1, 2, 10]})
    assert sum(item >= 10 for item in quarter) == 2
    assert ordered(catalogue, Diversity(calibrate=0.0), k=10, had={8: [0, 10]}) == list(range(10))


def test_without_a_history_there_is_nothing_to_keep_to() -> None:
    assert ordered(things(A, A, B), Diversity(calibrate=0.9), k=3) == [0, 1, 2]


def test_a_shorter_list_is_the_beginning_of_a_longer_one_and_the_rest_follows_the_pool() -> None:
    catalogue = things(*[n % 2 for n in range(30)], kind=[n % 7 for n in range(30)])
    for option in (Diversity(mmr=0.4, pool=20), Diversity(dpp=0.4, pool=20)):
        every = ordered(catalogue, option, k=30)
        assert sorted(every) == list(range(30))
        assert every[20:] == list(range(20, 30))
        assert [ordered(catalogue, option, k=k) for k in (1, 7, 20)] == [every[:k] for k in (1, 7, 20)]


def test_rows_with_fewer_candidates_are_filled_with_none() -> None:
    order = np.array([[1, 0, -1, -1]])
    rows = user_rows(known_row("u00", {}, 9))
    assert rerank.best(order, np.arange(2), rows, things(A, B), SAME, k=4).tolist() == [[1, 0, -1, -1]]


@pytest.mark.parametrize(
    ("option", "catalogue", "why"),
    [
        (Diversity(calibrate=0.5), things(NONE, NONE, kind=[1, 2]), "no item has a category that an intent names"),
        (Diversity(mmr=0.5), things(NONE, NONE), "items have no category and no brand.*leave mmr out"),
        (Diversity(dpp=0.5), things(NONE, NONE), "items have no category and no brand.*leave dpp out"),
    ],
)
def test_items_that_nothing_tells_apart_are_refused(option: Diversity, catalogue: Catalogue, why: str) -> None:
    with pytest.raises(DataError, match=why):
        rerank.require(catalogue, option)


@pytest.mark.parametrize("said", [{}, {"mmr": 0.5, "calibrate": 0.5}, {"mmr": 0.5, "dpp": 0.5}])
def test_one_way_is_asked_for(said: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="give mmr, dpp or calibrate, one of them"):
        Ranking.model_validate({"diversity": said})


def test_a_spec_without_it_has_the_digest_it_had() -> None:
    assert "diversity" not in Ranking().model_dump()
    assert Diversity(mmr=0.7).model_dump() == {"mmr": 0.7, "calibrate": None, "pool": 100}


@pytest.fixture(scope="module")
def diverse(ranker: Ranker) -> Ranker:
    return replace(ranker, diversity=Diversity(mmr=0.6))


def test_a_weight_that_changes_nothing_changes_nothing(ranker: Ranker, world: World) -> None:
    some = world.examples.of_weeks([19])
    scored = ranker.rank(some.rows, some.probabilities)
    same = replace(ranker, diversity=SAME).best(scored, some.rows, 10)
    np.testing.assert_array_equal(same, top(scored, 10))


def test_many_rows_at_once_and_one_alone_get_the_same_and_saved_is_served(
    diverse: Ranker, world: World, tmp_path: Path
) -> None:
    diverse.save(tmp_path)
    served, some = Ranker.served(tmp_path), world.examples.of_weeks([19])
    assert served.diversity == diverse.diversity
    scored = diverse.rank(some.rows, some.probabilities)
    best = diverse.best(scored, some.rows, 5)
    assert (best != top(scored, 5)).any()
    for b in range(8):
        answer = served.recommend(some.rows.take(np.array([b])), some.probabilities[b], k=5)
        assert [one.item_index for one in answer] == scored.found.item[best[b]].tolist()


def test_what_is_excluded_is_not_ordered_and_popular_items_follow_below(diverse: Ranker, world: World) -> None:
    some = world.examples.of_weeks([19])
    row = some.rows.take(np.array([0]))
    first = diverse.recommend(row, some.probabilities[0], k=3)
    others = diverse.recommend(row, some.probabilities[0], k=40, exclude=frozenset({first[0].item_index}))
    assert first[0].item_index not in {one.item_index for one in others}
    assert len({one.item_index for one in others}) == len(diverse.catalogue) - 1
    found = diverse.rank(row, some.probabilities[[0]]).found
    below = [one.score for one in others[len(found.item) - 1 :]]
    assert max(below, default=-np.inf) <= min(one.score for one in others[: len(found.item) - 1])


def test_an_evaluation_says_what_it_costs_and_what_it_brings(diverse: Ranker, ranker: Ranker, world: World) -> None:
    found, plain = evaluate(diverse, world), evaluate(ranker, world)
    assert found.diversity["without"]["ndcg_at_10"] == plain.test["ndcg_at_10"]
    gain = found.test["ndcg_at_10"] - plain.test["ndcg_at_10"]
    assert found.diversity["gain"]["ndcg_at_10"] == pytest.approx(gain, abs=2e-5)
    assert found.lists[MODEL]["categories"] > found.lists[BY_SCORE]["categories"] == plain.lists[MODEL]["categories"]
    assert "diversity" not in plain.metrics()
    config = {"candidates": ["history"], "features": [], "width": 16, "diversity": {"mmr": 0.6, "pool": 100}}
    training = {"rows": {"train": 1}, "epochs": [1], "best_epoch": 0}
    assert "## Diversity (mmr: 0.6, pool: 100)" in write(found, training, config)


def test_a_twin_orders_anew_as_it_was_asked_to(diverse: Ranker, ranker: Ranker, world: World) -> None:
    twin = evaluate(Twin.of(diverse, world, ranker), world)
    assert twin.test["ndcg_at_10"] == evaluate(diverse, world).test["ndcg_at_10"]


def test_training_asks_the_catalogue_first(world: World) -> None:
    spec = SPEC.model_copy(update={"diversity": Diversity(calibrate=0.5)})
    nothing = replace(world.vocabulary, item_targets=world.vocabulary.item_targets.slice(0, 0))
    with pytest.raises(DataError, match=r"models\.ranking\.diversity: no item has a category"):
        train(replace(world, vocabulary=nothing), spec)


def test_whose_items_are_shown_by_hand() -> None:
    made = Made(np.array([[0, 1, -1], [0, 2, 3]]), np.full((2, 3), 0.5))
    catalogue = things(A, A, A, A, A, kind=[1, 1, 2, -1, 3], brand=[0, 0, 1, -1, 2])
    found = list_figures.made_of(made, 0.5, 5, catalogue=catalogue)
    assert found["providers"] == pytest.approx(2 / 3, abs=1e-5)  # the third brand's item is nowhere
    assert found["top_provider"] == 0.6  # of five places
    assert found["categories"] == 1.5  # one path in the first list, two in the second, where one item has none

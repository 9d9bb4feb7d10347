"""Lists at several lengths, by hand and beside scikit-learn; what they are made of; what sources find."""

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import (
    f1_score,
    label_ranking_average_precision_score,
    ndcg_score,
    precision_score,
    recall_score,
    top_k_accuracy_score,
)

from components.ranking import list_figures, source_report
from components.ranking.evaluate import Evaluation, evaluate
from components.ranking.examples import World
from components.ranking.list_figures import Made
from components.ranking.score import Ranker
from components.ranking.sources.context import Context
from components.ranking.spec import Candidates
from feature_repo.rows import Ragged, UserRows

ITEMS = 40


def ragged(*rows: list[int]) -> Ragged:
    return Ragged(np.array([item for row in rows for item in row], np.int64), np.cumsum([0, *map(len, rows)]))


def test_a_list_by_hand() -> None:
    """Hits at places 1 and 4 of five; three items are wanted."""
    found = list_figures.at_lengths(np.array([[7, 1, 2, 8, 3]]), ragged([7, 8, 9]), ITEMS)["5"]
    gained = 1 / np.log2(2) + 1 / np.log2(5)
    assert found == {
        "precision": 0.4,
        "recall": 0.66667,
        "f1": 0.5,
        "ndcg": round(gained / (1 + 1 / np.log2(3) + 1 / np.log2(4)), 5),
        "map": 0.5,  # (1/1 + 2/4) / 3
        "mrr": 1.0,
        "hit_rate": 1.0,
    }


def test_a_short_list_misses_for_the_rest_and_a_row_without_a_target_does_not_count() -> None:
    items = np.array([[4, -1, -1, -1, -1], [5, 6, -1, -1, -1]])
    found = list_figures.at_lengths(items, ragged([], [6]), ITEMS)
    assert found["5"]["precision"] == 0.2
    assert found["5"]["mrr"] == found["5"]["map"] == 0.5
    assert found["20"]["precision"] == 0.05
    assert list_figures.at_lengths(items, ragged([], []), ITEMS) == {}


def test_every_figure_is_that_of_scikit_learn_or_of_its_definition() -> None:
    rng = np.random.default_rng(4)
    scores = np.stack([rng.permutation(ITEMS) for _ in range(50)]).astype(float)
    wanted = [sorted(rng.choice(ITEMS, rng.integers(1, 15), replace=False).tolist()) for _ in range(50)]
    truth = np.zeros((50, ITEMS))
    for b, row in enumerate(wanted):
        truth[b, row] = 1
    items = np.argsort(-scores, axis=1)[:, : list_figures.LONGEST]
    found = list_figures.at_lengths(items, ragged(*wanted), ITEMS)
    for k in list_figures.LENGTHS:
        each = found[str(k)]
        assert each["ndcg"] == pytest.approx(ndcg_score(truth, scores, k=k), abs=1e-5)
        hits = np.take_along_axis(truth, items[:, :k], axis=1)
        assert each["precision"] == pytest.approx(hits.mean(), abs=1e-5)
        assert each["recall"] == pytest.approx((hits.sum(1) / truth.sum(1)).mean(), abs=1e-5)
        assert each["hit_rate"] == pytest.approx(hits.any(1).mean(), abs=1e-5)
        precise = [
            sum(hits[b, : n + 1].mean() for n in range(k) if hits[b, n]) / min(k, len(wanted[b])) for b in range(50)
        ]
        assert each["map"] == pytest.approx(np.mean(precise), abs=1e-5)
        first = [next((1 / (n + 1) for n in range(k) if hits[b, n]), 0.0) for b in range(50)]
        assert each["mrr"] == pytest.approx(np.mean(first), abs=1e-5)


def test_precision_recall_and_f1_of_a_length_are_those_of_scikit_learn_with_the_list_as_the_prediction() -> None:
    rng = np.random.default_rng(6)
    truth = rng.random((40, ITEMS)) < 0.2
    truth[:, 0] |= ~truth.any(axis=1)
    items = np.stack([rng.permutation(ITEMS)[: list_figures.LONGEST] for _ in truth])
    found = list_figures.at_lengths(items, ragged(*([*np.flatnonzero(row)] for row in truth)), ITEMS)
    for k in list_figures.LENGTHS:
        told = np.zeros(truth.shape, dtype=bool)
        np.put_along_axis(told, items[:, :k], values=True, axis=1)
        each = found[str(k)]
        assert each["precision"] == pytest.approx(precision_score(truth, told, average="samples"), abs=1e-5)
        assert each["recall"] == pytest.approx(recall_score(truth, told, average="samples"), abs=1e-5)
        assert each["f1"] == pytest.approx(f1_score(truth, told, average="samples", zero_division=0), abs=1e-5)


def test_map_mrr_and_hit_rate_are_those_of_scikit_learn_where_it_has_them() -> None:
    """Its average precision is over whole rankings, and the reciprocal rank where one item is wanted."""
    size, rng = list_figures.LONGEST, np.random.default_rng(7)
    scores = np.stack([rng.permutation(size) for _ in range(40)]).astype(float)
    truth = rng.random((40, size)) < 0.3
    truth[:, 0] |= ~truth.any(axis=1)
    items, one = np.argsort(-scores, axis=1), rng.integers(0, size, 40)
    several = list_figures.at_lengths(items, ragged(*([*np.flatnonzero(row)] for row in truth)), size)
    single = list_figures.at_lengths(items, ragged(*([int(item)] for item in one)), size)
    assert several[str(size)]["map"] == pytest.approx(label_ranking_average_precision_score(truth, scores), abs=1e-5)
    of_one = label_ranking_average_precision_score(np.eye(size)[one], scores)
    assert single[str(size)]["mrr"] == single[str(size)]["map"] == pytest.approx(of_one, abs=1e-5)
    for k in list_figures.LENGTHS[:-1]:  # scikit-learn calls the whole list none
        hits = top_k_accuracy_score(one, scores, k=k, labels=np.arange(size))
        assert single[str(k)]["hit_rate"] == single[str(k)]["recall"] == pytest.approx(hits, abs=1e-5)


def test_what_lists_are_made_of() -> None:
    made = Made(np.array([[0, 1], [0, -1]]), np.array([[0.5, 0.125], [0.5, 0.0]]))
    found = list_figures.made_of(made, 0.25, 8)
    assert found == {"coverage": 0.25, "popularity": 0.375, "popularity_bias": 1.5, "novelty": round(5 / 3, 4)}
    codes = np.array([[0, 2], [0, 0]], np.int8)
    assert list_figures.by_source(made, codes, ragged([1], [0]), ("history", "neighbours", "popular"), 8) == {
        "history": {"share": 0.66667, "precision": 0.5, "novelty": 1.0},
        "popular": {"share": 0.33333, "precision": 1.0, "novelty": 3.0},
    }
    assert list_figures.made_of(Made(np.array([[-1]]), np.zeros((1, 1))), 0.25, 8) == {"coverage": 0.0}


@pytest.fixture(scope="module")
def found(ranker: Ranker, world: World) -> Evaluation:
    return evaluate(ranker, world)


def test_an_evaluation_has_them_and_ten_places_agree_with_its_own(found: Evaluation) -> None:
    assert found.at_k["10"]["ndcg"] == pytest.approx(found.test["ndcg_at_10"], abs=2e-5)
    assert found.at_k["10"]["recall"] == pytest.approx(found.test["recall_at_10"], abs=2e-5)
    assert found.at_k["10"]["hit_rate"] == pytest.approx(found.test["phr_at_10"], abs=2e-5)
    assert set(found.lists) == {"model", *found.baselines}
    assert found.lists["popular"]["popularity_bias"] > found.lists["model"]["popularity_bias"] > 0
    assert sum(one["share"] for one in found.shown.values()) == pytest.approx(1, abs=1e-4)


def test_a_source_is_asked_alone_and_what_only_it_finds_is_told(ranker: Ranker, world: World) -> None:
    figures = source_report.report(ranker, world)
    assert set(figures) == {"history", "neighbours", "offers", "popular"}  # nothing came later, for `new` to bring
    assert figures["history"]["recall_new"] == 0 < figures["history"]["unique"] <= figures["history"]["recall"]
    assert source_report.idle(figures | {"other": {"unique": 0}})[-1] == "other"
    assert figures["neighbours"]["items_a_row"] <= 5


def test_milliseconds_are_the_sources_own_without_the_context_that_all_share(
    ranker: Ranker, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    running: list[bool] = [False]

    def tick() -> float:
        running[0] = not running[0]
        return 0.0

    laid = Ranker.context

    def context(self: Ranker, rows: UserRows) -> Context:
        assert not running[0], "the context is made while a source is timed"
        return laid(self, rows)

    monkeypatch.setattr(source_report, "time", SimpleNamespace(thread_time=tick))
    monkeypatch.setattr(Ranker, "context", context)
    assert source_report.report(ranker, world)["popular"]["ms_a_row"] == 0


def test_two_sources_that_find_the_same_are_both_without_a_find_of_their_own(ranker: Ranker, world: World) -> None:
    """Every item is popular enough where thirty are asked for, so that no other source finds anything alone."""
    wide = Ranker(**{**vars(ranker), "spec": Candidates(history=10, neighbours=5, popular=30)})
    figures = source_report.report(wide, world)
    assert figures["popular"]["recall"] == 1.0
    assert set(source_report.idle(figures)) == set(figures) - {"popular"}

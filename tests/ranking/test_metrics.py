import numpy as np
import pytest

from components.ranking import metrics
from feature_repo.rows import Ragged


def lists(*values: list[int]) -> Ragged:
    return Ragged(
        np.array([v for row in values for v in row], dtype=np.int64), np.cumsum([0, *(len(row) for row in values)])
    )


def test_a_perfect_ranking_has_ndcg_1_even_when_more_was_bought_than_shown() -> None:
    ranked = np.arange(10)[None]
    found = metrics.per_row(ranked, lists(list(range(25))), 30)
    assert found.ndcg[0] == pytest.approx(1.0)
    assert found.recall[0] == pytest.approx(10 / 25)


def test_metrics_of_a_known_row() -> None:
    found = metrics.per_row(np.array([[7, 3, 9, 1]]), lists([3, 1, 5]), 10)
    dcg, ideal = 1 / np.log2(3) + 1 / np.log2(5), 1 + 1 / np.log2(3) + 1 / np.log2(4)
    assert found.mean() == pytest.approx({"ndcg_at_10": dcg / ideal, "recall_at_10": 2 / 3, "phr_at_10": 1.0})


def test_places_without_an_item_are_no_hits() -> None:
    found = metrics.per_row(np.array([[-1, -1], [-1, 4]]), lists([9], [4]), 10)
    assert found.hit.tolist() == [0.0, 1.0]


def test_rows_with_nothing_to_find_do_not_count() -> None:
    found = metrics.per_row(np.array([[1], [1]]), lists([], [1]), 10)
    assert found.counts.tolist() == [False, True]
    assert found.mean()["recall_at_10"] == 1.0


def test_removing_the_history_leaves_what_is_new() -> None:
    new = metrics.without(lists([1, 2, 3], [4], []), lists([2], [4], [1]), 10)
    assert [new.row(b).tolist() for b in range(3)] == [[1, 3], [], []]


def test_an_interval_holds_the_mean_and_narrows_with_users() -> None:
    rng = np.random.default_rng(0)
    widths = []
    for users in (50, 5000):
        value, user = rng.random(users), np.array([f"u{n}" for n in range(users)])
        low, high = metrics.intervals({"x": value}, user, np.ones(users, bool))["x"]
        assert low < value.mean() < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 5


def test_rows_of_one_user_are_resampled_together() -> None:
    value = np.repeat([0.0, 1.0], 500)
    alone = metrics.intervals({"x": value}, np.array([f"u{n}" for n in range(1000)]), np.ones(1000, bool))["x"]
    together = metrics.intervals({"x": value}, np.repeat(["a", "b"], 500), np.ones(1000, bool))["x"]
    assert together == [0.0, 1.0]  # two users: often the same one twice
    assert alone[1] - alone[0] < 0.1


def test_intervals_do_not_depend_on_how_users_are_named() -> None:
    value = np.arange(6) / 6
    names = [np.array(["a", "b", "c", "a", "b", "c"]), np.array(["z", "y", "x", "z", "y", "x"])]
    counts = np.ones(6, bool)
    assert metrics.intervals({"x": value}, names[0], counts) == metrics.intervals({"x": value}, names[1], counts)

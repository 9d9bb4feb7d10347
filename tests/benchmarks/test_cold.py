"""What the benches of new items and of last films rest on, by hand."""

import datetime as dt
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from benchmarks import cold, movielens
from benchmarks.peers import environments
from components.ranking.catalogue import Catalogue
from feature_repo.errors import DataError
from feature_repo.rows import Ragged


def test_later_items_are_popular_as_their_categories_are_the_newest_first() -> None:
    """Four known items: path 0 has .375 of the users, path 1 .5; target 1 has .375; of nothing nobody had any."""
    catalogue = Catalogue(
        targets=np.array([[0], [0], [0], [1], [0], [0], [1], [2], [0]]),
        visits=np.array([], np.int64),
        n_targets=2,
        kind=np.array([0, 1, 0, -1, 0, 1, -1, -1, 1]),
        brand=np.full(9, -1),
        state={"share_4w": np.array([0.125, 0.5, 0.25, 0.375, 0, 0, 0, 0, 0])},
    )
    assert cold.category_popular(catalogue, np.arange(4, 9)).tolist() == [8, 5, 6, 4, 7]


def test_a_ranker_of_later_items_is_closed_to_those_that_came_since() -> None:
    """Items c and d came in the test steps, d after the step that is judged; b came before them."""
    day = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    seen = [None, day, day + dt.timedelta(days=9), day + dt.timedelta(days=12)]
    vocabulary = SimpleNamespace(
        item_ids=["a", "b", "c", "d"], index_of_item={"a": 0, "b": 1, "c": 2, "d": 3},
        items=pa.table({"first_seen": pa.array(seen, pa.timestamp("us", "UTC"))}),
    )  # fmt: skip
    ranker: Any = SimpleNamespace(vocabulary=vocabulary, catalogue=range(4))
    calendar = SimpleNamespace(start=lambda week: day + dt.timedelta(days=week))
    world: Any = SimpleNamespace(weeks=lambda part: [8, 9], calendar=calendar)
    new = cold.came(ranker, world, None, ranked=True)
    assert [(one.item, one.at - int(day.timestamp())) for one in new] == [("c", 9 * 86_400), ("d", 12 * 86_400)]
    opened = cold.Opened.at(ranker, new, int(day.timestamp()) + 10 * 86_400)
    assert (opened.before is ranker, opened.later.tolist()) == (True, [2])
    assert (opened.hidden, opened.not_yet(), opened.alone()) == ({2, 3}, {3}, {0, 1, 3})


def test_an_interest_is_what_the_history_has_most_of_and_counts_double() -> None:
    catalogue = Catalogue(
        targets=np.array([[0], [1], [1], [0], [2]]), visits=np.array([], np.int64), n_targets=2,
        kind=np.full(5, -1), brand=np.full(5, -1), state={"share_4w": np.array([0.5, 0.1, 0.3, 0.4, 0.9])},
    )  # fmt: skip
    lists = {
        "history_items": Ragged(np.array([1, 0]), np.array([0, 2])),
        "history_slow": Ragged(np.array([2.0, 1.0]), np.array([0, 2])),
    }
    found = cold.by_interest(catalogue, SimpleNamespace(lists=lists), np.array([3]))
    assert found.tolist() == [4, 2, 0, 1, *[-1] * 6], "of .9, .6, .5 and .2; item 3 is barred"


def test_a_ratio_of_nothing_is_none_and_resampled_users_keep_their_rows() -> None:
    assert cold.ratio(np.ones(2), np.zeros(2), ["a", "b"]) == {"of_means": None, "ci95": None}
    found = cold.ratio(np.array([1.0, 1.0, 0.0]), np.array([0.5, 0.5, 1.0]), ["a", "a", "b"])
    assert found["of_means"] == 1.0
    assert found["ci95"] == [0.0, 2.0], "all a or all b"


def test_a_sequence_is_the_history_in_its_order_and_ends_with_what_is_wanted() -> None:
    history = {
        "history_items": Ragged(np.array([4, 2, 9, 7]), np.array([0, 3, 4])),
        "history_last_at": Ragged(np.array([30, 10, 10, 5]), np.array([0, 3, 4])),
    }

    class Examples(SimpleNamespace):
        def __len__(self) -> int:
            return 2

    made: Any = Examples(rows=SimpleNamespace(lists=history), bought=Ragged(np.array([1, 3]), np.array([0, 1, 2])))
    assert [one.tolist() for one in movielens.sequences_of(made)] == [[2, 9, 4, 1], [7, 3]]
    made.bought = Ragged(np.array([1, 3]), np.array([0, 2, 2]))
    with pytest.raises(DataError, match="a test row has 2 items to find"):
        movielens.sequences_of(made)


def test_a_peer_is_named_by_its_line_and_not_given_what_it_may_not_have() -> None:
    lines = environments.REQUIREMENTS.read_text().splitlines()
    for peer in movielens.PEERS:
        (line,) = [one for one in lines if one.startswith(peer)]
        wanted, left = environments.packages(line)
        assert "torch" in left
        assert not any(one.startswith("torch") for one in wanted)

"""The published next-basket protocol by hand: what is known before a trip, the peers, and how a list is judged."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import next_basket, next_basket_sized
from benchmarks.next_basket import Pairs
from benchmarks.next_basket_ours import sets_of
from benchmarks.trips import Past, Trips, near_mean, up_cf

# Two users: a has trips of items {0, 1}, {0}, {1, 2} on the days 0, 7, 15, and b of {2}, {2, 0} on the days 1, 20.
TRIPS = Trips(
    user=np.array([0, 0, 0, 0, 0, 1, 1, 1]),
    item=np.array([0, 1, 0, 1, 2, 2, 0, 2]),
    trip=np.array([1, 1, 2, 3, 3, 1, 2, 2]),
    day=np.array([0.0, 0, 7, 15, 15, 1, 20, 20]),
    n_items=4,
)


def test_before_the_last_trip_all_others_are_known() -> None:
    past = TRIPS.before(0)
    assert past.counts().toarray().tolist() == [[2, 1, 0, 0], [0, 0, 1, 0]]
    assert (past.at.tolist(), past.trips.tolist()) == ([15, 20], [2, 1])
    assert list(zip(past.wanted_user, past.wanted_item, strict=True)) == [(0, 1), (0, 2), (1, 0), (1, 2)]
    earlier = TRIPS.before(1)
    assert earlier.counts().toarray().tolist() == [[1, 1, 0, 0], [0, 0, 0, 0]]
    assert earlier.wanted_user.tolist() == [0, 1]


def test_what_peers_make_of_them() -> None:
    past = TRIPS.before(0)
    assert past.decayed(8.0).toarray()[0, :2] == pytest.approx([0.5 ** (15 / 8) + 0.5, 0.5 ** (15 / 8)])
    assert past.tifu(group=2, within=0.5, among=0.9).toarray()[0, :2] == pytest.approx([(0.5 + 1) / 2, 0.5 / 2])
    assert past.recent(1).toarray()[0].tolist() == [1, 0, 0, 0]
    assert past.recent(5).toarray()[0].tolist() == [1, 0.5, 0, 0]
    assert past.share.tolist() == [1, 0.5, 0.5, 0]
    had = Past(np.array([0, 0, 1]), np.array([0, 1, 1]), np.ones(3, int), np.zeros(3), np.ones(2, int), np.zeros(2),
               np.empty(0, int), np.empty(0, int), 3)  # fmt: skip
    assert up_cf(had, power=2.0, asymmetry=0.5) == pytest.approx(np.array([[1, 0.5], [0.5, 1]]))
    assert near_mean(had.counts(), 5).toarray().tolist() == [[0, 1], [1, 0]], "nobody is near themselves"


def test_ndcgs_ideal_is_over_the_whole_trip() -> None:
    """Of twelve wanted items the first and the third of the list are found."""
    past = Past(*(np.empty(0, int) for _ in range(4)), np.array([0]), np.zeros(1), np.zeros(12, int),
                np.arange(12), 20)  # fmt: skip
    item = np.array([0, 1, 15, 16])
    pairs = Pairs(past, np.zeros(4, int), item, item < 12, {})
    recall, ndcg = next_basket.per_user(pairs, np.array([0.9, 0.5, 0.7, 0.1]))
    assert recall.tolist() == [2 / 12]
    assert ndcg[0] == pytest.approx((1 + 0.5) / (1 / np.log2(np.arange(2, 14))).sum())


def test_a_signal_is_of_weeks_before_the_trip_and_a_label_of_the_trip() -> None:
    sets = sets_of(TRIPS.before(0), most=9)
    assert sets.item.tolist() == [0, 1, 2]
    assert sets.offsets.tolist() == [0, 2, 3]
    assert [(1 + np.flatnonzero(signal)).tolist() for signal in sets.signal] == [[2, 3], [3], [3]]
    assert sets.label.tolist() == [0, 1, 1]
    assert sets_of(TRIPS.before(0), most=1).item.tolist() == [0, 2]


def test_rare_items_go_before_users_with_few_trips(tmp_path: Path) -> None:
    """b's fifth trip holds an item of one line alone, so b has four."""
    lines = [("a", f"i{n % 2}", f"a{n}", n) for n in range(20)] + [("b", "i0", f"b{n}", n) for n in range(4)]
    lines += [("b", "rare", "b9", 9)]
    users, items, sessions, days = zip(*lines, strict=True)
    at = pa.array([day * 86_400_000_000 for day in days], pa.timestamp("us", "UTC"))
    path = tmp_path / "events.parquet"
    pq.write_table(pa.table({"user_id": users, "item_id": items, "session_id": sessions, "timestamp": at}), path)
    found = Trips.read(path)
    assert (found.n_items, found.last.tolist()) == (2, [20])
    assert found.day.tolist() == list(range(20))


def test_a_basket_is_a_trip_or_all_trips_of_a_day() -> None:
    """Of user a, as of day 15: {0, 1} on day 0, {0} on day 7; a second trip on day 7 brings item 2."""
    more = Trips(*(np.insert(values, 3, one) for values, one in
                   ((TRIPS.user, 0), (TRIPS.item, 2), (TRIPS.trip, 2), (TRIPS.day, 7.4))), n_items=4)  # fmt: skip
    past = replace(more, trip=np.array([1, 1, 2, 3, 4, 4, 1, 2, 2])).before(0)
    by_trip = next_basket_sized.weights(past, 10.0, by_trip=True).toarray()[0]
    assert by_trip[:3] == pytest.approx([0.5**1.5 * 2**-0.5 + 0.5**0.8, 0.5**1.5 * 2**-0.5, 0.5**0.76], rel=1e-5)
    by_day = next_basket_sized.weights(past, 10.0, by_trip=False).toarray()[0]
    assert by_day[0] == pytest.approx(0.5**1.6 * 2**-0.5 + 0.5**0.9), "8 days back, of the day 7 alone"
    same = replace(past, day=np.where(past.day == 7.4, 7.0, past.day))
    by_day = next_basket_sized.weights(same, 10.0, by_trip=False).toarray()[0]
    assert by_day[[0, 2]] == pytest.approx([0.5**1.6 * 2**-0.5 + 0.5**0.9 * 2**-0.5, 0.5**0.9 * 2**-0.5])


def test_whom_the_papers_call_noise_can_be_left_out() -> None:
    """Twenty users have two lines in ten days; one has forty in them, and one has all on one day."""
    user = np.concatenate([np.repeat(np.arange(20), 2), np.full(40, 20), np.full(2, 21)])
    day = np.concatenate([np.tile([0.0, 10.0], 20), np.tile([0.0, 10.0], 20), [3.0, 3.5]])
    trips = Trips(user, np.zeros(len(user), int), np.ones(len(user), int), day, 1)
    assert np.flatnonzero(~trips.usual).tolist() == [20, 21]


def test_trees_order_each_users_best_few_pairs() -> None:
    past = Past(*(np.empty(0, int) for _ in range(4)), np.zeros(2, int), np.zeros(2), *(np.empty(0, int),) * 2, 9)
    pairs = Pairs(past, np.array([0, 0, 0, 1, 1]), np.array([1, 4, 6, 0, 2]), np.zeros(5, bool), {})
    assert next_basket.best_few(pairs, np.array([0.1, 0.5, 0.5, 0.2, 0.9]), 2).tolist() == [1, 2, 3, 4]
    assert next_basket.best_few(pairs, np.array([0.1, 0.5, 0.5, 0.2, 0.9]), 1).tolist() == [1, 4]

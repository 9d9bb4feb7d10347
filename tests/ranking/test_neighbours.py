import dataclasses
from pathlib import Path

import numpy as np

from components.ranking import cooccurrence
from components.ranking.examples import World
from components.ranking.neighbours import Neighbours
from feature_repo.rows import Ragged
from tests.ranking.board import ITEMS, Happened, known_row, user_rows


def test_even_items_have_even_neighbours(world: World) -> None:
    table = cooccurrence.fit(
        cooccurrence.latest_rows(world.examples.rows, world.examples.week, until=16), ITEMS, size=5
    )
    item, place = np.nonzero(table.similarities > 0)
    assert len(item) > ITEMS
    assert (table.items[item, place] % 2 == item % 2).all()


def test_no_item_is_its_own_neighbour(world: World) -> None:
    table = cooccurrence.fit(
        cooccurrence.latest_rows(world.examples.rows, world.examples.week, until=16), ITEMS, size=50
    )
    assert table.items.shape == (ITEMS, ITEMS - 1)
    assert (table.similarities[table.items == np.arange(ITEMS)[:, None]] == 0).all()


def test_neighbours_stand_in_order_of_similarity(world: World) -> None:
    table = cooccurrence.fit(cooccurrence.latest_rows(world.examples.rows, world.examples.week, until=16), ITEMS)
    assert (np.diff(table.similarities, axis=1) <= 0).all()


def test_a_table_knows_each_user_once_and_nothing_after_its_week(world: World) -> None:
    kept = cooccurrence.latest_rows(world.examples.rows, world.examples.week, until=13)
    assert len(set(kept.user_id)) == len(kept) > 30
    assert kept.now.max() == world.calendar.start(13).timestamp()


def test_what_happens_after_the_week_does_not_change_a_table(happened: dict[str, Happened]) -> None:
    before = {user: {w: items for w, items in weeks.items() if w < 13} for user, weeks in happened.items()}
    tables = [
        cooccurrence.fit(user_rows(*(known_row(u, w, 13) for u, w in each.items())), ITEMS)
        for each in (happened, before)
    ]
    assert (tables[0].items == tables[1].items).all()
    assert (tables[0].similarities == tables[1].similarities).all()


def test_nearness_is_the_similarity_weighted_share_of_the_history() -> None:
    table = Neighbours(
        items=np.array([[1, 2], [0, 2], [0, 1]], np.int32),
        similarities=np.array([[0.5, 0.1], [0.5, 0.0], [0.1, 0.0]], np.float32),
        factors=np.zeros((3, 1), np.float32),
        scale=np.ones(3, np.float32),
    )
    row, item, weight = np.array([0, 0, 2]), np.array([0, 1, 2]), np.array([3.0, 1.0, 5.0])
    expected = [[0.25 * 0.5, 0.75 * 0.5, 0.75 * 0.1], [0.0, 0.0, 0.0], [0.1, 0.0, 0.0]]  # row 1 has no history
    assert np.allclose(table.near(row, item, weight, rows=3), expected)


def test_a_saved_table_loads_the_same(world: World, tmp_path: Path) -> None:
    plain = cooccurrence.fit(world.examples.rows.take(np.arange(20)), ITEMS)
    table = dataclasses.replace(plain, learnt={"als": {"factors": np.eye(3)}, "ease": {"place": np.arange(4)}})
    table.save(tmp_path)
    again = Neighbours.load(tmp_path)
    for name in ("items", "similarities", "factors", "scale"):
        np.testing.assert_array_equal(getattr(table, name), getattr(again, name))
    assert set(again.learnt) == {"als", "ease"}
    np.testing.assert_array_equal(again.learnt["als"]["factors"], np.eye(3))
    np.testing.assert_array_equal(again.learnt["ease"]["place"], np.arange(4))


def test_tastes_fit_items_of_the_same_colour(world: World) -> None:
    rows = cooccurrence.latest_rows(world.examples.rows, world.examples.week, until=16)
    table = cooccurrence.fit(rows, ITEMS, factors=2)
    items = rows.lists["history_items"]
    tastes = table.tastes(items, rows.lists["history_slow"].values.astype(np.float64))
    even, odd = (
        np.array([table.affinity(tastes[[b]], np.arange(colour, ITEMS, 2)).sum() for b in range(len(rows))])
        for colour in (0, 1)
    )
    is_even = np.array([int(user[1:]) % 2 == 0 for user in rows.user_id])
    assert (even[is_even] > 5 * np.abs(odd[is_even])).all()
    assert (odd[~is_even] > 5 * np.abs(even[~is_even])).all()


def test_an_old_row_has_the_tastes_and_nearness_that_it_had(world: World) -> None:
    rows = cooccurrence.latest_rows(world.examples.rows, world.examples.week, until=16)
    table, items = cooccurrence.fit(rows, ITEMS), rows.lists["history_items"]
    weight = rows.lists["history_slow"].values.astype(np.float64)
    faded = weight * 0.96**30
    near = [table.near(items.row_of_value(), items.values, w, rows=len(rows)) for w in (weight, faded)]
    assert np.allclose(near[0], near[1])
    assert np.allclose(table.tastes(items, weight), table.tastes(items, faded), atol=1e-6)


def test_no_history_has_no_tastes(world: World) -> None:
    table = cooccurrence.fit(world.examples.rows, ITEMS)
    assert not table.tastes(Ragged(np.array([], np.int64), np.array([0, 0])), np.array([])).any()

from pathlib import Path

import numpy as np

from components.ranking import neighbours
from components.ranking.examples import World
from components.ranking.neighbours import Neighbours
from tests.ranking.board import ITEMS, Happened, known_row, user_rows


def test_even_items_have_even_neighbours(world: World) -> None:
    table = neighbours.fit(neighbours.latest_rows(world.examples.rows, world.examples.week, until=16), ITEMS, size=5)
    item, place = np.nonzero(table.similarities > 0)
    assert len(item) > ITEMS
    assert (table.items[item, place] % 2 == item % 2).all()


def test_no_item_is_its_own_neighbour(world: World) -> None:
    table = neighbours.fit(neighbours.latest_rows(world.examples.rows, world.examples.week, until=16), ITEMS, size=50)
    assert table.items.shape == (ITEMS, ITEMS - 1)
    assert (table.similarities[table.items == np.arange(ITEMS)[:, None]] == 0).all()


def test_neighbours_stand_in_order_of_similarity(world: World) -> None:
    table = neighbours.fit(neighbours.latest_rows(world.examples.rows, world.examples.week, until=16), ITEMS)
    assert (np.diff(table.similarities, axis=1) <= 0).all()


def test_a_table_knows_each_user_once_and_nothing_after_its_week(world: World) -> None:
    kept = neighbours.latest_rows(world.examples.rows, world.examples.week, until=13)
    assert len(set(kept.user_id)) == len(kept) > 30
    assert kept.now.max() == world.calendar.start(13).timestamp()


def test_what_happens_after_the_week_does_not_change_a_table(happened: dict[str, Happened]) -> None:
    before = {user: {w: items for w, items in weeks.items() if w < 13} for user, weeks in happened.items()}
    tables = [
        neighbours.fit(user_rows(*(known_row(u, w, 13) for u, w in each.items())), ITEMS) for each in (happened, before)
    ]
    assert (tables[0].items == tables[1].items).all()
    assert (tables[0].similarities == tables[1].similarities).all()


def test_nearness_is_the_similarity_weighted_share_of_the_history() -> None:
    table = Neighbours(
        np.array([[1, 2], [0, 2], [0, 1]], np.int32), np.array([[0.5, 0.1], [0.5, 0.0], [0.1, 0.0]], np.float32)
    )
    row, item, weight = np.array([0, 0, 2]), np.array([0, 1, 2]), np.array([3.0, 1.0, 5.0])
    expected = [[0.25 * 0.5, 0.75 * 0.5, 0.75 * 0.1], [0.0, 0.0, 0.0], [0.1, 0.0, 0.0]]  # row 1 has no history
    assert np.allclose(table.near(row, item, weight, rows=3), expected)


def test_a_saved_table_loads_the_same(world: World, tmp_path: Path) -> None:
    table = neighbours.fit(world.examples.rows.take(np.arange(20)), ITEMS)
    table.save(tmp_path)
    again = Neighbours.load(tmp_path)
    assert (again.items == table.items).all()
    assert (again.similarities == table.similarities).all()

"""The source `sized`: weights by hand, small baskets first, the same however long ago a row was stored."""

from dataclasses import replace

import numpy as np
import pytest

from components.ranking.history import History
from components.ranking.past import Past
from components.ranking.score import Ranker
from components.ranking.sources import sized, users
from feature_repo.rows import Ragged, UserRows
from tests.ranking.board import CALENDAR, ITEMS, Happened, checkerboard, known_row, start, user_rows

# Item 5 alone in week 17, items 1 to 4 together in week 18, item 5 with item 6 in week 15.
HAD: Happened = {15: [5, 6], 17: [5], 18: [1, 2, 3, 4]}


def learnt(world: dict[str, Happened], weeks: range) -> dict[str, np.ndarray]:
    rows = [known_row(user, world[user], week) for week in weeks for user in world]
    nothing = Ragged(np.empty(0, np.int64), np.zeros(len(rows) + 1, np.int64))
    return dict(
        sized.fit_past(Past(user_rows(*rows), np.array([row["week"] for row in rows]), nothing, CALENDAR), ITEMS)
    )


def scored(rows: UserRows, arrays: dict[str, np.ndarray], ranker: Ranker) -> np.ndarray:
    known = replace(ranker.neighbours, learnt={sized.NAME: arrays})
    return sized.scores(History.of(rows, known, calendar=CALENDAR))


def test_a_step_counts_by_its_age_and_the_size_of_the_basket() -> None:
    items, weight = sized.weights(user_rows(known_row("u01", HAD, 19)), CALENDAR, ITEMS)
    found = dict(zip(items.values.tolist(), weight, strict=True))
    together = 0.96 * 4**-0.5
    assert found == pytest.approx(
        {5: 0.96**2 + 0.96**4 * 2**-0.5, 6: 0.96**4 * 2**-0.5} | dict.fromkeys((1, 2, 3, 4), together), abs=1e-4
    )


def test_an_item_beyond_those_that_are_known_makes_no_basket_larger() -> None:
    row = user_rows(known_row("u01", {18: [1, 29]}, 19))
    assert sized.weights(row, CALENDAR, ITEMS)[1] == pytest.approx([0.96 * 2**-0.5] * 2, abs=1e-4)
    items, weight = sized.weights(row, CALENDAR, 29)
    assert (items.values.tolist(), weight.tolist()) == ([1], pytest.approx([0.96], abs=1e-4))


def test_of_two_items_had_as_often_that_of_the_small_basket_is_first(ranker: Ranker) -> None:
    """By decayed counts the items of the large basket lead: it is the later one."""
    had: Happened = {16: [5], 17: [1, 2, 3, 4, 6]}
    nobody = sized.fit(user_rows(known_row("u01", had, 18)), ITEMS)
    (scores,) = scored(user_rows(known_row("u01", had, 18)), dict(nobody), ranker)
    assert scores.argmax() == 5
    weight = np.array([0.96**2] + [0.96 * 5**-0.5] * 5)
    assert scores[[5, 1]] == pytest.approx(weight[:2] / np.sqrt((weight**2).sum()), abs=1e-4)
    row = known_row("u01", had, 18)
    slow = dict(zip(row["history_items"], row["history_slow"], strict=True))
    assert slow[1] > slow[5]


def test_the_same_row_scores_the_same_however_long_ago_it_was_stored(ranker: Ranker) -> None:
    arrays = learnt(checkerboard(), range(18, 20))
    assert len(arrays["sizes"]), "groups are what a score blends"
    row = user_rows(known_row("u00", HAD, 21))
    stored = {name: row.lists[name] for name in ("history_slow", "history_fast")}
    grown = {name: replace(of, values=of.values / decay**2)
             for (name, of), decay in zip(stored.items(), (0.96, 0.8), strict=True)}  # fmt: skip
    ago = replace(row, state_at=np.array([start(19)]), lists={**row.lists, **grown})
    now, then = (scored(one, arrays, ranker) for one in (row, ago))
    assert now.any()
    np.testing.assert_allclose(now, then, atol=1e-3)


def test_everybody_is_in_the_fit_once_as_last_known() -> None:
    world = checkerboard()
    twice, once = learnt(world, range(15, 20)), learnt(world, range(19, 20))
    for name, value in once.items():
        np.testing.assert_array_equal(value, twice[name])
    assert twice["sizes"].sum() <= len(world)


def test_users_without_a_history_are_of_no_group() -> None:
    world: dict[str, Happened] = checkerboard() | {f"v{n:02}": {} for n in range(30)}
    found = learnt(world, range(19, 20))
    assert found["sizes"].sum() <= 40
    assert found["sizes"].min() >= users.LEAST


def test_a_history_without_its_rows_is_refused(ranker: Ranker) -> None:
    known = replace(ranker.neighbours, learnt={sized.NAME: learnt(checkerboard(), range(19, 20))})
    with pytest.raises(TypeError, match="sized: a history without its rows and a calendar"):
        sized.scores(History.of(user_rows(known_row("u01", HAD, 19)), known))

"""Calendar signals of items, read from the sums that a row keeps: by hand, and beside the steps that made the sums."""

import numpy as np

from components.ranking import item_signals
from components.ranking.item_signals import Signals
from tests.ranking.board import CALENDAR, Happened, known_row, start, user_rows

DECAYS = (0.96, 0.8)


def spread(*ages: list[int]) -> np.ndarray:
    sums = [np.array([sum(decay**age for age in mine) for mine in ages], np.float32) for decay in DECAYS]
    return item_signals.spread(
        np.array([len(mine) for mine in ages], float),
        np.array([max(mine) for mine in ages]),
        np.array([min(mine) for mine in ages]),
        *(of.astype(np.float64) for of in sums),
        decays=DECAYS,
    )


def test_up_to_four_steps_the_sums_leave_one_answer() -> None:
    rng = np.random.default_rng(0)
    ages = [sorted(rng.choice(np.arange(1, 61), n, replace=False).tolist()) for n in (1, 2, 3, 4) for _ in range(60)]
    found = spread(*ages)
    assert [(1 + np.flatnonzero(row == 1)).tolist() for row in found] == ages
    assert set(np.unique(found)) == {0.0, 1.0}


def test_beyond_four_steps_the_count_and_both_sums_hold_and_the_ends_are_certain() -> None:
    rng = np.random.default_rng(1)
    ages = [sorted(rng.choice(np.arange(1, 53), n, replace=False).tolist()) for n in (5, 8, 15, 30) for _ in range(20)]
    found = spread(*ages)
    at = np.arange(1, found.shape[1] + 1)
    apart = np.array(
        [[row @ decay**at - sum(decay**age for age in mine) for decay in (1.0, *DECAYS)]
         for row, mine in zip(found, ages, strict=True)]
    )  # fmt: skip
    assert np.abs(np.median(apart, axis=0)).max() < 1e-3
    assert np.abs(apart).max() < 0.25, "a signal that is nearly 0 and 1 is reached slowly"
    for row, mine in zip(found, ages, strict=True):
        assert row[mine[0] - 1] == row[mine[-1] - 1] == 1
        assert not row[: mine[0] - 1].any()
        assert not row[mine[-1] :].any()


def test_an_item_of_every_step_is_there_in_every_step() -> None:
    assert spread(list(range(2, 9)))[0].tolist() == [0.0] + [1.0] * 7


def test_what_is_frequent_lately_is_told_from_what_was_frequent_once() -> None:
    """Both have the ends 1 and 40 and ten steps; the one's lie near, the other's far."""
    near, far = spread([*range(1, 10), 40], [1, *range(32, 41)])
    assert near[1:12].sum() > 7
    assert far[1:12].sum() < 1
    assert far[28:39].sum() > 7


def test_sums_that_no_steps_have_give_a_signal_between_0_and_1() -> None:
    """As weights of kinds make them: too large, too small, none at all."""
    for slow, fast in ((9.0, 9.0), (0.01, 0.01), (0.0, 0.0)):
        for steps in (3.0, 4.0, 6.0):
            found = item_signals.spread(np.array([steps]), np.array([12]), np.array([2]), np.array([slow]),
                                        np.array([fast]), decays=DECAYS)  # fmt: skip
            assert np.isfinite(found).all()
            assert ((found >= 0) & (found <= 1 + 1e-9)).all()


def test_a_rows_signals_are_the_steps_of_its_items(happened: dict[str, Happened]) -> None:
    mine = {4: [1, 3], 9: [1], 15: [3], 18: [1, 5]}
    rows = user_rows(known_row("u00", mine, 20))
    found = item_signals.of_rows(rows, CALENDAR, 30)
    for entry, item in enumerate(rows.lists["history_items"].values.tolist()):
        steps = [week for week, items in mine.items() if item in items]
        assert (20 - 1 - np.flatnonzero(found.values[entry])).tolist() == steps[::-1]
        assert (found.first[entry], found.last[entry], found.steps[entry]) == (
            20 - steps[0],
            20 - steps[-1],
            len(steps),
        )


def test_a_row_that_is_asked_later_has_the_same_steps_longer_ago() -> None:
    row = known_row("u00", {4: [1, 3], 9: [1], 15: [3, 1]}, 16)
    fresh, later = user_rows(row), user_rows(row | {"now": start(21)})
    one, other = (item_signals.of_rows(rows, CALENDAR, 30) for rows in (fresh, later))
    np.testing.assert_array_equal(other.values[:, 5:], one.values[:, :-5])
    assert not other.values[:, :5].any()
    assert (other.last == one.last + 5).all()


def test_a_users_own_signal_is_the_largest_of_the_items() -> None:
    values = np.array([[1, 0, 0.5], [0, 0.2, 0], [0, 0, 1]], np.float32)
    ends = np.array([1, 2, 3])
    found = item_signals.read(Signals(values, np.array([1.0, 2.0, 1.0]), ends + 3, ends, np.array([0, 2, 2, 3])))
    np.testing.assert_allclose(found.user, [[1, 0.2, 0.5], [0, 0, 0], [0, 0, 1]])
    np.testing.assert_allclose(np.expm1(found.numbers[1]), [2, 5, 2, 1.7, 2], rtol=1e-6)


def test_nobody_has_no_signals() -> None:
    found = item_signals.read(item_signals.of_rows(user_rows(known_row("u99", {}, 2)), CALENDAR, 5))
    assert found.signal.shape == (0, 5)
    assert not found.user.any()

"""A shop's figures by hand: shares, amounts and coverage with their intervals, and why there are none."""

import math
from typing import get_args

import numpy as np
import pytest

from monitoring.quality import kpis
from monitoring.quality.kpis import DayFigure, Figure, Rows


def rows(*each: tuple[int, float, float], weight: float = 1.0, day: str = "2026-11-30") -> Rows:
    """Return rows of (user, part, whole)."""
    user, part, whole = (np.array(one) for one in zip(*each, strict=True))
    return Rows(part.astype(float), whole.astype(float), user, np.full(len(user), weight), np.full(len(user), day))


def alike(users: int, *, yes: int, whole: float = 1.0) -> Rows:
    """Return one row a user, of which the first `yes` have a part of 1."""
    return rows(*((n, float(n < yes), whole) for n in range(users)))


def test_a_share_has_wilsons_interval_by_students_t() -> None:
    found = kpis.share(alike(25, yes=5))
    variance = 25 / 24 * (5 * 0.8**2 + 20 * 0.2**2) / 25**2
    worth, t = min(0.2 * 0.8 / variance, 25), 2.0638986  # of 24 degrees of freedom
    middle = (0.2 + t * t / (2 * worth)) / (1 + t * t / worth)
    reach = t * math.sqrt(0.16 / worth + t * t / (4 * worth**2)) / (1 + t * t / worth)
    assert (found.value, found.n, found.users) == (0.2, 25, 25)
    assert (found.low, found.high) == pytest.approx((middle - reach, middle + reach), abs=1e-7)


def test_users_whose_rows_are_alike_are_worth_no_more_than_they_are() -> None:
    once = kpis.share(alike(40, yes=10))
    repeated = kpis.share(rows(*((n, float(n < 10), 1.0) for n in range(40) for _ in range(9))))
    assert repeated.n == 360
    assert (repeated.low, repeated.high) == pytest.approx((once.low, once.high), abs=0.003)


def test_of_none_or_of_all_the_interval_is_not_empty() -> None:
    none, every = kpis.share(alike(30, yes=0)), kpis.share(alike(30, yes=30))
    assert (none.value, none.low) == (0.0, 0.0)
    assert (every.value, every.high) == (1.0, pytest.approx(1.0))
    assert none.high == pytest.approx(1 - every.low)  # type: ignore[operator]
    assert none.high == pytest.approx(0.1224, abs=1e-4)


def test_the_interval_holds_the_truth_in_about_95_of_100_shops() -> None:
    drawn = np.random.default_rng(3)
    held = 0
    for _ in range(400):
        clicks = drawn.binomial(6, drawn.beta(1, 9, size=80))  # users differ: a tenth on average
        found = kpis.share(rows(*((n, float(k), 6.0) for n, k in enumerate(clicks))))
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 0.1 <= found.high
    assert 0.925 <= held / 400 <= 0.985


def test_a_row_that_stands_for_several_counts_so() -> None:
    one, other = alike(20, yes=20), alike(20, yes=0)
    both = Rows(
        np.concatenate([one.part, other.part]),
        np.ones(40),
        np.arange(40),
        np.concatenate([np.full(20, 3.0), np.ones(20)]),
        np.concatenate([one.day, other.day]),
    )
    found = kpis.share(both)
    assert (found.value, found.n) == (0.75, 40)
    assert found.days == (DayFigure("2026-11-30", 0.75, 40),)


def test_an_amount_has_the_interval_of_a_ratio_of_sums() -> None:
    found = kpis.amount(rows(*((n, 12.0 if n < 8 else 0.0, 2.0) for n in range(24))))
    residuals = 8 * (12 - 4.0) ** 2 + 16 * 4.0**2  # 12 or 0, less 2 items at 2.0
    reach = 2.0686576 * math.sqrt(24 / 23 * residuals) / 48  # of 23 degrees of freedom
    assert (found.value, found.n, found.users) == (2.0, 48, 24)
    assert (found.low, found.high) == pytest.approx((2.0 - reach, 2.0 + reach), abs=1e-7)


def test_an_amount_of_gains_ends_at_nothing_and_one_of_losses_does_not() -> None:
    some = kpis.amount(rows(*((n, 90.0 if n == 0 else 1.0 if n < 5 else 0.0, 1.0) for n in range(24))))
    assert some.low == 0.0
    back = kpis.amount(rows(*((n, 90.0 if n == 0 else -1.0 if n < 5 else 0.0, 1.0) for n in range(24))))
    assert back.low is not None
    assert back.low < 0


def test_too_little_has_no_value_and_says_why() -> None:
    empty = Rows(*(np.zeros(0) for _ in range(2)), np.zeros(0, int), np.zeros(0), np.zeros(0, "U10"))
    assert kpis.share(empty) == Figure(why="none")
    few = kpis.share(alike(19, yes=4))
    assert (few.value, few.low, few.why, few.n, few.users) == (None, None, "few", 19, 19)
    assert kpis.share(alike(20, yes=4)).why == ""
    assert kpis.share(alike(19, yes=4), least_users=19).value == pytest.approx(4 / 19)
    rare = kpis.amount(alike(30, yes=4))
    assert (rare.value, rare.why, rare.users, rare.n) == (None, "rare", 30, 30)
    assert kpis.amount(alike(30, yes=5)).why == ""


def test_days_are_told_apart_and_one_without_anything_shown_has_no_value() -> None:
    monday, sunday = alike(20, yes=10), rows(*((n, 0.0, 0.0) for n in range(3)), day="2026-11-29")
    both = Rows(*(np.concatenate([getattr(one, name) for one in (sunday, monday)]) for name in FIELDS))
    assert kpis.share(both).days == (DayFigure("2026-11-29", None, 0), DayFigure("2026-11-30", 0.5, 20))


FIELDS = ("part", "whole", "user", "weight", "day")


def test_coverage_counts_each_item_once_and_what_came_live_too() -> None:
    shown = [("2026-11-29", "tea"), ("2026-11-29", "tea"), ("2026-11-30", "new")]
    found = kpis.coverage(shown, {"tea", "ham", "nut"})
    assert (found.value, found.n, found.low, found.high) == (0.5, 4, None, None)
    assert [one.value for one in found.days] == [0.25, 0.25]
    assert kpis.coverage([], {"tea"}).why == "none"
    assert kpis.coverage(shown, set()).why == "unlisted"


def test_every_reason_is_one_that_is_declared() -> None:
    named = (kpis.KNOWN, kpis.NONE, kpis.FEW, kpis.RARE, kpis.UNRIPE, kpis.UNVALUED, kpis.UNLISTED)
    assert named == get_args(kpis.Why)
    assert Figure(why="none") == Figure(None, None, None, 0, 0, "none", ())

"""Drawings of days with gaps, of what is usual, and of intervals on one scale."""

import pytest

from bentos.console.chart import bars, chart
from bentos.console.figures import duration, number


def test_a_gap_parts_the_line_and_a_value_alone_is_a_dot() -> None:
    found = chart([1.0, None, 2.0, 3.0])
    assert found is not None
    assert found.lines == ("211.3,36.0 314.0,6.0",)
    assert found.dots == ((6.0, 66.0), (314.0, 6.0))


def test_an_end_that_is_not_known_leaves_the_newest_that_is() -> None:
    found = chart([1.0, 2.0, None])
    assert found is not None
    assert found.dots[-1] == (160.0, 6.0)


def test_fewer_than_two_values_are_no_drawing() -> None:
    assert chart([]) is None
    assert chart([None, 1.0, None]) is None


def test_a_share_begins_at_nothing_and_values_that_are_all_alike_are_drawn() -> None:
    found, flat = chart([1.0, 2.0], zero=True), chart([2.0, 2.0])
    assert found is not None
    assert found.lines == ("6.0,36.0 314.0,6.0",)
    assert flat is not None
    assert flat.lines == ("6.0,66.0 314.0,66.0",)


def test_what_is_usual_is_a_band_within_the_drawing() -> None:
    found = chart([5.0, 6.0], (0.0, 10.0))
    assert found is not None
    assert found.band == (6.0, 60.0)
    thin = chart([0.0, 10.0], (5.0, 5.0))
    assert thin is not None
    assert thin.band == (36.0, 1.0)


def test_intervals_share_a_scale_that_holds_no_difference() -> None:
    (one,) = bars([(1.0, 2.0, 3.0)])
    assert (one.zero, one.low, one.value, one.high) == (6.0, 108.7, 211.3, 314.0)


def test_what_is_not_known_is_no_number() -> None:
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="is no figure"):
            number(value, "share")
    assert duration(0.5, "en") == "0.5 s"

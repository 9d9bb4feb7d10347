"""When realised quality has fallen: below the reference's interval, worth speaking of, and lasting."""

import pytest

from monitoring.quality.fall import Fall, Point, judged

USUAL = [0.40, 0.41, 0.39, 0.40, 0.41, 0.40]


def series(*values: float, reach: float = 0.01) -> list[Point]:
    return [Point(n, f"week {n}", value, value - reach, value + reach) for n, value in enumerate(values, 1)]


def word(*values: float, metric: str = "map", reach: float = 0.01, floor: float = 0.05) -> str:
    return judged(metric, series(*values, reach=reach), floor=floor).word


def test_a_fall_is_a_reason_once_it_lasts() -> None:
    assert word(*USUAL, 0.30) == "usual"
    assert word(*USUAL, 0.30, 0.40) == "usual"
    assert word(*USUAL, 0.30, 0.40, 0.31) == "fell"
    found = judged("map", series(*USUAL, 0.30, 0.31), floor=0.05)
    assert (found.word, found.since, found.period) == ("fell", "week 7", 8)
    assert found.why == "map is 0.31 (0.3 to 0.32) where 0.4 is usual, in 2 of the last 3 periods"


def test_what_fell_does_not_become_what_is_usual() -> None:
    assert word(*USUAL, *[0.30] * 8) == "fell"


@pytest.mark.parametrize("value", [0.50, 0.41, 0.385])
def test_better_or_a_little_worse_is_usual(value: float) -> None:
    assert word(*USUAL, value, value) == "usual"


def test_a_figure_that_few_users_make_is_no_fall() -> None:
    assert word(*USUAL, 0.30, 0.30, reach=0.12) == "usual"


def test_the_floor_bounds_what_is_worth_speaking_of() -> None:
    steady = [0.400, 0.401, 0.400, 0.401, 0.400, 0.401]
    assert word(*steady, 0.39, 0.39, reach=0.0001) == "usual"
    assert word(*steady, 0.39, 0.39, reach=0.0001, floor=0.01) == "fell"


def test_of_a_calibration_error_more_is_worse_and_a_small_one_is_no_matter() -> None:
    usual = [0.020, 0.021, 0.019, 0.020, 0.021, 0.020]
    assert word(*usual, 0.05, 0.05, metric="ece", reach=0.001) == "fell"
    assert word(*usual, 0.01, 0.01, metric="ece", reach=0.001) == "usual"
    assert word(*usual, 0.026, 0.026, metric="ece", reach=0.0001) == "usual"


def test_a_short_series_is_undecided() -> None:
    assert judged("map", series(0.4, 0.4, 0.4, 0.1), floor=0.05) == Fall(
        "map", "undecided", "4 ripe periods, a reference needs 4 before the newest"
    )

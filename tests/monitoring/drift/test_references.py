"""How surprising a signal's newest value is, by value: what strays, what is counted, and two periods together."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from components import verdicts
from monitoring.drift.references import Past, alike, fewer, known_by, ordinary_of, seen
from monitoring.drift.usual_prices import usual

NAN = float("nan")
NONE = np.zeros(0)


def past(name: str, kind: str, value: float, values: list[float], *, n: float = 10_000, **more) -> Past:
    there = np.asarray(values, dtype=float)
    told = {"error": NAN, "strays": NONE} | more
    return Past(name, kind, value, n, values=there, ns=np.full(len(there), n), spreads=np.full(len(there), NAN), **told)  # type: ignore[arg-type]


def volume(value: float, **more) -> Past:
    return past("events.volume", "volume", value, [1000.0] * 12, **more)


def test_a_period_strays_as_earlier_ones_did_where_enough_of_them_are_known() -> None:
    wild = np.array([0.2, -0.2] * 7)
    assert ordinary_of(volume(1200.0))[0].scale == 0.01  # the sampling error of ten thousand users
    assert ordinary_of(volume(1200.0, strays=wild))[0].scale == pytest.approx(verdicts.biweight(wild))
    assert ordinary_of(volume(1200.0, strays=wild[:11]))[0].scale == 0.01, "eleven are too few"
    assert ordinary_of(volume(1200.0, strays=wild))[0].periods == 14


@pytest.mark.parametrize(
    ("strays", "scale", "users", "known"),
    [
        (0.2, 0.2, 500, 12),  # periods stray by more than sampling: they alone tell how far
        (0.1, 0.2, 500, 177),  # 1 + 11 * 2 ** 4
        (0.1, 0.2, 50, 50),  # as many as users, at most
        (0.1, 0.2, 5, 12),  # and never fewer than without
        (0.0, 0.0, 500, 12),
    ],
)
def test_a_sampling_error_is_known_better_than_twelve_periods_tell(
    strays: float, scale: float, users: float, known: int
) -> None:
    assert known_by(12, strays, scale, users=users) == known


def test_only_what_is_drawn_anew_is_known_by_its_users() -> None:
    rows = past("features.spread.sessions_7d", "level", 2.0, [1.0] * 12)
    assert ordinary_of(rows)[0].periods == 12
    assert ordinary_of(dataclasses.replace(rows, name="events.price.p50"))[0].periods == 3333


def test_what_never_lacked_is_counted_in_parts_of_a_design() -> None:
    """30 of 300 rows lack it, and none of 12 * 300 did: ten of a hundred, and none of 1,200."""
    found = seen(past("events.null.value", "null", 0.1, [0.0] * 12, n=300))
    assert found.p == pytest.approx(verdicts.never_before(10, 100, 1200))
    once = seen(past("events.null.value", "null", 0.1, [0.0] * 11 + [0.01], n=300))
    assert once.p == pytest.approx(verdicts.surprise(once.scaled, once.of)), "what lacked before has a scale"


def test_few_are_told_by_the_count_of_all_periods() -> None:
    of = past("events.users.segment.1", "volume", 0.0, [5.0] * 12, n=5)
    assert seen(of).p == pytest.approx((12 / 13) ** 60)
    assert fewer(3, 1, 60, 12) == pytest.approx(stats.binom.cdf(3, 63, 1 / 13))
    both = dataclasses.replace(of, last=0.0)
    assert seen(both).p == pytest.approx(2 * (12 / 14) ** 60)  # two tries, of which the second is surer
    ordinary = dataclasses.replace(of, values=np.append(of.values[:11], 7.0), last=7.0)
    assert seen(ordinary).p == pytest.approx(2 * (12 / 13) ** 62), (
        "the week before was as usual, and is in the reference"
    )
    uneven = dataclasses.replace(of, values=np.array([1.0, 9.0] * 6))
    assert seen(uneven).p == pytest.approx((12 / 13) ** (60 / (np.var([1, 9] * 6, ddof=1) / 5)))


def test_two_large_periods_to_one_side_are_surer_than_one() -> None:
    strays = np.array([0.3, -0.3] * 8)  # as unlike as can be
    off = np.log(0.5)
    alone, twice = (
        seen(volume(500.0, strays=strays, last=last, last_off=o)) for last, o in ((1000.0, 0.0), (500.0, off))
    )
    t = -off / (verdicts.biweight(strays) * 0.5**0.5)
    assert alone.p == pytest.approx(2 * stats.t.sf(-off / verdicts.biweight(strays), 15))
    assert twice.p == pytest.approx(2 * 2 * stats.t.sf(t, 15))
    other = seen(volume(500.0, strays=strays, last=2000.0, last_off=-off))
    small = seen(volume(500.0, strays=strays, last=900.0, last_off=np.log(0.9)))
    assert (other.p, small.p) == (alone.p, alone.p)


def test_neighbours_that_are_alike_make_two_periods_hardly_more_than_one() -> None:
    assert alike(np.array([0.3] * 16)) == 1.0
    assert alike(np.array([1.0, -1.0] * 3)) == 0.0
    assert alike(np.array([1.0, -1.0, 1.0])) == 1.0, "three tell nothing"
    mixed = np.array([1.0, 1.0, -1.0, 1.0, 1.0, -1.0, 1.0, 1.0])
    assert alike(mixed) == pytest.approx(-1 / 8 + 8**-0.5)


def test_usual_prices_by_value() -> None:
    """Item 0 was sold at 2, 3 and 300; item 1 for nothing and at no price; item 2 never."""
    before = pd.DataFrame(
        {"item": [0, 0, 0, 1, 1], "value": [2.0, 6.0, 300.0, 0.0, NAN], "quantity": [1.0, 2, 1, 1, 1]}
    )
    now = pd.DataFrame({"item": [2, 0, 1, 0], "value": 9.0, "quantity": 1.0})
    assert np.array_equal(usual(now, before), [NAN, 3.0, NAN, 3.0], equal_nan=True)
    assert np.isnan(usual(now, before[:0])).all()

"""Verdicts on series whose truth is planted: quiet, now, lasting; since when; settled; explained."""

import datetime as dt
import itertools

import numpy as np
import pytest

from feature_repo.calendar import Calendar
from feature_repo.errors import SpecError
from monitoring.drift.occasions import as_accepted, explanation, require_known
from monitoring.drift.references import independent
from monitoring.drift.signal_verdicts import Table, class_of, replay, verdicts_of
from monitoring.drift.signals import Measured
from monitoring.spec import Floors, Occasion, Signals

CALENDAR = Calendar("2024-01-01")
N = 10_000


def still(weeks: int, *, seed: int = 0, sd: float = 0.01) -> list[float]:
    return (1000 * np.exp(np.random.default_rng(seed).normal(0, sd, weeks))).tolist()


def judged(series: dict[str, list[float]], row: int = -1, *, spec: Signals = Signals(), declared: list[Occasion] = []):  # noqa: B006, B008
    weeks = len(next(iter(series.values())))
    table = Table.of({w + 1: {name: Measured(v[w], N) for name, v in series.items()} for w in range(weeks)}, days=7)
    state = replay(table, spec)
    found = verdicts_of(
        table, row % weeks, state, days=7,
        starts=lambda n: CALENDAR.start(n).isoformat(),
        explains=lambda signal, n: explanation(signal, n, calendar=CALENDAR, declared=declared),
    )  # fmt: skip
    return {v.signal: v for v in found}


def test_what_overlaps_from_week_to_week_is_no_news_as_soon_as_what_does_not() -> None:
    """A mean over four weeks wanders: twelve of them are three windows, so a step of it is less of a surprise."""
    weeks = [*(100 + np.random.default_rng(3).normal(0, 0.4, 20)), 101.5]
    found = {}
    for name in ("features.mean.spend_7d", "features.mean.spend_28d"):
        table = Table.of({w + 1: {name: Measured(v, N, 10.0)} for w, v in enumerate(weeks)}, days=7)
        found[name] = len(replay(table, Signals()).moves[-1])
    assert found == {"features.mean.spend_7d": 1, "features.mean.spend_28d": 0}
    assert independent("features.mean.spend_28d", "mean", 6, days=7) == 2
    assert independent("events.price.p10", "level", 12, days=7) == 12


def test_a_world_that_stands_still_says_nothing() -> None:
    series = {f"events.volume.{n}": still(40, seed=n) for n in range(15)}
    assert [judged(series, row) for row in range(12, 40)] == [{}] * 28


def test_a_half_is_an_alarm_at_once() -> None:
    found = judged({"events.volume": [*still(20), 500.0], "events.users": still(21, seed=1)})
    assert list(found) == ["events.volume"]
    one = found["events.volume"]
    assert (one.when, one.direction, one.reason, one.alarm) == ("now", "down", "data_fault", True)
    assert (one.since, one.since_starts[:10]) == (21, "2024-05-20")
    assert one.reference == pytest.approx(1000, rel=0.02)
    assert one.effect == pytest.approx(-0.5, abs=0.02)
    assert one.interval[0] < one.reference < one.interval[1] < 1100


def test_a_mean_moves_by_deviations_of_a_row_and_all_else_by_its_own_size() -> None:
    """100 becomes 108, where one row's deviation is 10: .8 of it; a level's spread is no unit of its own."""
    weeks = [*(100 * np.exp(np.random.default_rng(3).normal(0, 0.002, 20))), 108.0, 108.0]
    for name, effect in (("features.mean.spend_7d", 0.8), ("events.price.p50", 0.08)):
        spread = 10.0 if "mean" in name else 0.001
        table = Table.of({w + 1: {name: Measured(value, N, spread)} for w, value in enumerate(weeks)}, days=7)
        state = replay(table, Signals())
        (found,) = verdicts_of(table, 21, state, days=7, starts=str, explains=lambda *_: "")
        assert found.effect == pytest.approx(effect, abs=0.02), name


def test_a_fifth_is_information_once_and_lasting_the_second_time() -> None:
    series = [*still(20), 1200.0, 1200.0]
    assert (judged({"events.volume": series}, 20)["events.volume"].when) == "information"
    two = judged({"events.volume": series})["events.volume"]
    assert (two.when, two.since, two.reason) == ("lasting", 21, "world")


def test_two_of_three_is_enough_and_to_two_sides_is_none() -> None:
    assert judged({"events.volume": [*still(20), 1200.0, 1000.0, 1200.0]})["events.volume"].when == "lasting"
    assert judged({"events.volume": [*still(20), 1200.0, 800.0]})["events.volume"].when == "information"
    apart = [*still(20), 1200.0, 1000.0, 1000.0, 1200.0]
    assert judged({"events.volume": apart})["events.volume"].when == "information"


def test_what_is_sure_but_small_says_nothing() -> None:
    series = [*still(20, sd=0.001), 1090.0]
    assert judged({"events.volume": series}) == {}
    assert list(judged({"events.volume": series}, spec=Signals(floors=Floors(volume=0.05)))) == ["events.volume"]


def test_what_is_large_but_usual_says_nothing() -> None:
    wild = still(20, sd=0.4)
    assert judged({"events.volume": [*wild, 1500.0]}) == {}


def test_one_of_many_signals_must_be_rarer_than_one_alone() -> None:
    """t of 4 with 11 degrees is one in 500: it counts alone, and not among 100."""
    base = [1000 * np.exp(0.03 * sign) for sign in itertools.islice(itertools.cycle([1, -1, 0.5, -0.5]), 20)]
    scale = 1.4826 * 0.03 * 0.75
    odd = 1000 * float(np.exp(4 * scale))
    alone = {"events.volume": [*base, odd]}
    many = alone | {f"events.volume.{n}": [*base, 1000.0] for n in range(99)}
    assert list(judged(alone)) == ["events.volume"]
    assert judged(many) == {}
    others = alone | {f"events.users.segment.{n}": [*base, 1000.0] for n in range(99)}
    assert list(judged(others)) == ["events.volume"], "a hundred segments are one family, and volumes another"


def test_extraordinary_periods_are_no_reference() -> None:
    """Six weeks of faults in a row would else become ordinary from the third one on."""
    series = [*still(20), *[500.0] * 4]
    for row in range(20, 24):
        assert judged({"events.volume": series}, row)["events.volume"].reference == pytest.approx(1000, rel=0.02)


def test_what_stays_for_six_periods_is_ordinary_from_then_on() -> None:
    series = [*still(20), *[2000.0] * 6, 2000.0, 1000.0]  # twice as many events are no fault
    assert judged({"events.volume": series}, 25)["events.volume"].when == "now"
    assert judged({"events.volume": series}, 26) == {}
    back = judged({"events.volume": series}, 27)["events.volume"]
    assert (back.direction, back.reference) == ("down", pytest.approx(2000))


def test_a_fault_that_nobody_mends_never_becomes_ordinary() -> None:
    """Else the eighth week of a broken feed would be called stable, and the ninth, mended, an alarm."""
    series = {
        "events.null.value": [*[0.0] * 20, *[0.2] * 12, 0.0],
        "events.volume": [*still(20), *[400.0] * 12, 1000.0],
    }
    for row in range(20, 32):
        found = judged(series, row)
        assert {v.signal: (v.reason, v.since) for v in found.values() if v.alarm} == {
            "events.null.value": ("data_fault", 21), "events.volume": ("data_fault", 21),
        }  # fmt: skip
    assert judged(series) == {}, "mended"


def test_what_a_person_accepts_is_a_reference_of_its_own() -> None:
    series = {"events.null.value": [*[0.0] * 20, *[0.2] * 10], "events.volume": still(30)}
    history = {w + 1: {name: Measured(v[w], N) for name, v in series.items()} for w in range(30)}
    said = {"events.null": CALENDAR.day(CALENDAR.start(21))}
    kept = as_accepted(history, said, calendar=CALENDAR)
    assert ["events.null.value" in kept[week] for week in (20, 21)] == [False, True]
    state = replay(Table.of(kept, days=7), Signals())
    assert [state.judged[row] for row in (19, 20, 25, 26)] == [1, 1, 1, 2], "six weeks of it are a reference"
    assert state.moves == [[]] * 30
    with pytest.raises(SpecError, match=r"signals\.accepted: 'events.nul' is no signal .*near it: events.null.value"):
        require_known({"events.nul": dt.date(2024, 1, 1)}, history)
    require_known(said, history)
    require_known(said, {})  # nothing was measured yet


def test_rounding_of_a_number_that_is_always_the_same_is_no_deviation() -> None:
    """A shop that sells one at a time: the mean of log 2 over other numbers of rows is not log 2 to the last bit."""
    series = [float(np.full(n, np.log(2)).mean()) for n in range(300, 321)]
    history = {w + 1: {"events.quantity": Measured(v, N, 2.2e-16)} for w, v in enumerate(series)}
    history[21] = {"events.quantity": Measured(series[0] + 2.2e-16, N, 2.2e-16)}
    assert replay(Table.of(history, days=7), Signals()).moves == [[]] * 21
    history[21] = {"events.quantity": Measured(series[0] + 0.2, N, 0.4)}
    assert len(replay(Table.of(history, days=7), Signals()).moves[-1]) == 1


def test_too_short_a_history_is_not_judged() -> None:
    assert judged({"events.volume": [*still(5), 500.0]}) == {}
    assert list(judged({"events.volume": [*still(6), 500.0]})) == ["events.volume"]


def test_few_users_are_counted_and_all_else_of_few_is_not_judged() -> None:
    """Ten a week for twelve weeks, and none: (12 / 13) ** 120 is .00007; with two a week no week is told."""

    def newest(users: float, name: str = "events.users", last: float = 0.0) -> list[int]:
        history = {w: {name: Measured(users, users)} for w in range(1, 21)} | {21: {name: Measured(last, last)}}
        state = replay(Table.of(history, days=7), Signals())
        return [int(state.judged[-1]), len(state.moves[-1])]

    assert (newest(10.0), newest(10.0, last=6.0), newest(2.0), newest(1.0)) == ([1, 1], [1, 0], [1, 0], [0, 0])
    assert newest(10.0, "events.price.p50") == [0, 0]
    assert newest(30.0, "events.price.p50") == [1, 1]


def test_two_weeks_without_a_segment_of_five_are_told_where_one_is_chance() -> None:
    history = {w: {"events.users.segment.1": Measured(5.0, 5.0)} for w in range(1, 21)}
    for week in (21, 22):
        history[week] = {"events.users.segment.1": Measured(0.0, 0.0)}
        moves = replay(Table.of(history, days=7), Signals()).moves[-1]
        assert [move.large for move in moves] == [True] * (week - 21)


def test_what_never_lacked_is_told_by_counting() -> None:
    """Seven of 300 rows lack a value that none of 3,600 lacked; where some always do, seven of 300 are nothing."""

    def newest(before: float) -> list[bool]:
        history = {w: {"features.null.spend_7d": Measured(before, 300)} for w in range(1, 13)}
        history[13] = {"features.null.spend_7d": Measured(before + 21 / 300, 300)}
        return [move.large for move in replay(Table.of(history, days=7), Signals()).moves[-1]]

    assert newest(0.0) == [True]
    assert newest(0.05) == []


def test_a_clock_is_compared_around_midnight() -> None:
    """23:30 and 0:30 are an hour apart: a week at 0:15 is as usual, and one at 4:45 is five hours off."""
    hours = [23.5, 0.5, 23.75, 0.25, 23.6, 0.4, 23.9, 0.1, 23.5, 0.5, 23.8, 0.2]
    for last, effect in ((0.25, None), (4.75, 4.75), (18.9, -5.1)):
        history = {w + 1: {"events.clock": Measured(h, 900, 0.1)} for w, h in enumerate([*hours, last])}
        table = Table.of(history, days=7)
        found = verdicts_of(table, 12, replay(table, Signals()), days=7, starts=str, explains=lambda *_: "")
        assert [v.effect for v in found] == ([] if effect is None else [pytest.approx(effect, abs=0.3)])
        assert all((v.reason, v.when) == ("data_fault", "now") for v in found)


def test_how_far_weeks_stray_is_told_by_more_of_them_than_make_the_reference() -> None:
    """Twelve weeks that happen to be alike after fourteen wild ones: a tenth more is no news."""
    wild = [1000 * np.exp(0.1 * sign) for sign in itertools.islice(itertools.cycle([1, -1, 0.6, -0.6]), 22)]
    calm = (1000 * np.exp(np.random.default_rng(0).normal(0, 0.01, 12))).tolist()
    assert list(judged({"events.volume": [*calm, 1180.0]})) == ["events.volume"]
    assert judged({"events.volume": [*wild, *calm, 1180.0]}) == {}


def test_a_declared_holiday_explains_volumes_and_no_nulls() -> None:
    holiday = Occasion(name="Feast", first=dt.date(2024, 5, 26), last=dt.date(2024, 5, 26))  # Sunday of week 21
    series = {"events.volume": [*still(20), 500.0], "events.null.value": [*[0.0] * 20, 0.2]}
    found = judged(series, declared=[holiday])
    assert (found["events.volume"].explained_by, found["events.volume"].alarm) == ("Feast (monitoring.calendar)", False)
    assert (found["events.null.value"].explained_by, found["events.null.value"].alarm) == ("", True)
    other = Occasion(name="Feast", first=dt.date(2024, 5, 27), last=dt.date(2024, 5, 27))
    assert judged(series, declared=[other])["events.volume"].alarm


def test_a_window_of_four_weeks_feels_a_holiday_for_four_weeks() -> None:
    holiday = Occasion(name="Feast", first=dt.date(2024, 5, 1), last=dt.date(2024, 5, 1))  # week 18
    series = {name: [*[0.9, 1.1] * 10, 2.5] for name in ("features.mean.value_28d", "features.mean.value_7d")}
    history = {w + 1: {n: Measured(v[w], N, 1.0) for n, v in series.items()} for w in range(21)}
    table = Table.of(history, days=7)
    found = verdicts_of(
        table, 20, replay(table, Signals()), days=7, starts=str,
        explains=lambda signal, n: explanation(signal, n, calendar=CALENDAR, declared=[holiday]),
    )  # fmt: skip
    assert {v.signal: bool(v.explained_by) for v in found} == {
        "features.mean.value_28d": True,
        "features.mean.value_7d": False,
    }


def test_the_same_season_last_year_explains() -> None:
    series = still(80)
    series[25] = series[77] = 1600.0  # weeks 26 and 78: 52 weeks apart
    found = judged({"events.volume": series[:78]})["events.volume"]
    assert (found.when, found.explained_by) == ("now", "the same season last year")
    series[77] = 500.0  # to the other side
    assert judged({"events.volume": series[:78]})["events.volume"].explained_by == ""
    series[25] = series[77] = 500.0
    broken = judged({"events.volume": series[:78]})["events.volume"]
    assert (broken.reason, broken.explained_by) == ("data_fault", ""), "that it broke a year ago does not excuse it"
    quiet = still(80)
    quiet[77] = 1600.0
    assert judged({"events.volume": quiet[:78]})["events.volume"].explained_by == ""


def test_a_signal_that_comes_later_and_one_that_is_missing_are_no_error() -> None:
    history = {w: {"events.volume": Measured(1000.0 + w % 3, N)} for w in range(1, 21)}
    history[20] = history[20] | {"events.users": Measured(5.0, N)}
    history[21] = {"events.users": Measured(5.0, N)}
    assert replay(Table.of(history, days=7), Signals()).judged[-1] == 0


def test_the_worst_alarm_names_the_class() -> None:
    series = {
        "events.volume": [*still(20), 2000.0],
        "events.null.value": [*[0.0] * 20, 0.2],
        "labels.ratio.buy": [*still(20, seed=4), 300.0],
    }
    found = list(judged(series).values())
    assert [v.reason for v in found] == ["data_fault", "performance", "world"]
    assert class_of(found, judged=3) == "data_fault"
    assert class_of(found[1:], judged=3) == "performance"
    assert class_of(found[2:], judged=3) == "world"
    assert class_of([], judged=3) == "none"
    assert class_of([], judged=0) == "undecided"


def test_a_table_with_other_values_of_one_period() -> None:
    table = Table.of({1: {"a": Measured(1.0, N, 0.5)}, 2: {"a": Measured(2.0, N)}}, days=7)
    found = table.with_row(1, {"b": Measured(3.0, 7, 0.25)})
    assert (found.periods, found.names, found.days) == ((1, 2), ("a", "b"), 7)
    for of, said in (
        (found.value, [[1.0, np.nan], [np.nan, 3.0]]),
        (found.n, [[N, np.nan], [np.nan, 7.0]]),
        (found.spread, [[0.5, np.nan], [np.nan, 0.25]]),
    ):
        np.testing.assert_array_equal(of, said)
    np.testing.assert_array_equal(table.value, [[1.0], [2.0]])  # itself is as it was

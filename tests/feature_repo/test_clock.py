"""The clock's steps: where they start, also where clocks change, and what a duration is in them."""

import datetime as dt
import time

import numpy as np
import pytest

from feature_repo.calendar import Calendar
from feature_repo.clock import STEPS, Pace, Step, epoch, seconds_of

UTC = dt.UTC


def local(calendar: Calendar, step: int) -> str:
    """Say when a step starts, by the clock on the wall."""
    return f"{calendar.start(step).astimezone(calendar._zone):%m-%d %H:%M}"


def test_the_day_on_which_clocks_change_is_one_step() -> None:
    days = Calendar("2024-03-30", "Europe/Berlin", "day")
    assert [local(days, n) for n in (1, 2, 3)] == ["03-30 00:00", "03-31 00:00", "04-01 00:00"]
    assert days.start(3) - days.start(2) == dt.timedelta(hours=23)


def test_no_hour_is_missing_or_twice_where_clocks_change() -> None:
    spring, autumn = (Calendar(day, "Europe/Berlin", "hour") for day in ("2024-03-31", "2024-10-27"))
    assert [local(spring, n) for n in (2, 3, 24)] == ["03-31 01:00", "03-31 03:00", "04-01 00:00"]
    assert [local(autumn, n) for n in (3, 4, 25, 26)] == ["10-27 02:00", "10-27 02:00", "10-27 23:00", "10-28 00:00"]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("timezone", ["UTC", "Asia/Kolkata", "America/New_York", "Australia/Lord_Howe"])
def test_a_step_holds_its_first_second_and_not_the_next_ones(step: Step, timezone: str) -> None:
    calendar = Calendar("2024-01-01", timezone, step)
    numbers = np.arange(1, {"hour": 9000, "day": 400, "week": 60}[step])
    starts = np.asarray([int(calendar.start(int(n)).timestamp()) for n in numbers])
    assert (np.diff(starts) > 0).all()
    assert calendar.weeks(starts).tolist() == numbers.tolist()
    assert calendar.weeks(starts - 1).tolist() == (numbers - 1).tolist()
    assert calendar.upcoming(starts).tolist() == numbers.tolist()
    some = [calendar.start(int(n)) for n in numbers[:: max(1, len(numbers) // 50)]]
    assert [calendar.week(at) for at in some] == numbers[:: max(1, len(numbers) // 50)].tolist()


@pytest.mark.parametrize("step", STEPS)
def test_spans_lie_side_by_side_and_name_their_step(step: Step) -> None:
    calendar = Calendar("2024-03-25", "Europe/Berlin", step)
    starts = calendar.span_starts(15)
    assert starts[0] == calendar.start(1)
    assert starts[-1] == calendar.start(16)
    for n, start in enumerate(starts[:-1]):
        assert calendar.span(start) == n
        assert calendar.span(starts[n + 1] - dt.timedelta(seconds=1)) == n
        assert calendar.start(calendar.step_of_span(n)) <= start < calendar.start(calendar.step_of_span(n) + 1)


def test_a_week_says_what_it_said_before_there_were_other_steps() -> None:
    assert Calendar("2024-01-01", "UTC").document() == {"first_day": "2024-01-01", "timezone": "UTC"}
    assert (Pace().slow, Pace().fast, Pace().recent, Pace().silent, Pace().lately) == (0.96, 0.8, 16, 2, 4)
    said = Calendar("2024-01-01", "UTC", "hour", slow_half_life="48h")
    assert Calendar(**said.document()) == said


def test_steps_begin_with_the_first_event() -> None:
    first = dt.datetime(2024, 1, 3, 17, tzinfo=UTC)  # a Wednesday
    made = {
        step: Calendar.starting(first, timezone="UTC", week_start="monday", pace=Pace(step)).week(first)
        for step in STEPS
    }
    assert made == {"hour": 18, "day": 1, "week": 1}


@pytest.mark.parametrize(("duration", "seconds"), [("1h", 3600), ("24h", 86_400), ("7d", 604_800), ("28d", 2_419_200)])
def test_durations(duration: str, seconds: int) -> None:
    assert seconds_of(duration) == seconds


@pytest.mark.parametrize("wrong", ["", "0h", "7", "1w", "1.5h", "-1d", "7 d"])
def test_what_is_no_duration_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="is no duration; write hours or days"):
        seconds_of(wrong)


def test_half_lives_are_halved_after_as_long() -> None:
    assert Pace("hour", fast_half_life="6h").fast ** 6 == pytest.approx(0.5)
    assert Pace("day", slow_half_life="14d").slow ** 14 == pytest.approx(0.5)
    assert Pace("week", slow_half_life="28d").slow ** 4 == pytest.approx(0.5)


@pytest.mark.parametrize("pace", [Pace(), Pace("day"), Pace("hour"), Pace("hour", fast_half_life="1h")])
def test_as_many_steps_as_sums_hold_stay_finite(pace: Pace) -> None:
    most = pace.most_steps()
    assert np.isfinite(1e20 * (1 / pace.fast) ** float(most))
    assert pace.fast**most > 0


def test_the_phase_turns_once_a_day_and_once_a_week() -> None:
    hours = Calendar("2024-01-01", "America/New_York", "hour")
    a, day, week = hours.phase(np.asarray([9, 9 + 24, 9 + 168]))
    np.testing.assert_allclose(a[:2], day[:2], atol=1e-6)
    np.testing.assert_allclose(a, week, atol=1e-6)
    assert not np.allclose(a[2:], day[2:], atol=0.1)
    assert hours.phase(np.asarray([1]))[0].tolist() == pytest.approx([0, 1, 0, 1], abs=1e-6)  # Monday, midnight


@pytest.mark.parametrize("step", ["day", "week"])
def test_steps_are_the_same_whatever_was_asked_before(step: Step) -> None:
    """What was searched is kept: near and far instants, in any order, each as a calendar that was asked nothing."""
    rng = np.random.default_rng(0)
    asked = Calendar("2016-12-28", "America/New_York", step)
    for spread in (3, 400, 40_000, 10, 20_000, 100_000):
        days = rng.integers(-spread, spread, 7)
        seconds = 1_500_000_000 + days * 86_400 + rng.integers(0, 86_400, 7)
        fresh = Calendar("2016-12-28", "America/New_York", step)
        want = [fresh.week(dt.datetime.fromtimestamp(int(second), dt.UTC)) for second in seconds]
        assert asked.weeks(seconds).tolist() == want
    borders = np.asarray([int(asked.start(n).timestamp()) + off for n in (-5, 0, 1, 12, 13) for off in (-1, 0)])
    assert asked.weeks(borders).tolist() == [n - 1 + off for n in (-5, 0, 1, 12, 13) for off in (0, 1)]


def test_an_instant_without_a_zone_is_utc_wherever_the_machine_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert epoch("2024-01-01T09:00:00") == epoch("2024-01-01T09:00:00+00:00") == 1704099600
        assert epoch("2024-01-01T09:00:00+09:00") == 1704067200
    finally:
        monkeypatch.undo()
        time.tzset()


def test_what_follows_from_a_step() -> None:
    hour, day, week = Pace("hour"), Pace("day"), Pace("week")
    assert [(p.recent, p.lately, p.silent, p.spans_a_day) for p in (hour, day, week)] == [
        (48, 24, 24, 24),
        (28, 7, 7, 1),
        (16, 4, 2, 1),
    ]
    assert [p.steps(8) for p in (hour, day, week)] == [192, 8, 2]
    assert type(week.steps(8)) is int
    assert [p.spans(7) for p in (hour, day, week)] == [168, 7, 7]


@pytest.mark.parametrize(("start", "first"), [("monday", "2024-01-01"), ("sunday", "2023-12-31")])
def test_a_calendar_starts_in_the_week_of_the_first_event_and_keeps_half_lives(start: str, first: str) -> None:
    at = dt.datetime(2024, 1, 3, 12, tzinfo=dt.UTC)
    assert Calendar.starting(at, timezone="UTC", week_start=start).first_day == first
    found = Calendar.starting(at, timezone="Asia/Tokyo", week_start=start, pace=Pace("day", "28d", "7d"))
    assert found == Calendar("2024-01-03", "Asia/Tokyo", "day", "28d", "7d")
    assert Calendar("2024-01-03").timezone == "UTC"


@pytest.mark.parametrize("step", STEPS)
def test_steps_of_instants_are_whole_numbers_whatever_they_came_as(step: Step) -> None:
    calendar = Calendar("2024-01-01", "UTC", step)
    seconds = [calendar.start(n).timestamp() + 1 for n in (1, 5, 3)]
    for given in (seconds, np.asarray(seconds, dtype=np.float32)[:0], np.asarray(seconds, dtype=np.int64)):
        found = calendar.weeks(np.asarray(given))
        assert found.dtype == np.int64
        assert found.tolist() in ([1, 5, 3], [])


def test_the_phase_counts_minutes_and_is_of_the_local_hour() -> None:
    nepal = Calendar("2024-01-01", "Asia/Kathmandu", "hour")
    half = Calendar("2024-01-01", "Australia/Lord_Howe", "hour")  # whose clocks move by half an hour
    shifted = half.phase(np.asarray([1 + 24 * 100]))[0]  # from April on local hours start at 23:30
    hour, day = 23.5 / 24, (1 + 23.5 / 24) / 7  # 100 days later less half an hour: a Tuesday
    angles = [2 * np.pi * hour, 2 * np.pi * day]
    expected = [np.sin(angles[0]), np.cos(angles[0]), np.sin(angles[1]), np.cos(angles[1])]
    assert shifted.tolist() == pytest.approx(expected, abs=1e-6)
    assert shifted.dtype == np.float32
    assert nepal.phase(np.asarray([7]))[0][:2].tolist() == pytest.approx([1, 0], abs=1e-6)  # six in the morning


def test_numbers_of_steps_are_said_and_the_upcoming_one_is_the_next_to_start() -> None:
    assert [Pace("day").counted(n) for n in (0, 1, 2)] == ["0 days", "1 day", "2 days"]
    late = dt.datetime(2024, 1, 2, 22, tzinfo=dt.UTC)  # in Tokyo it is Wednesday already
    assert (
        Calendar.starting(late, timezone="Asia/Tokyo", week_start="monday", pace=Pace("day")).first_day == "2024-01-03"
    )
    for step in STEPS:
        calendar = Calendar("2024-01-01", "Asia/Tokyo", step)
        at = int(calendar.start(12).timestamp())
        assert calendar.upcoming(np.asarray([at - 1, at, at + 1])).tolist() == [12, 12, 13]


@pytest.mark.parametrize(("step", "steps"), [("day", [1, 2, 8]), ("week", [1, 1, 2]), ("hour", [1, 2, 8])])
def test_spans_lie_in_steps_that_are_counted_from_one(step: Step, steps: list[int]) -> None:
    found = Calendar("2024-01-01", "UTC", step).steps_of_spans(np.array([0, 1, 7]))
    assert found.tolist() == steps


@pytest.mark.parametrize("timezone", ["UTC", "America/New_York"])
def test_hours_and_weekdays_lie_on_circles_of_the_local_clock(timezone: str) -> None:
    """Monday 00:00 is angle 0 of both; six hours are a quarter of a day, and 1/28 of a week."""
    calendar = Calendar("2024-01-01", timezone, "day")
    monday = int(calendar.start(1).timestamp())
    found = calendar.phases(np.asarray([monday, monday + 6 * 3600 + 899, monday]))
    quarter = np.sin(2 * np.pi * np.asarray([0.25, 1 / 28])), np.cos(2 * np.pi * np.asarray([0.25, 1 / 28]))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[0], [0, 1, 0, 1], atol=1e-6)
    assert found[2].tolist() == found[0].tolist()
    np.testing.assert_allclose(found[1], [quarter[0][0], quarter[1][0], quarter[0][1], quarter[1][1]], atol=1e-6)
    np.testing.assert_allclose(calendar.phase(np.asarray([1, 2, 1])), calendar.phases(
        np.asarray([monday, monday + 86_400, monday])), atol=1e-6)  # fmt: skip

"""Known answers of the rules about time: volume against history, freshness, kinds that must occur."""

import datetime as dt
import math

import pytest

from components.data.checks import Check, Meaning
from components.data.measures import Activity, measure
from components.data.rules import Fresh, Present, Volume, label
from feature_repo.calendar import Calendar

MONDAY = dt.date(2024, 1, 1)
HALF = {"expect": "volume", "tolerance": 0.5, "weeks": 4}


def shop(*weeks: int, complete: bool = True, kind: str = "view") -> Activity:
    """A shop with so many events a week, all on its Mondays and Sundays; the last one on the last Sunday noon."""
    counts: dict[dt.date, dict[str | None, int]] = {}
    for week, events in enumerate(weeks):
        monday = MONDAY + dt.timedelta(weeks=week)
        counts[monday] = {kind: events - events // 2}
        counts[monday + dt.timedelta(days=6)] = {kind: events // 2}
    last = dt.datetime.combine(max(counts), dt.time(12), dt.UTC)
    return Activity(counts, {kind: last}, Calendar(MONDAY.isoformat()), len(weeks), complete, last)


def value_of(rule, activity: Activity, now: dt.datetime | None = None):
    check = Check(label(rule), "events", rule, rule.asks, Meaning("", {}))
    return measure([check], activity, now=now)[check.name]


@pytest.mark.parametrize(
    ("weeks", "complete", "share", "found"),
    [
        ((7, 100, 100, 100, 100, 100), True, 1.0, "week 6 has 100, the median of the 4 before is 100"),
        ((7, 100, 110, 90, 120, 52), True, 52 / 105, "week 6 has 52, the median of the 4 before is 105"),
        ((7, 100, 110, 90, 120, 999), False, 120 / 100, "week 5 has 120, the median of the 3 before is 100"),
        ((7, 900, 100, 110, 90, 120, 0), True, 0.0, "week 7 has 0, the median of the 4 before is 105"),
    ],
    ids=["as usual", "half", "the last week is not over", "nothing came, and older weeks do not count"],
)
def test_a_week_is_measured_by_the_median_of_the_weeks_before(weeks, complete, share, found):
    measured = value_of(Volume(**HALF), shop(*weeks, complete=complete))
    assert measured.value == pytest.approx(share)
    assert measured.found == found


def test_the_first_week_may_be_cut_and_too_little_history_says_so():
    measured = value_of(Volume(**HALF), shop(1, 100, 100, 100))
    assert measured.value is None
    assert measured.note == "only 2 before to compare with, 3 are needed"


def test_a_day_is_measured_by_the_same_weekday_of_the_weeks_before():
    activity = shop(100, 100, 100, 100, 100)
    saturday = max(activity.counts) - dt.timedelta(days=1)  # complete: the newest event is of the Sunday after
    for week, events in enumerate((30, 10, 12, 8, 11)):
        activity.counts[saturday - dt.timedelta(weeks=week)] = {"view": 10 * events}
    measured = value_of(Volume(**HALF, period="day"), activity)
    assert measured.found == "Saturday, 2024-02-03, has 300, the median of the 4 before is 105"
    assert measured.value == pytest.approx(300 / 105)


def test_a_handful_of_events_is_chance_and_is_not_judged():
    measured = value_of(Volume(**HALF), shop(1, 9, 9, 9, 9, 0))
    assert (measured.value, measured.note) == (None, "so few are chance: a median of 20 or more is judged")


def test_a_kind_has_a_volume_of_its_own():
    activity = shop(100, 100, 100, 100, 100, 100)
    for day, kinds in activity.counts.items():
        kinds["purchase"] = 50 if day < MONDAY + dt.timedelta(weeks=5) else 0
    assert value_of(Volume(**HALF), activity).value == pytest.approx(100 / 200)
    assert value_of(Volume(**HALF, event="purchase"), activity).value == 0.0


def test_freshness_is_the_newest_events_age_by_the_clock():
    activity = shop(10, 10)  # the last event: Sunday 14 January 2024, 12:00
    now = dt.datetime(2024, 1, 16, 18, tzinfo=dt.UTC)
    measured = value_of(Fresh(expect="fresh", days=2), activity, now)
    assert (measured.value, measured.found) == (2.25, "it is of 2024-01-14 12:00 UTC, 2.2 days old")
    assert Fresh(expect="fresh", days=2, hours=6).limit_days == 2.25


def test_where_the_clock_stands_at_the_datas_end_freshness_is_trivial_and_says_so():
    measured = value_of(Fresh(expect="fresh", days=2), shop(10, 10))
    assert (measured.value, measured.note) == (0.0, "the clock stands at the end of the data: trivially so")


def test_a_kind_that_never_came_is_not_fresh():
    assert value_of(Fresh(expect="fresh", days=2, event="purchase"), shop(10, 10)).value == math.inf


def test_kinds_that_must_occur_are_counted_when_they_do_not():
    measured = value_of(Present(expect="present", values=["view", "purchase", "rate"]), shop(10, 10))
    assert (measured.value, measured.found) == (2, "no purchase, rate; have view")

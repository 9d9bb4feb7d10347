"""What rules about a whole table ask about, as one number each: kinds that miss, days of age, rows beside the usual.

Reads the relation `checked_events` by local day and kind, once; `expectations` judges the numbers. A number that
cannot be had (too little history) is None, and the note says why.
"""

import datetime as dt
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from components.data.checks import Check
from components.data.database import text
from components.data.rules import Described, Fresh, OneUser, Present, Volume
from components.data.snapshot import Snapshot
from feature_repo.calendar import Calendar
from feature_repo.clock import WEEK as WEEKS

Counts = dict[dt.date, dict[str | None, int]]  # local day -> kind -> events
LEAST = 3  # periods before, without which nothing is usual
FEW = 20  # events: fewer double and halve by chance
WEEK = dt.timedelta(days=7)


@dataclass(frozen=True)
class Measurement:
    """A number, and what was found in words."""

    value: float | None  # None: there is too little to judge, as the note says
    found: str  # 'the last week has 912 events, the median of 8 weeks before is 2,011'
    note: str = ""
    trivial: bool = False  # it cannot but hold, so nothing is judged

    @property
    def judged(self) -> bool:
        """Tell whether a number says anything."""
        return self.value is not None and not self.trivial


@dataclass(frozen=True)
class Activity:
    """Events over time, by local day and kind, in the period that ingest saw."""

    counts: Counts
    newest: dict[str | None, dt.datetime]  # by kind
    calendar: Calendar
    weeks: int  # number of the last week
    last_week_complete: bool
    last: dt.datetime  # of all events
    busiest: int = 0  # events of the user who has most
    users: int = 0  # of events
    users_listed: int | None = None  # of them, in the source's table of users; None: it has none

    @classmethod
    def read(cls, db: duckdb.DuckDBPyConnection, snapshot: Snapshot) -> "Activity":
        """Count `checked_events`; those after the period say nothing about it."""
        zone, last = text(snapshot.calendar.timezone), dt.datetime.fromisoformat(snapshot.last)
        calendar, weeks, complete = _by_weeks(snapshot, last)
        rows = db.execute(
            f"""SELECT CAST(timestamp AT TIME ZONE {zone} AS DATE) AS day, event, count(*), max(timestamp)
            FROM checked_events WHERE timestamp <= ? GROUP BY ALL ORDER BY ALL""",
            [last],
        ).fetchall()
        counts: Counts = {}
        newest: dict[str | None, dt.datetime] = {}
        for day, event, events, latest in rows:
            counts.setdefault(day, {})[event] = events
            newest[event] = max(latest, newest.get(event, latest))
        by_user = "SELECT count(*) AS n FROM checked_events WHERE user_id IS NOT NULL GROUP BY user_id"
        ((busiest,),) = db.execute(f"SELECT coalesce(max(n), 0) FROM ({by_user})").fetchall()
        return cls(
            counts,
            newest,
            calendar,
            weeks,
            complete,
            last,
            int(busiest),
            snapshot.users_of_events,
            snapshot.users_listed,
        )

    @property
    def events(self) -> int:
        """Count all events of the period."""
        return sum(sum(kinds.values()) for kinds in self.counts.values())

    @property
    def last_week(self) -> int:
        """Return the number of the last week that is over."""
        return self.weeks - (not self.last_week_complete)

    def on(self, day: dt.date, event: str | None) -> int:
        """Count the events of a day, of one kind or of all."""
        found = self.counts.get(day, {})
        return sum(found.values()) if event is None else found.get(event, 0)

    def weekly(self, event: str | None = None) -> list[int]:
        """Count the events of weeks 1, 2 …, the last one complete or not."""
        first = dt.date.fromisoformat(self.calendar.first_day)
        days = [first + dt.timedelta(days=n) for n in range(7 * self.weeks)]
        return [sum(self.on(day, event) for day in days[n : n + 7]) for n in range(0, len(days), 7)]


def _by_weeks(snapshot: Snapshot, last: dt.datetime) -> tuple[Calendar, int, bool]:
    """Return the calendar by weeks, the last week's number, and whether it is complete: rules speak of weeks.

    Where the spec's steps are others, weeks of seven days start with the data, and the last one is complete when an
    event of its last day is there.
    """
    if snapshot.calendar.step == WEEKS:
        return snapshot.calendar, snapshot.weeks, snapshot.last_week_complete
    calendar = Calendar(snapshot.calendar.first_day, snapshot.calendar.timezone)
    week = calendar.week(last)
    return calendar, week, calendar.day(last) + dt.timedelta(days=1) >= calendar.day(calendar.start(week + 1))


def measure(checks: Sequence[Check], activity: Activity, *, now: dt.datetime | None) -> dict[str, Measurement]:
    """Measure what checks ask about, by their names; `now` is None where the clock stands at the data's end."""
    found = {}
    for check in checks:
        match check.rule:
            case Present():
                found[check.name] = _present(check.rule, activity)
            case Fresh():
                found[check.name] = _fresh(check.rule, activity, now)
            case Volume():
                found[check.name] = _volume(check.rule, activity)
            case OneUser():
                found[check.name] = _one_user(check.rule, activity)
            case Described():
                found[check.name] = _described(activity)
    return found


def _present(rule: Present, activity: Activity) -> Measurement:
    missing = [kind for kind in rule.values if kind not in activity.newest]
    have = ", ".join(sorted(str(kind) for kind in activity.newest if kind is not None)) or "none of any kind"
    return Measurement(len(missing), f"no {', '.join(missing)}; have {have}" if missing else f"have {have}")


def _fresh(rule: Fresh, activity: Activity, now: dt.datetime | None) -> Measurement:
    """Tell the newest event's age in days."""
    times = activity.newest.values() if rule.event is None else [activity.newest.get(rule.event)]
    last = max((time for time in times if time is not None), default=None)
    if last is None:
        return Measurement(math.inf, f"there is no {rule.event or 'event'}")
    age_days = ((now or activity.last) - last) / dt.timedelta(days=1)
    trivial = now is None and rule.event is None
    note = "the clock stands at the end of the data: trivially so" if trivial else ""
    found = f"it is of {last.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC, {age_days:.1f} days old"
    return Measurement(age_days, found, note, trivial)


def _volume(rule: Volume, activity: Activity) -> Measurement:
    """Tell the last complete period's events as a share of the median of those before."""
    if rule.period == "week":
        last = activity.last_week
        counts = activity.weekly(rule.event)[1:last]  # week 1 may be cut
        what = f"week {last}"
    else:
        # The day of the newest event may still go on.
        day = activity.calendar.day(activity.last) - dt.timedelta(days=1)
        first = activity.calendar.day(activity.calendar.start(1))
        days = [day - WEEK * n for n in range(rule.weeks, -1, -1)]
        counts = [activity.on(one, rule.event) for one in days if one >= first]
        what = f"{day:%A, %Y-%m-%d},"
    before = counts[:-1][-rule.weeks :]
    if len(before) < LEAST:
        return Measurement(None, "", f"only {len(before)} before to compare with, {LEAST} are needed")
    usual = statistics.median(before)
    found = f"{what} has {counts[-1]:,}, the median of the {len(before)} before is {usual:,.0f}"
    if usual < FEW:
        return Measurement(None, found, f"so few are chance: a median of {FEW} or more is judged")
    return Measurement(counts[-1] / usual, found)


def _one_user(rule: OneUser, activity: Activity) -> Measurement:
    """Tell the busiest user's share of the events."""
    share = activity.busiest / max(activity.events, 1)
    found = f"one user has {activity.busiest:,} of {activity.events:,}, {share * 100:.1f} %"
    if activity.busiest < rule.over:
        return Measurement(None, found, f"judged from {rule.over:,} events of one user on")
    return Measurement(share, found)


def _described(activity: Activity) -> Measurement:
    """Tell the share of the users of events whom the table of users names."""
    if activity.users_listed is None or not activity.users:
        return Measurement(None, "", "the source has no table of users")
    found = f"{activity.users_listed:,} of the {activity.users:,} users of events are in the table of users"
    if not activity.users_listed:
        found += "; do both write an id in one form, such as 1000 and not 1000.0?"
    return Measurement(activity.users_listed / activity.users, found)

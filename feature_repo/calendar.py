"""Weeks of a recommender's own calendar: the unit of cutoffs, splits and decay. One clock, no wall time here.

Week 1 is the week that holds the first event; weeks start at local midnight of `week_start`.
"""

import datetime as dt
from dataclasses import dataclass
from functools import cached_property
from zoneinfo import ZoneInfo

import numpy as np

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def epoch(iso: str) -> int:
    """Return an ISO instant as epoch seconds, UTC where it names no zone.

    >>> epoch("1970-01-01T00:01:00"), epoch("1970-01-01T01:00:00+01:00")
    (60, 0)
    """
    instant = dt.datetime.fromisoformat(iso)
    return int((instant if instant.tzinfo else instant.replace(tzinfo=dt.UTC)).timestamp())


@dataclass(frozen=True)
class Calendar:
    """Week arithmetic in one time zone, anchored at the start of week 1."""

    first_day: str  # ISO date on which week 1 starts, local
    timezone: str = "UTC"

    @classmethod
    def starting(cls, first: dt.datetime, *, timezone: str, week_start: str) -> "Calendar":
        """Anchor week 1 at the week that holds `first` (aware, UTC).

        >>> Calendar.starting(dt.datetime(2017, 1, 1, 17, tzinfo=dt.timezone.utc), timezone="UTC", week_start="monday")
        Calendar(first_day='2016-12-26', timezone='UTC')
        """
        day = first.astimezone(ZoneInfo(timezone)).date()
        back = (day.weekday() - WEEKDAYS.index(week_start)) % 7
        return cls((day - dt.timedelta(days=back)).isoformat(), timezone)

    @cached_property
    def _zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    @cached_property
    def _first(self) -> dt.date:
        return dt.date.fromisoformat(self.first_day)

    def start(self, week: int) -> dt.datetime:
        """Return the instant at which a week starts, UTC."""
        return self.midnight(self._first + dt.timedelta(days=7 * (week - 1)))

    def midnight(self, day: dt.date) -> dt.datetime:
        """Return the instant at which a local day starts, UTC."""
        return dt.datetime.combine(day, dt.time(), tzinfo=self._zone).astimezone(dt.UTC)

    def day(self, at: dt.datetime) -> dt.date:
        """Return the local day of an aware instant."""
        return at.astimezone(self._zone).date()

    def week(self, at: dt.datetime) -> int:
        """Return the week an aware instant falls in.

        >>> calendar = Calendar("2016-12-26", "America/New_York")
        >>> calendar.week(calendar.start(12)), calendar.week(calendar.start(12) - dt.timedelta(seconds=1))
        (12, 11)
        """
        return (self.day(at) - self._first).days // 7 + 1

    def upcoming(self, seconds: np.ndarray) -> np.ndarray:
        """Return for epoch seconds [N] the first week that starts at or after each, int64 [N].

        >>> calendar = Calendar("2016-12-26", "America/New_York")
        >>> start = int(calendar.start(12).timestamp())
        >>> calendar.upcoming(np.array([start, start + 1])).tolist()
        [12, 13]
        """
        return self.weeks(np.asarray(seconds, dtype=np.int64) - 1) + 1

    @cached_property
    def _starts(self) -> dict[int, int]:
        """Remember the first second of weeks that were asked for."""
        return {}

    def _second(self, week: int) -> int:
        if week not in self._starts:
            self._starts[week] = int(self.start(week).timestamp())
        return self._starts[week]

    def weeks(self, seconds: np.ndarray) -> np.ndarray:
        """Return the weeks of epoch seconds [N] as int64 [N], by search among the weeks' first seconds."""
        seconds = np.asarray(seconds, dtype=np.int64)
        if not seconds.size:
            return seconds
        ends = (dt.datetime.fromtimestamp(int(end), dt.UTC) for end in (seconds.min(), seconds.max()))
        first, last = (self.week(end) for end in ends)
        starts = np.asarray([self._second(week) for week in range(first + 1, last + 1)], dtype=np.int64)
        return first + np.searchsorted(starts, seconds, side="right").astype(np.int64)

"""Weeks of a recommender's own calendar: the unit of cutoffs, splits and decay. One clock, no wall time here.

Week 1 is the week that holds the first event; weeks start at local midnight of `week_start`.
"""

import datetime as dt
from dataclasses import dataclass
from functools import cached_property
from zoneinfo import ZoneInfo

import numpy as np

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


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
        day = self._first + dt.timedelta(days=7 * (week - 1))
        local = dt.datetime.combine(day, dt.time(), tzinfo=self._zone)
        return local.astimezone(dt.UTC)

    def week(self, at: dt.datetime) -> int:
        """Return the week an aware instant falls in.

        >>> calendar = Calendar("2016-12-26", "America/New_York")
        >>> calendar.week(calendar.start(12)), calendar.week(calendar.start(12) - dt.timedelta(seconds=1))
        (12, 11)
        """
        return (at.astimezone(self._zone).date() - self._first).days // 7 + 1

    def upcoming(self, seconds: np.ndarray) -> np.ndarray:
        """Return for epoch seconds [N] the first week that starts at or after each, int64 [N].

        >>> calendar = Calendar("2016-12-26", "America/New_York")
        >>> start = int(calendar.start(12).timestamp())
        >>> calendar.upcoming(np.array([start, start + 1])).tolist()
        [12, 13]
        """
        return self.weeks(np.asarray(seconds, dtype=np.int64) - 1) + 1

    def weeks(self, seconds: np.ndarray) -> np.ndarray:
        """Return the weeks of epoch seconds [N] as int64 [N]; each distinct instant is converted once."""
        values, inverse = np.unique(np.asarray(seconds, dtype=np.int64), return_inverse=True)
        weeks = [self.week(dt.datetime.fromtimestamp(int(v), dt.UTC)) for v in values]
        return np.asarray(weeks, dtype=np.int64)[inverse]

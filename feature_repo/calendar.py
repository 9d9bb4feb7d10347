"""The calendar of the spec's clock: when each step starts in one time zone, and in which step an instant falls.

Step 1 holds the first event. Weeks start at local midnight of `week_start`, days at local midnight, so that the day on
which clocks change has 23 or 25 hours and is one step all the same. Hours are instants: step 1 is the hour after local
midnight of the first event's day, and every step lasts 3,600 s, so that where clocks change no hour is missing or
counted twice. One clock, no wall time here. How long a step is, is clock.py's.

Letters: N instants.
"""

import datetime as dt
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from feature_repo.clock import HOUR, HOUR_S, WEEK, WEEKDAYS, Pace, Step

if TYPE_CHECKING:
    import numpy as np

WEEKLY = Pace()
QUARTER_S = 900
MOST_SPANS = 4096  # instants whose spans a calendar remembers
MOST_KEPT = 20_000  # steps whose first seconds a calendar remembers: half a century of days


@dataclass(frozen=True)
class _Searched:
    """Steps first..last: where the first starts, where the last ends, and the first seconds of all but the first."""

    first: int
    last: int
    start: int
    end: int
    starts: "np.ndarray"  # [last - first] int64


@dataclass(frozen=True)
class Calendar:
    """Step arithmetic in one time zone, anchored at the start of step 1."""

    first_day: str  # ISO date on which step 1 starts, local
    timezone: str = "UTC"
    step: Step = WEEK
    slow_half_life: str = ""
    fast_half_life: str = ""

    @classmethod
    def starting(cls, first: dt.datetime, *, timezone: str, week_start: str, pace: Pace = WEEKLY) -> "Calendar":
        """Anchor step 1 at the week, or the day, that holds `first` (aware, UTC).

        >>> Calendar.starting(dt.datetime(2017, 1, 1, 17, tzinfo=dt.timezone.utc), timezone="UTC", week_start="monday")
        Calendar(first_day='2016-12-26', timezone='UTC', step='week', slow_half_life='', fast_half_life='')
        """
        day = first.astimezone(ZoneInfo(timezone)).date()
        back = (day.weekday() - WEEKDAYS.index(week_start)) % 7 if pace.step == WEEK else 0
        first_day = (day - dt.timedelta(days=back)).isoformat()
        return cls(first_day, timezone, pace.step, pace.slow_half_life, pace.fast_half_life)

    def document(self) -> dict[str, Any]:
        """Return the fields as files hold them, without those that say what they say by default.

        >>> Calendar("2016-12-26").document(), Calendar("2016-12-26", step="day").document()["step"]
        ({'first_day': '2016-12-26', 'timezone': 'UTC'}, 'day')
        """
        more = {"step": self.step, "slow_half_life": self.slow_half_life, "fast_half_life": self.fast_half_life}
        plain = {"step": WEEK, "slow_half_life": "", "fast_half_life": ""}
        said = {name: value for name, value in more.items() if value != plain[name]}
        return {"first_day": self.first_day, "timezone": self.timezone} | said

    @cached_property
    def pace(self) -> Pace:
        """How long a step is."""
        return Pace(self.step, self.slow_half_life, self.fast_half_life)

    @cached_property
    def _zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    @cached_property
    def _first(self) -> dt.date:
        return dt.date.fromisoformat(self.first_day)

    @cached_property
    def _origin(self) -> dt.datetime:
        return self.midnight(self._first)

    def start(self, week: int) -> dt.datetime:
        """Return the instant at which a step starts, UTC."""
        if self.step == HOUR:
            return self._origin + dt.timedelta(hours=week - 1)
        return self.midnight(self._first + dt.timedelta(days=self._days * (week - 1)))

    def local_start(self, week: int) -> dt.datetime:
        """Return the same instant as the clock on the wall shows it, so that its date is the step's first day.

        >>> Calendar("2024-04-01", "Asia/Shanghai").local_start(1).isoformat()
        '2024-04-01T00:00:00+08:00'
        """
        return self.start(week).astimezone(self._zone)

    @cached_property
    def _days(self) -> int:
        """Return how many days a step has, for steps of whole days."""
        return int(self.pace.days)

    def midnight(self, day: dt.date) -> dt.datetime:
        """Return the instant at which a local day starts, UTC."""
        return dt.datetime.combine(day, dt.time(), tzinfo=self._zone).astimezone(dt.UTC)

    def day(self, at: dt.datetime) -> dt.date:
        """Return the local day of an aware instant."""
        return at.astimezone(self._zone).date()

    def week(self, at: dt.datetime) -> int:
        """Return the step an aware instant falls in.

        >>> calendar = Calendar("2016-12-26", "America/New_York")
        >>> calendar.week(calendar.start(12)), calendar.week(calendar.start(12) - dt.timedelta(seconds=1))
        (12, 11)
        """
        return self.step_of_span(self.span(at))

    def span(self, at: dt.datetime) -> int:
        """Number the span, a local day or an hour of an hourly clock, that an aware instant falls in, from 0."""
        if self.step == HOUR:
            return (at - self._origin) // dt.timedelta(hours=1)
        return (self.day(at) - self._first).days

    @cached_property
    def _spans(self) -> dict[int, int]:
        """Remember the spans of instants that were asked for."""
        return {}

    def span_of(self, seconds: int) -> int:
        """Number the span of an epoch second; folding an event asks some ten times, of few instants."""
        found = self._spans.get(seconds)
        if found is None:
            if len(self._spans) >= MOST_SPANS:
                self._spans.clear()
            found = self._spans[seconds] = self.span(dt.datetime.fromtimestamp(seconds, dt.UTC))
        return found

    def step_of_span(self, span: int) -> int:
        """Return the step that a span lies in."""
        return span // (1 if self.step == HOUR else self._days) + 1

    def steps_of_spans(self, spans: "np.ndarray") -> "np.ndarray":
        """Return the steps that spans [N] lie in."""
        return spans // (1 if self.step == HOUR else self._days) + 1

    def span_starts(self, steps: int) -> list[dt.datetime]:
        """List the instants at which the spans of steps 1..steps start, and where the last of them ends."""
        if self.step == HOUR:
            return [self.start(n) for n in range(1, steps + 2)]
        days = (self._first + dt.timedelta(days=n) for n in range(self._days * steps + 1))
        return [self.midnight(day) for day in days]

    def upcoming(self, seconds: "np.ndarray") -> "np.ndarray":
        """Return for epoch seconds [N] the first step that starts at or after each, int64 [N].

        >>> calendar = Calendar("2016-12-26", "America/New_York")
        >>> start = int(calendar.start(12).timestamp())
        >>> import numpy as np
        >>> calendar.upcoming(np.array([start, start + 1])).tolist()
        [12, 13]
        """
        import numpy as np

        return self.weeks(np.asarray(seconds, dtype=np.int64) - 1) + 1

    @cached_property
    def _starts(self) -> dict[int, int]:
        """Remember the first second of steps that were asked for."""
        return {}

    def second(self, week: int) -> int:
        """Return the first second of a step, since the epoch; what was asked for is remembered."""
        if week not in self._starts:
            self._starts[week] = int(self.start(week).timestamp())
        return self._starts[week]

    def weeks(self, seconds: "np.ndarray") -> "np.ndarray":
        """Return the steps of epoch seconds [N] as int64 [N]; of days and weeks by search among their first seconds."""
        import numpy as np

        seconds = np.asarray(seconds, dtype=np.int64)
        if not seconds.size:
            return seconds
        if self.step == HOUR:
            return np.asarray((seconds - int(self._origin.timestamp())) // HOUR_S + 1, dtype=np.int64)
        if seconds.size == 1:  # as of one row's own times
            low = high = int(seconds.item())
        else:
            low, high = int(np.minimum.reduce(seconds, axis=None)), int(np.maximum.reduce(seconds, axis=None))
        first, starts = self._searched(low, high)
        return np.asarray(first + starts.searchsorted(seconds, side="right"), dtype=np.int64)

    def _searched(self, low: int, high: int) -> "tuple[int, np.ndarray]":
        """Return a step, and the first seconds of those after it, among which two instants and all between them lie.

        One row asks eight times within the same years: what was searched before is kept, and grows.
        """
        import numpy as np

        kept = self._kept.get(self.step)
        if kept is not None and kept.start <= low and high < kept.end:
            return kept.first, kept.starts
        first, last = (self.week(dt.datetime.fromtimestamp(end, dt.UTC)) for end in (low, high))
        if kept is not None and max(last, kept.last) - min(first, kept.first) <= MOST_KEPT:
            first, last = min(first, kept.first), max(last, kept.last)
        starts = np.asarray([self.second(week) for week in range(first + 1, last + 1)], dtype=np.int64)
        if last - first <= MOST_KEPT:
            self._kept[self.step] = _Searched(first, last, self.second(first), self.second(last + 1), starts)
        return first, starts

    @cached_property
    def _kept(self) -> "dict[str, _Searched]":
        """Remember the steps that were searched last."""
        return {}

    def phase(self, week: "np.ndarray") -> "np.ndarray":
        """Return where steps [N] lie in their local day and week, as angles' sines and cosines, float32 [N, 4].

        Columns: sine and cosine of the hour of the day, then of the day of the week.
        """
        import numpy as np

        numbers, place = np.unique(week, return_inverse=True)
        return self._waves([self.start(int(n)) for n in numbers])[place]

    def phases(self, seconds: "np.ndarray") -> "np.ndarray":
        """Return the same of instants, epoch seconds [N], to the quarter of an hour, float32 [N, 4].

        >>> import numpy as np
        >>> monday_noon = Calendar("2016-12-26").start(1) + dt.timedelta(hours=12)
        >>> Calendar("2016-12-26").phases(np.array([int(monday_noon.timestamp())])).astype(float).round(2).tolist()
        [[0.0, -1.0, 0.43, 0.9]]
        """
        import numpy as np

        quarters, place = np.unique(np.asarray(seconds) // QUARTER_S, return_inverse=True)
        return self._waves([dt.datetime.fromtimestamp(int(n) * QUARTER_S, dt.UTC) for n in quarters])[place]

    def _waves(self, instants: list[dt.datetime]) -> "np.ndarray":
        import numpy as np

        local = [at.astimezone(self._zone) for at in instants]
        hours = np.asarray([at.hour + at.minute / 60 for at in local]) / 24
        days = (np.asarray([at.weekday() for at in local]) + hours) / 7
        turns = 2 * np.pi * np.stack([hours, days], axis=1)  # [N, 2]
        waves = np.stack([np.sin(turns), np.cos(turns)], axis=2).reshape(len(local), 4)
        return np.asarray(waves, dtype=np.float32)

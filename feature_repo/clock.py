"""The spec's clock: whole steps of an hour, a day or a week, in which cutoffs, splits, labels, tenure and decay count.

Step 1 holds the first event. Weeks start at local midnight of `week_start`, days at local midnight, so that the day on
which clocks change has 23 or 25 hours and is one step all the same. Hours are instants: step 1 is the hour after local
midnight of the first event's day, and every step lasts 3,600 s, so that where clocks change no hour is missing or
counted twice. One clock, no wall time here. The column `week` holds the number of a step, whatever the step is.

Letters: N instants.
"""

import datetime as dt
import math
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal
from zoneinfo import ZoneInfo

from feature_repo.columns import FAST_DECAY, RECENT_WEEKS, SLOW_DECAY

if TYPE_CHECKING:
    import numpy as np

Step = Literal["hour", "day", "week"]
HOUR: Step = "hour"
DAY: Step = "day"
WEEK: Step = "week"
STEPS: tuple[Step, ...] = (HOUR, DAY, WEEK)  # finest first
HOUR_S, DAY_S = 3600, 86_400
QUARTER_S = 900
SECONDS: dict[Step, int] = {HOUR: HOUR_S, DAY: DAY_S, WEEK: 7 * DAY_S}
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
DURATION = r"^[1-9][0-9]{0,4}[hd]$"
GAP = r"^[1-9][0-9]{0,3}[mh]$"  # of silence between two visits
MOST_GAP_S = 7 * DAY_S
HALF_LIVES: dict[Step, tuple[str, str]] = {HOUR: ("7d", "24h"), DAY: ("28d", "7d")}  # slow, fast; a week has factors
# A running sum weighs a step by its growth since step 1: doubles hold about 1,000 doublings, less what sums add.
MOST_HALF_LIVES = 950
MOST_SPANS = 4096  # instants whose spans a calendar remembers
MOST_KEPT = 20_000  # steps whose first seconds a calendar remembers: half a century of days


def epoch(iso: str) -> int:
    """Return an ISO instant as epoch seconds, UTC where it names no zone.

    >>> epoch("1970-01-01T00:01:00"), epoch("1970-01-01T01:00:00+01:00")
    (60, 0)
    """
    instant = dt.datetime.fromisoformat(iso)
    return int((instant if instant.tzinfo else instant.replace(tzinfo=dt.UTC)).timestamp())


def seconds_of(duration: str) -> int:
    """Return a duration such as 24h or 28d in seconds, days of 24 hours.

    >>> seconds_of("24h"), seconds_of("7d")
    (86400, 604800)
    """
    if not re.fullmatch(DURATION, duration):
        raise ValueError(f"'{duration}' is no duration; write hours or days, such as 1h, 24h, 7d or 28d")
    return int(duration[:-1]) * (HOUR_S if duration.endswith("h") else DAY_S)


def gap_seconds(gap: str) -> int:
    """Return a silence such as 30m or 2h in seconds.

    >>> gap_seconds("30m"), gap_seconds("2h")
    (1800, 7200)
    """
    if not re.fullmatch(GAP, gap):
        raise ValueError(f"'{gap}' is no silence between visits; write minutes or hours, such as 30m or 2h")
    seconds = int(gap[:-1]) * (60 if gap.endswith("m") else HOUR_S)
    if seconds > MOST_GAP_S:
        raise ValueError(f"{gap} is more than a week; a visit ends after minutes or hours of silence, such as 30m")
    return seconds


@dataclass(frozen=True)
class Pace:
    """How long a step is, and what follows from that alone: decay, and how many steps are lately, recent or silent.

    >>> Pace().slow, Pace(DAY).slow == 0.5 ** (1 / 28), Pace(HOUR).spans(7)
    (0.96, True, 168)
    """

    step: Step = WEEK
    slow_half_life: str = ""  # of the slowly decaying sums, a duration; "": the step's own
    fast_half_life: str = ""

    @property
    def seconds(self) -> int:
        """Return how long a step is; of a day, one without a change of clocks."""
        return SECONDS[self.step]

    @property
    def days(self) -> float:
        """Return how many days a step has."""
        return self.seconds / DAY_S

    @cached_property
    def slow(self) -> float:
        """Return what a slowly decaying sum keeps from step to step."""
        return self._decay(self.slow_half_life, 0, SLOW_DECAY)

    @cached_property
    def fast(self) -> float:
        """Return what a fast decaying sum keeps from step to step."""
        return self._decay(self.fast_half_life, 1, FAST_DECAY)

    def _decay(self, half_life: str, place: int, of_week: float) -> float:
        if not half_life and self.step == WEEK:
            return of_week
        return float(0.5 ** (self.seconds / seconds_of(half_life or HALF_LIVES[self.step][place])))

    @cached_property
    def recent(self) -> int:
        """Return how many steps of (target, step) pairs a row keeps, and models see one by one."""
        return {HOUR: 48, DAY: 28, WEEK: RECENT_WEEKS}[self.step]

    @property
    def lately(self) -> int:
        """Return over how many steps popularity without a model is counted."""
        return {HOUR: 24, DAY: 7, WEEK: 4}[self.step]

    @property
    def silent(self) -> int:
        """Return after how many steps without an event a user's training rows are thinned."""
        return {HOUR: 24, DAY: 7, WEEK: 2}[self.step]

    @property
    def spans_a_day(self) -> int:
        """Return in how many spans a day is counted, whose sums windows are made of."""
        return 24 if self.step == HOUR else 1

    def spans(self, days: float) -> int:
        """Return how many spans a window of days has.

        >>> Pace(HOUR).spans(0.25), Pace(DAY).spans(7)
        (6, 7)
        """
        return round(days * self.spans_a_day)

    def steps(self, days: float) -> int:
        """Return how many steps cover some days.

        >>> Pace().steps(8), Pace(DAY).steps(8), Pace(HOUR).steps(8), Pace(HOUR).steps(0.25)
        (2, 8, 192, 6)
        """
        return -(-round(days * DAY_S) // self.seconds)

    def counted(self, n: float) -> str:
        """Say a number of steps.

        >>> Pace().counted(1), Pace(DAY).counted(3)
        ('1 week', '3 days')
        """
        return f"{n:g} {self.step}" if n == 1 else f"{n:g} {self.step}s"

    def most_steps(self) -> int:
        """Return how many steps running sums can hold, as growth by the faster decay must fit a double."""
        return int(MOST_HALF_LIVES * math.log(0.5) / math.log(min(self.slow, self.fast)))


def steps_of(duration: str, pace: Pace) -> int:
    """Return a duration in steps of a clock; ValueError where it is below one, or no whole number of them.

    >>> steps_of("7d", Pace()), steps_of("24h", Pace(DAY)), steps_of("6h", Pace(HOUR))
    (1, 1, 6)
    """
    seconds = seconds_of(duration)
    if seconds < pace.seconds or seconds % pace.seconds:
        what = f"is below data.step: {pace.step}" if seconds < pace.seconds else f"is no whole number of {pace.step}s"
        use = f"{pace.seconds // HOUR_S}h" if pace.step == HOUR else f"{int(pace.days)}d"
        finer = "" if pace.step == HOUR else ", or a finer data.step"
        raise ValueError(f"{duration} {what}; use {use} or a multiple{finer}")
    return seconds // pace.seconds


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
    def starting(cls, first: dt.datetime, *, timezone: str, week_start: str, pace: Pace = Pace()) -> "Calendar":
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

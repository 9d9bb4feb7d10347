"""The step of the spec's clock, an hour, a day or a week: how long it is, and what durations are in it.

Cutoffs, splits, labels, tenure and decay count in whole steps; when each starts, calendar.py says. The column `week`
holds the number of a step, whatever the step is.
"""

import datetime as dt
import math
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from feature_repo.columns import FAST_DECAY, RECENT_WEEKS, SLOW_DECAY

Step = Literal["hour", "day", "week"]
HOUR: Step = "hour"
DAY: Step = "day"
WEEK: Step = "week"
STEPS: tuple[Step, ...] = (HOUR, DAY, WEEK)  # finest first
HOUR_S, DAY_S = 3600, 86_400
SECONDS: dict[Step, int] = {HOUR: HOUR_S, DAY: DAY_S, WEEK: 7 * DAY_S}
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
DURATION = r"^[1-9][0-9]{0,4}[hd]$"
GAP = r"^[1-9][0-9]{0,3}[mh]$"  # of silence between two visits
MOST_GAP_S = 7 * DAY_S
HALF_LIVES: dict[Step, tuple[str, str]] = {HOUR: ("7d", "24h"), DAY: ("28d", "7d")}  # slow, fast; a week has factors
# A running sum weighs a step by its growth since step 1: doubles hold about 1,000 doublings, less what sums add.
MOST_HALF_LIVES = 950


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

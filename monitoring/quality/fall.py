"""Whether realised quality fell: a reason of class `performance`, once it lasts.

A period is below what is usual where its figure lies under the reference's interval, its own interval lies under the
reference's median, and the difference is worth speaking of (`monitoring.quality.floor`). The reference is the last 12
periods that were not below themselves: median and deviation of the median (MAD, at least the sampling error). It is a
reason when the newest period and one of the two before it are below.

Pure: a series in, a verdict out. Estimates made before labels came are never asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from components import verdicts
from components.verdicts import LEVEL
from monitoring.quality.figures import LOWER_IS_BETTER

PERIODS, LEAST = 12, 4  # of a reference: at most, and at least
SURE = 0.99
ECE_LEAST = 0.01  # a calibration error below it is no reason, whatever it was before
OF_THREE = 2


@dataclass(frozen=True)
class Point:
    """A metric of one ripe period."""

    period: int
    starts: str  # ISO
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Fall:
    """What a series of a metric says."""

    metric: str
    word: str  # fell, usual, undecided
    why: str = ""
    since: str = ""  # the first period of those that are below
    period: int = 0


def judged(metric: str, series: Sequence[Point], *, floor: float) -> Fall:
    """Judge the newest period of a metric's series, oldest first.

    >>> def point(n, value): return Point(n, f"2024-01-0{n}", value, value - 0.01, value + 0.01)
    >>> usual = [point(n, 0.40 + n % 2 / 100) for n in range(1, 7)]
    >>> judged("map", [*usual, point(7, 0.30), point(8, 0.31)], floor=0.05).word
    'fell'
    >>> judged("map", usual, floor=0.05).word
    'usual'
    """
    if len(series) <= LEAST:
        return Fall(metric, "undecided", f"{len(series)} ripe periods, a reference needs {LEAST} before the newest")
    below: list[Point] = []
    usual: list[Point] = []
    medians: list[float] = []
    for place, one in enumerate(series):
        reference = usual[-PERIODS:]
        fell = len(reference) >= LEAST and _below(metric, one, reference, floor)
        (below if fell else usual).append(one)
        if place == len(series) - 1:
            medians = [each.value for each in reference]
    newest = series[-1]
    recent = [one for one in series[-3:] if one in below]
    if newest not in recent or len(recent) < OF_THREE:
        return Fall(metric, "usual", period=newest.period)
    usually = float(np.median(medians))
    why = (
        f"{metric} is {newest.value:.4g} ({newest.low:.4g} to {newest.high:.4g}) where {usually:.4g} is usual, in "
        f"{len(recent)} of the last 3 periods"
    )
    return Fall(metric, "fell", why, recent[0].starts, newest.period)


def _below(metric: str, one: Point, reference: Sequence[Point], floor: float) -> bool:
    sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
    values = sign * np.array([each.value for each in reference])
    errors = np.array([(each.high - each.low) / 2 for each in reference]) / float(special.stdtrit(100, LEVEL))
    usual = verdicts.ordinary(values, least_scale=float(np.median(errors)))
    middle = usual.centre
    reach = float(special.stdtrit(len(values) - 1, SURE)) * usual.scale * float(np.sqrt(1 + 1 / len(values)))
    value, best = sign * one.value, max(sign * one.low, sign * one.high)
    least = max(floor * abs(middle), ECE_LEAST if metric in LOWER_IS_BETTER else 0.0)
    return value < middle - reach and best < middle and middle - value >= least

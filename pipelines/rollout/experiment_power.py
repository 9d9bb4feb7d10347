"""What an experiment may still find: the chance of its smallest effect by its end, and the effect found in 80 of 100.

Both are of the last look alone, so they are lower bounds: the test is asked at every look and may end earlier. They
suppose that users go on coming as they have so far. Pure.
"""

import math

from scipy import special

from pipelines.rollout.sequential import Difference, between_difference, between_planned, planned_reach

WANTED = 0.8  # chance to find an effect
BISECTIONS = 80
SMALLEST, LARGEST = -60.0, 60.0  # logarithms of a variance


def variance_of(ends: tuple[float, float], *, effect: float, alpha: float, share: float | None = None) -> float:
    """Return the variance behind an interval: of `between_difference`, or of `between_planned` with a `share`.

    >>> ends = between_difference(Difference(0.005, 0.001**2), effect=0.005, alpha=0.05)
    >>> round(variance_of(ends, effect=0.005, alpha=0.05) / 0.001**2, 6)
    1.0
    """
    reach, low, high = (ends[1] - ends[0]) / 2, SMALLEST, LARGEST
    if share is not None:
        return (reach / planned_reach(alpha)) ** 2 * share
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if _reach(math.exp(middle), effect, alpha) < reach else (low, middle)
    return math.exp((low + high) / 2)


def power(variance: float, *, effect: float, alpha: float, share: float | None = None) -> float:
    """Return the chance that an effect is shown by an estimate of that variance; `share` of planned users are in it.

    >>> round(power(0.002**2, effect=0.01, alpha=0.05), 2), round(power(0.01**2, effect=0.01, alpha=0.05), 2)
    (0.96, 0.0)
    """
    return float(special.ndtr((effect - _reach(variance, effect, alpha, share)) / math.sqrt(variance)))


def least_effect(variance: float, *, effect: float, alpha: float, share: float | None = None) -> float:
    """Return the effect that is shown in WANTED of all cases; `effect` is what the test was made for.

    >>> found = least_effect(0.002**2, effect=0.01, alpha=0.05)
    >>> 0.007 < found < 0.01
    True
    """
    return _reach(variance, effect, alpha, share) + float(special.ndtri(WANTED)) * math.sqrt(variance)


def grown(*, day: float, days: float, within: float) -> float:
    """Return how many times as many users will be judged at the end as are now; all are in days.

    A user is judged `within` days after the first answer.

    >>> [grown(day=day, days=28.0, within=7.0) for day in (14.0, 3.0, 30.0)]
    [3.0, 0.0, 1.0]
    """
    return max(1.0, (days - within) / (day - within)) if day > within else 0.0


def _reach(variance: float, effect: float, alpha: float, share: float | None = None) -> float:
    found = Difference(0.0, variance)
    if share is not None:
        return between_planned(found, share=share, alpha=alpha)[1]
    return between_difference(found, effect=effect, alpha=alpha)[1]

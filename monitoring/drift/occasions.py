"""Whether a declared occasion, or the same season last year explains what moved in a period."""

import datetime as dt
from collections.abc import Sequence

from feature_repo import columns
from feature_repo.calendar import Calendar
from monitoring.spec import Occasion

MOST_BACK_DAYS = 28  # a window that is longer hardly feels one occasion
YEAR_DAYS = 364  # whole weeks, so that a weekday meets its like
NEAR_DAYS = 7  # a moving feast is a week off


def explanation(signal: str, period: int, *, calendar: Calendar, declared: Sequence[Occasion]) -> str:
    """Name the occasion that lies in a period, or in the days that a signal's window looks back; else ''."""
    first, end = (calendar.day(calendar.start(number)) for number in (period, period + 1))
    days = max((end - first).days, min(_looks_back(signal), MOST_BACK_DAYS))
    first = end - dt.timedelta(days=days)
    found = next((o for o in declared if o.first < end and o.last >= first), None)
    return f"{found.name} (monitoring.calendar)" if found else ""


def a_year_before(period: int, *, days: int) -> range:
    """Return the periods of the same season last year, by number.

    >>> list(a_year_before(60, days=7)), list(a_year_before(400, days=1))[:2]
    ([7, 8, 9], [29, 30])
    """
    back, near = round(YEAR_DAYS / days), max(round(NEAR_DAYS / days), 1)
    return range(period - back - near, period - back + near + 1)


def _looks_back(signal: str) -> int:
    counted = columns.window_of(signal.rpartition(".")[2])
    return 0 if counted is None else round(counted[1])

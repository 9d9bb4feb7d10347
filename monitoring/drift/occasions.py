"""What a person declared of signals: occasions that explain what moved, and new values that are meant."""

import datetime as dt
import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from components.occasions import Occasion, touching
from feature_repo import columns
from feature_repo.calendar import Calendar
from feature_repo.errors import SpecError

MOST_BACK_DAYS = 28  # a window that is longer hardly feels one occasion
YEAR_DAYS = 364  # whole weeks, so that a weekday meets its like
NEAR_DAYS = 7  # a moving feast is a week off


def explanation(signal: str, period: int, *, calendar: Calendar, declared: Sequence[Occasion]) -> str:
    """Name the occasion that lies in a period, or in the days that a signal's window looks back; else ''."""
    first, end = (calendar.day(calendar.start(number)) for number in (period, period + 1))
    days = max((end - first).days, min(_looks_back(signal), MOST_BACK_DAYS))
    first = end - dt.timedelta(days=days)
    found = touching(declared, first, end)
    return f"{found} (monitoring.calendar)" if found else ""


def a_year_before(period: int, *, days: int) -> range:
    """Return the periods of the same season last year, by number.

    >>> list(a_year_before(60, days=7)), list(a_year_before(400, days=1))[:2]
    ([7, 8, 9], [29, 30])
    """
    back, near = round(YEAR_DAYS / days), max(round(NEAR_DAYS / days), 1)
    return range(period - back - near, period - back + near + 1)


def require_known(accepted: Mapping[str, dt.date], history: Mapping[int, Mapping[str, Any]]) -> None:
    """Raise SpecError where what is accepted names no signal of a history: a typing error would hold for ever."""
    names = sorted({name for values in history.values() for name in values})
    for said in accepted if names else ():
        if not any(_is_of(name, said) for name in names):
            near = ", ".join(difflib.get_close_matches(said, names, n=3, cutoff=0.3))
            raise SpecError(
                f"monitoring.signals.accepted: '{said}' is no signal of this recommender, nor how one's name begins; "
                f"{f'near it: {near}' if near else 'drift.json names those that moved'}"
            )


def as_accepted(
    history: Mapping[int, Mapping[str, Any]], accepted: Mapping[str, dt.date], *, calendar: Calendar
) -> dict[int, dict[str, Any]]:
    """Return a history without the values that accepted ones took the place of."""

    def is_kept(name: str, day: dt.date) -> bool:
        return not any(_is_of(name, said) and day < first for said, first in accepted.items())

    return {
        period: {name: value for name, value in values.items() if is_kept(name, calendar.day(calendar.start(period)))}
        for period, values in history.items()
    }


def _is_of(signal: str, said: str) -> bool:
    return signal == said or signal.startswith(f"{said}.")


def _looks_back(signal: str) -> int:
    counted = columns.window_of(signal.rpartition(".")[2])
    return 0 if counted is None else round(counted[1])

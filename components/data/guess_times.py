"""Find how the times of a column are written, for the spec's `timestamps`: an epoch, a format, or several.

Behind `intentflow init`. Every value of the column is read; a value that no form reads is said, never skipped.
"""

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from components.data.conversion import reading
from components.data.database import name
from components.data.time_formats import EPOCHS, pattern
from components.data.time_reading import ISO
from feature_repo import columns
from feature_repo.errors import DataError
from feature_repo.ids import BLANKS

CLOCKS = ("%H:%M:%S", "%H:%M", "%I:%M:%S %p", "%I:%M %p")
DAYS = ("%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%m.%d.%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d",
        "%Y年%m月%d日", "%d/%m/%y", "%m/%d/%y", "%d.%m.%y", "%d-%m-%y", "%m-%d-%y", "%d %b %Y", "%b %d, %Y",
        "%d-%b-%Y", "%d-%b-%y", "%d %B %Y", "%B %d, %Y", "%m %d, %Y")  # fmt: skip
WHOLE = ("%Y%m%d%H%M%S", "%Y-%m-%d %I:%M:%S %p", "%Y-%m-%d %I:%M %p", "%a %b %d %H:%M:%S %Y", "%d/%b/%Y:%H:%M:%S %z",
         "%a, %d %b %Y %H:%M:%S %z")  # fmt: skip
FORMATS = (*(form for day in DAYS for form in (*(f"{day} {clock}" for clock in CLOCKS), day)), *WHOLE)
FORMS = ("iso", *FORMATS)
MOST_SHAPES = 500  # of a column's texts: with more of them each form is tried on the whole column
LIKELY_SECONDS = (1e8, 1e10)  # 1973 to 2286
RECENT_SECONDS = (946684800.0, 2051222400.0)  # 2000 to 2034: numbers of a column whose name tells nothing
MOST_FORMS = 4
MOST_WORDS, MOST_WORDS_SHARE = 3, 0.1  # texts without a digit that may stand for no time, and their rows


@dataclass(frozen=True)
class TimeForms:
    """How a column's times are read."""

    forms: tuple[str, ...]
    nulls: tuple[str, ...] = ()  # texts in the column that stand for no time
    ambiguous: bool = False  # day and month could be the other way round in every value

    @property
    def option(self) -> str | list[str]:
        """Return the spec's `timestamps`."""
        return self.forms[0] if len(self.forms) == 1 else list(self.forms)


def find(db: duckdb.DuckDBPyConnection, relation: str, column: str, *, numeric: bool, place: str) -> TimeForms:
    """Find the form that reads a whole column of texts or numbers, or the few that do; DataError where none do."""
    if numeric and (epoch := _epoch(db, relation, column, within=LIKELY_SECONDS)):
        return TimeForms((epoch,))
    db.execute(f"""
        CREATE OR REPLACE TEMP TABLE unread AS SELECT {name(column)} AS value, count(*) AS rows FROM (
            SELECT trim(CAST({name(column)} AS VARCHAR)) AS {name(column)} FROM {relation})
        WHERE value <> '' GROUP BY value""")
    words = _words(db)
    counts = dict.fromkeys(FORMS, 0) | {form: _reads(db, form) for form in _likely(db)}
    total = _count(db)
    if whole := [form for form, count in counts.items() if count == total]:
        return TimeForms((whole[0],), words, ambiguous=_swapped(whole[0]) in whole)
    forms: list[str] = []
    while _count(db) and len(forms) < MOST_FORMS:
        counts = {form: _reads(db, form) for form, count in counts.items() if count and form not in forms}
        best = max(counts, key=lambda form: (counts[form], _day_first(form) in map(_day_first, forms)), default=None)
        if best is None or not counts[best]:
            break
        forms.append(best)
        db.execute(f"DELETE FROM unread WHERE NOT ({_unreadable(best)})")
    left = db.execute("SELECT value, sum(rows) OVER () FROM unread ORDER BY rows DESC, value LIMIT 1").fetchone()
    if left:
        read = f" beside {' and '.join(forms)}" if forms else ""
        raise DataError(
            f"{place}: no format reads all of column '{column}', such as '{left[0]}' ({left[1]:,} rows){read}; name "
            "another column with --map timestamp=<column>, or mend the file"
        )
    mixed = next((form for form in forms if _swapped(form) in forms), None)
    if mixed:
        raise DataError(
            f"{place}: column '{column}' has the day first in some rows and the month first in others ({mixed} and "
            f"{_swapped(mixed)}), so that rows such as 05/06 cannot be told; write it anew in one form"
        )
    return TimeForms(tuple(forms), words)


def looks_like_time(db: duckdb.DuckDBPyConnection, relation: str, column: str, *, numeric: bool) -> bool:
    """Tell whether a column whose name says nothing holds times."""
    if numeric:
        return _epoch(db, relation, column, within=RECENT_SECONDS) is not None
    try:
        find(db, relation, column, numeric=False, place="")
    except DataError:
        return False
    return True


def _epoch(db: duckdb.DuckDBPyConnection, relation: str, column: str, *, within: Sequence[float]) -> str | None:
    number = f"TRY_CAST({name(column)} AS DOUBLE)"
    middle = db.execute(f"SELECT median({number}), max({number}) FROM {relation}").fetchone()
    low, high = within
    value, most = (float(middle[0] or 0), float(middle[1] or 0)) if middle else (0.0, 0.0)
    strict = within == RECENT_SECONDS
    for form, per_second in EPOCHS.items():
        if low <= value / per_second < high and (not strict or most / per_second < high):
            return form
    return None


def _words(db: duckdb.DuckDBPyConnection) -> tuple[str, ...]:
    """Take the few texts that hold no digit but 0 out of the unread ones, where they are the lesser part."""
    found = db.execute(r"SELECT value, rows FROM unread WHERE NOT regexp_matches(value, '[1-9]') LIMIT 9").fetchall()
    total = db.execute("SELECT coalesce(sum(rows), 0) FROM unread").fetchone()
    if not found or len(found) > MOST_WORDS or sum(rows for _, rows in found) > (total or (0,))[0] * MOST_WORDS_SHARE:
        return ()
    db.execute(r"DELETE FROM unread WHERE NOT regexp_matches(value, '[1-9]')")
    return tuple(sorted(value for value, _ in found))


def _likely(db: duckdb.DuckDBPyConnection) -> list[str]:
    """List the forms that may read some text, told by the texts' shapes; each form that is not is a query saved."""
    shape = "regexp_replace(value, '[0-9]', '0', 'g')"
    found = db.execute(f"SELECT DISTINCT {shape} FROM unread LIMIT {MOST_SHAPES + 1}").fetchall()
    shapes = [value.strip(BLANKS) for (value,) in found]
    if len(shapes) > MOST_SHAPES or "" in shapes:
        return [*FORMS]
    return [form for form in FORMS if any(map(_loosely(form).fullmatch, shapes))]


@functools.cache
def _loosely(form: str) -> re.Pattern[str]:
    r"""Compile what every text of a form matches, and some others: Python does not know the letters of `\pL`."""
    return re.compile((ISO if form == "iso" else pattern(form)).replace(r"\pL", r"\D"))


def _reads(db: duckdb.DuckDBPyConnection, form: str) -> int:
    return int((db.execute(f"SELECT count(*) FROM unread WHERE NOT ({_unreadable(form)})").fetchone() or (0,))[0])


def _unreadable(form: str) -> str:
    read = reading("value", "VARCHAR", columns.TIMESTAMP, zone="UTC", timestamps=form, place="")
    return read.unreadable or "false"


def _count(db: duckdb.DuckDBPyConnection) -> int:
    return int((db.execute("SELECT count(*) FROM unread").fetchone() or (0,))[0])


def _swapped(form: str) -> str:
    """Exchange day and month of a format that writes both as numbers.

    >>> _swapped("%d/%m/%Y %H:%M")
    '%m/%d/%Y %H:%M'
    """
    if "%d" not in form or "%m" not in form or form.startswith("%Y"):
        return ""
    return form.replace("%d", "\0").replace("%m", "%d").replace("\0", "%m")


def _day_first(form: str) -> bool | None:
    return form.index("%d") < form.index("%m") if _swapped(form) else None

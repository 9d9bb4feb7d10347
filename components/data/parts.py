"""Parts of a loaded table, and how each one's columns are read: missing, unreadable and unlike ones are refused here.

A part is rows of one schema; `mapping.py` makes canonical relations of what is told here.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import duckdb

from components.data.arrivals import SOURCE_FILE
from components.data.conversion import Reading, reading, require_readable
from components.data.source_spec import SourceTable
from components.data.table_spec import SqlTable, Table
from feature_repo.errors import DataError, nearest

log = logging.getLogger(__name__)
Mapped = Table | SqlTable
Present = dict[str, str]  # columns (lower case) and their types in DuckDB


@dataclass(frozen=True)
class Part:
    """Loaded rows of one schema: a table of a database, or files of a table that are alike."""

    relation: str
    present: Present
    files: tuple[str, ...] = ()  # their names, in order of their rows
    starts: tuple[int, ...] = ()  # the number of rows before each file's first
    zone: str = "UTC"  # of times that carry none


Loaded = tuple[Part, ...]


@dataclass(frozen=True)
class Told:
    """How the canonical columns of each part are read."""

    parts: Loaded
    readings: tuple[dict[str, Reading], ...]


def place(label: SourceTable) -> str:
    """Name a table's place in the spec."""
    return f"data.source.{label}"


def united(told: Told, selected: Callable[[Part, dict[str, Reading]], str]) -> str:
    """Put the parts' rows together, by the names of columns, since each part says the same ones."""
    queries = [selected(part, readings) for part, readings in zip(told.parts, told.readings, strict=True)]
    return " UNION ALL BY NAME ".join(queries)


def readings_of(
    db: duckdb.DuckDBPyConnection,
    table: Mapped,
    loaded: Loaded,
    wanted: tuple[str, ...],
    *,
    label: SourceTable,
    required: tuple[str, ...],
) -> Told:
    """Say how each canonical column that the table has is read; DataError where one must be there and is not."""
    sources = {column: table.columns.get(column, column).lower() for column in wanted}
    for column, source in sources.items():
        told = table.columns.get(column)
        if not any(source in part.present for part in loaded) and (told or column in required or column in table.times):
            raise DataError(_absent(table, loaded[0].present, column, wanted, label=label))
    mapped = {own: theirs.lower() for own, theirs in table.columns.items()}
    require_everywhere(loaded, sources | mapped, table.label, place=place(label))
    found = tuple(
        {
            column: reading(
                source,
                part.present[source],
                column,
                zone=part.zone,
                timestamps=table.timestamps,
                unit=table.units.get(column),
                nulls=table.nulls,
                place=": ".join((place(label), *part.files[:1])),  # the others have the same types
            )
            for column, source in sources.items()
            if source in part.present
        }
        for part in loaded
    )
    for part, readings in zip(loaded, found, strict=True):
        require_part(db, part, readings | _multiply(table, part, readings, label=label), place=place(label))
    told_all = Told(loaded, found)
    require_one_clock(db, told_all, table, place=place(label))
    _warn_of_words(db, told_all, place=place(label))
    return told_all


def _multiply(table: Mapped, part: Part, readings: dict[str, Reading], *, label: SourceTable) -> dict[str, Reading]:
    """Multiply the columns that the spec says so of, and return how each one's factor is read."""
    factors = {}
    for column, factor in table.times.items():
        if column not in readings:
            continue
        if (source := factor.lower()) not in part.present:
            shown = [other for other in part.present if other != SOURCE_FILE]
            raise DataError(
                f"{place(label)}.times: no column '{factor}' in {table.label} to multiply {column} by; "
                f"have {', '.join(shown)}{nearest(source, shown)}"
            )
        kind, timestamps = part.present[source], table.timestamps
        read = reading(
            source, kind, column, zone=part.zone, timestamps=timestamps, nulls=table.nulls, place=place(label)
        )
        readings[column] = replace(readings[column], value=f"({readings[column].value}) * ({read.value})")
        factors[f"{column} times"] = read
    return factors


def _absent(table: Mapped, present: Present, column: str, wanted: tuple[str, ...], *, label: SourceTable) -> str:
    """Say that a column is in no file, and what to do."""
    told = table.columns.get(column)
    what = f"no column '{told}' (for {column})" if told else f"no column for {column}"
    shown = [other for other in present if other != SOURCE_FILE]
    free = [other for other in shown if told or other not in wanted]
    fix = f"say it as `columns: {{{column}: <column>}}`"
    if len(shown) == 1:
        fix = f"say what separates the columns as `delimiter:`, or {fix}"
    elif sum(any(letter.isdigit() for letter in other) for other in shown) * 2 > len(shown) and isinstance(
        table, Table
    ):
        fix += ", or `header: none` if the first line holds no names"
    near = nearest((told or column).lower(), free)
    return f"{place(label)}: {what} in {table.label}; have {', '.join(shown)}{near}; {fix}"


def require_everywhere(loaded: Loaded, sources: Mapping[str, str], label: str, *, place: str) -> None:
    """Refuse a column that a table is read by and that only some of its files have: it may have another name there."""
    for column, source in sources.items():
        lack = [file for part in loaded if source not in part.present for file in part.files]
        if not lack or all(source not in part.present for part in loaded):
            continue
        have = sum(len(part.files) for part in loaded) - len(lack)
        named = ", ".join(lack[:3]) + (f" and {len(lack) - 3} more" if len(lack) > 3 else "")
        others = next(part.present for part in loaded if source not in part.present)
        raise DataError(
            f"{place}: column '{source}' (for {column}) is in {have} of {have + len(lack)} files of {label}; "
            f"{named} {'lacks' if len(lack) == 1 else 'lack'} it and {'has' if len(lack) == 1 else 'have'} "
            f"{', '.join(one for one in others if one != SOURCE_FILE)}; rename the column there, or add it"
        )


def require_part(db: duckdb.DuckDBPyConnection, part: Part, readings: dict[str, Reading], *, place: str) -> None:
    """Refuse a value that cannot be read; a part of several files is asked as a whole, then file by file."""
    if len(part.files) < 2:
        require_readable(db, part.relation, readings, place=place, file="".join(part.files))
        return
    try:
        require_readable(db, part.relation, readings, place=place)
    except DataError:
        ends = (*part.starts[1:], None)
        for file, start, end in zip(part.files, part.starts, ends, strict=True):
            within = f"source_row > {start}" + (f" AND source_row <= {end}" if end is not None else "")
            rows = f"(SELECT * REPLACE (source_row - {start} AS source_row) FROM {part.relation} WHERE {within})"
            require_readable(db, rows, readings, place=place, file=file)
        raise


def require_one_clock(db: duckdb.DuckDBPyConnection, told: Told, table: Mapped, *, place: str) -> None:
    """Refuse times with an offset beside times without, unless the spec says the zone of the latter."""
    if table.timezone != "UTC":
        return
    for column in dict.fromkeys(column for readings in told.readings for column in readings):
        seen: dict[bool, str] = {}
        for part, readings in zip(told.parts, told.readings, strict=True):
            read = readings.get(column)
            if read is None or read.aware is None:
                continue
            asked = f"coalesce({read.aware}, false)"
            query = f"SELECT {asked}, min(source_row) FROM {part.relation} WHERE ({read.value}) IS NOT NULL GROUP BY 1"
            for aware, row in db.execute(query).fetchall():
                seen.setdefault(bool(aware), _place_of(part, int(row)))
        if len(seen) == 2:
            raise DataError(
                f"{place}: times for {column} carry an offset in {seen[True]} and none in {seen[False]}; say the zone "
                f"of the latter by file, as `timezone: {{'{seen[False].rpartition(' of ')[2]}': <zone>, '*': UTC}}`"
            )


def _place_of(part: Part, row: int) -> str:
    """Name a row by its file.

    >>> _place_of(Part("raw", {}, files=("a.csv", "b.csv"), starts=(0, 4)), 6)
    'row 2 of b.csv'
    """
    at = max((n for n, start in enumerate(part.starts) if start < row), default=0)
    if not part.files:
        return f"row {row}"
    return f"row {row - (part.starts[at] if part.starts else 0)} of {part.files[at]}"


def _warn_of_words(db: duckdb.DuckDBPyConnection, told: Told, *, place: str) -> None:
    """Warn of words that stand where there is no id, and are read as missing."""
    for part, readings in zip(told.parts, told.readings, strict=True):
        for column, read in readings.items():
            if read.word is None:
                continue
            query = f"SELECT {read.word} AS word, count(*) FROM {part.relation} WHERE word IS NOT NULL GROUP BY 1"
            for word, rows in db.execute(query).fetchall():
                log.warning(
                    "%s: %s is the word '%s' in %d rows and is read as missing; `nulls: []` keeps it as an id",
                    *(place, column, word, rows),
                )

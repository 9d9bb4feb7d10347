"""SQL that reads a column of a file as a canonical type, and finds the first value that is none.

Used by the `files` adapter: pure text in and out, but for `require_readable`, which asks the database.
"""

from dataclasses import dataclass, replace

import duckdb

from components.data.database import name, text
from components.data.source_spec import CANONICAL_TYPES, EPOCHS
from feature_repo.errors import DataError

FRACTIONAL = ("FLOAT", "DOUBLE", "DECIMAL")
WHOLE = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
NUMBERS = WHOLE + FRACTIONAL
# An offset counts only behind a time of day: the end of 2017-01-01 is no offset.
OFFSET = r":\d{2}(\.\d+)?\s*(Z|z|UTC|[+-]\d{2}(:?\d{2})?)$"


@dataclass(frozen=True)
class Reading:
    """How one column is read."""

    column: str  # in the file
    value: str  # SQL of the canonical value, null where there is none
    wanted: str  # what a value must be, for people
    unreadable: str | None = None  # SQL that holds where there is a value that is none of these; None: cannot be


def reading(
    column: str, kind: str, canonical: str, *, zone: str, timestamps: str, place: str, unit: float | None = None
) -> Reading:
    """Say how a column of DuckDB type `kind` is read as a canonical column; DataError where it cannot be."""
    wanted = CANONICAL_TYPES.get(canonical, "string")
    if wanted == "string":
        return _string(column, kind)
    if wanted == "double":
        if _is(kind, *NUMBERS, "BOOLEAN"):
            return Reading(column, _scaled(_finite(f"CAST({name(column)} AS DOUBLE)"), unit), "number")
        if kind == "VARCHAR":
            read = _number_in_text(column)
            return replace(read, value=_scaled(read.value, unit))
        raise DataError(f"{place}: column '{column}' has type {kind}, which is no number; map another to {canonical}")
    if kind == "TIMESTAMP WITH TIME ZONE":
        return Reading(column, name(column), "timestamp")
    if _is(kind, "TIMESTAMP", "DATE"):
        return Reading(column, f"CAST({name(column)} AS TIMESTAMP) AT TIME ZONE {text(zone)}", "timestamp")
    if kind == "VARCHAR" or (timestamps in EPOCHS and _is(kind, *NUMBERS)):
        return _time_in_text(column, zone=zone, timestamps=timestamps)
    fix = f"say `timestamps: {' or '.join(EPOCHS)}`" if _is(kind, *NUMBERS) else f"map another to {canonical}"
    raise DataError(f"{place}: column '{column}' has type {kind}, which is no timestamp; {fix}")


def require_readable(db: duckdb.DuckDBPyConnection, relation: str, readings: dict[str, Reading], *, place: str) -> None:
    """Refuse a relation with a value that cannot be read, naming the first one and its row."""
    for canonical, read in readings.items():
        if read.unreadable is None:
            continue
        found = db.execute(
            f"SELECT source_row, {name(read.column)}, count(*) OVER () FROM {relation} "
            f"WHERE {read.unreadable} ORDER BY source_row LIMIT 1"
        ).fetchone()
        if found:
            row, value, count = found
            others = f" ({count:,} such rows)" if count > 1 else ""
            advice = f", or say its format: `timestamps: {' | '.join(EPOCHS)} | '%d/%m/%Y'`"
            raise DataError(
                f"{place}: column '{read.column}' (for {canonical}) holds '{value}' in row {row}, which is no "
                f"{read.wanted}{others}; mend the file{advice if read.wanted == 'timestamp' else ''}"
            )


def _is(kind: str, *families: str) -> bool:
    """Tell whether a DuckDB type is of a family; a list of it, as INTEGER[], is not."""
    return kind.startswith(families) and not kind.endswith("]")


def _string(column: str, kind: str) -> Reading:
    quoted = name(column)
    if _is(kind, *FRACTIONAL):  # pandas turns whole ids beside a missing one into 12.0; to DuckDB, NaN equals NaN
        whole = f"CASE WHEN isnan({quoted}) THEN NULL WHEN {quoted} = floor({quoted}) THEN "
        digits = f"CAST(TRY_CAST({quoted} AS HUGEINT) AS VARCHAR)"
        return Reading(column, f"{whole} coalesce({digits}, {quoted}::VARCHAR) ELSE {quoted}::VARCHAR END", "text")
    return Reading(column, f"nullif(CAST({quoted} AS VARCHAR), '')", "text")


def _number_in_text(column: str) -> Reading:
    filled = f"nullif(trim({name(column)}), '')"
    read = f"TRY_CAST({filled} AS DOUBLE)"
    return Reading(column, _finite(read), "number", f"{filled} IS NOT NULL AND {read} IS NULL")


def _time_in_text(column: str, *, zone: str, timestamps: str) -> Reading:
    filled = f"nullif(trim(CAST({name(column)} AS VARCHAR)), '')"
    local = f"AT TIME ZONE {text(zone)}"
    if timestamps in EPOCHS:
        value = f"TRY(to_timestamp(TRY_CAST({filled} AS DOUBLE) / {EPOCHS[timestamps]}))"
    elif timestamps == "iso":
        with_offset = f"regexp_matches({filled}, {text(OFFSET)})"
        plain = f"TRY_CAST({filled} AS TIMESTAMP) {local}"
        value = f"CASE WHEN {with_offset} THEN TRY_CAST(upper({filled}) AS TIMESTAMPTZ) ELSE {plain} END"
    else:
        value = f"try_strptime({filled}, {text(timestamps)})" + ("" if "%z" in timestamps else f" {local}")
    return Reading(column, value, "timestamp", f"{filled} IS NOT NULL AND ({value}) IS NULL")


def _scaled(number: str, unit: float | None) -> str:
    """Count in our unit: a hundredth is divided by 100, which gives the nearest double, and not multiplied."""
    if unit is None:
        return number
    inverse = 1 / unit
    return (
        f"({number}) / {round(inverse)}"
        if unit < 1 and abs(inverse - round(inverse)) < 1e-9
        else f"({number}) * {unit!r}"
    )


def _finite(number: str) -> str:
    """Read NaN, which files have for missing numbers, as null."""
    return f"CASE WHEN isnan({number}) THEN NULL ELSE {number} END"

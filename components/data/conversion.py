"""SQL that reads a column of a file as a canonical type, and finds the first value that is none.

Used by the adapters of files and databases: pure text in and out, but for `require_readable`, which asks the database.
"""

from dataclasses import dataclass

import duckdb

from components.data.database import name, text
from components.data.table_spec import CANONICAL_TYPES
from components.data.time_formats import EPOCHS
from components.data.time_reading import read_as
from feature_repo import columns
from feature_repo.errors import DataError, shortened
from feature_repo.ids import BLANKS, NOBODY

FRACTIONAL = ("FLOAT", "DOUBLE", "DECIMAL")
WHOLE = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UHUGEINT") + (
    "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT",
)  # fmt: skip
NUMBERS = WHOLE + FRACTIONAL
AWARE, NAIVE = ("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ"), ("TIMESTAMP", "DATE")
NESTED = ("STRUCT", "MAP", "UNION", "JSON", "VARIANT")
IDS = (columns.USER_ID, columns.ITEM_ID, columns.SESSION_ID)
EXACT = {"FLOAT": 2**24, "DOUBLE": 2**53}  # below it a float tells every whole number from the next
LARGEST = 1e15  # of amounts: above it nobody counts, and sums lose cents
# A spreadsheet's 1.23E+12, a float's many digits: several ids have become one. A line break: a quote was never closed.
INEXACT = r"^-?\d(\.\d+[eE]\+?\d+|\d{15,}\.0+)$|[\r\n]"


@dataclass(frozen=True)
class Reading:
    """How one column is read."""

    column: str  # in the file
    value: str  # SQL of the canonical value, null where there is none
    wanted: str  # what a value must be, for people
    unreadable: str | None = None  # SQL that holds where there is a value that is none of these; None: cannot be
    aware: str | None = None  # of a time, SQL that holds where the value itself says its offset
    word: str | None = None  # of an id, SQL of the word that stands for none, null elsewhere


def reading(
    column: str,
    kind: str,
    canonical: str,
    *,
    zone: str,
    timestamps: str | list[str],
    place: str,
    unit: float | None = None,
    nulls: list[str] | None = None,
) -> Reading:
    """Say how a column of DuckDB type `kind` is read as a canonical column; DataError where it cannot be."""
    wanted = CANONICAL_TYPES.get(canonical, "string")
    if wanted == "string":
        return _string(column, kind, canonical, place=place, nulls=nulls)
    if wanted == "double":
        return _number(column, kind, canonical, place=place, unit=unit, nulls=nulls)
    forms = [timestamps] if isinstance(timestamps, str) else timestamps
    if _is(kind, *AWARE):
        return Reading(column, f"CAST({name(column)} AS TIMESTAMPTZ)", "timestamp", aware="true")
    if _is(kind, *NAIVE):
        value = f"CAST({name(column)} AS TIMESTAMP) AT TIME ZONE {text(zone)}"
        return Reading(column, value, "timestamp", aware="false")
    epochs = [form for form in forms if form in EPOCHS]
    if _is(kind, "VARCHAR", "BLOB") or kind == '"NULL"' or (epochs and _is(kind, *NUMBERS)):
        filled = _filled(column, kind, nulls=nulls)
        time = read_as(filled, epochs if _is(kind, *NUMBERS) else forms, zone=zone)
        wrong = f"({time.value}) IS NULL OR NOT coalesce({time.fits}, false)"
        return Reading(column, time.value, "timestamp", _unreadable(column, kind, filled, wrong), aware=time.aware)
    fix = f"say `timestamps: {' or '.join(EPOCHS)}`" if _is(kind, *NUMBERS) else f"map another to {canonical}"
    raise DataError(f"{place}: column '{column}' has type {kind}, which is no timestamp; {fix}")


def as_text(column: str, kind: str) -> str:
    """Return SQL of a value as text, whole numbers without a point: for columns that files hold in several types."""
    quoted = name(column)
    if _is(kind, "FLOAT", "DOUBLE"):
        whole = f"{quoted} = floor({quoted}) AND abs({quoted}) < {EXACT[kind]}"
        return (
            f"CASE WHEN isnan({quoted}) THEN NULL WHEN {whole} THEN CAST(CAST({quoted} AS BIGINT) AS VARCHAR) "
            f"ELSE CAST({quoted} AS VARCHAR) END"
        )
    if _is(kind, "DECIMAL"):
        return rf"regexp_replace(CAST({quoted} AS VARCHAR), '\.0+$', '')"
    if _is(kind, "BLOB"):
        return f"TRY(decode({quoted}))"
    if _is(kind, *AWARE):
        return f"strftime(CAST({quoted} AS TIMESTAMPTZ) AT TIME ZONE 'UTC', '%Y-%m-%d %H:%M:%S.%f') || 'Z'"
    if kind.startswith(NESTED) or kind.endswith("[]"):
        return f"CAST(to_json({quoted}) AS VARCHAR)"
    return f"CAST({quoted} AS VARCHAR)"


def require_readable(
    db: duckdb.DuckDBPyConnection, relation: str, readings: dict[str, Reading], *, place: str, file: str = ""
) -> None:
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
            what, fix = _fault(read, value)
            raise DataError(
                f"{place}: column '{read.column}' (for {canonical}) holds '{shortened(_line(value), 60)}' in row {row}"
                f"{f' of {file}' if file else ''}, which is {what}{others}; {fix}"
            )


def _line(value: object) -> str:
    return str(value).replace("\r", "\\r").replace("\n", "\\n")


def _fault(read: Reading, value: object) -> tuple[str, str]:
    """Say what a value is not, and what to do."""
    if read.wanted == "timestamp":
        known = f"`timestamps: {' | '.join(EPOCHS)} | '%d/%m/%Y'`"
        if _number_of(value) is not None and read.aware == "true":
            return "no timestamp in this unit", f"mend the file, or say all that it has: `timestamps: {[*EPOCHS]}`"
        return "no timestamp", f"mend the file, or say its format: {known}"
    if read.wanted == "number" and _number_of(value) is not None:
        return f"no finite number up to {LARGEST:g}", "mend the file"
    if read.wanted == "exact id":
        return "no exact id", "write ids whole, as text or as whole numbers"
    return f"no {read.wanted}", "mend the file"


def _number_of(value: object) -> float | None:
    try:
        return float(str(value))
    except ValueError:
        return None


def _is(kind: str, *families: str) -> bool:
    """Tell whether a DuckDB type is of a family; a list of it, as INTEGER[], is not."""
    return kind.startswith(families) and not kind.endswith("]")


def _string(column: str, kind: str, canonical: str, *, place: str, nulls: list[str] | None) -> Reading:
    if canonical in IDS and (kind.startswith((*NESTED, "BOOLEAN")) or kind.endswith("]")):  # yes and no name nobody
        raise DataError(f"{place}: column '{column}' has type {kind}, which is no id; map another to {canonical}")
    value, wanted = as_text(column, kind), "text"
    if not _is(kind, "VARCHAR", "BLOB"):
        limit = next((most for family, most in EXACT.items() if _is(kind, family)), None)
        inexact = f"{name(column)} >= {limit} OR {name(column)} <= -{limit}" if limit and canonical in IDS else None
        wrong = f"NOT isnan({name(column)}) AND ({inexact})" if inexact else None
        return Reading(column, _without(value, nulls), "exact id" if canonical in IDS else wanted, wrong)
    if canonical not in IDS:
        return Reading(column, _without(value, nulls), wanted, _unreadable(column, kind, value, "false"))
    trimmed = f"trim({value}, {_chars(BLANKS)})"
    one = f"CASE WHEN strlen({trimmed}) = length({trimmed}) THEN {trimmed} ELSE nfc_normalize({trimmed}) END"
    given = nulls is not None
    held = f"{trimmed} IN ({_listed(nulls)})" if given and nulls else f"lower({trimmed}) IN ({_listed(NOBODY)})"
    nobody = "false" if given and not nulls else held
    return Reading(
        column,
        f"CASE WHEN {trimmed} = '' OR {nobody} THEN NULL ELSE {one} END",
        "exact id",
        _unreadable(column, kind, value, f"regexp_matches({trimmed}, {text(INEXACT)})"),
        word=None if given else f"CASE WHEN {nobody} THEN {trimmed} END",
    )


def _number(
    column: str, kind: str, canonical: str, *, place: str, unit: float | None, nulls: list[str] | None
) -> Reading:
    if _is(kind, *NUMBERS, "BOOLEAN"):
        read = f"CAST({name(column)} AS DOUBLE)"
        can_be = _is(kind, "HUGEINT", "UHUGEINT", "BIGINT", "UBIGINT", *FRACTIONAL)
        wrong = f"abs({read}) > {LARGEST!r} AND NOT isnan({read})" if can_be else None
        return Reading(column, _scaled(_finite(read), unit), "number", wrong)
    if _is(kind, "VARCHAR", "BLOB") or kind == '"NULL"':
        filled = _filled(column, kind, nulls=nulls)
        read = f"TRY_CAST({filled} AS DOUBLE)"
        wrong = f"{read} IS NULL OR contains({filled}, '_') OR (abs({read}) > {LARGEST!r} AND NOT isnan({read}))"
        return Reading(column, _scaled(_finite(read), unit), "number", _unreadable(column, kind, filled, wrong))
    raise DataError(f"{place}: column '{column}' has type {kind}, which is no number; map another to {canonical}")


def _filled(column: str, kind: str, *, nulls: list[str] | None) -> str:
    """Return SQL of a value as text without blanks around, null where it says nothing."""
    return _without(f"trim({as_text(column, kind)}, {_chars(BLANKS)})", nulls)


def _without(value: str, nulls: list[str] | None) -> str:
    value = f"nullif({value}, '')"
    return f"CASE WHEN {value} IN ({_listed(nulls)}) THEN NULL ELSE {value} END" if nulls else value


def _unreadable(column: str, kind: str, value: str, wrong: str) -> str | None:
    """Return SQL of a value that is there and is wrong; bytes that are no text are."""
    no_text = f"{name(column)} IS NOT NULL AND {as_text(column, kind)} IS NULL" if _is(kind, "BLOB") else None
    found = None if wrong == "false" else f"({value}) IS NOT NULL AND ({wrong})"
    return " OR ".join(f"({one})" for one in (no_text, found) if one) or None


def _listed(words: list[str] | tuple[str, ...] | None) -> str:
    return ", ".join(text(word) for word in words or ())


def _chars(characters: str) -> str:
    """Write characters as SQL that no editor changes: blanks are easily lost."""
    return " || ".join(f"chr({ord(one)})" for one in characters)


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

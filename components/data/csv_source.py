"""Load one CSV: DuckDB parses it, a count apart from the parser must agree, and what differs is read exactly.

All columns are text. A row that does not fit is refused with its file, line and number of fields: none is left out.
"""

from itertools import islice
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from components.data import text_files
from components.data.database import name, text
from components.data.table_spec import Table
from components.data.text_files import Dialect
from feature_repo.errors import DataError

REFUSED = (duckdb.InvalidInputException, duckdb.ConversionException, duckdb.BinderException)
CHUNK_ROWS = 50_000


def scan(
    db: duckdb.DuckDBPyConnection, path: Path, table: Table, wanted: set[str], work: Path, *, place: str
) -> tuple[str, int]:
    """Return SQL that reads a file's rows as text, and how many there are."""
    readable = text_files.as_utf8(path, table.encoding, work, place=place)
    named = table.header is True
    dialect = text_files.find_dialect(readable, table.delimiter, wanted, place=place, label=path.name)
    names = text_files.header(readable, dialect, named=named, place=place, label=path.name)
    if not names:
        raise DataError(f"{place}.path: {path} holds no line")
    require_names(names, wanted, path.name, place=place)
    counted = text_files.count_records(readable, dialect) if dialect.plain and len(names) > 1 else None
    query = _fast(readable, dialect, names, named=named)
    if counted is None or not _agrees(db, query, counted - named):
        return exactly(readable, dialect, names, work, named=named, place=place, label=path.name)
    _require_no_header(db, query, readable, dialect, names, place=place, label=path.name)
    return query, counted - named


def require_names(names: list[str], wanted: set[str], label: str, *, place: str) -> None:
    """Refuse a column that is wanted and stands twice."""
    for n, own in enumerate(names, start=1):
        plain = own.removesuffix(f"_{n}").lower()
        if plain in wanted and plain != own.lower() and plain in (other.lower() for other in names[: n - 1]):
            raise DataError(f"{place}: {label}: the first line names '{plain}' twice; rename one of the columns")


def _fast(path: Path, dialect: Dialect, names: list[str], *, named: bool) -> str:
    held = ", ".join(f"{text(own)}: 'VARCHAR'" for own in names)
    return (
        f"read_csv({text(path)}, auto_detect = false, header = {str(named).lower()}, columns = {{{held}}}, "
        f"delim = {text(dialect.delimiter)}, quote = {text(dialect.quote)}, escape = {text(dialect.quote)}, "
        "strict_mode = true, null_padding = false, ignore_errors = false)"
    )


def _agrees(db: duckdb.DuckDBPyConnection, query: str, counted: int) -> bool:
    try:
        (rows,) = db.execute(f"SELECT count(COLUMNS(*)) FROM (SELECT 1 AS one FROM {query})").fetchone() or (None,)
    except REFUSED:
        return False
    return rows == counted


def exactly(
    path: Path, dialect: Dialect, names: list[str], work: Path, *, named: bool, place: str, label: str
) -> tuple[str, int]:
    """Read a file record by record into a parquet file; return SQL that reads it, and its number of rows."""
    target = work / f"{path.name}.parquet"
    try:
        return _exactly(path, dialect, names, target, named=named, place=place, label=label)
    except DataError:
        if dialect.backslash:
            raise
        try:
            other = text_files.with_backslash(dialect)
            return _exactly(path, other, names, target, named=named, place=place, label=label)
        except DataError:
            pass
        raise


def _exactly(
    path: Path, dialect: Dialect, names: list[str], target: Path, *, named: bool, place: str, label: str
) -> tuple[str, int]:
    schema = pa.schema([(own, pa.string()) for own in names])
    found = text_files.records(path, dialect, place=place, label=label)
    first = next(found, None) if named else None
    rows = 0
    with pq.ParquetWriter(target, schema) as writer:
        while chunk := list(islice(found, CHUNK_ROWS)):
            for line, fields in chunk:
                if len(fields) != len(names):
                    raise text_files.width_fault(label, line, fields, names, place=place)
                if first and sorted(fields) == sorted(first[1]):
                    raise DataError(_again(line, label, place=place))
            held = [pa.array(values, pa.string()) for values in zip(*(fields for _, fields in chunk), strict=True)]
            writer.write_table(pa.table(held, schema=schema))
            rows += len(chunk)
    return f"read_parquet({text(target)})", rows


def _require_no_header(
    db: duckdb.DuckDBPyConnection,
    query: str,
    path: Path,
    dialect: Dialect,
    names: list[str],
    *,
    place: str,
    label: str,
) -> None:
    """Refuse a header among the rows, its columns in whichever order: two exports in one file."""
    listed = ", ".join(text(own) for own in names)
    some = " AND ".join(f"{name(own)} IN ({listed})" for own in names)
    if db.execute(f"SELECT 1 FROM {query} WHERE {some} LIMIT 1").fetchone() is None:
        return
    found = text_files.records(path, dialect, place=place, label=label)
    _, first = next(found)
    for line, fields in found:
        if sorted(fields) == sorted(first):
            raise DataError(_again(line, label, place=place))


def _again(line: int, label: str, *, place: str) -> str:
    return (
        f"{place}: {label}: line {line} is the header again: two exports in one file; write them as two, or remove it"
    )

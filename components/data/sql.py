"""Adapter of a database: tables, views or queries read through SQLAlchemy, in chunks, as loaded tables.

The URL, which holds a password, comes from the environment variable that the spec names and appears in no message.
Rows go to parquet in chunks, so memory holds one; `mapping` then turns them into canonical relations like a file's.
A database promises no order: rows are put in the order of their values, so the same rows give the same bytes.
"""

import contextlib
import datetime as dt
import decimal
import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from components.data import ids_agree, mapping
from components.data.conversion import as_text
from components.data.database import name, text
from components.data.parts import Loaded, Part, Present, place
from components.data.source_spec import SourceTable, Sql
from components.data.table_spec import SqlTable
from feature_repo import columns, files
from feature_repo.errors import DataError, ServerError, SpecError, nearest

CHUNK_ROWS = 50_000
CONNECT_S = 10
BEYOND = re.compile("(timestamp|date) too (large|small)")  # psycopg's words for a time that Python has none for
EXAMPLE = "postgresql://user:password@host:5432/database"


def state(source: Sql, environ: Mapping[str, str]) -> dict[str, list[str]]:
    """Ask each table for its number of rows and its largest time: what a look can cost and still see a change."""
    found: dict[str, list[str]] = {}
    with _connected(source, environ) as connection:
        for label, table in mapping.tables(source).items():
            assert isinstance(table, SqlTable)
            asked = ["count(*)"]
            marks = [table.columns.get(columns.TIMESTAMP, columns.TIMESTAMP)] if label == "events" else []
            marks += [table.watermark] if table.watermark else []
            quote = connection.dialect.identifier_preparer.quote
            _require_columns(connection, label, table, marks)
            asked += [f"max({quote(mark)})" for mark in marks]
            query = f"SELECT {', '.join(asked)} FROM {_origin(connection, table)}"
            row = next(iter(_executed(connection, query, label=label)))
            found[label] = [str(value) for value in row]
    return found


def read(db: duckdb.DuckDBPyConnection, source: Sql, work: Path, environ: Mapping[str, str]) -> tuple[list[str], bool]:
    """Create the source relations; return a digest of each table, and whether events say when they became known."""
    loaded: dict[SourceTable, Loaded] = {}
    with _connected(source, environ) as connection:
        for label, table in mapping.tables(source).items():
            assert isinstance(table, SqlTable)
            folder = work / label
            folder.mkdir()
            _require_columns(connection, label, table, [])
            origin = _origin(connection, table)
            before = _count(connection, origin, label)
            names, rows = _dump(_executed(connection, f"SELECT * FROM {origin}", label=label), folder, label=label)
            if rows != before:  # rows may come and go meanwhile, but not more than that
                low, high = sorted((before, _count(connection, origin, label)))
                if not low <= rows <= high:
                    raise DataError(f"{place(label)}: {table.label} holds {high:,} rows and {rows:,} were read")
            loaded[label] = (_load(db, label, folder, names, table),)
    digests = [_digest(db, label, part.present) for label, (part,) in loaded.items()]
    tells = mapping.create(db, source, loaded)
    labels: dict[str, str] = {label: table.label for label, table in mapping.tables(source).items()}
    ids_agree.require(db, labels, items_are_users=source.items_are_users)
    return digests, tells


def _count(connection: Any, origin: str, label: SourceTable) -> int:
    return int(next(iter(_executed(connection, f"SELECT count(*) FROM {origin}", label=label)))[0])


def _dump(result: Any, folder: Path, *, label: SourceTable) -> tuple[list[str], int]:
    """Write a result's rows to parquet files, a chunk each; return the names of its columns and the number of rows."""
    names = list(map(str, result.keys()))
    if twice := next((own for at, own in enumerate(names) if own.lower() in map(str.lower, names[:at])), ""):
        raise DataError(f"{place(label)}: the result names '{twice}' twice; name one of them otherwise, with AS")
    count = 0
    for number, rows in enumerate(result.partitions(CHUNK_ROWS)):
        held = {}
        for own, values in zip(names, zip(*rows, strict=True), strict=True):
            try:
                held[own] = _array(list(values))
            except (UnicodeDecodeError, pa.ArrowException) as error:
                raise DataError(f"{place(label)}: column '{own}' cannot be read: {error}") from None
        # A chunk without a value knows no type; another chunk may.
        typed = {n: array for n, array in held.items() if not pa.types.is_null(array.type)}
        if not typed:
            typed = {names[0]: held[names[0]].cast(pa.string())}
        pq.write_table(pa.table(typed), folder / f"{number:06}.parquet")
        count += len(rows)
    return names, count


def _load(db: duckdb.DuckDBPyConnection, label: SourceTable, folder: Path, names: list[str], table: SqlTable) -> Part:
    """Read the chunks into `raw_<label>`, ordered and numbered; columns without any value are text.

    A column that chunks hold in several types is text: promoted to one, whole numbers would lose digits.
    """
    chunks = sorted(folder.iterdir())
    kinds = {
        chunk: {row[0]: row[1] for row in db.execute(f"DESCRIBE FROM read_parquet({text(chunk)})").fetchall()}
        for chunk in chunks
    }
    several = {n: {kind[n] for kind in kinds.values() if n in kind} for n in names}

    def selected(kind: Mapping[str, str], own: str) -> str:
        if own not in kind:
            one = next(iter(several[own])) if len(several[own]) == 1 else "VARCHAR"
            return f"CAST(NULL AS {one}) AS {name(own)}"
        return f"{as_text(own, kind[own]) if len(several[own]) > 1 else name(own)} AS {name(own)}"

    queries: dict[str, list[Path]] = {}
    for chunk, kind in kinds.items():
        queries.setdefault(", ".join(selected(kind, own) for own in names), []).append(chunk)
    scans = [
        f"SELECT {told} FROM read_parquet([{', '.join(map(text, alike))}])" for told, alike in queries.items()
    ] or [f"SELECT {', '.join(selected({}, own) for own in names)} WHERE false"]
    rows = " UNION ALL ".join(scans)
    db.execute(f"CREATE TABLE raw_{label} AS SELECT *, row_number() OVER () AS source_row FROM ({rows} ORDER BY ALL)")
    found = db.execute(f"DESCRIBE raw_{label}").fetchall()
    present = {row[0].lower(): row[1] for row in found if row[0] != "source_row"}
    return Part(f"raw_{label}", present, zone=str(table.timezone))


def _digest(db: duckdb.DuckDBPyConnection, label: SourceTable, present: Present) -> str:
    """Name a table's rows."""
    values = ", ".join(f"coalesce(CAST({name(column)} AS VARCHAR), chr(30))" for column in present)
    row = f"CAST('0x' || left(sha1(concat_ws(chr(31), {values})), 16) AS UBIGINT)"
    found = db.execute(f"SELECT count(*), bit_xor({row}), sum(CAST({row} AS HUGEINT)) FROM raw_{label}").fetchone()
    return files.digest([label, list(present), [str(value) for value in found or ()]])


def _array(values: list[Any]) -> pa.Array:
    """Make a column of one type from what a driver returned, each value exact.

    >>> _array([decimal.Decimal("1.50"), None]).to_pylist(), _array([{"a": 1}]).to_pylist()
    ([1.5, None], ['{"a": 1}'])
    >>> _array([9007199254740993, 2.5, 1000.0]).to_pylist(), _array(["7", 7, 7.0, b"7"]).to_pylist()
    (['9007199254740993', '2.5', '1000'], ['7', '7', '7', '7'])
    """
    values = [bytes(value) if isinstance(value, memoryview | bytearray) else value for value in values]
    kinds: set[type] = {type(value) for value in values if value is not None}
    if kinds <= {bool, int, float, decimal.Decimal} and decimal.Decimal in kinds:
        whole = all(value is None or (_finite(value) and value == int(value)) for value in values)
        values = [None if value is None else int(value) if whole else float(value) for value in values]
        kinds = {int} if whole else {float}
    if kinds == {int} and any(isinstance(value, int) and abs(value) >= 2**63 for value in values):
        return pa.array([None if value is None else str(value) for value in values], pa.string())
    if kinds == {dt.datetime}:
        return _times(values)
    if kinds & {dict} or len(kinds) > 1:
        values = [None if value is None else _one_text(value) for value in values]
    elif kinds - {bool, int, float, str, bytes, dt.date, list}:
        values = [None if value is None else str(value) for value in values]
    return pa.array(values)


def _finite(value: Any) -> bool:
    return not isinstance(value, float | decimal.Decimal) or math.isfinite(value)


def _times(values: list[Any]) -> pa.Array:
    """Make a column of times; with and without an offset they are text, so that none takes the other's zone."""
    aware = {value.tzinfo is not None for value in values if value is not None}
    if len(aware) > 1:
        return pa.array([None if value is None else value.isoformat(sep=" ") for value in values])
    if aware == {True}:
        values = [None if value is None else value.astimezone(dt.UTC) for value in values]
        return pa.array(values, pa.timestamp("us", tz="UTC"))
    return pa.array(values)


def _one_text(value: Any) -> str:
    """Write one value of a column of several types as text."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, float | decimal.Decimal):
        exact = _finite(value) and value == int(value) and abs(float(value)) < 2**53
        return str(int(value)) if exact else str(value)
    if isinstance(value, dt.datetime | dt.date):
        return value.isoformat(sep=" ") if isinstance(value, dt.datetime) else value.isoformat()
    return json.dumps(value, default=str)


@contextlib.contextmanager
def _connected(source: Sql, environ: Mapping[str, str]) -> Iterator[Any]:
    """Connect to the database; each way that this can fail is one line."""
    import sqlalchemy
    from sqlalchemy import exc

    spoken = f"data.source.url_env: {source.url_env}"
    if not environ.get(source.url_env):
        raise SpecError(f"{spoken} is not set in the environment; export it, such as {EXAMPLE}")
    try:
        url = sqlalchemy.make_url(environ[source.url_env])
        url = url.set(drivername="postgresql+psycopg") if url.drivername in ("postgresql", "postgres") else url
        patient = {"connect_timeout": CONNECT_S} if url.get_backend_name() in ("postgresql", "mysql") else {}
        engine = sqlalchemy.create_engine(url, connect_args=patient)
    except exc.NoSuchModuleError:
        raise SpecError(
            f"{spoken} names no kind of database that SQLAlchemy knows; write one such as {EXAMPLE}"
        ) from None
    except (exc.ArgumentError, ValueError):
        raise SpecError(f"{spoken} holds no database URL; write one such as {EXAMPLE}") from None
    except ModuleNotFoundError as error:
        raise SpecError(f"{spoken}: the driver '{error.name}' is not installed; pip install it") from None
    where = url.host or url.database or url.drivername
    try:
        if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).is_file():
            raise DataError(f"{spoken}: no file {url.database}")  # connecting would make one
        connection = engine.connect()
    except exc.DBAPIError as error:
        engine.dispose()
        raise ServerError(f"{spoken}: no connection to {where}: {_reason(error, url)}") from None
    try:
        yield connection.execution_options(stream_results=True)
    except exc.DBAPIError as error:  # it went away between two chunks
        raise ServerError(f"{spoken}: {where} stopped answering: {_reason(error, url)}") from None
    finally:
        connection.close()
        engine.dispose()


def _executed(connection: Any, query: str, *, label: SourceTable) -> Any:
    """Run a query; what the database says against it is a DataError, its going away a ServerError."""
    import sqlalchemy
    from sqlalchemy import exc

    try:
        return connection.execute(sqlalchemy.text(query.replace(":", "\\:")))
    except exc.DBAPIError as error:
        kind = ServerError if error.connection_invalidated else DataError
        reason = _reason(error, connection.engine.url)
        cure = "; leave such rows out, by a view or `query:`" if BEYOND.search(reason) else ""
        raise kind(f"{place(label)}: {reason}{cure}") from None


def _require_columns(connection: Any, label: SourceTable, table: SqlTable, marks: list[str]) -> None:
    """Refuse a table that is not there, or that lacks a column that the spec names."""
    import sqlalchemy

    if table.table is None:
        return
    look = sqlalchemy.inspect(connection)
    schema, _, plain = table.table.rpartition(".")
    if not look.has_table(plain, schema=schema or None):
        have = [*look.get_table_names(schema or None), *look.get_view_names(schema or None)]
        raise DataError(
            f"{place(label)}.table: no table '{table.table}'; have {', '.join(have) or 'none'}{nearest(plain, have)}"
        )
    have = [column["name"] for column in look.get_columns(plain, schema=schema or None)]
    for column in marks:
        if column not in have:
            raise DataError(
                f"{place(label)}: no column '{column}' in {table.label}; have {', '.join(have)}{nearest(column, have)}"
            )


def _origin(connection: Any, table: SqlTable) -> str:
    """Write a table's name or a query as the database can select from it."""
    if table.query is not None:
        return f"({table.query.strip().rstrip(';')}) AS asked"
    quote = connection.dialect.identifier_preparer.quote
    return ".".join(quote(part) for part in str(table.table).split("."))


def _reason(error: Any, url: Any) -> str:
    """Return the first line of a driver's message, without the password."""
    lines = str(error.orig).strip().splitlines() or [type(error.orig).__name__]
    return lines[0].replace(str(url.password), "***") if url.password else lines[0]

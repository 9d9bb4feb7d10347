"""Adapter of a database: tables, views or queries read through SQLAlchemy, in chunks, as loaded tables.

The URL, which holds a password, comes from the environment variable that the spec names and appears in no message.
Rows go to parquet in chunks, so memory holds one; `mapping` then turns them into canonical relations like a file's.
A database promises no order: rows are put in the order of their values, so the same rows give the same bytes.
"""

import contextlib
import datetime as dt
import decimal
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from components.data import mapping
from components.data.database import name, text
from components.data.mapping import Loaded, place
from components.data.source_spec import SourceTable, Sql, SqlTable
from feature_repo import columns, files
from feature_repo.errors import DataError, ServerError, SpecError, nearest

CHUNK_ROWS = 50_000
CONNECT_S = 10
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
            query = f"SELECT * FROM {_origin(connection, table)}"
            names = _dump(_executed(connection, query, label=label), folder)
            loaded[label] = _load(db, label, folder, names)
    digests = [_digest(db, label, present) for label, present in loaded.items()]
    return digests, mapping.create(db, source, loaded)


def _dump(result: Any, folder: Path) -> list[str]:
    """Write a result's rows to parquet files, a chunk each; return the names of its columns."""
    names = list(map(str, result.keys()))
    for number, rows in enumerate(result.partitions(CHUNK_ROWS)):
        held = {n: _array(list(values)) for n, values in zip(names, zip(*rows, strict=True), strict=True)}
        # A chunk without a value knows no type; another chunk may.
        typed = {n: array for n, array in held.items() if not pa.types.is_null(array.type)}
        if not typed:
            typed = {names[0]: held[names[0]].cast(pa.string())}
        pq.write_table(pa.table(typed), folder / f"{number:06}.parquet")
    return names


def _load(db: duckdb.DuckDBPyConnection, label: SourceTable, folder: Path, names: list[str]) -> Loaded:
    """Read the chunks into `raw_<label>`, ordered and numbered; columns without any value are text."""
    chunks = any(folder.iterdir())
    scan = f"read_parquet({text(folder / '*.parquet')}, union_by_name = true)"
    have = db.sql(f"FROM {scan} LIMIT 0").columns if chunks else []
    told = [name(n) if n in have else f"CAST(NULL AS VARCHAR) AS {name(n)}" for n in names]
    rows = f"SELECT {', '.join(told)} {f'FROM {scan}' if chunks else 'WHERE false'}"
    db.execute(f"CREATE TABLE raw_{label} AS SELECT *, row_number() OVER () AS source_row FROM ({rows} ORDER BY ALL)")
    kinds = db.execute(f"DESCRIBE raw_{label}").fetchall()
    return {row[0].lower(): row[1] for row in kinds if row[0] != "source_row"}


def _digest(db: duckdb.DuckDBPyConnection, label: SourceTable, present: Loaded) -> str:
    """Name a table's rows."""
    values = ", ".join(f"coalesce(CAST({name(column)} AS VARCHAR), chr(30))" for column in present)
    row = f"CAST('0x' || left(sha1(concat_ws(chr(31), {values})), 16) AS UBIGINT)"
    found = db.execute(f"SELECT count(*), bit_xor({row}), sum(CAST({row} AS HUGEINT)) FROM raw_{label}").fetchone()
    return files.digest([label, list(present), [str(value) for value in found or ()]])


def _array(values: list[Any]) -> pa.Array:
    """Make a column of one type from what a driver returned.

    >>> _array([decimal.Decimal("1.50"), None]).to_pylist(), _array([{"a": 1}]).to_pylist()
    ([1.5, None], ['{"a": 1}'])
    """
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {bool, int, float, decimal.Decimal} and decimal.Decimal in kinds:
        whole = all(value is None or value == int(value) for value in values)
        values = [None if value is None else int(value) if whole else float(value) for value in values]
    elif kinds & {dict} or (len(kinds) > 1 and not kinds <= {bool, int, float}):
        values = [v if v is None or isinstance(v, str) else json.dumps(v, default=str) for v in values]
    elif kinds - {bool, int, float, str, bytes, dt.date, dt.datetime, list}:
        values = [None if value is None else str(value) for value in values]
    elif kinds == {dt.datetime} and any(v is not None and v.tzinfo for v in values):
        values = [None if v is None else v if v.tzinfo is None else v.astimezone(dt.UTC) for v in values]
        return pa.array(values, pa.timestamp("us", tz="UTC"))
    elif kinds == {int, float}:
        values = [None if value is None else float(value) for value in values]
    return pa.array(values)


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
        raise kind(f"{place(label)}: {_reason(error, connection.engine.url)}") from None


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

"""One DuckDB in memory for a step, and the quoting of names and values in SQL. Knows no table."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import duckdb

MEMORY = "1GB"  # DuckDB's own; above it sorts and joins spill to disk
MAX_THREADS = 4


@contextlib.contextmanager
def database(folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a database that counts time in UTC and spills into a folder that goes with it."""
    threads = max(1, min(MAX_THREADS, os.cpu_count() or 1))
    with tempfile.TemporaryDirectory(dir=folder, prefix=".spill-") as spill:
        config = {"memory_limit": MEMORY, "threads": threads, "temp_directory": spill}
        with duckdb.connect(config=config) as db:
            db.execute("SET TimeZone = 'UTC'")
            yield db


def name(identifier: str) -> str:
    """Quote an identifier.

    >>> print(name("user id"))
    "user id"
    """
    return '"' + identifier.replace('"', '""') + '"'


def text(value: str | Path) -> str:
    """Quote a text value.

    >>> text("Ben & Jerry's")
    "'Ben & Jerry''s'"
    """
    return "'" + str(value).replace("'", "''") + "'"


def write_parquet(db: duckdb.DuckDBPyConnection, query: str, path: Path) -> int:
    """Write a query's rows to a parquet file in their order; return how many."""
    row = db.execute(f"COPY ({query}) TO {text(path)} (FORMAT parquet, COMPRESSION zstd)").fetchone()
    return int(row[0]) if row else 0

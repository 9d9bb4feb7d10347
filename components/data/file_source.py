"""Adapter of the user's own files: each declared table's files, each read by its own schema, with their rows numbered.

The rows of every file are counted apart from what parses it: a row that a parser loses is an error. `mapping` turns
the loaded parts into canonical relations; `arrivals` drops the events that another file repeats.
"""

import contextlib
import fnmatch
import glob
import tempfile
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
from pyarrow import ArrowException

from components.data import csv_source, ids_agree, json_lines, mapping, text_files
from components.data.arrivals import SOURCE_FILE
from components.data.database import text
from components.data.parts import Loaded, Part, Present, place
from components.data.source_spec import Files, SourceTable
from components.data.table_spec import Table
from feature_repo import columns
from feature_repo.errors import DataError, nearest

UNREADABLE = (*csv_source.REFUSED, duckdb.IOException, ArrowException)
KINDS = {"csv": "csv", "parquet": "parquet", "jsonl": "jsonl", "ndjson": "jsonl"}  # by suffix, whatever the source says
WANTED = {
    "events": columns.EVENTS_REQUIRED,
    "items": columns.ITEMS_REQUIRED,
    "users": columns.USERS_REQUIRED,
    "offers": columns.OFFERS_REQUIRED,
}


def paths(source: Files, base: Path) -> list[Path]:
    """Find the files of every table; DataError where a pattern finds none or a file is empty."""
    return [path for found in _found(source, base).values() for path in found]


def read(db: duckdb.DuckDBPyConnection, source: Files, base: Path) -> tuple[list[Path], bool]:
    """Create the source relations; return the files they read, and whether events say when they became known."""
    found = _found(source, base)
    loaded = {label: _load_table(db, source, label, files) for label, files in found.items()}
    tells = mapping.create(db, source, loaded)
    labels: dict[str, str] = {label: table.label for label, table in mapping.tables(source).items()}
    ids_agree.require(db, labels, items_are_users=source.items_are_users)
    return [path for files in found.values() for path in files], tells


def load(
    db: duckdb.DuckDBPyConnection,
    relation: str,
    found: list[Path],
    *,
    kind: str,
    place: str,
    table: Table | None = None,
) -> Present:
    """Read files that are alike into one relation, rows numbered; return its columns (lower case) and their types."""
    told = table or Table(path=str(found[0]))
    parts = _load(db, relation, found, told, kind=kind, wanted=set(), place=place, numbered=False)
    if len(parts) > 1:
        raise DataError(f"{place}: {found[0].name} and {parts[1].files[0]} have different columns or types")
    db.execute(f"ALTER TABLE {parts[0].relation} RENAME TO {relation}")
    return parts[0].present


def _load_table(db: duckdb.DuckDBPyConnection, source: Files, label: SourceTable, files: list[Path]) -> Loaded:
    table = mapping.tables(source)[label]
    assert isinstance(table, Table)
    wanted = {table.columns.get(own, own).lower() for own in WANTED[label]} | {
        theirs.lower() for theirs in table.columns.values()
    }
    numbered = label == "events" and len(files) > 1
    return _load(
        db,
        f"raw_{label}",
        files,
        table,
        kind=source.type,
        wanted=wanted,
        place=place(label),
        numbered=numbered,
    )


def _load(
    db: duckdb.DuckDBPyConnection,
    relation: str,
    found: list[Path],
    table: Table,
    *,
    kind: str,
    wanted: set[str],
    place: str,
    numbered: bool,
) -> Loaded:
    """Read each file by its own schema; those of one schema and zone are rows of one relation.

    `numbered` adds the number of the file that each row is from.
    """
    parts: dict[tuple[object, ...], Part] = {}
    before = 0
    for number, path in enumerate(found):
        zone = _zone(table, path, place=place)
        with _readable(db, path, table, kind=kind, wanted=wanted, place=place) as (scan, counted):
            present = {row[0].lower(): row[1] for row in db.execute(f"DESCRIBE FROM {scan}").fetchall()}
            key = (zone, *present.items())
            into = parts.get(key)
            own = into.relation if into else f"{relation}_{len(parts)}"
            told = f"*, CAST({number} AS UBIGINT) AS {SOURCE_FILE}" if numbered else "*"
            query = f"SELECT {told}, {before} + row_number() OVER () AS source_row FROM {scan}"
            done = db.execute(f"INSERT INTO {own} {query}" if into else f"CREATE TABLE {own} AS {query}").fetchone()
        rows = int(done[0]) if done else 0
        if rows != counted:
            raise DataError(f"{place}: {path.name} holds {counted:,} rows and {rows:,} were read; mend the file")
        held = present | ({SOURCE_FILE: "UBIGINT"} if numbered else {})
        names, starts = (into.files, into.starts) if into else ((), ())
        parts[key] = Part(own, held, (*names, path.name), (*starts, before), zone)
        before += rows
    return tuple(parts.values())


@contextlib.contextmanager
def _readable(
    db: duckdb.DuckDBPyConnection, path: Path, table: Table, *, kind: str, wanted: set[str], place: str
) -> Iterator[tuple[str, int]]:
    """Make SQL that reads a file's rows, with how many there are; what is unpacked for it goes afterwards."""
    kind = KINDS.get(path.name.removesuffix(".gz").rpartition(".")[2], kind)
    with tempfile.TemporaryDirectory(prefix="intentflow-read-") as folder:
        try:
            if kind == "parquet":
                held = pq.ParquetFile(path)
                _require_once(held.schema_arrow.names, place=f"{place}: {path.name}")
                yield f"read_parquet({text(path)})", held.metadata.num_rows
            elif kind == "csv":
                yield csv_source.scan(db, path, table, wanted, Path(folder), place=place)
            else:
                readable = text_files.as_utf8(path, table.encoding, Path(folder), place=place)
                yield json_lines.scan(readable, Path(folder), place=place, label=path.name)
        except UNREADABLE as error:
            raise DataError(f"{place}: {path.name} cannot be read: {str(error).splitlines()[0]}") from error


def _require_once(names: list[str], *, place: str) -> None:
    """Refuse columns that differ in nothing but case: which of them is meant, nobody can tell."""
    plain = [name.lower() for name in names]
    for at, name in enumerate(plain):
        if name in plain[:at]:
            raise DataError(f"{place} names '{names[at]}' twice (case does not count); rename one of the columns")


def _zone(table: Table, path: Path, *, place: str) -> str:
    """Return the zone of a file's times that carry none: the first pattern that its name fits."""
    if isinstance(table.timezone, str):
        return table.timezone
    for pattern, zone in table.timezone.items():
        if fnmatch.fnmatch(path.name, pattern) or fnmatch.fnmatch(str(path), f"*/{pattern}"):
            return zone
    listed = ", ".join(table.timezone)
    raise DataError(f"{place}.timezone: no pattern fits {path.name}; have {listed}; end with one for all, '*': UTC")


def _found(source: Files, base: Path) -> dict[SourceTable, list[Path]]:
    declared = mapping.tables(source)
    return {
        label: matches(table, base, place=place(label)) for label, table in declared.items() if isinstance(table, Table)
    }


def matches(table: Table, base: Path, *, place: str) -> list[Path]:
    """Find a table's files; DataError where a pattern finds none or a file is empty."""
    found = sorted(Path(path) for path in glob.glob(str(base / table.path), recursive=True) if Path(path).is_file())
    if not found:
        folder = (base / table.path).parent
        beside = [path.name for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []
        where = f"in {folder}{nearest(Path(table.path).name, beside)}" if folder.is_dir() else f"(no folder {folder})"
        raise DataError(f"{place}.path: no file '{table.path}' {where}")
    for path in found:
        if path.stat().st_size == 0:
            raise DataError(f"{place}.path: {path} is empty (0 bytes)")
    return found

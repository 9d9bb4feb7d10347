"""Adapter of the user's own parquet or CSV files: each declared table's files, loaded with their rows numbered.

`mapping` turns the loaded tables into canonical relations; `arrivals` drops the events that another file repeats.
"""

import glob
from pathlib import Path

import duckdb

from components.data import mapping
from components.data.arrivals import SOURCE_FILE
from components.data.database import text
from components.data.mapping import Loaded
from components.data.source_spec import Files, SourceTable, Table
from feature_repo.errors import DataError, nearest

UNREADABLE = (duckdb.InvalidInputException, duckdb.ConversionException, duckdb.BinderException)


def paths(source: Files, base: Path) -> list[Path]:
    """Find the files of every table; DataError where a pattern finds none or a file is empty."""
    return [path for found in _found(source, base).values() for path in found]


def read(db: duckdb.DuckDBPyConnection, source: Files, base: Path) -> tuple[list[Path], bool]:
    """Create the source relations; return the files they read, and whether events say when they became known."""
    found = _found(source, base)
    loaded = {
        label: load(
            db,
            f"raw_{label}",
            files,
            kind=source.type,
            place=mapping.place(label),
            numbered=label == "events" and len(files) > 1,
        )
        for label, files in found.items()
    }
    tells = mapping.create(db, source, loaded)
    return [path for files in found.values() for path in files], tells


def load(
    db: duckdb.DuckDBPyConnection, relation: str, found: list[Path], *, kind: str, place: str, numbered: bool = False
) -> Loaded:
    """Read files of one kind into a relation, rows numbered; return its columns (lower case) and their types.

    `numbered` adds the number of the file that each row is from.
    """
    listed = "[" + ", ".join(text(path) for path in found) + "]"
    suffix = found[0].name.removesuffix(".gz").rpartition(".")[2]
    scan = f"read_parquet({listed}, union_by_name = true)"
    if suffix == "csv" or (suffix != "parquet" and kind == "csv"):
        scan = f"read_csv({listed}, all_varchar = true, header = true, union_by_name = true)"
    told = f"*, file_index AS {SOURCE_FILE}" if numbered else "*"
    try:
        db.execute(f"CREATE TABLE {relation} AS SELECT {told}, row_number() OVER () AS source_row FROM {scan}")
    except UNREADABLE as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{place}: {found[0].name} cannot be read: {reason}") from error
    rows = db.execute(f"DESCRIBE {relation}").fetchall()
    return {row[0].lower(): row[1] for row in rows if row[0] != "source_row"}


def _found(source: Files, base: Path) -> dict[SourceTable, list[Path]]:
    declared = mapping.tables(source)
    return {
        label: _matches(table, base, place=mapping.place(label))
        for label, table in declared.items()
        if isinstance(table, Table)
    }


def _matches(table: Table, base: Path, *, place: str) -> list[Path]:
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

"""Adapter of the user's own parquet or CSV files: their columns as canonical relations.

It leaves the relations `source_events`, `source_items` and `source_users` in the database, user ids raw.
Missing optional columns get defaults; a missing required one, or a value that cannot be read, is a
DataError with the place in the spec. Names of columns are compared without case, as DuckDB does.
"""

import glob
from collections.abc import Mapping
from pathlib import Path

import duckdb

from components.data.conversion import Reading, reading, require_readable
from components.data.database import name, text
from components.data.spec import Files, Table, TableName
from feature_repo import columns
from feature_repo.errors import DataError, nearest

TEXT, NUMBER, TIME = "CAST(NULL AS VARCHAR)", "CAST(NULL AS DOUBLE)", "CAST(NULL AS TIMESTAMPTZ)"
EVENT_DEFAULTS = {
    columns.EVENT: "'event'",
    columns.SESSION_ID: TEXT,  # ingest fills it: a user's local day
    columns.QUANTITY: "CAST(1 AS DOUBLE)",
    columns.VALUE: "CAST(0 AS DOUBLE)",
    columns.DISCOUNT: "CAST(0 AS DOUBLE)",
}
ITEM_DEFAULTS = {columns.CATEGORY: TEXT, columns.BRAND: TEXT, columns.PRICE: NUMBER, columns.FIRST_SEEN: TIME}
UNREADABLE = (duckdb.InvalidInputException, duckdb.ConversionException, duckdb.BinderException)


def paths(source: Files, base: Path) -> list[Path]:
    """Find the files of every table; DataError where a pattern finds none or a file is empty."""
    return [path for label, table in _tables(source).items() for path in _matches(table, base, place=_place(label))]


def read(db: duckdb.DuckDBPyConnection, source: Files, base: Path) -> list[Path]:
    """Create the source relations; return the files they read."""
    found = paths(source, base)
    present = {label: _load(db, label, source, base) for label in _tables(source)}
    _create_events(db, source.events, present["events"])
    if source.items:
        _create_items(db, source.items, present["items"], of_events=source.items.path == source.events.path)
    else:
        _create_items_of_events(db)
    _create_users(db, source.users, present.get("users", {}))
    return found


def _create_events(db: duckdb.DuckDBPyConnection, table: Table, present: dict[str, str]) -> None:
    readings = _readings(table, present, columns.EVENTS, label="events", required=columns.EVENTS_REQUIRED)
    require_readable(db, "raw_events", readings, place=_place("events"))
    defaults = EVENT_DEFAULTS | {columns.CREATED_AT: readings[columns.TIMESTAMP].value}
    told = _canonical(columns.EVENTS, readings, defaults)
    db.execute(f"CREATE VIEW source_events AS SELECT {told}, source_row FROM raw_events")


def _create_items(db: duckdb.DuckDBPyConnection, table: Table, present: dict[str, str], *, of_events: bool) -> None:
    """Create the items of a file of their own, or of the events' file: then an item's first row speaks for it."""
    readings = _readings(table, present, columns.ITEMS, label="items", required=columns.ITEMS_REQUIRED)
    require_readable(db, "raw_items", readings, place=_place("items"))
    category = readings.get(columns.CATEGORY)
    defaults = ITEM_DEFAULTS | {
        columns.TITLE: readings[columns.ITEM_ID].value,
        columns.CATEGORY_PATH: category.value if category else TEXT,
    }
    told = [_canonical(columns.ITEMS, readings, defaults)]
    told += _attributes(table, _named(table, present) if of_events else present, readings, taken=columns.ITEMS)
    key = readings[columns.ITEM_ID].value
    first = f" QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY source_row) = 1" if of_events else ""
    db.execute(f"CREATE VIEW source_items AS SELECT {', '.join(told)}, source_row FROM raw_items{first}")


def _create_items_of_events(db: duckdb.DuckDBPyConnection) -> None:
    """Without a table of items, they are those that events name, titled by their ids."""
    defaults = ITEM_DEFAULTS | {columns.ITEM_ID: "item_id", columns.TITLE: "item_id", columns.CATEGORY_PATH: TEXT}
    db.execute(f"""
        CREATE TABLE source_items AS SELECT {_canonical(columns.ITEMS, {}, defaults)}, min(source_row) AS source_row
        FROM source_events WHERE item_id IS NOT NULL GROUP BY item_id""")


def _create_users(db: duckdb.DuckDBPyConnection, table: Table | None, present: dict[str, str]) -> None:
    if table is None:
        db.execute("CREATE TABLE source_users (user_id VARCHAR, source_row BIGINT)")
        return
    readings = _readings(table, present, columns.USERS_REQUIRED, label="users", required=columns.USERS_REQUIRED)
    told = [_canonical(columns.USERS_REQUIRED, readings, {})]
    told += _attributes(table, _named(table, present), readings, taken=columns.USERS_REQUIRED)
    db.execute(f"CREATE VIEW source_users AS SELECT {', '.join(told)}, source_row FROM raw_users")


def _load(db: duckdb.DuckDBPyConnection, label: TableName, source: Files, base: Path) -> dict[str, str]:
    """Read a table's files into `raw_<label>`; return its columns (lower case) and their types."""
    found = _matches(_tables(source)[label], base, place=_place(label))
    return load(db, f"raw_{label}", found, kind=source.type, place=_place(label))


def load(db: duckdb.DuckDBPyConnection, relation: str, found: list[Path], *, kind: str, place: str) -> dict[str, str]:
    """Read files of one kind into a relation, rows numbered; return its columns (lower case) and their types."""
    listed = "[" + ", ".join(text(path) for path in found) + "]"
    suffix = found[0].name.removesuffix(".gz").rpartition(".")[2]
    scan = f"read_parquet({listed}, union_by_name = true)"
    if suffix == "csv" or (suffix != "parquet" and kind == "csv"):
        scan = f"read_csv({listed}, all_varchar = true, header = true, union_by_name = true)"
    try:
        db.execute(f"CREATE TABLE {relation} AS SELECT *, row_number() OVER () AS source_row FROM {scan}")
    except UNREADABLE as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{place}: {found[0].name} cannot be read: {reason}") from error
    rows = db.execute(f"DESCRIBE {relation}").fetchall()
    return {row[0].lower(): row[1] for row in rows if row[0] != "source_row"}


def _readings(
    table: Table,
    present: dict[str, str],
    wanted: tuple[str, ...],
    *,
    label: TableName,
    required: tuple[str, ...],
) -> dict[str, Reading]:
    """Say how each canonical column that the files have is read; DataError where one must be there and is not."""
    readings = {}
    for column in wanted:
        told = table.columns.get(column)
        source = (told or column).lower()
        if source in present:
            kind, zone, form = present[source], table.timezone, table.timestamps
            readings[column] = reading(source, kind, column, zone=zone, timestamps=form, place=_place(label))
        elif told or column in required:
            what = f"no column '{told}' (for {column})" if told else f"no column for {column}"
            free = [other for other in present if told or other not in wanted]
            raise DataError(
                f"{_place(label)}: {what} in {Path(table.path).name}; have {', '.join(present)}"
                f"{nearest(source, free)}; say it as `columns: {{{column}: <column>}}`"
            )
    return readings


def _canonical(wanted: tuple[str, ...], readings: dict[str, Reading], defaults: Mapping[str, str]) -> str:
    """Select canonical columns; a default stands in where a column or a value is missing."""
    told = []
    for column in wanted:
        options = [readings[column].value] if column in readings else []
        options += [defaults[column]] if column in defaults else []
        told.append(f"coalesce({', '.join(options)}) AS {name(column)}")
    return ", ".join(told)


def _attributes(
    table: Table, present: dict[str, str], readings: dict[str, Reading], *, taken: tuple[str, ...]
) -> list[str]:
    """Select the columns that come along as they are, renamed where the spec says so, lists split."""
    used = {read.column for read in readings.values()}
    renamed = {column.lower(): own for own, column in table.columns.items() if own not in taken}
    told = []
    for column, kind in present.items():
        own, value = renamed.get(column, column), name(column)
        if column in used or own in taken:
            continue
        if separator := table.lists.get(own):
            parts = f"list_transform(string_split({value}, {text(separator)}), lambda part: trim(part))"
            value = f"list_filter({parts}, lambda part: part <> '')"
        elif kind in ("FLOAT", "DOUBLE"):
            value = f"CASE WHEN isnan({value}) THEN NULL ELSE {value} END"
        told.append(f"{value} AS {name(own)}")
    return told


def _named(table: Table, present: dict[str, str]) -> dict[str, str]:
    """Keep only what the spec names: where a file speaks of users, it may hold names and addresses."""
    named = {column.lower() for column in table.columns.values()}
    return {column: kind for column, kind in present.items() if column in named}


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


def _tables(source: Files) -> dict[TableName, Table]:
    found: dict[TableName, Table | None] = {"events": source.events, "items": source.items, "users": source.users}
    return {label: table for label, table in found.items() if table}


def _place(label: TableName) -> str:
    return f"data.source.{label}"

"""The columns of loaded tables as canonical relations, whatever the tables were loaded from.

Adapters (`files`, `sql`) load `raw_events`, `raw_items` … with rows numbered; here they become the relations
`source_events`, `source_items`, `source_users` and, where there are any, `source_offers`, user ids raw. Missing
optional columns get defaults; a missing required one, or a value that cannot be read, is a DataError with the
place in the spec. Names of columns are compared without case, as DuckDB does.
"""

from collections.abc import Mapping
from dataclasses import replace

import duckdb

from components.data.arrivals import SOURCE_FILE
from components.data.conversion import Reading, reading, require_readable
from components.data.database import name, text
from components.data.source_spec import Files, SourceTable, Sql, SqlTable, Table
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
OFFER_DEFAULTS = {columns.KIND: "'offer'", columns.SHARE: "CAST(1 AS DOUBLE)", columns.CAMPAIGN: TEXT}

Mapped = Table | SqlTable
Loaded = dict[str, str]  # a loaded table's columns (lower case) and their types in DuckDB


def tables(source: Files | Sql) -> dict[SourceTable, Mapped]:
    """List the tables that a source declares."""
    found: dict[SourceTable, Mapped | None] = {
        "events": source.events,
        "items": source.items,
        "users": source.users,
        "offers": source.offers,
    }
    return {label: table for label, table in found.items() if table}


def place(label: SourceTable) -> str:
    """Name a table's place in the spec."""
    return f"data.source.{label}"


def create(db: duckdb.DuckDBPyConnection, source: Files | Sql, loaded: Mapping[SourceTable, Loaded]) -> bool:
    """Create the source relations from the raw ones; tell whether events say when they became known."""
    events = source.events
    _create_events(db, events, loaded["events"])
    if source.items:
        _create_items(db, source.items, loaded["items"], of_events=source.items.origin == events.origin)
    else:
        _create_items_of_events(db)
    _create_users(db, source.users, loaded.get("users", {}))
    if source.offers:
        _create_offers(db, source.offers, loaded["offers"])
    return events.columns.get(columns.CREATED_AT, columns.CREATED_AT).lower() in loaded["events"]


def _create_events(db: duckdb.DuckDBPyConnection, table: Mapped, present: Loaded) -> None:
    readings = _readings(table, present, columns.EVENTS, label="events", required=columns.EVENTS_REQUIRED)
    require_readable(db, "raw_events", readings, place=place("events"))
    defaults = EVENT_DEFAULTS | {columns.CREATED_AT: readings[columns.TIMESTAMP].value}
    told = _canonical(columns.EVENTS, readings, defaults)
    rest = f"source_row, {SOURCE_FILE}" if SOURCE_FILE in present else "source_row"
    db.execute(f"CREATE VIEW source_events AS SELECT {told}, {rest} FROM raw_events")


def complete_events(db: duckdb.DuckDBPyConnection) -> None:
    """Give the events of an adapter the optional columns that its data lacks, each with its default."""
    missing = [column for column in EVENT_DEFAULTS if column not in db.sql("FROM source_events").columns]
    if not missing:
        return
    (is_view,) = db.execute("SELECT count(*) FROM duckdb_views() WHERE view_name = 'source_events'").fetchall()[0]
    db.execute(f"ALTER {'VIEW' if is_view else 'TABLE'} source_events RENAME TO given_events")
    added = ", ".join(f"{EVENT_DEFAULTS[column]} AS {name(column)}" for column in missing)
    db.execute(f"CREATE VIEW source_events AS SELECT *, {added} FROM given_events")


def _create_items(db: duckdb.DuckDBPyConnection, table: Mapped, present: Loaded, *, of_events: bool) -> None:
    """Create the items of a table of their own, or of the events' one: then an item's first row speaks for it."""
    readings = _readings(table, present, columns.ITEMS, label="items", required=columns.ITEMS_REQUIRED)
    require_readable(db, "raw_items", readings, place=place("items"))
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


def _create_users(db: duckdb.DuckDBPyConnection, table: Mapped | None, present: Loaded) -> None:
    if table is None:
        db.execute("CREATE TABLE source_users (user_id VARCHAR, source_row BIGINT)")
        return
    readings = _readings(table, present, columns.USERS_REQUIRED, label="users", required=columns.USERS_REQUIRED)
    told = [_canonical(columns.USERS_REQUIRED, readings, {})]
    told += _attributes(table, _named(table, present), readings, taken=columns.USERS_REQUIRED)
    db.execute(f"CREATE VIEW source_users AS SELECT {', '.join(told)}, source_row FROM raw_users")


def _create_offers(db: duckdb.DuckDBPyConnection, table: Mapped, present: Loaded) -> None:
    """Create the offers; one that does not say when it became known was known when it began."""
    readings = _readings(table, present, columns.OFFERS, label="offers", required=columns.OFFERS_REQUIRED)
    require_readable(db, "raw_offers", readings, place=place("offers"))
    defaults = OFFER_DEFAULTS | {columns.CREATED_AT: readings[columns.VALID_FROM].value}
    told = _canonical(columns.OFFERS, readings, defaults)
    db.execute(f"CREATE VIEW source_offers AS SELECT {told}, source_row FROM raw_offers")


def _readings(
    table: Mapped,
    present: Loaded,
    wanted: tuple[str, ...],
    *,
    label: SourceTable,
    required: tuple[str, ...],
) -> dict[str, Reading]:
    """Say how each canonical column that the table has is read; DataError where one must be there and is not."""
    readings = {}
    for column in wanted:
        told = table.columns.get(column)
        source = (told or column).lower()
        if source in present:
            readings[column] = reading(
                source,
                present[source],
                column,
                zone=table.timezone,
                timestamps=table.timestamps,
                unit=table.units.get(column),
                place=place(label),
            )
        elif told or column in required or column in table.times:
            what = f"no column '{told}' (for {column})" if told else f"no column for {column}"
            free = [other for other in _shown(present) if told or other not in wanted]
            raise DataError(
                f"{place(label)}: {what} in {table.label}; have {', '.join(_shown(present))}"
                f"{nearest(source, free)}; say it as `columns: {{{column}: <column>}}`"
            )
    return readings | _factors(table, present, readings, label=label)


def _factors(table: Mapped, present: Loaded, readings: dict[str, Reading], *, label: SourceTable) -> dict[str, Reading]:
    """Multiply the columns that the spec says so of, and return how each one's factor is read."""
    factors = {}
    for column, factor in table.times.items():
        if column not in readings:
            continue
        if (source := factor.lower()) not in present:
            raise DataError(
                f"{place(label)}.times: no column '{factor}' in {table.label} to multiply {column} by; "
                f"have {', '.join(_shown(present))}{nearest(source, _shown(present))}"
            )
        zone, timestamps = table.timezone, table.timestamps
        read = reading(source, present[source], column, zone=zone, timestamps=timestamps, place=place(label))
        product = f"({readings[column].value}) * ({read.value})"
        readings[column] = replace(readings[column], value=product)
        factors[f"{column} times"] = read
    return factors


def _shown(present: Loaded) -> list[str]:
    return [column for column in present if column != SOURCE_FILE]


def _canonical(wanted: tuple[str, ...], readings: dict[str, Reading], defaults: Mapping[str, str]) -> str:
    """Select canonical columns; a default stands in where a column or a value is missing."""
    told = []
    for column in wanted:
        options = [readings[column].value] if column in readings else []
        options += [defaults[column]] if column in defaults else []
        told.append(f"coalesce({', '.join(options)}) AS {name(column)}")
    return ", ".join(told)


def _attributes(table: Mapped, present: Loaded, readings: dict[str, Reading], *, taken: tuple[str, ...]) -> list[str]:
    """Select the columns that come along as they are, renamed where the spec says so, lists split."""
    used = {read.column for read in readings.values()}
    renamed = {column.lower(): own for own, column in table.columns.items() if own not in taken}
    told = []
    for column, kind in present.items():
        own, value = renamed.get(column, column), name(column)
        if column in used or own in taken or column == SOURCE_FILE:
            continue
        if (separator := table.lists.get(own)) and not kind.endswith("[]"):
            parts = f"list_transform(string_split({value}, {text(separator)}), lambda part: trim(part))"
            value = f"list_filter({parts}, lambda part: part <> '')"
        elif kind in ("FLOAT", "DOUBLE"):
            value = f"CASE WHEN isnan({value}) THEN NULL ELSE {value} END"
        told.append(f"{value} AS {name(own)}")
    return told


def _named(table: Mapped, present: Loaded) -> Loaded:
    """Keep only what the spec names: where a table speaks of users, it may hold names and addresses."""
    named = {column.lower() for column in table.columns.values()}
    return {column: kind for column, kind in present.items() if column in named}

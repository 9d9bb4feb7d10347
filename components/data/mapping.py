"""The columns of loaded tables as canonical relations, whatever the tables were loaded from.

Adapters (`files`, `sql`) load parts, relations with rows numbered: files of one schema are one part, so that no
file's types change how another is read. Here the parts become the relations `source_events`, `source_items`,
`source_users` and, where there are any, `source_offers`, user ids raw. Missing optional columns get defaults; a missing
required one, a column that only some files have, or a value that cannot be read, is a DataError with the place in the
spec. Names of columns are compared without case, as DuckDB does.
"""

import logging
from collections.abc import Callable, Mapping

import duckdb

from components.data import impressions, items_of_users, made_times
from components.data.arrivals import SOURCE_FILE
from components.data.conversion import NESTED, Reading, as_text
from components.data.database import name, text
from components.data.parts import Loaded, Mapped, Part, Told, place, readings_of, require_part, united
from components.data.source_spec import Files, SourceTable, Sql
from feature_repo import columns

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
MADE = (columns.TIMESTAMP, columns.CREATED_AT)  # not read from events whose times are made

log = logging.getLogger(__name__)


def tables(source: Files | Sql) -> dict[SourceTable, Mapped]:
    """List the tables that a source declares."""
    found: dict[SourceTable, Mapped | None] = {
        "events": source.events,
        "items": source.items_table,
        "users": source.users,
        "offers": source.offers,
    }
    return {label: table for label, table in found.items() if table}


def create(db: duckdb.DuckDBPyConnection, source: Files | Sql, loaded: Mapping[SourceTable, Loaded]) -> bool:
    """Create the source relations from the raw ones; tell whether events say when they became known."""
    events = source.events
    made = source.made_times if isinstance(source, Files) else None
    required = tuple(c for c in columns.EVENTS_REQUIRED if not (made and c in MADE))
    _create_events(db, events, loaded["events"], required=required)
    if isinstance(source, Files) and source.impressions:
        impressions.create(db, source.impressions, place="data.source")
    if made:
        made_times.create(db, made)
    _create_users(db, source.users, loaded.get("users", ()))
    if source.items_are_users:
        items_of_users.create(db, ITEM_DEFAULTS | {columns.TITLE: TEXT, columns.CATEGORY_PATH: TEXT})
    elif source.items_table:
        of_events = source.items_table.origin == events.origin
        _create_items(db, source.items_table, loaded["items"], of_events=of_events)
    else:
        _create_items_of_events(db)
    if source.offers:
        _create_offers(db, source.offers, loaded["offers"])
    own = events.columns.get(columns.CREATED_AT, columns.CREATED_AT).lower()
    return any(own in part.present for part in loaded["events"])


def _create_events(db: duckdb.DuckDBPyConnection, table: Mapped, loaded: Loaded, *, required: tuple[str, ...]) -> None:
    timed = columns.TIMESTAMP in required
    held = (*columns.EVENTS, *(column for column in (columns.STRENGTH, columns.TEXT) if column in table.columns))
    wanted = tuple(column for column in held if timed or column not in MADE)
    told = readings_of(db, table, loaded, wanted, label="events", required=required)

    def selected(part: Part, readings: dict[str, Reading]) -> str:
        happened = readings[columns.TIMESTAMP].value if timed else TIME
        defaults = EVENT_DEFAULTS | {columns.CREATED_AT: happened, columns.TIMESTAMP: happened}
        rest = f"source_row, {SOURCE_FILE}" if SOURCE_FILE in part.present else "source_row"
        return f"SELECT {_canonical(held, readings, defaults)}, {rest} FROM {part.relation}"

    db.execute(f"CREATE VIEW source_events AS {united(told, selected)}")


def complete_events(db: duckdb.DuckDBPyConnection) -> None:
    """Give the events of an adapter the optional columns that its data lacks, each with its default."""
    missing = [column for column in EVENT_DEFAULTS if column not in db.sql("FROM source_events").columns]
    if not missing:
        return
    (is_view,) = db.execute("SELECT count(*) FROM duckdb_views() WHERE view_name = 'source_events'").fetchall()[0]
    db.execute(f"ALTER {'VIEW' if is_view else 'TABLE'} source_events RENAME TO given_events")
    added = ", ".join(f"{EVENT_DEFAULTS[column]} AS {name(column)}" for column in missing)
    db.execute(f"CREATE VIEW source_events AS SELECT *, {added} FROM given_events")


def _create_items(db: duckdb.DuckDBPyConnection, table: Mapped, loaded: Loaded, *, of_events: bool) -> None:
    """Create the items of a table of their own, or of the events' one: then an item's first row speaks for it."""
    told = readings_of(db, table, loaded, columns.ITEMS, label="items", required=columns.ITEMS_REQUIRED)
    own = _attributes(db, table, told, taken=columns.ITEMS, all_of_them=not of_events, place=place("items"))

    def selected(part: Part, readings: dict[str, Reading]) -> str:
        category = readings.get(columns.CATEGORY)
        defaults = ITEM_DEFAULTS | {
            columns.TITLE: readings[columns.ITEM_ID].value,
            columns.CATEGORY_PATH: category.value if category else TEXT,
        }
        listed = ", ".join([_canonical(columns.ITEMS, readings, defaults), *own(part)])
        return f"SELECT {listed}, source_row FROM {part.relation}"

    query = united(told, selected)
    if of_events:
        query = f"FROM ({query}) QUALIFY row_number() OVER (PARTITION BY item_id ORDER BY source_row) = 1"
    db.execute(f"CREATE VIEW source_items AS {query}")


def _create_items_of_events(db: duckdb.DuckDBPyConnection) -> None:
    """Without a table of items, they are those that events name, titled by their ids."""
    defaults = ITEM_DEFAULTS | {columns.ITEM_ID: "item_id", columns.TITLE: "item_id", columns.CATEGORY_PATH: TEXT}
    db.execute(f"""
        CREATE TABLE source_items AS SELECT {_canonical(columns.ITEMS, {}, defaults)}, min(source_row) AS source_row
        FROM source_events WHERE item_id IS NOT NULL GROUP BY item_id""")


def _create_users(db: duckdb.DuckDBPyConnection, table: Mapped | None, loaded: Loaded) -> None:
    if table is None:
        db.execute("CREATE TABLE source_users (user_id VARCHAR, source_row BIGINT)")
        return
    told = readings_of(db, table, loaded, columns.USERS_REQUIRED, label="users", required=columns.USERS_REQUIRED)
    own = _attributes(db, table, told, taken=columns.USERS_REQUIRED, all_of_them=False, place=place("users"))

    def selected(part: Part, readings: dict[str, Reading]) -> str:
        listed = ", ".join([_canonical(columns.USERS_REQUIRED, readings, {}), *own(part)])
        return f"SELECT {listed}, source_row FROM {part.relation}"

    db.execute(f"CREATE VIEW source_users AS {united(told, selected)}")


def _create_offers(db: duckdb.DuckDBPyConnection, table: Mapped, loaded: Loaded) -> None:
    """Create the offers; one that does not say when it became known was known when it began."""
    told = readings_of(db, table, loaded, columns.OFFERS, label="offers", required=columns.OFFERS_REQUIRED)

    def selected(part: Part, readings: dict[str, Reading]) -> str:
        defaults = OFFER_DEFAULTS | {columns.CREATED_AT: readings[columns.VALID_FROM].value}
        return f"SELECT {_canonical(columns.OFFERS, readings, defaults)}, source_row FROM {part.relation}"

    db.execute(f"CREATE VIEW source_offers AS {united(told, selected)}")


def _canonical(wanted: tuple[str, ...], readings: dict[str, Reading], defaults: Mapping[str, str]) -> str:
    """Select canonical columns; a default stands in where a column or a value is missing."""
    told = []
    for column in wanted:
        options = [readings[column].value] if column in readings else []
        options += [defaults[column]] if column in defaults else []
        told.append(f"coalesce({', '.join(options)}) AS {name(column)}")
    return ", ".join(told)


def _attributes(
    db: duckdb.DuckDBPyConnection, table: Mapped, told: Told, *, taken: tuple[str, ...], all_of_them: bool, place: str
) -> Callable[[Part], list[str]]:
    """Select the columns that come along as they are, renamed where the spec says so, lists split."""
    renamed = {column.lower(): own for own, column in table.columns.items() if own not in taken}
    used = {read.column for readings in told.readings for read in readings.values()} | {SOURCE_FILE}
    # Where a table speaks of users, it may hold names and addresses: then only what the spec names comes along.
    named = {column.lower() for column in table.columns.values()}
    kinds: dict[str, set[str]] = {}
    for part in told.parts:
        for column, kind in part.present.items():
            if column not in used and renamed.get(column, column) not in taken and (all_of_them or column in named):
                kinds.setdefault(column, set()).add(kind)
                if kind == "BLOB":
                    read = Reading(
                        column,
                        as_text(column, kind),
                        "text",
                        f"{name(column)} IS NOT NULL AND {as_text(column, kind)} IS NULL",
                    )
                    require_part(db, part, {column: read}, place=place)

    def selected(part: Part) -> list[str]:
        found = []
        for column, held in kinds.items():
            own = renamed.get(column, column)
            value = _attribute(column, part.present.get(column), held, separator=table.lists.get(own))
            if table.nulls and part.present.get(column) == "VARCHAR" and own not in table.lists:
                value = (
                    f"CASE WHEN {value} IN ({', '.join(text(word) for word in table.nulls)}) THEN NULL ELSE {value} END"
                )
            found.append(f"{value} AS {name(own)}")
        return found

    return selected


def _attribute(column: str, kind: str | None, held: set[str], *, separator: str | None) -> str:
    """Read an attribute as its file has it, or as text where the files' types differ; nested values are JSON text."""
    value = name(column)
    if kind is None:
        return f"CAST(NULL AS {'VARCHAR[]' if separator else next(iter(held)) if len(held) == 1 else 'VARCHAR'})"
    if separator and not kind.endswith("[]"):
        parts = f"list_transform(string_split({as_text(column, kind)}, {text(separator)}), lambda part: trim(part))"
        return f"list_filter({parts}, lambda part: part <> '')"
    if separator:
        return f"CAST({value} AS VARCHAR[])"
    nested = kind.startswith(NESTED) or kind.endswith("[][]")
    if len(held) > 1 or nested or kind in ("BLOB", '"NULL"'):
        return as_text(column, kind)
    if kind == "TIMESTAMPTZ_NS":
        return f"CAST({value} AS TIMESTAMPTZ)"
    return f"CASE WHEN isnan({value}) THEN NULL ELSE {value} END" if kind in ("FLOAT", "DOUBLE") else value

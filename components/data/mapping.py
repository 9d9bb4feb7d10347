"""The columns of loaded tables as canonical relations, whatever the tables were loaded from.

Adapters (`files`, `sql`) load parts, relations with rows numbered: files of one schema are one part, so that no
file's types change how another is read. Here the parts become the relations `source_events`, `source_items`,
`source_users` and, where there are any, `source_offers`, user ids raw. Missing optional columns get defaults; a missing
required one, a column that only some files have, or a value that cannot be read, is a DataError with the place in the
spec. Names of columns are compared without case, as DuckDB does.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import duckdb

from components.data import impressions, items_of_users, made_times
from components.data.arrivals import SOURCE_FILE
from components.data.conversion import NESTED, Reading, as_text, reading, require_readable
from components.data.database import name, text
from components.data.source_spec import Files, SourceTable, Sql
from components.data.table_spec import SqlTable, Table
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
MADE = (columns.TIMESTAMP, columns.CREATED_AT)  # not read from events whose times are made

Mapped = Table | SqlTable
Present = dict[str, str]  # columns (lower case) and their types in DuckDB
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Part:
    """Loaded rows of one schema: a table of a database, or files of a table that are alike."""

    relation: str
    present: Present
    files: tuple[str, ...] = ()  # their names, in order of their rows
    starts: tuple[int, ...] = ()  # the number of rows before each file's first
    zone: str = "UTC"  # of times that carry none


Loaded = tuple[Part, ...]


@dataclass(frozen=True)
class Told:
    """How the canonical columns of each part are read."""

    parts: Loaded
    readings: tuple[dict[str, Reading], ...]


def tables(source: Files | Sql) -> dict[SourceTable, Mapped]:
    """List the tables that a source declares."""
    found: dict[SourceTable, Mapped | None] = {
        "events": source.events,
        "items": source.items_table,
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
    told = _readings(db, table, loaded, wanted, label="events", required=required)

    def selected(part: Part, readings: dict[str, Reading]) -> str:
        happened = readings[columns.TIMESTAMP].value if timed else TIME
        defaults = EVENT_DEFAULTS | {columns.CREATED_AT: happened, columns.TIMESTAMP: happened}
        rest = f"source_row, {SOURCE_FILE}" if SOURCE_FILE in part.present else "source_row"
        return f"SELECT {_canonical(held, readings, defaults)}, {rest} FROM {part.relation}"

    db.execute(f"CREATE VIEW source_events AS {_united(told, selected)}")


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
    told = _readings(db, table, loaded, columns.ITEMS, label="items", required=columns.ITEMS_REQUIRED)
    own = _attributes(db, table, told, taken=columns.ITEMS, all_of_them=not of_events, place=place("items"))

    def selected(part: Part, readings: dict[str, Reading]) -> str:
        category = readings.get(columns.CATEGORY)
        defaults = ITEM_DEFAULTS | {
            columns.TITLE: readings[columns.ITEM_ID].value,
            columns.CATEGORY_PATH: category.value if category else TEXT,
        }
        listed = ", ".join([_canonical(columns.ITEMS, readings, defaults), *own(part)])
        return f"SELECT {listed}, source_row FROM {part.relation}"

    query = _united(told, selected)
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
    told = _readings(db, table, loaded, columns.USERS_REQUIRED, label="users", required=columns.USERS_REQUIRED)
    own = _attributes(db, table, told, taken=columns.USERS_REQUIRED, all_of_them=False, place=place("users"))

    def selected(part: Part, readings: dict[str, Reading]) -> str:
        listed = ", ".join([_canonical(columns.USERS_REQUIRED, readings, {}), *own(part)])
        return f"SELECT {listed}, source_row FROM {part.relation}"

    db.execute(f"CREATE VIEW source_users AS {_united(told, selected)}")


def _create_offers(db: duckdb.DuckDBPyConnection, table: Mapped, loaded: Loaded) -> None:
    """Create the offers; one that does not say when it became known was known when it began."""
    told = _readings(db, table, loaded, columns.OFFERS, label="offers", required=columns.OFFERS_REQUIRED)

    def selected(part: Part, readings: dict[str, Reading]) -> str:
        defaults = OFFER_DEFAULTS | {columns.CREATED_AT: readings[columns.VALID_FROM].value}
        return f"SELECT {_canonical(columns.OFFERS, readings, defaults)}, source_row FROM {part.relation}"

    db.execute(f"CREATE VIEW source_offers AS {_united(told, selected)}")


def _united(told: Told, selected: Callable[[Part, dict[str, Reading]], str]) -> str:
    """Put the parts' rows together, by the names of columns, since each part says the same ones."""
    queries = [selected(part, readings) for part, readings in zip(told.parts, told.readings, strict=True)]
    return " UNION ALL BY NAME ".join(queries)


def _readings(
    db: duckdb.DuckDBPyConnection,
    table: Mapped,
    loaded: Loaded,
    wanted: tuple[str, ...],
    *,
    label: SourceTable,
    required: tuple[str, ...],
) -> Told:
    """Say how each canonical column that the table has is read; DataError where one must be there and is not."""
    sources = {column: table.columns.get(column, column).lower() for column in wanted}
    for column, source in sources.items():
        told = table.columns.get(column)
        if not any(source in part.present for part in loaded) and (told or column in required or column in table.times):
            raise DataError(_absent(table, loaded[0].present, column, wanted, label=label))
    mapped = {own: theirs.lower() for own, theirs in table.columns.items()}
    require_everywhere(loaded, sources | mapped, table.label, place=place(label))
    found = tuple(
        {
            column: reading(
                source,
                part.present[source],
                column,
                zone=part.zone,
                timestamps=table.timestamps,
                unit=table.units.get(column),
                nulls=table.nulls,
                place=": ".join((place(label), *part.files[:1])),  # the others have the same types
            )
            for column, source in sources.items()
            if source in part.present
        }
        for part in loaded
    )
    for part, readings in zip(loaded, found, strict=True):
        _require_readable(db, part, readings | _multiply(table, part, readings, label=label), place=place(label))
    told_all = Told(loaded, found)
    require_one_clock(db, told_all, table, place=place(label))
    _warn_of_words(db, told_all, place=place(label))
    return told_all


def _multiply(table: Mapped, part: Part, readings: dict[str, Reading], *, label: SourceTable) -> dict[str, Reading]:
    """Multiply the columns that the spec says so of, and return how each one's factor is read."""
    factors = {}
    for column, factor in table.times.items():
        if column not in readings:
            continue
        if (source := factor.lower()) not in part.present:
            shown = [other for other in part.present if other != SOURCE_FILE]
            raise DataError(
                f"{place(label)}.times: no column '{factor}' in {table.label} to multiply {column} by; "
                f"have {', '.join(shown)}{nearest(source, shown)}"
            )
        kind, timestamps = part.present[source], table.timestamps
        read = reading(
            source, kind, column, zone=part.zone, timestamps=timestamps, nulls=table.nulls, place=place(label)
        )
        readings[column] = replace(readings[column], value=f"({readings[column].value}) * ({read.value})")
        factors[f"{column} times"] = read
    return factors


def _absent(table: Mapped, present: Present, column: str, wanted: tuple[str, ...], *, label: SourceTable) -> str:
    """Say that a column is in no file, and what to do."""
    told = table.columns.get(column)
    what = f"no column '{told}' (for {column})" if told else f"no column for {column}"
    shown = [other for other in present if other != SOURCE_FILE]
    free = [other for other in shown if told or other not in wanted]
    fix = f"say it as `columns: {{{column}: <column>}}`"
    if len(shown) == 1:
        fix = f"say what separates the columns as `delimiter:`, or {fix}"
    elif sum(any(letter.isdigit() for letter in other) for other in shown) * 2 > len(shown) and isinstance(
        table, Table
    ):
        fix += ", or `header: none` if the first line holds no names"
    near = nearest((told or column).lower(), free)
    return f"{place(label)}: {what} in {table.label}; have {', '.join(shown)}{near}; {fix}"


def require_everywhere(loaded: Loaded, sources: Mapping[str, str], label: str, *, place: str) -> None:
    """Refuse a column that a table is read by and that only some of its files have: it may have another name there."""
    for column, source in sources.items():
        lack = [file for part in loaded if source not in part.present for file in part.files]
        if not lack or all(source not in part.present for part in loaded):
            continue
        have = sum(len(part.files) for part in loaded) - len(lack)
        named = ", ".join(lack[:3]) + (f" and {len(lack) - 3} more" if len(lack) > 3 else "")
        others = next(part.present for part in loaded if source not in part.present)
        raise DataError(
            f"{place}: column '{source}' (for {column}) is in {have} of {have + len(lack)} files of {label}; "
            f"{named} {'lacks' if len(lack) == 1 else 'lack'} it and {'has' if len(lack) == 1 else 'have'} "
            f"{', '.join(one for one in others if one != SOURCE_FILE)}; rename the column there, or add it"
        )


def _require_readable(db: duckdb.DuckDBPyConnection, part: Part, readings: dict[str, Reading], *, place: str) -> None:
    """Refuse a value that cannot be read; a part of several files is asked as a whole, then file by file."""
    if len(part.files) < 2:
        require_readable(db, part.relation, readings, place=place, file="".join(part.files))
        return
    try:
        require_readable(db, part.relation, readings, place=place)
    except DataError:
        ends = (*part.starts[1:], None)
        for file, start, end in zip(part.files, part.starts, ends, strict=True):
            within = f"source_row > {start}" + (f" AND source_row <= {end}" if end is not None else "")
            rows = f"(SELECT * REPLACE (source_row - {start} AS source_row) FROM {part.relation} WHERE {within})"
            require_readable(db, rows, readings, place=place, file=file)
        raise


def require_one_clock(db: duckdb.DuckDBPyConnection, told: Told, table: Mapped, *, place: str) -> None:
    """Refuse times with an offset beside times without, unless the spec says the zone of the latter."""
    if table.timezone != "UTC":
        return
    for column in dict.fromkeys(column for readings in told.readings for column in readings):
        seen: dict[bool, str] = {}
        for part, readings in zip(told.parts, told.readings, strict=True):
            read = readings.get(column)
            if read is None or read.aware is None:
                continue
            asked = f"coalesce({read.aware}, false)"
            query = f"SELECT {asked}, min(source_row) FROM {part.relation} WHERE ({read.value}) IS NOT NULL GROUP BY 1"
            for aware, row in db.execute(query).fetchall():
                seen.setdefault(bool(aware), _place_of(part, int(row)))
        if len(seen) == 2:
            raise DataError(
                f"{place}: times for {column} carry an offset in {seen[True]} and none in {seen[False]}; say the zone "
                f"of the latter by file, as `timezone: {{'{seen[False].rpartition(' of ')[2]}': <zone>, '*': UTC}}`"
            )


def _place_of(part: Part, row: int) -> str:
    """Name a row by its file.

    >>> _place_of(Part("raw", {}, files=("a.csv", "b.csv"), starts=(0, 4)), 6)
    'row 2 of b.csv'
    """
    at = max((n for n, start in enumerate(part.starts) if start < row), default=0)
    if not part.files:
        return f"row {row}"
    return f"row {row - (part.starts[at] if part.starts else 0)} of {part.files[at]}"


def _warn_of_words(db: duckdb.DuckDBPyConnection, told: Told, *, place: str) -> None:
    """Warn of words that stand where there is no id, and are read as missing."""
    for part, readings in zip(told.parts, told.readings, strict=True):
        for column, read in readings.items():
            if read.word is None:
                continue
            query = f"SELECT {read.word} AS word, count(*) FROM {part.relation} WHERE word IS NOT NULL GROUP BY 1"
            for word, rows in db.execute(query).fetchall():
                log.warning(
                    "%s: %s is the word '%s' in %d rows and is read as missing; `nulls: []` keeps it as an id",
                    *(place, column, word, rows),
                )


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
                    _require_readable(db, part, {column: read}, place=place)

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

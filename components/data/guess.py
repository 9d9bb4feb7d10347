"""Guess how a user's own files map to the canonical tables, by the names and the values of their columns.

Behind `intentflow init`. A guess is only a draft for the spec: the user reads it and mends it. What
cannot be guessed and must be known is a SpecError that says how to tell it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from components.data.conversion import reading
from components.data.database import name
from components.data.file_source import load
from components.data.source_spec import EPOCHS
from feature_repo import columns
from feature_repo.errors import DataError, SpecError, nearest

# Names as they are met, without case, blanks and underscores; the first that fits wins.
NAMES: dict[str, tuple[str, ...]] = {
    columns.USER_ID: (
        "userid", "user", "customerid", "customer", "householdid", "household", "memberid", "clientid", "visitorid",
        "accountid", "buyerid", "listenerid", "readerid", "viewerid", "reviewerid", "personid", "uid", "member",
        "client", "account",
    ),
    columns.ITEM_ID: (
        "itemid", "item", "productid", "product", "sku", "articleid", "article", "movieid", "trackid", "songid",
        "videoid", "newsid", "bookid", "contentid", "stockcode", "asin", "isbn", "goodsid", "listingid", "courseid",
        "showid", "parentasin", "iid",
    ),
    columns.TIMESTAMP: (
        "timestamp", "eventtime", "eventtimestamp", "time", "datetime", "ts", "occurredat", "transactiontimestamp",
        "purchasedat", "invoicedate", "orderdate", "orderedat", "transactiondate", "eventdate", "tdat", "date", "day",
        "createdat",
    ),
    columns.EVENT: ("event", "eventtype", "eventname", "action", "actiontype", "behavior", "behaviortype"),
    columns.SESSION_ID: (
        "sessionid", "session", "usersession", "basketid", "basket", "orderid", "invoiceno", "invoice",
        "transactionid", "visitid", "cartid",
    ),
    columns.QUANTITY: ("quantity", "qty", "units", "count", "quantitysold"),
    columns.VALUE: ("value", "salesvalue", "amount", "revenue", "spend", "total", "sales", "price", "unitprice"),
    columns.DISCOUNT: ("discount", "discountamount"),
}  # fmt: skip
ITEM_NAMES: dict[str, tuple[str, ...]] = {
    columns.ITEM_ID: NAMES[columns.ITEM_ID] + ("id",),
    columns.TITLE: ("title", "name", "productname", "itemname", "prodname", "description", "headline"),
    columns.CATEGORY: (
        "category", "categoryname", "productcategory", "categorycode", "maincategory", "department", "section",
        "productgroupname", "categoryid", "class",
    ),
    columns.BRAND: ("brand", "brandname", "manufacturer", "artist", "publisher"),
    columns.PRICE: ("price", "unitprice", "listprice"),
}  # fmt: skip
LEVELS = ("genres", "genre", "tags", "topics", "topic", "producttype", "type", "subcategory", "keywords", columns.BRAND)
SEPARATORS = ("|", ";", ",")
FORMATS = ("%d/%m/%Y %H:%M:%S", "%d/%m/%Y %H:%M", "%d/%m/%Y", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %H:%M", "%m/%d/%Y",
           "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%d.%m.%Y", "%d-%m-%Y %H:%M:%S", "%d-%m-%Y %H:%M", "%d-%m-%Y",
           "%Y%m%d", "%Y%m%d%H%M%S")  # fmt: skip
LIKELY_SECONDS = (1e8, 1e10)  # 1973 to 2286
MAX_LEVEL_VALUES = 1000


@dataclass(frozen=True)
class Columns:
    """How one table's columns are read."""

    columns: dict[str, str]  # ours: theirs
    timestamps: str = "iso"
    lists: dict[str, str] = field(default_factory=dict)
    level: str | None = None  # what an intent may be about: category, or items.<column>


def guess_events(db: duckdb.DuckDBPyConnection, path: Path, mapping: Mapping[str, str]) -> Columns:
    """Map the columns of an events file; what `mapping` says is not guessed."""
    present = load(db, "guessed_events", [path], kind="csv", place=str(path))
    found = _told(mapping, present, path, allowed=columns.EVENTS)
    for own in NAMES:
        if own not in found and (column := _by_name(NAMES[own], present, taken=found)):
            found[own] = column
    timestamps = _timestamps(db, found, present, path)
    for own in (columns.QUANTITY, columns.VALUE, columns.DISCOUNT):
        if own in found and own not in mapping and not _numeric(db, "guessed_events", found[own], present):
            del found[own]
    missing = [own for own in columns.EVENTS_REQUIRED if own not in found]
    if missing:
        hint = " ".join(f"--map {own}=<column>" for own in missing)
        raise SpecError(
            f"{path.name}: no column looks like {' or '.join(missing)}; have {', '.join(present)}; say {hint}"
        )
    spelled = _spelled(db, "guessed_events", found)
    return Columns({own: spelled[own] for own in columns.EVENTS if own in spelled}, timestamps)


def guess_items(db: duckdb.DuckDBPyConnection, path: Path, mapping: Mapping[str, str]) -> Columns:
    """Map the columns of a file of items, and choose the column that intents are about."""
    present = load(db, "guessed_items", [path], kind="csv", place=str(path))
    found = _told(mapping, present, path, allowed=None)
    for own in ITEM_NAMES:
        if own not in found and (column := _by_name(ITEM_NAMES[own], present, taken=found)):
            found[own] = column
    if columns.ITEM_ID not in found:
        raise SpecError(
            f"{path.name}: no column looks like item_id; have {', '.join(present)}; say --map items.item_id=<column>"
        )
    if columns.PRICE in found and not _numeric(db, "guessed_items", found[columns.PRICE], present):
        del found[columns.PRICE]
    category = found.get(columns.CATEGORY)
    if category and _level_values(db, category, None):
        return Columns(_spelled(db, "guessed_items", found), level=columns.CATEGORY)
    for column in (c for wanted in LEVELS for c in present if _plain(c) == wanted):
        separator = _separator(db, column)
        if _level_values(db, column, separator):
            own = next((ours for ours, theirs in found.items() if theirs == column), re.sub(r"\W", "_", column))
            lists = {own: separator} if separator else {}
            spelled = _spelled(db, "guessed_items", found | {own: column})
            return Columns(spelled, lists=lists, level=f"items.{own}")
    return Columns(_spelled(db, "guessed_items", found))


def _told(
    mapping: Mapping[str, str], present: dict[str, str], path: Path, *, allowed: tuple[str, ...] | None
) -> dict[str, str]:
    """Check what the user said about a file's columns."""
    for own, column in mapping.items():
        if allowed and own not in allowed:
            raise SpecError(
                f"--map {own}={column}: '{own}' is no column of events; have {', '.join(allowed)}"
                f"{nearest(own, list(allowed))}"
            )
        if column.lower() not in present:
            raise SpecError(
                f"--map {own}={column}: no column '{column}' in {path.name}; have {', '.join(present)}"
                f"{nearest(column.lower(), list(present))}"
            )
    return {own: column.lower() for own, column in mapping.items()}


def _spelled(db: duckdb.DuckDBPyConnection, relation: str, found: dict[str, str]) -> dict[str, str]:
    """Write the names of columns as their file does."""
    spelling = {row[0].lower(): row[0] for row in db.execute(f"DESCRIBE {relation}").fetchall()}
    return {own: spelling[column] for own, column in found.items()}


def _by_name(names: tuple[str, ...], present: dict[str, str], *, taken: dict[str, str]) -> str | None:
    plain = {_plain(column): column for column in present if column not in taken.values()}
    return next((plain[n] for n in names if n in plain), None)


def _timestamps(db: duckdb.DuckDBPyConnection, found: dict[str, str], present: dict[str, str], path: Path) -> str:
    """Find the column of the time if no name told it, and the format that reads all of it."""
    if columns.TIMESTAMP not in found:
        clocks = [column for column, kind in present.items() if kind.startswith(("TIMESTAMP", "DATE"))]
        if len(clocks) != 1:
            return "iso"  # not found: the caller says so
        found[columns.TIMESTAMP] = clocks[0]
    column = found[columns.TIMESTAMP]
    kind = present[column]
    if kind.startswith(("TIMESTAMP", "DATE")):
        return "iso"
    if _numeric(db, "guessed_events", column, present):
        low, high = LIKELY_SECONDS
        middle = db.execute(f"SELECT median(TRY_CAST({name(column)} AS DOUBLE)) FROM guessed_events").fetchone()
        value = float(middle[0] or 0) if middle else 0.0
        for form, per_second in EPOCHS.items():
            if low <= value / per_second < high:
                return form
    for form in ("iso", *FORMATS):
        read = reading(column, "VARCHAR", columns.TIMESTAMP, zone="UTC", timestamps=form, place=str(path))
        if not db.execute(f"SELECT 1 FROM guessed_events WHERE {read.unreadable} LIMIT 1").fetchone():
            return form
    one = db.execute(f"SELECT {name(column)} FROM guessed_events WHERE {name(column)} IS NOT NULL LIMIT 1").fetchone()
    raise DataError(
        f"{path.name}: no format reads all of column '{column}', such as '{one[0] if one else ''}'; "
        "name another column with --map timestamp=<column>, or mend the file"
    )


def _numeric(db: duckdb.DuckDBPyConnection, relation: str, column: str, present: dict[str, str]) -> bool:
    if present[column] != "VARCHAR":
        return present[column].startswith(
            ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "U", "FLOAT", "DOUBLE", "DEC")
        )
    filled = f"nullif(trim({name(column)}), '')"
    wrong = f"{filled} IS NOT NULL AND TRY_CAST({filled} AS DOUBLE) IS NULL"
    return db.execute(f"SELECT 1 FROM {relation} WHERE {wrong} LIMIT 1").fetchone() is None


def _separator(db: duckdb.DuckDBPyConnection, column: str) -> str | None:
    """Find what separates several values in one text, where at least every tenth row has several."""
    for separator in SEPARATORS:
        held = db.execute(
            f"SELECT avg(CAST(contains(CAST({name(column)} AS VARCHAR), ?) AS INTEGER)) FROM guessed_items", [separator]
        ).fetchone()
        if held and (held[0] or 0) >= 0.1:
            return separator
    return None


def _level_values(db: duckdb.DuckDBPyConnection, column: str, separator: str | None) -> int:
    """Count a column's distinct values; 0 where they are too few or too many to be about something."""
    value = f"unnest(string_split({name(column)}, '{separator}'))" if separator else name(column)
    count = db.execute(f"SELECT count(DISTINCT v) FROM (SELECT {value} AS v FROM guessed_items)").fetchone()
    found = int(count[0]) if count else 0
    return found if 2 <= found <= MAX_LEVEL_VALUES else 0


def _plain(column: str) -> str:
    return re.sub(r"[\W_]", "", column.lower())

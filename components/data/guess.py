"""Guess how a user's own files map to the canonical tables, by the names and the values of their columns.

Behind `intentflow init`. A guess is only a draft for the spec: the user reads it and mends it. What was taken
without being certain is said (`Columns.notes`); what cannot be guessed and must be known is a SpecError that shows
what was seen and says how to tell it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import duckdb

from components.data import guess_times
from components.data.database import name, text
from components.data.file_source import load
from components.data.guess_names import (
    EVENT_NAMES,
    ITEM_NAMES,
    LEVELS,
    OFTEN,
    PAIRS,
    PRICES,
    STARS,
    UNIT_PRICES,
    plain,
)
from components.data.sniff import NOTHING, Form, sniff
from components.data.table_spec import Table
from feature_repo import columns
from feature_repo.errors import SpecError, nearest

SEPARATORS = ("|", ";", ",")
MAX_LEVEL_VALUES = 1000
NUMBERS = (columns.QUANTITY, columns.VALUE, columns.DISCOUNT)
Loaded = dict[str, str]


@dataclass(frozen=True)
class Columns:
    """How one table's columns are read."""

    columns: dict[str, str]  # ours: theirs
    timestamps: str | list[str] = "iso"
    lists: dict[str, str] = field(default_factory=dict)
    level: str | None = None  # what an intent may be about: category, or items.<column>
    options: dict[str, Any] = field(default_factory=dict)  # of the spec's table: delimiter, nulls …
    kind: str = "csv"
    notes: tuple[str, ...] = ()  # what was taken without being certain, in sentences
    timed: bool = True  # False: no column holds times
    strength: str = ""  # our column that says how much a row was liked, or how often it happened
    pair: bool = False  # users and items are named as who acts on whom


def guess_events(db: duckdb.DuckDBPyConnection, path: Path, mapping: Mapping[str, str]) -> Columns:
    """Map the columns of an events file."""
    form, present = _open(db, "guessed_events", path)
    notes: list[str] = []
    found = _told(mapping, present, path, allowed=(*columns.EVENTS, columns.STRENGTH))
    nulls = _nulls(db, "guessed_events", present)
    for own in (c for c in EVENT_NAMES if c not in found):
        if column := _by_name(EVENT_NAMES[own], present, taken=found):
            found[own] = column
    _pair(found, present, notes)
    _time_by_value(db, found, present, form)
    if not form.header:
        _by_order(db, found, present, notes)
    _kinds_for_items(db, found, present, notes)
    missing = [own for own in (columns.USER_ID, columns.ITEM_ID) if own not in found]
    if missing:
        raise SpecError(_unknown(form, present, missing + [c for c in (columns.TIMESTAMP,) if c not in found], found))
    times = guess_times.TimeForms(("iso",))
    if columns.TIMESTAMP in found:
        times = _times(db, found[columns.TIMESTAMP], present, path)
        if times.ambiguous:
            notes.append(
                f"no day of column '{found[columns.TIMESTAMP]}' is over 12, so {times.forms[0]} is a guess: day and "
                "month may be the other way round; edit `timestamps`"
            )
    extra = _amounts(db, found, present, mapping, notes)
    spelled = _spelled(db, "guessed_events", found)
    words = sorted({*nulls, *times.nulls})
    return Columns(
        {own: spelled[own] for own in (*columns.EVENTS, columns.STRENGTH) if own in spelled},
        times.option,
        options=form.options() | ({"nulls": words} if words else {}) | extra,
        kind=form.kind,
        notes=tuple(notes),
        timed=columns.TIMESTAMP in found,
        strength=_strength(found),
        pair=(plain(found[columns.USER_ID]), plain(found[columns.ITEM_ID])) in PAIRS,
    )


def guess_items(db: duckdb.DuckDBPyConnection, path: Path, mapping: Mapping[str, str]) -> Columns:
    """Map the columns of a file of items, and choose the column that intents are about."""
    form, present = _open(db, "guessed_items", path)
    found = _told(mapping, present, path, allowed=None)
    for own in ITEM_NAMES:
        if own not in found and (column := _by_name(ITEM_NAMES[own], present, taken=found)):
            found[own] = column
    if columns.ITEM_ID not in found and not form.header:
        free = [column for column in present if column not in found.values()]
        found |= dict(zip((columns.ITEM_ID, columns.TITLE), free, strict=False))
    if columns.ITEM_ID not in found:
        raise SpecError(_unknown(form, present, [columns.ITEM_ID], {}, prefix="items."))
    if columns.PRICE in found and not _numeric(db, "guessed_items", found[columns.PRICE], present):
        del found[columns.PRICE]
    known = Columns(_spelled(db, "guessed_items", found), options=form.options(), kind=form.kind)
    category = found.get(columns.CATEGORY)
    if category and _level_values(db, category, None):
        return replace(known, level=columns.CATEGORY)
    for column, own in _level_columns(db, present, found, form):
        separator = _separator(db, column)
        if _level_values(db, column, separator):
            own = next((ours for ours, theirs in found.items() if theirs == column), own)
            spelled = _spelled(db, "guessed_items", found | {own: column})
            return replace(known, columns=spelled, lists={own: separator} if separator else {}, level=f"items.{own}")
    return known


def _level_columns(
    db: duckdb.DuckDBPyConnection, present: Loaded, found: Mapping[str, str], form: Form
) -> list[tuple[str, str]]:
    """List the columns that intents may be about, each with our name; without a header, those with several values."""
    named = [(column, own) for wanted, own in LEVELS.items() for column in present if plain(column) == wanted]
    if form.header:
        return named
    return [(c, "tags") for c in present if c not in found.values() and _separator(db, c)]


def _open(db: duckdb.DuckDBPyConnection, relation: str, path: Path) -> tuple[Form, Loaded]:
    form = sniff(path)
    table = Table(path=str(path), **form.options())
    return form, load(db, relation, [path], kind=form.kind, place=str(path), table=table)


def _told(
    mapping: Mapping[str, str], present: Loaded, path: Path, *, allowed: tuple[str, ...] | None
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


def _unknown(form: Form, present: Loaded, missing: Sequence[str], found: Mapping[str, str], *, prefix: str = "") -> str:
    """Say what the file looked like, and the line to type; free columns stand in for the missing ones."""
    free = [column for column in present if column not in found.values()]
    guesses = free + ["<column>"] * len(missing)
    pairs = ",".join(f"{prefix}{own}={column}" for own, column in zip(missing, guesses, strict=False))
    rows = f"; it starts: {' / '.join(form.lines)}" if form.lines else ""
    asked = " or ".join(f"{prefix}{own}" for own in missing)
    option = f"--items {form.path.name} " if prefix else ""
    file = "EVENTS" if prefix else form.path.name
    return (
        f"{form.path.name}: no column looks like {asked}; read as {form.said()}: {', '.join(present)}{rows}; "
        f"say which is which, such as: intentflow init {file} {option}--map {pairs}"
    )


def _spelled(db: duckdb.DuckDBPyConnection, relation: str, found: Mapping[str, str]) -> dict[str, str]:
    """Write the names of columns as their file does."""
    spelling = {row[0].lower(): row[0] for row in db.execute(f"DESCRIBE {relation}").fetchall()}
    return {own: spelling[column] for own, column in found.items()}


def _by_name(names: tuple[str, ...], present: Loaded, *, taken: Mapping[str, str]) -> str | None:
    known = {plain(column): column for column in present if column not in taken.values()}
    return next((known[n] for n in names if n in known), None)


def _pair(found: dict[str, str], present: Loaded, notes: list[str]) -> None:
    """Take two columns that name who acts on whom, where neither a user nor an item has a name of its own."""
    if columns.USER_ID in found or columns.ITEM_ID in found:
        return
    known = {plain(column): column for column in present if column not in found.values()}
    for actor, other in PAIRS:
        if actor in known and other in known:
            found[columns.USER_ID], found[columns.ITEM_ID] = known[actor], known[other]
            notes.append(
                f"items are what '{known[other]}' names; if these are users too, `items: {{from: users}}` in "
                "data.source makes them people"
            )
            return


def _nulls(db: duckdb.DuckDBPyConnection, relation: str, present: Loaded) -> list[str]:
    """Find the words for nothing in a file's texts, and read them as nothing from here on."""
    texts = [column for column, kind in present.items() if kind == "VARCHAR"]
    if not texts:
        return []
    listed = ", ".join(text(word) for word in NOTHING)
    parts = " UNION ".join(
        f"SELECT DISTINCT trim({name(c)}) AS word FROM {relation} WHERE trim({name(c)}) IN ({listed})" for c in texts
    )
    words = [word for (word,) in db.execute(f"{parts} ORDER BY word").fetchall()]
    if words:
        said = ", ".join(text(word) for word in words)
        emptied = ", ".join(
            f"CASE WHEN trim({name(c)}) IN ({said}) THEN NULL ELSE {name(c)} END AS {name(c)}" for c in texts
        )
        db.execute(f"CREATE OR REPLACE TABLE {relation} AS SELECT * REPLACE ({emptied}) FROM {relation}")
    return words


def _time_by_value(db: duckdb.DuckDBPyConnection, found: dict[str, str], present: Loaded, form: Form) -> None:
    """Take the only column that holds times, whatever its name; SpecError where there are several."""
    if columns.TIMESTAMP in found:
        return
    free = [c for c in present if c not in found.values() and plain(c) not in STARS]
    clocks = [c for c in free if present[c].startswith(("TIMESTAMP", "DATE"))]
    clocks = clocks or [
        c
        for c in free
        if (numeric := _numeric(db, "guessed_events", c, present)) or present[c] == "VARCHAR"
        if guess_times.looks_like_time(db, "guessed_events", c, numeric=numeric)
    ]
    if len(clocks) > 1:
        others = found | {c: c for c in free if c not in clocks}
        raise SpecError(_unknown(form, present, [columns.TIMESTAMP], others))
    if clocks:
        found[columns.TIMESTAMP] = clocks[0]


def _by_order(db: duckdb.DuckDBPyConnection, found: dict[str, str], present: Loaded, notes: list[str]) -> None:
    """Without a header, take the columns before the time in their usual order: who, what."""
    free = [column for column in present if column not in found.values()]
    taken = [own for own in (columns.USER_ID, columns.ITEM_ID) if own not in found]
    if not taken or len(free) < len(taken):
        return
    found |= dict(zip(taken, free, strict=False))
    said = ", ".join(f"{found[own]} as {own}" for own in taken)
    notes.append(f"the file has no header: {said} by their order; exchange them in `columns` if that is wrong")
    if columns.QUANTITY not in found and len(free) > len(taken):
        strength = free[len(taken)]
        if _numeric(db, "guessed_events", strength, present):
            notes.append(f"column '{strength}' is left out: nothing says what it counts; map it if it is a quantity")


def _kinds_for_items(db: duckdb.DuckDBPyConnection, found: dict[str, str], present: Loaded, notes: list[str]) -> None:
    """Let the kinds of events stand for items where nothing else does: a funnel's steps."""
    if columns.ITEM_ID in found or columns.EVENT not in found or columns.USER_ID not in found:
        return
    kinds = _distinct(db, "guessed_events", found[columns.EVENT])
    if len(present) <= len(found) and 2 <= kinds <= MAX_LEVEL_VALUES:
        found[columns.ITEM_ID] = found[columns.EVENT]
        notes.append(
            f"no column names items: the {kinds} kinds of '{found[columns.EVENT]}' stand for them, so what is "
            "recommended is a next step"
        )


def _times(db: duckdb.DuckDBPyConnection, column: str, present: Loaded, path: Path) -> guess_times.TimeForms:
    if present[column].startswith(("TIMESTAMP", "DATE")):
        return guess_times.TimeForms(("iso",))
    numeric = _numeric(db, "guessed_events", column, present)
    return guess_times.find(db, "guessed_events", column, numeric=numeric, place=path.name)


def _amounts(
    db: duckdb.DuckDBPyConnection, found: dict[str, str], present: Loaded, mapping: Mapping[str, str], notes: list[str]
) -> dict[str, Any]:
    """Keep the columns that hold amounts; say what was left out; a price of one piece is multiplied."""
    for own in NUMBERS:
        if own not in found or own in mapping:
            continue
        column = found[own]
        if not _numeric(db, "guessed_events", column, present):
            decimal = _numeric(db, "guessed_events", column, present, comma=True)
            why = "numbers with a decimal comma" if decimal else "texts that are no numbers"
            notes.append(f"column '{column}' is left out of {own}: it holds {why}")
            del found[own]
        elif _least(db, column) < 0 and own == columns.QUANTITY and plain(column) not in ("quantity", "qty"):
            notes.append(f"column '{column}' is left out: a quantity below 0 says nothing that can be counted")
            del found[own]
    for column in present:
        if plain(column) not in STARS or column in found.values() or columns.STRENGTH in found:
            continue
        if _numeric(db, "guessed_events", column, present):
            found[columns.STRENGTH] = column
            notes.append(
                f"'{column}' is taken as strength: how much a user liked it, and no money; `models.ranking.weight` "
                "says how it counts"
            )
        else:
            notes.append(f"column '{column}' is left out of strength: it holds texts that are no numbers")
    if (count := found.get(columns.QUANTITY)) and plain(count) not in ("quantity", "qty"):
        notes.append(f"'{count}' is taken as quantity: how often, a strength of the row, and no money")
    return _piece_price(db, found, mapping, notes)


def _strength(found: Mapping[str, str]) -> str:
    """Name our column that says how strong a row is: stars, else how often; '' where none does."""
    often = columns.QUANTITY if plain(found.get(columns.QUANTITY, "")) in OFTEN else ""
    return columns.STRENGTH if columns.STRENGTH in found else often


def _piece_price(
    db: duckdb.DuckDBPyConnection, found: dict[str, str], mapping: Mapping[str, str], notes: list[str]
) -> dict[str, Any]:
    price, count = found.get(columns.VALUE), found.get(columns.QUANTITY)
    if price is None or count is None or columns.VALUE in mapping:
        return {}
    if plain(price) in UNIT_PRICES:
        spelled = _spelled(db, "guessed_events", found)
        notes.append(f"value is '{price}' times '{count}': no column looks like the total of a row")
        return {"times": {columns.VALUE: spelled[columns.QUANTITY]}}
    if plain(price) in PRICES:
        notes.append(
            f"'{price}' is taken as what a row cost; if it is the price of one piece, add `times: {{value: {count}}}`"
        )
    return {}


def _numeric(
    db: duckdb.DuckDBPyConnection, relation: str, column: str, present: Loaded, *, comma: bool = False
) -> bool:
    if present[column] != "VARCHAR":
        return present[column].startswith(
            ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "U", "FLOAT", "DOUBLE", "DEC")
        )
    filled = f"nullif(trim({name(column)}), '')"
    number = f"replace({filled}, ',', '.')" if comma else filled
    wrong = f"{filled} IS NOT NULL AND TRY_CAST({number} AS DOUBLE) IS NULL"
    return db.execute(f"SELECT 1 FROM {relation} WHERE {wrong} LIMIT 1").fetchone() is None


def _least(db: duckdb.DuckDBPyConnection, column: str) -> float:
    query = f"SELECT min(TRY_CAST(nullif(trim(CAST({name(column)} AS VARCHAR)), '') AS DOUBLE)) FROM guessed_events"
    return float((db.execute(query).fetchone() or (0,))[0] or 0)


def _distinct(db: duckdb.DuckDBPyConnection, relation: str, column: str) -> int:
    return int((db.execute(f"SELECT count(DISTINCT {name(column)}) FROM {relation}").fetchone() or (0,))[0])


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

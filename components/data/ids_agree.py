"""One id has one form in all files and tables of a source: else one person, or one item, would become two in silence.

What was read is text by now. The forms that writers give the same id (`1000`, `1000.0`, `01000`, `1,000`, `'1000`,
`="1000"`, `b'1000'`) must not meet.
"""

import duckdb

from components.data.database import name, text
from feature_repo import columns
from feature_repo.errors import DataError

HOLDERS = {
    columns.USER_ID: ("events", "users"),
    columns.ITEM_ID: ("events", "items", "offers"),
}
ENDS = "events' items"
POINT, ZEROS = r"^-?\d+\.0+$", r"^0+\d+$"
# A spreadsheet's text marks, Python's bytes, separators of thousands, digits of full width.
WIDE = "".join(chr(0xFF10 + digit) for digit in range(10))
DRESSED = rf"""^(="[^"]+"|b'[^']+'|b"[^"]+"|'[^']+'?|"[^"]+"|\d{{1,3}}(,\d{{3}})+|[{WIDE}]+)$"""
DRESS = r"""^(=|b)?["']|["']$|,"""
LEAST_PAIRS = 3  # of one table: `007` beside `7` may be two things; most ids with a zero having a twin is no chance


def require(db: duckdb.DuckDBPyConnection, labels: dict[str, str], *, items_are_users: bool = False) -> None:
    """Refuse a source in which an id has two forms, or whose tables share no id at all."""
    for column, holders in HOLDERS.items():
        held = [label for label in holders if label in labels]
        places = [(label, f"source_{label}", column) for label in held]
        if items_are_users and column == columns.USER_ID:  # both ends of an event name people, in one form
            places.append((ENDS, "source_events", columns.ITEM_ID))
        _require_one_form(db, column, places, labels | {ENDS: columns.ITEM_ID})
        if "events" in held:
            for other in held:
                if other in ("users", "items"):
                    _require_common(db, column, other, labels)


def _require_one_form(
    db: duckdb.DuckDBPyConnection, column: str, held: list[tuple[str, str, str]], labels: dict[str, str]
) -> None:
    """Compare the ids of places: each has a label, a relation and a column."""
    every = " UNION ALL ".join(
        f"SELECT {name(own)} AS id, {text(label)} AS label, {n} AS nth FROM {relation}"
        for n, (label, relation, own) in enumerate(held)
    )
    plain = r"regexp_replace(id, '\.0+$', '')"
    undressed = f"translate(regexp_replace(id, {text(DRESS)}, '', 'g'), '{WIDE}', '0123456789')"
    bare = "ltrim(id, '0')"
    pointed, dressed, zeros = (f"regexp_matches(id, {text(form)})" for form in (POINT, DRESSED, ZEROS))
    # Nearly all sources have no id that is odd, which a look at the ids tells in a tenth of the time.
    looked = ", ".join(f"coalesce(bool_or({odd}), false)" for odd in (pointed, dressed, zeros))
    any_pointed, any_dressed, any_zeros = db.execute(f"SELECT {looked} FROM ({every})").fetchone() or (False,) * 3
    found = None
    for any_odd, odd, one in ((any_pointed, pointed, plain), (any_dressed, dressed, undressed)):
        if found is None and any_odd:
            found = db.execute(f"""
                WITH odd AS (SELECT DISTINCT id, label, {one} AS one FROM ({every}) WHERE {odd}),
                met AS (SELECT DISTINCT e.id, e.label FROM ({every}) e SEMI JOIN odd ON odd.one = e.id)
                SELECT odd.id, odd.label, met.id, met.label, count(*) OVER ()
                FROM odd JOIN met ON met.id = odd.one ORDER BY ALL LIMIT 1""").fetchone()
    if found is None and any_zeros:
        found = db.execute(f"""
            WITH ids AS (SELECT DISTINCT id, label FROM ({every})),
            odd AS (SELECT *, {bare} AS one FROM ids WHERE {zeros}),
            met AS (SELECT odd.id, label, ids.id AS other FROM odd JOIN ids USING (label) WHERE ids.id = one)
            SELECT min(id), label, min(other), label, count(*) FROM met GROUP BY label
            HAVING count(*) >= {LEAST_PAIRS} AND 2 * count(*) >= (SELECT count(*) FROM odd o WHERE o.label = met.label)
            ORDER BY ALL LIMIT 1""").fetchone()
    if found is None and any_zeros and len(held) > 1:
        found = db.execute(f"""
            WITH odd AS (SELECT DISTINCT id, label, {bare} AS one FROM ({every}) WHERE {zeros}),
            met AS (SELECT DISTINCT e.id, e.label FROM ({every}) e SEMI JOIN odd ON odd.one = e.id)
            SELECT odd.id, odd.label, met.id, met.label, count(*) OVER ()
            FROM odd JOIN met ON met.id = odd.one AND met.label <> odd.label
            WHERE NOT EXISTS (SELECT 1 FROM ({every}) e WHERE e.label = met.label AND e.id = odd.id)
            ORDER BY ALL LIMIT 1""").fetchone()
    if found:
        one, of_one, other, of_other, count = found
        raise DataError(
            f"data.source: {column} '{one}' of {of_one} ({labels[of_one]}) and '{other}' of {of_other} "
            f"({labels[of_other]}) are one id in two forms ({count:,} such pairs); write ids in one form"
        )


def _require_common(db: duckdb.DuckDBPyConnection, column: str, other: str, labels: dict[str, str]) -> None:
    """Refuse a table of people or things of whom events know not one: their ids are other ids."""
    own = name(column)
    missing = db.execute(f"SELECT min({own}) FROM source_events").fetchone()
    (theirs,) = db.execute(f"SELECT min({own}) FROM source_{other}").fetchone() or (None,)
    if missing is None or missing[0] is None or theirs is None:
        return
    common = f"SELECT 1 FROM source_events SEMI JOIN source_{other} USING ({own}) LIMIT 1"
    if db.execute(common).fetchone() is None:
        raise DataError(
            f"data.source.{other}: no {column} of {labels[other]} (such as '{theirs}') is in the events (such as "
            f"'{missing[0]}'); map the column that holds the same ids"
        )

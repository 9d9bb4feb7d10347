"""What is known of items beside their table: triples of an item, a relation and an entity, from files.

Each item gets the column `knowledge`, a list of "relation: entity", so that from here on it is an attribute as others
are: it goes with the vocabulary, `PUT /items` changes it, lists of values may speak of it. The candidate source `graph`
goes from item to item by it. Knows no model.
"""

import logging
from pathlib import Path

import duckdb

from components.data import file_source
from components.data.conversion import reading, require_readable
from components.data.database import name
from components.data.knowledge_spec import Knowledge
from feature_repo import columns
from feature_repo.errors import DataError, nearest

PLACE = "data.knowledge.edges"
RAW = "raw_knowledge"
log = logging.getLogger(__name__)


def paths(knowledge: Knowledge, base: Path) -> list[Path]:
    """Find the files; DataError where there is none."""
    return file_source.matches(knowledge.edges, base, place=PLACE)


def add(db: duckdb.DuckDBPyConnection, knowledge: Knowledge, base: Path) -> list[Path]:
    """Give `source_items` the column `knowledge`; return the files that were read."""
    found, edges = paths(knowledge, base), knowledge.edges
    held = [row[0] for row in db.execute("DESCRIBE source_items").fetchall()]
    if columns.KNOWLEDGE in held:
        raise DataError(
            f"data.knowledge: items have a column '{columns.KNOWLEDGE}' already; rename that one in "
            "`data.source.items.columns`, or leave knowledge out"
        )
    present = file_source.load(db, RAW, found, kind="csv", place=PLACE, table=edges)
    sources = {own: edges.columns.get(own, own).lower() for own in columns.EDGES}
    for own, theirs in sources.items():
        if theirs not in present:
            have = [column for column in present if column != "source_row"]
            raise DataError(
                f"{PLACE}: no column '{theirs}' (for {own}) in {edges.label}; have {', '.join(have)}"
                f"{nearest(theirs, have)}; say it as `columns: {{{own}: <column>}}`"
            )
    read = {
        own: reading(theirs, present[theirs], own, zone="UTC", timestamps="iso", nulls=edges.nulls, place=PLACE)
        for own, theirs in sources.items()
    }
    require_readable(db, RAW, read, place=PLACE, file=edges.label)
    values = {own: f"nullif(trim({one.value}), '')" for own, one in read.items()}
    _require_whole(db, values, label=edges.label)
    told = ", ".join(f"{value} AS {name(own)}" for own, value in values.items())
    db.execute(f"CREATE VIEW knowledge AS SELECT DISTINCT {told} FROM {RAW}")
    _require_items(db, label=edges.label)
    _extend(db)
    return found


def _require_whole(db: duckdb.DuckDBPyConnection, values: dict[str, str], *, label: str) -> None:
    """Refuse a triple that lacks a part: it says nothing, and whoever wrote it meant something."""
    for own, value in values.items():
        found = db.execute(
            f"SELECT source_row, count(*) OVER () FROM {RAW} WHERE {value} IS NULL ORDER BY source_row LIMIT 1"
        ).fetchone()
        if found:
            others = f" ({found[1]:,} such rows)" if found[1] > 1 else ""
            raise DataError(f"{PLACE}: row {found[0]} of {label} has no {own}{others}; fill it, or drop the row")


def _require_items(db: duckdb.DuckDBPyConnection, *, label: str) -> None:
    """Refuse edges of which none is of an item; say how many are of none."""
    query = """
        SELECT count(*), count_if(i.item_id IS NULL), min(k.item_id) FILTER (i.item_id IS NULL),
            (SELECT min(item_id) FROM source_items)
        FROM knowledge k LEFT JOIN (SELECT DISTINCT item_id FROM source_items) i ON i.item_id = k.item_id"""
    edges, unknown, stranger, item = db.execute(query).fetchone() or (0, 0, None, None)
    if unknown == edges:
        raise DataError(
            f"{PLACE}: none of the {edges:,} triples of {label} is of an item: item_id is such as '{stranger}' there, "
            f"and such as '{item}' among the items; map item_id to the column that holds the items' ids"
        )
    if unknown:
        log.warning("%s: %d of %d triples are of no item, such as '%s'", PLACE, unknown, edges, stranger)


def _extend(db: duckdb.DuckDBPyConnection) -> None:
    (is_view,) = db.execute("SELECT count(*) FROM duckdb_views() WHERE view_name = 'source_items'").fetchall()[0]
    db.execute(f"ALTER {'VIEW' if is_view else 'TABLE'} source_items RENAME TO bare_items")
    db.execute(f"""
        CREATE VIEW source_items AS
        SELECT i.* EXCLUDE (source_row), k.known AS {columns.KNOWLEDGE}, i.source_row
        FROM bare_items i LEFT JOIN (
            SELECT item_id, list_sort(list(concat(relation, ': ', entity))) AS known FROM knowledge GROUP BY item_id
        ) k ON k.item_id = i.item_id""")

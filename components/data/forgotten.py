"""Leaves forgotten people out of a source's rows before anything is made of them.

Ingest calls this once the source's relations are there. Who is forgotten is told by tombstones, which know no raw
id: so every raw id of the source is asked about.
"""

import duckdb
import pyarrow as pa

from components.data.database import name
from feature_repo import columns
from feature_repo.privacy.tombstones import Tombstones

RELATIONS = (("source_events", columns.USER_ID), ("source_users", columns.USER_ID))
# Where items are people, what was done to somebody goes as well, and the person among the items.
OF_PEOPLE = (*RELATIONS, ("source_events", columns.ITEM_ID), ("source_items", columns.ITEM_ID))


def leave_out(
    db: duckdb.DuckDBPyConnection, tombstones: Tombstones | None, *, items_are_users: bool = False
) -> list[str]:
    """Take forgotten people's rows out of the source's relations; return the marks of those who had any."""
    if tombstones is None or not tombstones.any:
        return []
    found = [
        (raw, mark)
        for raw in raw_ids(db, items_are_users=items_are_users)
        if (mark := tombstones.mark_of(raw)) is not None
    ]
    if not found:
        return []
    db.register("forgotten", pa.table({columns.USER_ID: [raw for raw, _ in found]}))
    for relation, column in OF_PEOPLE if items_are_users else RELATIONS:
        _remove(db, relation, column)
    return sorted(mark for _, mark in found)


def raw_ids(db: duckdb.DuckDBPyConnection, *, items_are_users: bool = False) -> list[str]:
    """Return every user id of the source, in an order that is the source's own: 2 before 10 before 'ann'."""
    held = OF_PEOPLE if items_are_users else RELATIONS
    every = " UNION ".join(f"SELECT {column} AS {columns.USER_ID} FROM {relation}" for relation, column in held)
    rows = db.execute(f"""
        SELECT {columns.USER_ID} FROM ({every}) WHERE {columns.USER_ID} IS NOT NULL
        ORDER BY length({columns.USER_ID}), {columns.USER_ID}""")
    return [str(row[0]) for row in rows.fetchall()]


def _remove(db: duckdb.DuckDBPyConnection, relation: str, column: str) -> None:
    """Delete from a table; a view is narrowed, so that nothing is read before it is asked for."""
    there = f"{column} IN (SELECT {columns.USER_ID} FROM forgotten)"
    kind = db.execute("SELECT table_type FROM information_schema.tables WHERE table_name = ?", [relation]).fetchone()
    if kind is None or kind[0] != "VIEW":
        db.execute(f"DELETE FROM {name(relation)} WHERE {there}")
        return
    whole = name(f"{relation}_whole_{column}")
    db.execute(f"ALTER VIEW {name(relation)} RENAME TO {whole}")
    db.execute(f"CREATE VIEW {name(relation)} AS FROM {whole} WHERE {there} IS NOT TRUE")

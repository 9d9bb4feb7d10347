"""Events whose item column holds a list of what was shown, each with a flag of whether it was clicked, as in MIND.

One row a page, `N1-0 N2-1`, becomes one event a shown item and one more for each click; all else of the row is theirs.
"""

import duckdb

from components.data.database import text
from components.data.source_spec import Impressions
from feature_repo.errors import DataError


def create(db: duckdb.DuckDBPyConnection, said: Impressions, *, place: str) -> None:
    """Part the rows of `source_events` into events; DataError where an entry of a list has no flag."""
    db.execute("ALTER VIEW source_events RENAME TO listed_events")
    entry = f"string_split(item_id, {text(said.separator)})"
    db.execute(f"""
        CREATE VIEW shown_entries AS SELECT * FROM (
            SELECT *, unnest({entry}) AS entry, generate_subscripts({entry}, 1) AS position FROM listed_events)
        WHERE trim(entry) <> ''""")
    end = len(said.flag) + 1
    flagged = f"right(trim(entry), {end}) IN ({text(said.flag + '0')}, {text(said.flag + '1')})"
    wrong = db.execute(f"""
        SELECT source_row, entry FROM shown_entries WHERE NOT ({flagged} AND length(trim(entry)) > {end})
        ORDER BY source_row, position LIMIT 1""").fetchone()
    if wrong:
        raise DataError(
            f"{place}.impressions: '{wrong[1][:40]}' in row {wrong[0]} of the events is no item with a flag, such as "
            f"i7{said.flag}0 (shown) or i7{said.flag}1 (clicked); mend the file, or say its separator and flag"
        )
    kinds = f"unnest(CASE WHEN right(trim(entry), 1) = '1' THEN [{text(said.shown)}, {text(said.clicked)}] "
    kinds += f"ELSE [{text(said.shown)}] END)"
    item = f"left(trim(entry), length(trim(entry)) - {end})"
    row = f"row_number() OVER (ORDER BY source_row, position, kind = {text(said.clicked)})"
    db.execute(f"""
        CREATE TABLE source_events AS
        SELECT * EXCLUDE (entry, position, kind) REPLACE ({item} AS item_id, kind AS event, {row} AS source_row)
        FROM (SELECT *, {kinds} AS kind FROM shown_entries)""")

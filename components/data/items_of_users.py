"""Items that are people: the relation `source_items` of everyone who acted, was acted on, or is in the users' table.

A person has one id, whichever column it stands in; ingest gives both ends the same pseudonym. What the table of users
says of a person is what is known of the item, under the same names: `title` and `category` mapped there are the item's.
"""

import logging
from collections.abc import Mapping

import duckdb

from components.data.database import name
from feature_repo import columns
from feature_repo.errors import DataError

PLACE = "data.source.items"
FEW = 0.5  # share of the items that are somebody's id: below it, ids may be of two kinds, and that is said
log = logging.getLogger(__name__)


def create(db: duckdb.DuckDBPyConnection, defaults: Mapping[str, str]) -> None:
    """Create `source_items` from `source_events` and `source_users`; `defaults` are SQL of what is not known."""
    _require_people(db)
    held = [row[0] for row in db.execute("DESCRIBE source_users").fetchall()]
    own = [column for column in held if column not in (columns.USER_ID, "source_row")]
    known = {c: f"coalesce(u.{name(c)}, {value})" if c in own else value for c, value in defaults.items()}
    known |= {column: f"u.{name(column)}" for column in own if column not in known}
    listed = ", ".join(f"{value} AS {name(column)}" for column, value in known.items())
    # The order is the people's own, by id, which is how ingest numbers them too.
    db.execute(f"""
        CREATE TABLE source_items AS
        SELECT p.id AS item_id, {listed}, row_number() OVER (ORDER BY length(p.id), p.id) AS source_row
        FROM ({everyone()}) p
        LEFT JOIN (FROM source_users QUALIFY row_number() OVER (PARTITION BY user_id ORDER BY source_row) = 1) u
            ON u.user_id = p.id""")


def everyone() -> str:
    """Return the query of all people's raw ids, as `id`."""
    return """
        SELECT id FROM (
            SELECT user_id AS id FROM source_events UNION SELECT item_id FROM source_events
            UNION SELECT user_id FROM source_users)
        WHERE id IS NOT NULL"""


def _require_people(db: duckdb.DuckDBPyConnection) -> None:
    """Refuse items of which none is a user; say where most are not."""
    people = "(SELECT user_id FROM source_events UNION SELECT user_id FROM source_users)"
    items, shared, item, user = db.execute(f"""
        SELECT count(*), count_if(p.user_id IS NOT NULL), min(i.item_id) FILTER (p.user_id IS NULL),
            (SELECT min(user_id) FROM {people})
        FROM (SELECT DISTINCT item_id FROM source_events WHERE item_id IS NOT NULL) i
        LEFT JOIN {people} p ON p.user_id = i.item_id""").fetchone() or (0, 0, None, None)
    if items and not shared:
        raise DataError(
            f"{PLACE}: from: users, but none of the {items:,} item ids (such as '{item}') is the id of a user (such as "
            f"'{user}'); map item_id to the column that holds user ids, or leave `from: users` out"
        )
    if shared < FEW * items:
        log.warning(
            "%s: %d of %d people whom events act on never act themselves and are in no table of users; if these are "
            "no people, map item_id to another column",
            *(PLACE, items - shared, items),
        )

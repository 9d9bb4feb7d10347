"""A made-up user row for warming up, of the same shape as real rows, so that the first user waits less.

The row of an unknown user would leave out most of the work: it has no history to find neighbours of, no week to encode.
"""

from feature_repo import session_rows
from feature_repo.rows import UserRows
from feature_repo.update import Event, Folding

DAY_S = 86_400
ITEMS, EVERY_DAYS = 40, 2
TIMES = 5  # a traced network compiles in the first few


def row(folding: Folding, user: str, *, now: int) -> UserRows:
    """Return the row of somebody who had the catalogue's first items over the last weeks, as asked about at `now`."""
    ids = folding.vocabulary.item_ids[:ITEMS]
    kind = folding.item_event or folding.vocabulary.signs.main or "purchase"
    start = now - (len(ids) + 1) * EVERY_DAYS * DAY_S
    events = [
        Event(item, kind, at=start + n * EVERY_DAYS * DAY_S, session_id=f"warm-up {n}", quantity=1.0, value=1.0)
        for n, item in enumerate(ids)
    ]
    return session_rows.of(folding, user, events, now=now).rows

"""A made-up user row for warming up, of the same shape as real rows, so that the first user waits less.

The row of an unknown user would leave out most of the work: it has no history to find neighbours of, no week to encode.
"""

import numpy as np

from feature_repo import columns, event_lists
from feature_repo.rows import Ragged, UserRows
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
    state = folding.fold(folding.empty(), events)
    lists = {name: value for name, value in state.items() if isinstance(value, np.ndarray)}
    if folding.events:
        held = event_lists.of([state[columns.MEMORY]], folding.vocabulary)
        lists |= {name: ragged.values for name, ragged in held.items()}
    texts = (*columns.TEXTS, columns.STATE_AT)
    numbers = {name: float(v) for name, v in state.items() if name not in lists and name not in texts}
    return UserRows(
        user_id=np.asarray([user], dtype=object),
        now=np.asarray([now], dtype=np.int64),
        state_at=np.asarray([int(state[columns.STATE_AT])], dtype=np.int64),
        known=np.asarray([True]),
        numbers={name: np.asarray([value]) for name, value in numbers.items()},
        lists={name: Ragged(value, np.asarray([0, len(value)])) for name, value in lists.items()},
    )

"""A user row out of nothing but given events: what the store would hold of a user who did just that.

For sessions of people who are nobody to us, and for warming up. Nothing is read or written.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from feature_repo import columns, event_lists, memory
from feature_repo.rows import Ragged, UserRows
from feature_repo.update import Event, Folding


@dataclass(frozen=True)
class SessionRow:
    """A row, and the last events of it as a memory holds them."""

    rows: UserRows  # of one user
    remembered: tuple[memory.Remembered, ...]


def of(folding: Folding, user: str, events: Sequence[Event], *, now: int) -> SessionRow:
    """Fold events, oldest first, into an empty state, and lay it out as asked about at `now` (epoch seconds)."""
    state = folding.fold(folding.empty(), sorted(events, key=lambda event: event.at))
    lists = {name: value for name, value in state.items() if isinstance(value, np.ndarray)}
    if folding.events:
        held = event_lists.of([state[columns.MEMORY]], folding.vocabulary, texts=folding.texts)
        lists |= {name: ragged.values for name, ragged in held.items()}
    texts = (*columns.TEXTS, columns.STATE_AT)
    numbers = {name: float(v) for name, v in state.items() if name not in lists and name not in texts}
    rows = UserRows(
        user_id=np.asarray([user], dtype=object),
        now=np.asarray([now], dtype=np.int64),
        state_at=np.asarray([int(state[columns.STATE_AT])], dtype=np.int64),
        known=np.asarray([True]),
        numbers={name: np.asarray([value]) for name, value in numbers.items()},
        lists={name: Ragged(value, np.asarray([0, len(value)])) for name, value in lists.items()},
    )
    return SessionRow(rows, tuple(memory.decode(state[columns.MEMORY])))

"""What rules ask of a user's past, out of the user's row: the same of the door, of batch answers and of a replay.

A row knows the items of training. What the user did with items that came later the door adds from the event memory.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from feature_repo import records
from feature_repo.memory import Remembered
from feature_repo.rows import UserRows
from feature_repo.signs import Signs

Acted = dict[str, dict[int, int]]  # by kind ('' all that is interest): item, when last, epoch seconds


def of_row(rows: UserRows, signs: Signs, *, row: int = 0) -> tuple[Acted, dict[int, int]]:
    """Return what a row's user did with items, and what was shown; {} of a user of whom nothing is known."""
    if not rows.known[row]:
        return {"": {}}, {}
    rows = records.read(rows, signs)
    had: Acted = {"": _last(rows.lists["history_items"].row(row), rows.lists["history_last_at"].row(row))}
    if not signs:
        return had, {}
    kind, item, last = (rows.lists[name].row(row) for name in (records.KIND_OF, records.ITEM_OF, records.LAST_OF))
    for name, number in signs.numbers.items():
        had[name] = _last(item[kind == number], last[kind == number])
    return had, had.get(signs.shown, {})


def with_memory(
    had: Acted, shown: Mapping[int, int], memory: Iterable[Remembered], places: Mapping[str, int], signs: Signs
) -> tuple[Acted, dict[int, int]]:
    """Add what an event memory says of items, those that came after training included."""
    every, seen = {kind: dict(items) for kind, items in had.items()}, dict(shown)
    for event in memory:
        place = places.get(event.item_id)
        if place is None:
            continue
        for kind in (event.event, *([""] if signs.shows_interest(event.event) else [])):
            items = every.setdefault(kind, {})
            items[place] = max(items.get(place, event.at), event.at)
        if signs.shown and event.event == signs.shown:
            seen[place] = max(seen.get(place, event.at), event.at)
    return every, seen


def _last(items: np.ndarray, at: np.ndarray) -> dict[int, int]:
    return dict(zip(items.tolist(), np.asarray(at, dtype=np.int64).tolist(), strict=True))

"""Take people out of others' rows in the online store: where items are people, memories and pushed events name them.

`erase.py` deletes the rows of the people themselves. A row that is corrected here is marked as one that the next batch
writes anew, since its sums may still count what went.
"""

import dataclasses
import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Any

from feature_repo import columns, memory
from feature_repo.online import erase, feast_values, memory_cells, provenance
from feature_repo.online.feast_store import Online
from feature_repo.online.profiles import DAILY, decoded, provenance_of
from feature_repo.update import Event
from feature_repo.views import MADE_OF, PUSHED

Row = dict[str, Any]


def remove(project: str, names: Sequence[str]) -> int:
    """Take people, by pseudonym, out of the rows of others; return how many rows named someone."""
    corrected = 0
    for online, user, rows in _naming(project, names):
        for view, (at, row) in rows.items():
            _write(online, view, user, at, row)
        written, found = online.read_timed(MADE_OF, [user])[0]
        if written is not None and found is not None:
            made = provenance_of(found)
            others = provenance.encode(_of_others(provenance.decode(made.others), names)) if made.others else ""
            doubt = dataclasses.replace(made, folded=f"{made.folded.rstrip('?')}?", others=others)
            online.write(MADE_OF, [(user, int(written.timestamp()), provenance.cells(doubt))])
        corrected += 1
    return corrected


def count(project: str, names: Sequence[str]) -> int:
    """Count the users whose rows name one of some people."""
    return sum(1 for _ in _naming(project, names))


def _naming(project: str, names: Sequence[str]) -> Iterator[tuple[Online, str, dict[str, tuple[dt.datetime, Row]]]]:
    """Yield every user whose rows name someone, with these rows as they should be."""
    for space in erase.spaces(project, view=DAILY):
        online = Online.open(space, windows_days=columns.WINDOWS_DAYS)  # which do not matter to these views
        users = sorted(erase.users(project, space=space))
        for start in range(0, len(users), erase.AT_ONCE):
            part = users[start : start + erase.AT_ONCE]
            views = {view: online.read_timed(view, part) for view in (DAILY, PUSHED)}
            for place, user in enumerate(part):
                rows = {view: found[place] for view, found in views.items()}
                corrected = {
                    view: (at, {**row, **cell})
                    for view, (at, row) in rows.items()
                    if at is not None and row is not None and (cell := _corrected(view, row, names))
                }
                if corrected:
                    yield online, user, corrected


def _corrected(view: str, row: feast_values.Row, names: Sequence[str]) -> Row:
    """Return the cell of a row that names someone as it should be; nothing where none does."""
    if view == DAILY:
        before = memory_cells.unpacked(feast_values.number(row, columns.MEMORY, "bytes_val", b""))
        after = memory.without(before, names)
        changed = after != before
        return {columns.MEMORY: feast_values.value("bytes_val", memory_cells.packed(after))} if changed else {}
    events = decoded(row)
    kept = _of_others(events, names)
    changed = len(kept) != len(events)
    return {"events": feast_values.value("string_val", provenance.encode(kept))} if changed else {}


def _of_others(events: Sequence[Event], names: Sequence[str]) -> list[Event]:
    return [event for event in events if not any(name in event.item_id for name in names)]


def _write(online: Online, view: str, user: str, at: dt.datetime, row: Row) -> None:
    key = feast_values.entity_key(columns.USER_ID, user)
    online.guard.write(online.views[view], [(key, row, at, None)], [user])

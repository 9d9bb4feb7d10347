"""The online store as serving uses it: read user rows, and fold new events into them.

One process owns the pushes of a user (the door), so a read-fold-write needs no transaction. A materialisation may
write the same rows meanwhile: both keep, beside a row, what it was made of, and the events are in a list that only
pushes write, so whatever one of them overwrote the next materialisation sees and makes good (docs/online.md).
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from feature_repo import columns, event_lists, memory
from feature_repo.online import feast_values, memory_cells, provenance
from feature_repo.online.feast_store import Online, space
from feature_repo.online.provenance import Provenance
from feature_repo.online.row_blob import Parts, RowBlob
from feature_repo.rows import Ragged, UserRows
from feature_repo.update import RECEIVED as MIRRORED
from feature_repo.update import Event, Folding, State, moved_on
from feature_repo.views import BLOB, BLOB_OF, MADE_OF, PUSHED, RECEIVED, row_views

READ_VIEWS = ("user_profile", "user_targets", "user_history")
DAILY = "user_daily"  # the view that a model never reads; it has the memory, since only a push reads and writes both
READS = 4  # at most, of a row that is being written
log = logging.getLogger("intentflow")
REMEMBER_S = 10.0  # how long the end of the last batch, and who was forgotten, are taken as known
Rows = Mapping[str, Sequence[feast_values.Row | None]]  # view -> a row a user


@dataclass(frozen=True)
class OnlineProfiles:
    """User rows in Feast's online store, aligned to one vocabulary."""

    online: Online
    folding: Folding
    clock: Callable[[], float] = time.monotonic
    blobs: bool = True  # False: rows are read from their views, as releases do that know no blobs
    _confirmed: dict[str, tuple[float, int]] = field(default_factory=dict, repr=False)
    _lacking: list[str] = field(default_factory=list, repr=False)  # whether rows without memories were met, and said
    _tombstones: list[frozenset[str]] = field(default_factory=lambda: [frozenset()], repr=False)  # as last heard

    @classmethod
    def open(cls, project: str, folding: Folding) -> "OnlineProfiles":
        """Open the store that the environment names: of all rows there those of our vocabulary."""
        where, people = space(project, folding.vocabulary.digest), folding.vocabulary.people
        return cls(Online.open(where, windows_days=folding.windows_days, people=people), folding)

    @property
    def _read_views(self) -> tuple[str, ...]:
        return (*READ_VIEWS, RECEIVED) if self.folding.vocabulary.people else READ_VIEWS

    @cached_property
    def form(self) -> RowBlob:
        """How a row is laid out in one cell."""
        return RowBlob.of([self.online.kinds[view] for view in self._read_views])

    @property
    def _row_views(self) -> tuple[str, ...]:
        return row_views(people=self.folding.vocabulary.people)

    def read(self, user_ids: Sequence[str], *, now: int) -> UserRows:
        """Read the rows of users as known now (epoch seconds); a user without a row comes back unknown.

        Raises StoreAway when the store does not answer in its time.
        """
        rows = moved_on(self._stored(user_ids, now=now), self._batch_end(), self.folding.calendar)
        return self._with_events(rows) if self.folding.events else rows

    def push(self, user_id: str, events: Sequence[Event]) -> UserRows:
        """Fold events into a user's row, oldest first, write it, and return it; the next read sees it."""
        self.push_all({user_id: events})
        return self.read([user_id], now=max((event.at for event in events), default=0) + 1)

    def push_all(self, events: Mapping[str, Sequence[Event]]) -> dict[str, State]:
        """Fold the events of many users, oldest first, into their rows with one write a view.

        Returns the states. A batch's row that is aligned to another vocabulary stays as it is: the
        events wait in the user's list for who can read it.
        """
        users = list(events)
        if not users:
            return {}
        found = {view: self.online.read(view, users) for view in (*self._row_views, MADE_OF, PUSHED)}
        kept: dict[str, list[Event]] = {}
        states: dict[str, State] = {}
        made: dict[str, Provenance] = {}
        old = self._states(users, found)
        for place, user in enumerate(users):
            was = provenance_of(found[MADE_OF][place])
            others = provenance.since(provenance.decode(was.others), was.data_end)
            own = provenance.since(decoded(found[PUSHED][place]), was.data_end)
            had = [*provenance.lacking(own, [others]), *own]
            known = {event.key for event in had if event.key}
            new = [event for event in sorted(events[user], key=lambda e: e.at) if event.key not in known]
            kept[user] = own + new
            mine = was.vocabulary == self.folding.vocabulary.digest
            if was.from_batch and not mine:
                continue
            if not was.row and all(event.event.startswith(MIRRORED) for event in (*had, *new)):
                continue  # who never acted has no row, as in a batch; what was done to them waits in their list
            waiting = was.missing(had) if mine else had  # of before, and not in the row
            states[user] = self.folding.fold(old[user], [*waiting, *new])
            doubt = "?" if mine and waiting else ""
            row = was.row if mine else f"{self.folding.vocabulary.digest}:"
            made[user] = Provenance(row, was.data_end, provenance.stamp(had + new) + doubt, was.others if mine else "")
        at = {user: max((e.at for e in theirs), default=0) for user, theirs in kept.items()}
        told = [(u, at[u], {"events": provenance.encode(theirs)}) for u, theirs in kept.items()]
        with self.online.together():
            self.online.write(PUSHED, told)
            self.write(states, made)
        return states

    def memories(self, user_ids: Sequence[str]) -> list[list[memory.Remembered] | None]:
        """Read the last events of users, oldest first; None of whom no row has a memory."""
        cells = [_memory_of(row) for row in self.online.read(DAILY, user_ids)]
        return [memory.decode(cell) if cell else None for cell in cells]

    def forgotten(self, user_ids: Sequence[str]) -> frozenset[str]:
        """Return which of some users were forgotten, as the store knows now."""
        return self.online.forgotten(user_ids)

    def heard_of(self, user_id: str) -> bool:
        """Tell whether a user was forgotten as far as the last reads heard; asks nobody."""
        return bool(self._tombstones[0]) and self.online.guard.holds(user_id, self._tombstones[0])

    def write(self, states: Mapping[str, State], made: Mapping[str, Provenance]) -> None:
        """Write rows view by view, and last what they are made of: a row that was cut short shows as such."""
        if not states:
            return
        cells = {
            u: {**state, columns.MEMORY: memory_cells.packed(state[columns.MEMORY])} for u, state in states.items()
        }
        for view in self._row_views:
            self.online.write(view, [(user, int(row[columns.STATE_AT]), row) for user, row in cells.items()])
        blobs = {user: self.form.pack(state, made=made[user]) for user, state in states.items()}
        told = {user: provenance.cells(made[user], blob=blob) for user, blob in blobs.items()}
        self.online.write(MADE_OF, [(user, int(states[user][columns.STATE_AT]), row) for user, row in told.items()])

    def made_of(self, user_ids: Sequence[str]) -> list[tuple[Provenance, list[Event]]]:
        """Read what users' rows are made of, and the events pushed since."""
        made, events = (self.online.read(view, user_ids, without=(BLOB,)) for view in (MADE_OF, PUSHED))
        return [(provenance_of(m), decoded(e)) for m, e in zip(made, events, strict=True)]

    def confirm(self, data_end: int) -> None:
        """Note that a batch which ends at `data_end` was written whole: a row it left as it was holds until then."""
        made = Provenance(f"{self.folding.vocabulary.digest}:", data_end)
        self.online.write(MADE_OF, [(provenance.BATCH, data_end, provenance.cells(made))])
        self._confirmed.clear()

    def has_blob(self, made: Provenance) -> bool:
        """Tell whether a row that is `made` so has a blob that `read` takes."""
        return made.blob_of == self.form.head(made).hex()

    def _stored(self, users: Sequence[str], *, now: int) -> UserRows:
        """Return rows as they are stored: out of their blobs, and view by view those that have none of this form."""
        blobs = self._blobs(users) if self.blobs else ()
        found = {place: row for place, row in enumerate(blobs) if row is not None}
        rest = [place for place in range(len(users)) if place not in found]
        if not rest and found:
            return self.form.rows(list(found.values()), users, now=now)
        named = [users[place] for place in rest]
        rows = self._arrays(named, self._whole(named), now=now)
        if not found:
            return rows
        mine = self.form.rows(list(found.values()), [users[place] for place in found], now=now)
        return UserRows.joined(mine, rows).take(np.argsort([*found, *rest]))

    def _with_events(self, rows: UserRows) -> UserRows:
        """Add the memories as lists. They are read after the row: an event pushed in between may be in them alone."""
        cells = [_memory_of(row) for row in self.online.read(DAILY, [str(user) for user in rows.user_id])]
        if any(known and not cell for known, cell in zip(rows.known, cells, strict=True)):
            self._say_lacking()
        held = [cell if known else memory.EMPTY for known, cell in zip(rows.known, cells, strict=True)]
        found = event_lists.of(held, self.folding.vocabulary, texts=self.folding.texts)
        return replace(rows, lists={**rows.lists, **found})

    def _blobs(self, users: Sequence[str]) -> list[Parts | None]:
        """Read rows' blobs with what the rows are made of: one of another row, form or vocabulary counts as none."""
        parts: list[Parts | None] = []
        for row in self.online.read(MADE_OF, users):
            made, blob = provenance_of(row), feast_values.number(row, BLOB, "bytes_val", b"")
            mine = bool(blob) and made.vocabulary == self.folding.vocabulary.digest
            parts.append(self.form.parts(blob, made=made) if mine else None)
        return parts

    def _whole(self, users: Sequence[str]) -> Rows:
        """Read every view, and again where a writer came in between: then the times of a row differ."""
        times: list[tuple[object, ...]] = []
        for _ in range(READS):
            found = {view: self.online.read_timed(view, users) for view in self._read_views}
            before, times = times, list(zip(*([at for at, _ in rows] for rows in found.values()), strict=True))
            if times == before or all(len(set(of)) == 1 for of in times):
                break
        return {view: [row for _, row in rows] for view, rows in found.items()}

    def _batch_end(self) -> int:
        """Return where the last batch of our vocabulary ended, 0 where there was none; as of some seconds ago."""
        asked, end = self._confirmed.get(provenance.BATCH, (-REMEMBER_S, 0))
        if self.clock() - asked >= REMEMBER_S:
            found = provenance_of(self.online.read(MADE_OF, [provenance.BATCH])[0])
            end = found.data_end if found.vocabulary == self.folding.vocabulary.digest else 0
            self._tombstones[0] = self.online.tombstones()
            self._confirmed[provenance.BATCH] = (self.clock(), end)
        return end

    def _arrays(self, users: Sequence[str], found: Rows, *, now: int) -> UserRows:
        """Lay rows out as arrays; one that is aligned to another vocabulary counts as none: its positions lie."""
        kinds = self.online.kinds
        of = [feast_values.number(row, columns.VOCABULARY, "string_val", "") for row in found["user_profile"]]
        known = np.asarray([digest == self.folding.vocabulary.digest for digest in of])
        numbers: dict[str, np.ndarray] = {}
        lists: dict[str, Ragged] = {}
        for view, rows in found.items():
            if view in self._row_views:
                mine = [row if ours else None for row, ours in zip(rows, known, strict=True)]
                more = feast_values.arrays(mine, kinds[view])
                numbers |= more[0]
                lists |= more[1]
        state_at = numbers.pop(columns.STATE_AT).astype(np.int64)
        return UserRows(
            user_id=np.asarray(users, dtype=object),
            now=np.full(len(users), now, dtype=np.int64),
            state_at=state_at,
            known=known,
            numbers=numbers,
            lists=lists,
        )

    def _states(self, users: Sequence[str], found: Rows) -> dict[str, State]:
        """Return all that an event may move, by user; a user without a row has the empty state."""
        rows = self._arrays(users, found, now=0)
        states = {}
        for place, user in enumerate(users):
            states[user] = self.folding.empty()
            if not rows.known[place]:
                continue
            numbers = {name: float(values[place]) for name, values in rows.numbers.items()}
            lists = {name: values.row(place) for name, values in rows.lists.items()}
            daily = found[DAILY][place]
            last = feast_values.number(daily, columns.LAST_SESSION, "string_val", "")
            states[user] |= numbers | lists | {columns.STATE_AT: int(rows.state_at[place]), columns.LAST_SESSION: last}
            states[user][columns.MEMORY] = _memory_of(daily)
        if any(known and not states[user][columns.MEMORY] for user, known in zip(users, rows.known, strict=True)):
            self._say_lacking()
        return states

    def _say_lacking(self) -> None:
        """Say once that rows have no memory: it must not be taken for that of people who did nothing."""
        if not self._lacking:
            self._lacking.append("said")
            log.warning(
                "online store: user rows were written before rows had event memories; theirs hold only what comes now, "
                "until a run has materialised new rows"
            )


def provenance_of(row: feast_values.Row | None) -> Provenance:
    """Return what a row of `user_made_of` says; of a cell that is not there, or of another kind, nothing."""
    if row is None:
        return Provenance()
    of, folded, others, blob_of = (_text_of(row, name) for name in ("row", "folded", "others", BLOB_OF))
    return Provenance(of, int(feast_values.number(row, "data_end", "int64_val")), folded, others, blob_of)


def _text_of(row: feast_values.Row, name: str) -> str:
    cell = row.get(name)
    return "" if cell is None else cell.string_val  # '' where it holds something else


def _memory_of(row: feast_values.Row | None) -> bytes:
    """Return the memory of a row of `user_daily`, b"" where it has none."""
    return memory_cells.unpacked(feast_values.number(row, columns.MEMORY, "bytes_val", b""))


def decoded(row: feast_values.Row | None) -> list[Event]:
    """Return the events of a row of `user_pushed`."""
    return provenance.decode(feast_values.number(row, "events", "string_val", ""))

"""People who came after training, where items are people: what the document log says of them, beside users' rows.

The job `materialise` puts a document for each (pipelines/jobs/later_people.py): what was known of the person as an
item, and the records of everybody who acted on them (`by`) or on whom they acted (`to`). No row of the store can hold
such records, since rows name people by their place in a release's vocabulary. So they are laid beside a row when it is
read: `extended` adds them, and from there on a later person is one among the others. Pure: no store, no clock.

A record is [user, kind, weeks, slow, fast, first_at, last_at], sums as of the week after its last one, so that it stays
as it is while nothing happens. AS_OF is when the data ended that it comes from, in epoch seconds.

Letters: B rows, N records.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from feature_repo import columns
from feature_repo.calendar import Calendar
from feature_repo.memory import Remembered
from feature_repo.rows import LIST_TYPES, Ragged, UserRows
from feature_repo.signs import Signs

AS_PERSON = "as_person"  # of a document: all that is said of a person beside the columns of items
UNDER, AS_OF, STATE, BY, TO = "under", "as_of", "state", "by", "to"  # UNDER: fingerprint of the key of its names


class Tie(NamedTuple):
    """What one person did to another, of whom one came after training."""

    user: str  # the other one, by pseudonym
    kind: str  # of the events; '' where rows keep no record by kind
    weeks: float
    slow: float
    fast: float
    first_at: int  # epoch seconds
    last_at: int


def document(
    says: Mapping[str, Any],
    *,
    under: str,
    as_of: int,
    state: Mapping[str, float],
    by: Iterable[Tie],
    to: Iterable[Tie],
) -> dict[str, Any]:
    """Return a person's document; numbers lose what lies beyond six digits, and unknown ones are left out."""
    known = {name: _short(value) for name, value in state.items() if value == value}
    person = {UNDER: under, AS_OF: as_of, STATE: known, BY: _listed(by), TO: _listed(to)}
    return {**says, AS_PERSON: person}


def _listed(ties: Iterable[Tie]) -> list[list[Any]]:
    return [[*one[:2], *map(_short, one[2:5]), *one[5:]] for one in ties]


def _short(value: float) -> float:
    return float(f"{value:.6g}")


@dataclass(frozen=True)
class LaterPeople:
    """Later people by their position among the items, and their ties by the user at the other end."""

    place_of: Mapping[str, int] = field(default_factory=dict)  # by pseudonym
    as_of: Mapping[int, int] = field(default_factory=dict)
    state: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    by: Mapping[str, Sequence[tuple[int, Tie]]] = field(default_factory=dict)  # what a user did to later people
    to: Mapping[str, Sequence[tuple[int, Tie]]] = field(default_factory=dict)  # what later people did to a user

    def __bool__(self) -> bool:
        return bool(self.place_of)

    @classmethod
    def of(cls, said: Mapping[int, Mapping[str, Any]], item_ids: Sequence[str]) -> "LaterPeople":
        """Read what documents say of people (AS_PERSON) by position among items."""
        by: dict[str, list[tuple[int, Tie]]] = {}
        to: dict[str, list[tuple[int, Tie]]] = {}
        for place, one in said.items():
            for ties, found in ((one[BY], by), (one[TO], to)):
                for tie in ties:
                    found.setdefault(tie[0], []).append((place, Tie(*tie)))
        place_of = {item_ids[place]: place for place in said}
        as_of, state = ({place: one[name] for place, one in said.items()} for name in (AS_OF, STATE))
        return cls(place_of, as_of, state, by, to)

    def edges(self, place_of: Mapping[str, int]) -> tuple[np.ndarray, np.ndarray]:
        """Return who acted on whom, by position [N] each, of ties with people who have one."""
        pairs = [(place_of[user], p) for user, ties in self.by.items() if user in place_of for p, _ in ties]
        pairs += [(p, place_of[user]) for user, ties in self.to.items() if user in place_of for p, _ in ties]
        found = np.asarray(pairs, dtype=np.int64).reshape(-1, 2)
        return found[:, 0], found[:, 1]

    def extended(self, rows: UserRows, signs: Signs, calendar: Calendar) -> UserRows:
        """Return rows whose lists also hold their records with later people; a user without a row is left alone."""
        if not self:
            return rows
        lists = dict(rows.lists)
        lists |= _added(rows, columns.HISTORY_LISTS, self.by, signs, calendar)
        if columns.RECEIVED_LISTS[0] in rows.lists:
            lists |= _added(rows, columns.RECEIVED_LISTS, self.to, None, calendar)
        return replace(rows, lists=lists)

    def barred(
        self,
        user: str,
        remembered: Sequence[Remembered] | None,
        *,
        signs: Signs,
        forbid: bool = True,
        event: str | None = None,
    ) -> frozenset[int]:
        """Return the later people whom a user may not be shown: whom they acted on, by the log and their memory.

        Without declared kinds `event` is the one that counts, None for any. With kinds, those that hide or may not be
        repeated count (all that are wanted, where repeats are forbidden altogether), unless it was taken back since.
        Where a memory could not be read (None) everyone is barred; so is a person of whose document a full memory
        holds no event as old: it may have lost one that the document does not hold yet.
        """
        if remembered is None:
            return frozenset(self.place_of.values())
        since = remembered[0].at if len(remembered) >= columns.MEMORY_EVENTS else 0
        doubtful = frozenset(place for place, as_of in self.as_of.items() if as_of < since)
        done = [(tie.kind, place, tie.last_at) for place, tie in self.by.get(user, ())]
        known = ((one.event, self.place_of.get(one.item_id), one.at) for one in remembered)
        done += [(kind, place, at) for kind, place, at in known if place is not None]
        last: dict[tuple[str, int], int] = {}
        for kind, place, at in done:
            last[kind, place] = max(at, last.get((kind, place), 0))
        if not signs:
            return doubtful | {place for kind, place in last if event is None or kind in ("", event)}
        bars = {*signs.hides, *signs.once, *(signs.wanted if forbid else ())}
        return doubtful | {place for kind, place in last if kind in bars and _stands(kind, place, last, signs)}


NOBODY = LaterPeople()


def _stands(kind: str, place: int, last: Mapping[tuple[str, int], int], signs: Signs) -> bool:
    """Tell whether what a user did to a person was not taken back since."""
    back = max((last.get((one, place), -1) for one, undone in signs.undoes if undone == kind), default=-1)
    return last[kind, place] > back


def _added(
    rows: UserRows,
    names: Sequence[str],
    ties: Mapping[str, Sequence[tuple[int, Tie]]],
    signs: Signs | None,
    calendar: Calendar,
) -> dict[str, Ragged]:
    """Return the parallel lists `names` of rows with ties added behind; `signs` None: these lists have no kinds."""
    row, found = [], []
    for b, user in enumerate(rows.user_id):
        for place, tie in ties.get(str(user), ()) if rows.known[b] else ():
            key = place if signs is None else signs.key(tie.kind, place)
            if key is not None:
                row.append(b)
                found.append((key, *tie[2:]))
    if not found:
        return {}
    at = np.asarray(row, dtype=np.int64)
    values = [np.asarray(column) for column in zip(*found, strict=True)]
    # Sums are as of the week after the last event; the row's are as of the week that its state is asked about in.
    weeks = calendar.upcoming(rows.state_at[at]) - (calendar.weeks(values[5]) + 1)
    values[2], values[3] = values[2] * calendar.pace.slow**weeks, values[3] * calendar.pace.fast**weeks
    more = np.concatenate([[0], np.cumsum(np.bincount(at, minlength=len(rows)))]).astype(np.int64)
    return {
        name: Ragged(
            np.insert(rows.lists[name].values, rows.lists[name].offsets[at + 1], value.astype(LIST_TYPES[name])),
            rows.lists[name].offsets + more,
        )
        for name, value in zip(names, values, strict=True)
    }

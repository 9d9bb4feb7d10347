"""What the online store keeps beside a user's row: the events pushed since the last batch, and what the row is made of.

A row is a batch's row with pushed events folded in. A batch holds what was known before its `data_end`; an event that
happened or arrived later is in no batch yet, so whoever writes a batch's row folds it in again. Items are named by
id: the list outlives a vocabulary.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from operator import attrgetter
from typing import Any

from feature_repo import files
from feature_repo.update import Event
from feature_repo.views import BLOB, BLOB_OF

BATCH = "batch"  # the entity that stands for the last batch as a whole; users are named by 16 hex digits
BLOB_HEAD = 24  # bytes by which a blob says what it is of (row_blob.py)
_ALL = attrgetter(*(field.name for field in fields(Event)))  # its fields hold no others; `astuple` copies them deeply
LIMIT = 2_000  # latest events kept of a user: who is in no batch for longer loses the oldest at the next vocabulary


@dataclass(frozen=True)
class Provenance:
    """Which batch row a row began as, and which pushed events were folded into it."""

    row: str = ""  # '<vocabulary>:<digest of the batch's row>'; without a digest where no batch has the user
    data_end: int = 0  # epoch seconds, of that batch
    folded: str = ""  # digest of the events; with '?' behind where one may be in twice: the next batch writes it anew
    others: str = ""  # encoded events that only lists of other vocabularies have; they come before this one's own
    blob_of: str = ""  # head of the row's blob, in hex; '' where there is none

    @classmethod
    def of(
        cls, vocabulary: str, digest: object, data_end: int, events: Sequence[Event], *, others: Sequence[Event] = ()
    ) -> "Provenance":
        """Describe a row that holds all of `events`, the first of which are `others`."""
        return cls(f"{vocabulary}:{digest}", data_end, stamp(events), encode(others) if others else "")

    @property
    def vocabulary(self) -> str:
        """The vocabulary that the row is aligned to."""
        return self.row.partition(":")[0]

    @property
    def from_batch(self) -> bool:
        """Tell whether a batch's row is beneath it."""
        return bool(self.row.partition(":")[2])

    def missing(self, events: Sequence[Event]) -> list[Event]:
        """Return which of the kept events the row does not hold yet: a row holds the first ones of the list."""
        for n in range(len(events), -1, -1):
            if stamp(events[:n]) == self.folded.rstrip("?"):
                return list(events[n:])
        return []


def encode(events: Sequence[Event]) -> str:
    """Write events as the store keeps them."""
    return files.canonical([_fields(event) for event in events[-LIMIT:]])


def _fields(event: Event) -> tuple[Any, ...]:
    """Return an event's fields; its text stands last, and is left out where there is none, as before texts."""
    told: tuple[Any, ...] = _ALL(event)
    return told if event.text else told[:-1]


def decode(text: str) -> list[Event]:
    """Read them back.

    >>> decode(encode([Event("i1", "view", 7, "s")]))[0].item_id
    'i1'
    """
    return [Event(*fields) for fields in json.loads(text or "[]")]


def since(events: Sequence[Event], data_end: int) -> list[Event]:
    """Return the events that a batch which ends at `data_end` cannot hold: later ones, and those that came later."""
    return [event for event in events if max(event.at, event.known_at) >= data_end]


def lacking(own: Sequence[Event], lists: Sequence[Sequence[Event]]) -> list[Event]:
    """Return the events of other lists that a list lacks, each once, in the order in which they are found.

    An event without a key is told by what it says, and is there as often as in the list that has it most often.

    >>> twice = [Event("i1", "view", 7, "s")] * 2
    >>> len(lacking(twice[:1], [twice, twice])), lacking([], [[Event("i", "view", 1, "s", key="k")]] * 2)[0].key
    (1, 'k')
    """
    have, found = Counter(_told_by(event) for event in own), []
    for events in lists:
        mine: Counter[object] = Counter()
        for event in events:
            told = _told_by(event)
            mine[told] += 1
            if have[told] < (1 if event.key else mine[told]):
                have[told] += 1
                found.append(event)
    return found


def _told_by(event: Event) -> object:
    return event.key or replace(event, known_at=0)


def stamp(events: Sequence[Event]) -> str:
    """Return a digest of events in their order, '' for none."""
    return f"{len(events)}-{files.digest([_fields(event) for event in events[-LIMIT:]])}" if events else ""


def cells(made: Provenance, *, blob: bytes = b"") -> Mapping[str, Any]:
    """Return the cells of a row of `user_made_of`, with the row's blob; without one it is read from its views."""
    told = {"row": made.row, "data_end": made.data_end, "folded": made.folded, "others": made.others}
    return told | {BLOB_OF: blob[:BLOB_HEAD].hex(), BLOB: blob}

"""The port of people: whom the service answered, what it says of somebody, and an event that somebody causes.

People go by pseudonym. A raw id comes in only where a person typed it, and goes no further than the service.
"""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Seen:
    """Somebody whom the service answered."""

    pseudonym: str
    at: str  # ISO 8601
    rung: str
    answers: int  # in the log


@dataclass(frozen=True)
class Intent:
    """Something that somebody may be about to do."""

    name: str
    probability: float  # 0..1


@dataclass(frozen=True)
class Past:
    """Something that somebody did."""

    at: str  # ISO 8601
    event: str
    item_id: str
    title: str
    source: str  # data or service


@dataclass(frozen=True)
class Fact:
    """Something that a text rests on."""

    name: str
    value: str


@dataclass(frozen=True)
class Item:
    """An item that is recommended."""

    position: int
    item_id: str
    title: str
    source: str
    reasons: tuple[str, ...]  # in words
    price: float | None = None
    picture: str = ""  # address; "" where the catalogue has none
    text: str = ""
    author: str = ""  # who wrote the text
    facts: tuple[Fact, ...] = ()


@dataclass(frozen=True)
class Person:
    """What the service says of somebody."""

    pseudonym: str
    live: bool  # asked just now; else the latest logged answer
    at: str  # ISO 8601
    release: str
    request_id: str
    segment: str
    rung: str
    age_days: float | None
    degraded: str  # what failed; "" where nothing did
    intents: tuple[Intent, ...]
    items: tuple[Item, ...]
    events: tuple[Past, ...]  # the newest first
    note: str = ""  # what else there is to say, in English
    counts: bool = False  # this look is in the request log as an answer that somebody saw
    untold: str = ""  # why items have no texts; "" where they have


@dataclass(frozen=True)
class Sent:
    """What became of an event."""

    accepted: int
    duplicates: int
    ignored: int
    event: str
    item_id: str


class People(Protocol):
    """What the pages about people ask; refusals are UserError, ServerError or Rejected."""

    def seen(self) -> tuple[Seen, ...]:
        """Return whom the service answered last, the newest first."""

    def pseudonym(self, raw_id: str) -> str:
        """Return a raw id's pseudonym; nothing is asked of the service."""

    def logged(self, pseudonym: str, language: str) -> Person:
        """Return what the service last said of somebody."""

    def asked(self, raw_id: str, language: str) -> Person:
        """Ask the service about somebody now."""

    def event_types(self) -> tuple[str, ...]:
        """Return the kinds of events that the spec declares."""

    def send(self, raw_id: str, event: str, item_id: str, *, who: str, once: str = "") -> Sent:
        """Send an event in somebody's name; an item that is none is refused, and nothing is stored.

        What is sent again with the same `once` is stored once.
        """

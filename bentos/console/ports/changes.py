"""The port of the audit: who changed what, and when."""

from dataclasses import dataclass
from typing import Literal, Protocol

Did = Literal["put", "removed", "taken back", "moved", "sent", "sent, unanswered"]
What = Literal["item", "rule", "person", "vector", "release", "event"]


@dataclass(frozen=True)
class AuditEntry:
    """One change."""

    at: str  # ISO 8601, UTC
    who: str
    what: What
    ids: tuple[str, ...]  # of items, rules or aliases; the first ones. None of people; of an event its item
    count: int  # of them in all
    version: int | None  # of the document log; None: a move in the registry, or an event
    did: Did
    undoes: int | None = None
    said: str = ""  # what they became: a document as JSON, or a line of the registry's


@dataclass(frozen=True)
class Audit:
    """A part of the audit, the newest first."""

    entries: tuple[AuditEntry, ...]
    older: int | None = None  # the version of the log to read on from; None: nothing is older
    problems: tuple[str, ...] = ()  # what could not be read: its changes are missing here


class Changes(Protocol):
    """What the page asks."""

    def audit(self, *, what: str = "", until: int | None = None) -> Audit:
        """Return changes, of one kind alone where `what` names it, from a version of the document log back."""

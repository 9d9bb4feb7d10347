"""What one kind of store must do for the document log: keep changes in order, in one step each.

head     which log this is (a name that it got with its first change) and its version; 0: nothing was changed yet
write    append a change whose version follows the log's, with its newest documents; or say what stands in its way
replace  put changed texts of versions in the place of theirs, where people were taken out of them
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from feature_repo.documents.changes import Change, Newest

Replaced = tuple[tuple[str, str], Newest]  # kind and id of a newest document, and what is now in its place


@dataclass(frozen=True)
class Head:
    """Which log, and how far it goes. A log that was lost and begun again has another name."""

    name: str = ""
    version: int = 0


@dataclass(frozen=True)
class Page:
    """Newest documents and the head of one moment."""

    head: Head
    newest: tuple[Newest, ...]


class Shelf(Protocol):
    """The log of one recommender in one kind of store."""

    def head(self) -> Head:
        """Return the log's name and version."""

    def write(self, change: Change, name: str) -> bool:
        """Append a change, durably and in one step; say whether it did.

        It does not where the log does not stand at the version before it, or knows its key.
        `name` becomes the log's name if this is its first change.
        """

    def keyed(self, key: str) -> Change | None:
        """Return the change that came under a key."""

    def changes(self, after: int, until: int) -> list[Change]:
        """Return the changes of versions after < version <= until, oldest first."""

    def newest(self, after: int) -> Page:
        """Return the newest documents that changed after a version, in the order of `first`, as of one moment."""

    def replace(self, head: Head, changes: Sequence[Change], newest: Sequence[Replaced], name: str) -> bool:
        """Put versions and newest documents in the place of those before, and name the log, durably and in one step.

        Say whether it did: it does not where the log's head is another one. Nothing of what was there may stay in the
        store's files once its rows are tidied (online/erase.py).
        """

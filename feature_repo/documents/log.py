"""The document log as writers and readers call it, over the kind of store that the environment names.

A writer says which version it has read (`after`): where somebody else was quicker nothing is written, and it reads,
judges and tries again. So what a change was judged by is what it follows. A reader holds a Snapshot and refreshes it.
"""

import datetime as dt
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from feature_repo.documents.changes import (
    LONGEST_ID,
    MOST_DOCUMENTS,
    PERSON,
    RULE,
    Change,
    Document,
    Entry,
    Kind,
    Newest,
    inverse,
    named_in,
    newest_of,
    require_bounds,
    without,
)
from feature_repo.documents.shelf import Head, Shelf
from feature_repo.errors import DataError

TRIES = 20  # of a removal that writers are quicker than
PART, WHEN = ".", "@"  # behind a log's first name: how often people were taken out of it, and the last time


class Behind(Exception):
    """The log has gone on since the writer read it: read again."""


@dataclass(frozen=True)
class Snapshot:
    """The newest document of each id, as of one version of one log."""

    head: Head = field(default_factory=Head)
    by_id: Mapping[tuple[str, str], Newest] = field(default_factory=dict)

    def of(self, kind: Kind) -> dict[str, Newest]:
        """Return the newest documents of a kind by id, in the order in which ids came."""
        found = sorted((one for one in self.by_id.values() if one.kind == kind), key=lambda one: one.first)
        return {one.id: one for one in found}


@dataclass(frozen=True)
class DocumentLog:
    """One recommender's log."""

    shelf: Shelf

    def head(self) -> Head:
        """Return the log's name and version."""
        return self.shelf.head()

    def refreshed(self, held: Snapshot) -> Snapshot:
        """Bring a snapshot up to date. One of another log, or of a later version than the log's, is read anew."""
        page = self.shelf.newest(held.head.version)
        if page.head.name != held.head.name or page.head.version < held.head.version:
            page = self.shelf.newest(0)
            return Snapshot(page.head, {(one.kind, one.id): one for one in page.newest})
        if page.head == held.head:
            return held
        return Snapshot(page.head, {**held.by_id, **{(one.kind, one.id): one for one in page.newest}})

    def earlier(self, key: str, asked: str) -> Change | None:
        """Return the change that came under a key, if it did; refuse the key for a request that says something else."""
        if len(key) > LONGEST_ID:
            raise DataError(f"change_id: {len(key)} characters; allowed: at most {LONGEST_ID}")
        found = self.shelf.keyed(key) if key else None
        if found is not None and found.asked != asked:
            raise DataError(f"change_id: '{key}' stands for version {found.version}; allowed: one of its own")
        return found

    def put(
        self,
        kind: Kind,
        documents: Sequence[tuple[str, Document | None]],
        *,
        who: str,
        at: dt.datetime,
        after: Snapshot,
        key: str = "",
        asked: str = "",
        undoes: int | None = None,
    ) -> Change:
        """Append documents as one version; return it.

        A sender with a key looks for an `earlier` change first. Raises Behind where `after` is not the log's newest
        version, or the key was taken meanwhile; DataError where the change is out of bounds.
        """
        require_bounds(documents, kind)
        newest = after.of(kind)
        if (count := len({*newest, *(one for one, _ in documents)})) > MOST_DOCUMENTS:
            raise DataError(
                f"documents: {count} ids of kind {kind}; allowed: at most {MOST_DOCUMENTS}; put what lasts into the "
                "source's own table"
            )
        known = {} if kind == PERSON else newest  # of people nobody takes a change back: each is kept once, not twice
        entries = tuple(
            Entry(one, document, known[one].document if one in known else None) for one, document in documents
        )
        at_utc = at.astimezone(dt.UTC).isoformat(timespec="seconds")
        change = Change(after.head.version + 1, at_utc, who, kind, entries, undoes, key, asked)
        if not self.shelf.write(change, uuid.uuid4().hex):
            raise Behind
        return change

    def undo(
        self,
        version: int,
        *,
        who: str,
        at: dt.datetime,
        after: Snapshot,
        key: str = "",
        asked: str = "",
        rules: bool = False,
    ) -> Change:
        """Append the change that takes a version back: one of rules where `rules` says so, else one of items.

        Versions of people, whom the job `materialise` renews, are refused.
        """
        found = self.shelf.changes(version - 1, version)
        if not found:
            raise DataError(f"undo: no version {version}; have 1 to {after.head.version}")
        kind = found[0].kind
        if kind == PERSON:
            raise DataError(
                f"undo: version {version} is of people, made from the source by the job materialise; allowed: a "
                "version of items or of rules; to hide a person forget them, or mend the source and run the job"
            )
        if rules != (kind == RULE):
            what, where = ("rules", "PUT /rules") if kind == RULE else ("items", "PUT /items")
            raise DataError(f"undo: version {version} changed {what}; allowed: {where}, or `intentflow {what}`")
        entries = [(entry.id, entry.document) for entry in inverse(found[0], after.of(kind))]
        return self.put(kind, entries, who=who, at=at, after=after, key=key, asked=asked, undoes=version)

    def changes(self, *, after: int = 0, until: int | None = None) -> list[Change]:
        """Return changes, oldest first."""
        return self.shelf.changes(after, self.head().version if until is None else until)

    def people(self) -> set[str]:
        """Return everybody whom documents of people name, by pseudonym."""
        return named_in(self.changes())

    def remove(self, people: Collection[str], *, at: dt.datetime | None = None) -> int:
        """Take people, by pseudonym, out of every version, in one step; return how many documents named one.

        Versions, and the places of other ids, stay as they were. The log gets another name, so that whoever holds a
        snapshot reads it whole. Raises Behind where others write without an end.
        """
        for _ in range(TRIES):
            head = self.head()
            before = self.shelf.changes(0, head.version) if head.version else []
            after = without(before, people)
            moved = [new for old, new in zip(before, after, strict=True) if new != old]
            if not moved:
                return 0
            pairs = zip(newest_of(before), newest_of(after), strict=True)
            newest = [((old.kind, old.id), new) for old, new in pairs if new != old]
            if self.shelf.replace(head, moved, newest, removed_from(head.name, at or dt.datetime.now(dt.UTC))):
                entries = (zip(old.entries, new.entries, strict=True) for old, new in zip(before, after, strict=True))
                return sum(a != b for both in entries for a, b in both)
        raise Behind


def removed_from(name: str, at: dt.datetime) -> str:
    """Name a log from which people were taken out once more.

    >>> once = removed_from("5f3c", dt.datetime.fromtimestamp(60, dt.UTC))
    >>> once, removed_from(once, dt.datetime.fromtimestamp(90, dt.UTC))
    ('5f3c.1@60', '5f3c.2@90')
    """
    first, _, times = name.partition(WHEN)[0].partition(PART)
    return f"{first}{PART}{int(times or 0) + 1}{WHEN}{int(at.timestamp())}"


def removed_at(name: str) -> int:
    """Return when people were last taken out of a log, epoch seconds; 0: never.

    >>> removed_at("5f3c.2@90"), removed_at("5f3c")
    (90, 0)
    """
    return int(name.partition(WHEN)[2] or 0)


def same_log(one: str, other: str) -> bool:
    """Tell whether two names are of one log, before and after people were taken out of it.

    >>> same_log("5f3c", "5f3c.2@90"), same_log("5f3c", "0af1")
    (True, False)
    """
    return one.partition(PART)[0] == other.partition(PART)[0]

"""A change of the document log: what it holds, its bounds, its text in a store, and the change that takes it back.

Pure: no store and no clock.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from feature_repo import files
from feature_repo.errors import DataError
from feature_repo.ids import erased_id, is_erased

Kind = Literal["item", "vector", "person", "rule"]  # experiments come later
ITEM: Kind = "item"
VECTOR: Kind = "vector"  # of an item's text and image, put by the job `materialise` (feature_repo/item_vectors.py)
PERSON: Kind = "person"  # who came after training, where items are people; put by the same job (later_people.py)
RULE: Kind = "rule"  # of what lists may hold, by name (components/ranking/rules)
MOST_ENTRIES = 1_000  # documents in a change
MOST_BYTES = {ITEM: 16 << 10, VECTOR: 16 << 10, PERSON: 64 << 10, RULE: 16 << 10}  # of a document, as JSON
MOST_DOCUMENTS = 20_000  # ids that a log may know: every door holds them all
LONGEST_ID = 256  # characters, of a document's id and of a change's key
Document = Mapping[str, Any]


@dataclass(frozen=True)
class Entry:
    """One document of a change, and the one that it takes the place of; None: there is none."""

    id: str
    document: Document | None
    before: Document | None = None


@dataclass(frozen=True)
class Change:
    """One version of the log."""

    version: int
    at: str  # UTC, ISO 8601: the writer's wall clock
    who: str
    kind: Kind
    entries: tuple[Entry, ...]
    undoes: int | None = None
    key: str = ""  # a change that is sent again under the same key is the same change; '' is none
    asked: str = ""  # digest of what the sender said, from which the documents were made

    @property
    def text(self) -> str:
        """Return the change as a store keeps it."""
        named = {"version": self.version, "at": self.at, "who": self.who, "kind": self.kind, "undoes": self.undoes}
        entries = [{"id": e.id, "document": e.document, "before": e.before} for e in self.entries]
        return files.canonical(named | {"key": self.key, "asked": self.asked, "entries": entries})

    @classmethod
    def of(cls, text: str) -> "Change":
        """Read what `text` wrote.

        >>> one = Change(3, "2026-11-29T10:00:00+00:00", "key 1", "item", (Entry("i1", {"price": 2}),))
        >>> Change.of(one.text) == one
        True
        """
        found = json.loads(text)
        entries = tuple(Entry(one["id"], one["document"], one["before"]) for one in found.pop("entries"))
        return cls(entries=entries, **found)

    def rows(self) -> list[dict[str, Any]]:
        """Return the change as a person or a program lists it, document by document."""
        shared = {"version": self.version, "at": self.at, "who": self.who, "kind": self.kind, "undoes": self.undoes}
        return [shared | {"id": entry.id, "document": entry.document} for entry in self.entries]


@dataclass(frozen=True)
class Newest:
    """The newest document of an id, None where it was taken back; `first` never changes, so it gives ids an order."""

    kind: Kind
    id: str
    version: int
    first: tuple[int, int]  # the version that named the id first, and its place there
    document: Document | None


def newest_of(changes: Sequence[Change]) -> list[Newest]:
    """Fold changes, oldest first, into the newest document of each id, in the order in which ids came.

    >>> changes = [Change(1, "", "", "item", (Entry("b", {"x": 1}), Entry("a", {}))),
    ...            Change(2, "", "", "item", (Entry("b", None),))]
    >>> [(one.id, one.version, one.first, one.document) for one in newest_of(changes)]
    [('b', 2, (1, 0), None), ('a', 1, (1, 1), {})]
    """
    found: dict[tuple[str, str], Newest] = {}
    for change in changes:
        for place, entry in enumerate(change.entries):
            key = (change.kind, entry.id)
            first = found[key].first if key in found else (change.version, place)
            found[key] = Newest(change.kind, entry.id, change.version, first, entry.document)
    return sorted(found.values(), key=lambda one: one.first)


def inverse(change: Change, newest: Mapping[str, Newest]) -> tuple[Entry, ...]:
    """Return the entries that take a change back; a document that was changed since then stands in its way."""
    entries = []
    for entry in change.entries:
        now = newest.get(entry.id)
        if now is None or now.version != change.version:
            later = "none" if now is None else now.version
            raise DataError(
                f"undo: version {change.version} changed {change.kind} '{entry.id}', and version {later} changed it "
                f"again; undo version {later} first"
            )
        entries.append(Entry(entry.id, entry.before, entry.document))
    return tuple(entries)


def without(changes: Sequence[Change], people: Collection[str]) -> list[Change]:
    """Return all changes of a log with nothing in them of some people, by pseudonym; versions and places stay.

    Their own documents go and their ids become such as name nobody, one for each id; what others' documents say of
    them goes too.

    >>> entries = Entry("f00d", {"by": []}), Entry("beef", {"by": [["f00d", 1], ["cafe", 2]]})
    >>> [(one.id, one.document) for one in without([Change(1, "", "", "person", entries)], ["f00d"])[0].entries]
    [('erased-1-0', None), ('beef', {'by': [['cafe', 2]]})]
    """
    gone = frozenset(people)
    first: dict[str, str] = {}
    for change in changes:
        for place, entry in enumerate(change.entries):
            if entry.id in gone:
                first.setdefault(entry.id, erased_id(f"{change.version}-{place}"))

    def of(entry: Entry) -> Entry:
        if entry.id in gone:
            return Entry(first[entry.id], None)
        return Entry(entry.id, unnamed(entry.document, gone), unnamed(entry.before, gone))

    return [replace(change, entries=tuple(of(entry) for entry in change.entries)) for change in changes]


def named_in(changes: Sequence[Change]) -> set[str]:
    """Return all people whom the documents of people name: their ids, and whom they are tied to.

    >>> sorted(named_in([Change(1, "", "", "person", (Entry("beef", {"by": [["f00d", 1]]}),))]))
    ['beef', 'f00d']
    """
    found: set[str] = set()
    for entry in (entry for change in changes if change.kind == PERSON for entry in change.entries):
        found |= {entry.id, *first_of_lists(entry.document), *first_of_lists(entry.before)}
    return {one for one in found if not is_erased(one)}


def unnamed(value: Any, people: Collection[str]) -> Any:
    """Return a value without the lists that begin with one of some people's names."""
    if isinstance(value, Mapping):
        return {key: unnamed(one, people) for key, one in value.items()}
    if isinstance(value, list):
        return [unnamed(one, people) for one in value if not (isinstance(one, list) and one and one[0] in people)]
    return value


def first_of_lists(value: Any) -> set[str]:
    """Return the texts that lists within lists begin with."""
    if isinstance(value, Mapping):
        return set().union(*(first_of_lists(one) for one in value.values()))
    if not isinstance(value, list):
        return set()
    inner = [one for one in value if isinstance(one, list)]
    return {one[0] for one in inner if one and isinstance(one[0], str)}.union(*map(first_of_lists, inner))


def require_bounds(entries: Sequence[tuple[str, Document | None]], kind: Kind = ITEM) -> None:
    """Refuse a change that is too large, names an id twice, or holds what is no JSON."""
    if not 1 <= len(entries) <= MOST_ENTRIES:
        raise DataError(f"documents: {len(entries)} in a change; allowed: 1 to {MOST_ENTRIES}")
    seen: set[str] = set()
    for identity, document in entries:
        if not 1 <= len(identity) <= LONGEST_ID:
            raise DataError(f"document id: {len(identity)} characters; allowed: 1 to {LONGEST_ID}")
        if identity in seen:
            raise DataError(f"document '{identity}': twice in one change; allowed: once")
        seen.add(identity)
        if (size := size_of(document)) > MOST_BYTES[kind]:
            raise DataError(f"document '{identity}': {size} bytes; allowed: at most {MOST_BYTES[kind]}")


def size_of(document: Document | None) -> int:
    """Return the bytes of a document, as JSON."""
    return len(files.canonical(document).encode())

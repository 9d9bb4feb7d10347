"""Fills the console's port of the audit: the document log's versions and the registry's moves of aliases, by time.

Both are read as they were written; nothing is kept here. A source that does not answer is said, never left out.
"""

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from bentos.console.ports.changes import Audit, AuditEntry, What
from feature_repo.errors import ServerError, SpecError
from pipelines.environment import Installation

if TYPE_CHECKING:
    from components.registry.aliases import Move
    from feature_repo.documents.changes import Change

PAGE = 50  # versions of the log
NAMED = 5  # ids of an entry
LONGEST = 300  # characters of what something became
RELEASE: What = "release"


def port(place: Callable[[], Installation]) -> "LiveChanges":
    """Return the port over an installation, which is read anew at each call."""
    return LiveChanges(place)


class LiveChanges:
    """Fills bentos.console.ports.changes.Changes."""

    def __init__(self, place: Callable[[], Installation]) -> None:
        self._place = place

    def audit(self, *, what: str = "", until: int | None = None) -> Audit:
        """Return changes, the newest first, from a version of the document log back; moves of aliases between them."""
        from pipelines.releases.release import variables

        place, problems = self._place(), []
        with variables(place):
            try:
                changes, older = _changes(place.spec.name, what, until)
            except (ServerError, SpecError) as away:
                changes, older = [], None
                problems.append(f"items and rules: {away}")
            try:
                moves, cut = _moves(place.spec.name)
            except (ServerError, SpecError) as away:
                moves, cut = [], False
                problems.append(f"releases: {away}")
        entries = [] if what == RELEASE else [_entry(one) for one in changes]
        if what in ("", RELEASE):
            newer = None if until is None else changes[0].at if changes else ""
            entries += _between(moves, oldest=changes[-1].at if older else "", newest=newer)
        entries.sort(key=lambda one: (one.at, one.version or 0), reverse=True)
        return Audit(tuple(entries), None if what == RELEASE else older, tuple(problems), cut and not older)


def _changes(name: str, what: str, until: int | None) -> tuple[list["Change"], int | None]:
    """Return a page of versions, the newest first, of one kind alone where one is named; and where the next begins."""
    from feature_repo.documents.opened import document_log_if_any

    log = document_log_if_any(name)
    if log is None or what == RELEASE:
        return [], None
    head = log.head().version
    last = head if until is None else min(until, head)
    found: list[Change] = []
    while last > 0 and len(found) < PAGE:
        first = max(0, last - PAGE)
        found += [one for one in reversed(log.changes(after=first, until=last)) if not what or one.kind == what]
        last = first
    if len(found) > PAGE:
        found = found[:PAGE]
        last = found[-1].version - 1
    return found, last or None


def _entry(change: "Change") -> AuditEntry:
    """Say what a version of the log did. Of people no id leaves the log, and of vectors no number."""
    from components.ranking.rules.book import REMOVED
    from feature_repo.documents.changes import PERSON, VECTOR

    quiet = change.kind in (PERSON, VECTOR)
    ids = () if change.kind == PERSON else tuple(entry.id for entry in change.entries[:NAMED])
    documents = [entry.document for entry in change.entries]
    if all(document is None for document in documents):
        did = "taken back"
    elif all(document is not None and document.get(REMOVED) for document in documents):
        did = "removed"
    else:
        did = "put"
    only = documents[0] if len(documents) == 1 and not quiet else None
    said = json.dumps(only, ensure_ascii=False) if only and did == "put" else ""
    return AuditEntry(
        change.at, change.who, change.kind, ids, len(change.entries), change.version, did, change.undoes, _cut(said)
    )


def _moves(name: str) -> tuple[list["Move"], bool]:
    """Return the moves of aliases, the newest first, and whether the registry holds the oldest no longer."""
    from components.registry import aliases, client

    if client.unmade():  # a look would make it
        return [], False
    history = aliases.status(name).history
    return [*reversed(history)], bool(history) and history[0].origin != ""


def _between(moves: list["Move"], *, oldest: str, newest: str | None) -> Iterator[AuditEntry]:
    """Yield the moves of a page's time; '' and None are open ends."""
    for move in moves:
        if move.when >= oldest and (newest is None or move.when < newest):
            who = f"{move.alias}: {move.origin or '-'} -> {move.to or '-'}"
            yield AuditEntry(move.when, move.who, RELEASE, (move.alias,), 1, None, "moved", None, f"{who}: {move.why}")


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"

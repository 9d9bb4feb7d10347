"""Fills the console's port of the audit: the document log's versions and the registry's moves of aliases, by time.

And events that were sent from the console (sent.py). All are read as they were written; nothing is kept here. A source
that does not answer is said, never left out.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bentos.console.ports.changes import Audit, AuditEntry, Did, What
from feature_repo.errors import ServerError, SpecError
from pipelines.console import sent
from pipelines.environment import Installation

if TYPE_CHECKING:
    from components.registry.aliases import Move
    from feature_repo.documents.changes import Change, Entry

PAGE = 50  # versions of the log
NAMED = 5  # ids of an entry
LONGEST = 300  # characters of what something became
RELEASE: What = "release"
EVENT: What = "event"


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

        place, part, problems = self._place(), LogPart(), []
        moves: list[Move] = []
        with variables(place):
            if what not in (RELEASE, EVENT):
                try:
                    part = _part(place.spec.name, what, until)
                except (ServerError, SpecError) as away:
                    problems.append(f"items and rules: {away}")
            if what in ("", RELEASE):
                try:
                    moves = _moves(place.spec.name)
                except (ServerError, SpecError) as away:
                    problems.append(f"releases: {away}")
        oldest = part.changes[-1].at if part.older is not None else ""
        entries = [one for change in part.changes for one in _entries(change)]
        entries += _between(moves, oldest=oldest, before=part.before)
        if what in ("", EVENT):
            entries += _sent(place, oldest=oldest, before=part.before)
        entries.sort(key=lambda one: (one.at, one.version or 0), reverse=True)
        return Audit(tuple(entries), part.older, tuple(problems))


@dataclass(frozen=True)
class LogPart:
    """Versions of the document log, the newest first."""

    changes: "tuple[Change, ...]" = ()
    older: int | None = None  # the version to read on from
    before: str | None = None  # when the version after them was written: moves from then on are on the page before


def _part(name: str, what: str, until: int | None) -> LogPart:
    """Read a page of versions, of one kind alone where one is named."""
    from feature_repo.documents.opened import document_log_if_any

    log = document_log_if_any(name)
    if log is None:
        return LogPart()
    head = log.head().version
    last = head if until is None else min(until, head)
    before = log.changes(after=last, until=last + 1)[0].at if last < head else None
    found: list[Change] = []
    while last > 0 and len(found) < PAGE:
        first = max(0, last - PAGE)
        found += [one for one in reversed(log.changes(after=first, until=last)) if not what or one.kind == what]
        last = first
    if len(found) > PAGE:
        found = found[:PAGE]
        last = found[-1].version - 1
    return LogPart(tuple(found), last or None if found else None, before)


def _entries(change: "Change") -> Iterator[AuditEntry]:
    """Yield what a version of the log did, apart where it did several things. Of people no id leaves the log."""
    from feature_repo.documents.changes import PERSON, VECTOR

    by: dict[Did, list[Entry]] = {}
    for entry in change.entries:
        by.setdefault(_did(entry), []).append(entry)
    for did, entries in by.items():
        ids = () if change.kind == PERSON else tuple(entry.id for entry in entries[:NAMED])
        tells = did == "put" and len(entries) == 1 and change.kind not in (PERSON, VECTOR)
        said = _cut(json.dumps(entries[0].document, ensure_ascii=False)) if tells else ""
        yield AuditEntry(
            change.at, change.who, change.kind, ids, len(entries), change.version, did, change.undoes, said
        )


def _did(entry: "Entry") -> Did:
    from components.ranking.rules.book import REMOVED

    if entry.document is None:
        return "taken back"
    return "removed" if entry.document.get(REMOVED) is True else "put"


def _moves(name: str) -> "list[Move]":
    """Return the moves of aliases that the registry's list holds."""
    from components.registry import aliases, client

    return [] if client.unmade() else [*aliases.status(name).history]  # a look would make the database


def _between(moves: "list[Move]", *, oldest: str, before: str | None) -> Iterator[AuditEntry]:
    """Yield the moves of a page's time; '' and None are open ends."""
    for move in reversed(moves):
        if move.when >= oldest and (before is None or move.when < before):
            said = f"{move.alias}: {move.origin or '-'} -> {move.to or '-'}: {move.why}"
            yield AuditEntry(move.when, move.who, RELEASE, (move.alias,), 1, None, "moved", None, _cut(said))


def _sent(place: Installation, *, oldest: str, before: str | None) -> Iterator[AuditEntry]:
    """Yield the events that were sent from the console in a page's time."""
    for one in sent.read(place):
        if one.at >= oldest and (before is None or one.at < before):
            did: Did = "sent" if one.answered else "sent, unanswered"
            yield AuditEntry(one.at, one.who, EVENT, (one.item_id,), 1, None, did, None, _cut(one.event))


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"

"""PUT /rules: judge rules beside those that hold, and write them into the document log as one version.

As with items (item_changes.py) a change is judged against one version of the log and written only if the log still
stands there. All rules of a change are taken, or none. What a change would do to a list, and to lists of the past, is
asked before (`preview`), with the same judgement.
"""

import datetime as dt
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from bentos.endpoints.rules import ChangedRule, RuleOutcome, RulesRequest
from bentos.http.problems import CONFLICT, UNAVAILABLE, Rejected, refused, short
from bentos.recommender.catalogue import OpenCatalogue, ShownItems
from bentos.recommender.ports import Ranker
from bentos.release import Release
from components.ranking.rules import book, clashes
from components.ranking.rules.book import REMOVED, RuleBook
from components.ranking.rules.spec import Pin, Rule, names_items, require_known_placements
from feature_repo import files
from feature_repo.documents.changes import RULE, Change, Document, Newest, inverse
from feature_repo.documents.log import Behind, DocumentLog, Snapshot
from feature_repo.errors import DataError, StoreAway, nearest

TRIES = 20  # of a change that others are quicker than
ANY: Mapping[str, str] = MappingProxyType({})  # whatever the rules were when the change was written
log = logging.getLogger("intentflow.door")


@dataclass(frozen=True)
class WrittenRules:
    """A version of the log, and whether this request made it."""

    change: Change
    new: bool
    counts: Mapping[str, int | None]  # of the rules that hold now: how many items each is about

    @property
    def outcomes(self) -> list[ChangedRule]:
        """Say what became of each rule, and how many items it is about: one that is about none does nothing."""
        return [
            ChangedRule(name=entry.id, outcome=_outcome(entry.document, entry.before), items=self.counts.get(entry.id))
            for entry in self.change.entries
        ]


class Overtaken(Rejected):
    """Somebody else changed a rule since its editor saw it; nothing was written."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"rule '{name}': somebody changed it since you opened it; allowed: a change of the newest text",
            where=name,
            allowed="a change of the newest text",
            status=CONFLICT,
        )
        self.name = name


def seen_as(rule: Rule | None) -> str:
    """Return the digest by which an editor says which text of a rule was changed; None: there was no such rule."""
    return files.digest(None if rule is None else rule.document())


def write(
    catalogue: OpenCatalogue, ask: RulesRequest, *, who: str, segments: Sequence[str], seen: Mapping[str, str] = ANY
) -> WrittenRules:
    """Write what a request says, or refuse it; the catalogue keeps to it when this returns.

    `seen` says of rules, by name, which text the writer saw (`seen_as`): another one that holds by now is Overtaken.
    """
    documents = catalogue.documents
    if documents is None:
        raise refused("rules", "this service keeps no document log", "a service with an online store")
    try:
        change, new = _written(catalogue, documents, ask, who, segments, seen)
        counts = {one.rule.name: one.count for one in catalogue.refresh().rules.rules}
    except DataError as error:
        what, _, allowed = str(error).partition("; allowed: ")
        where = "undo" if ask.undo is not None else "rules"
        raise refused(where, what.removeprefix(f"{where}: "), allowed or "see docs/rules.md") from None
    except StoreAway as away:
        raise refused("rules", f"are not in the document log: {away}", "a retry", status=UNAVAILABLE) from away
    if new:
        log.info("rules version %d: %d rules, by %s", change.version, len(change.entries), who)
    return WrittenRules(change, new, counts)


def previewed(catalogue: OpenCatalogue, ask: RulesRequest, *, segments: Sequence[str]) -> RuleBook:
    """Return the rules that would hold after a request, judged as it would be."""
    try:
        shown, held = catalogue.refresh(), catalogue.snapshot
        return judged(catalogue, _said(catalogue, ask, held), shown, held, segments=segments)
    except DataError as error:
        what, _, allowed = str(error).partition("; allowed: ")
        raise refused("rules", what.removeprefix("rules: "), allowed or "see docs/rules.md") from None
    except StoreAway as away:
        raise refused("rules", f"cannot be judged: {away}", "a retry", status=UNAVAILABLE) from away


def require_kept(release: Release, ranker: Ranker) -> None:
    """Refuse a release whose spec has a rule that its items cannot keep: it would hold in no answer."""
    read = book.read(release.rules, release.placements, book.items_of(ranker.vocabulary))
    for number, one in enumerate(read.rules):
        if one.problem and not isinstance(one.rule, Pin):  # an item may be gone since the spec was written
            raise DataError(f"rules[{number}] '{one.rule.name}': {one.problem}; mend the spec's rules and run again")


def _written(
    catalogue: OpenCatalogue,
    documents: DocumentLog,
    ask: RulesRequest,
    who: str,
    segments: Sequence[str],
    seen: Mapping[str, str],
) -> tuple[Change, bool]:
    key, asked = ask.change_id or "", files.digest(ask.model_dump(mode="json", exclude_unset=True))
    now = dt.datetime.now(dt.UTC)
    for _ in range(TRIES):
        if (earlier := documents.earlier(key, asked)) is not None:
            return earlier, False
        shown, after = catalogue.refresh(), catalogue.snapshot
        _require_as_seen(catalogue, after, seen)
        said = drafted(catalogue, ask, shown, after, segments=segments)
        try:
            if ask.undo is not None:
                change = documents.undo(ask.undo, who=who, at=now, after=after, key=key, asked=asked, rules=True)
            else:
                change = documents.put(RULE, said, who=who, at=now, after=after, key=key, asked=asked)
            return change, True
        except Behind:
            continue
    raise refused("rules", "others change rules at this moment", "a retry", status=UNAVAILABLE)


def _require_as_seen(catalogue: OpenCatalogue, held: Snapshot, seen: Mapping[str, str]) -> None:
    """Refuse a change of a rule whose text is not the one that its editor saw, or that nobody here can read."""
    if not seen:
        return
    unread: list[str] = []
    now = {rule.name: rule for rule in book.merged(catalogue.release.rules, held.of(RULE), unread=unread)}
    for name, text in seen.items():
        if name in unread or seen_as(now.get(name)) != text:
            raise Overtaken(name)


def drafted(
    catalogue: OpenCatalogue, ask: RulesRequest, shown: ShownItems, held: Snapshot, *, segments: Sequence[str]
) -> list[tuple[str, Document | None]]:
    """Return what a request makes of rules, as documents by name; refuse what is wrong or clashes."""
    said = _said(catalogue, ask, held)
    judged(catalogue, said, shown, held, segments=segments)
    return said


def judged(
    catalogue: OpenCatalogue,
    said: Sequence[tuple[str, Document | None]],
    shown: ShownItems,
    held: Snapshot,
    *,
    segments: Sequence[str],
) -> RuleBook:
    """Return the rules that would hold after a change; DataError names what is wrong or clashes."""
    release, found = catalogue.release, after(catalogue, said, held)
    try:
        require_known_placements(found, release.placements)
    except ValueError as error:
        raise DataError(str(error)) from None
    if release.ranking.exclude_self:
        for rule in found:
            if names_items(rule):
                raise DataError(
                    f"rules: {rule.kind} '{rule.name}': items are users here, and no rule names one; say it by columns"
                )
    items = book.items_of(shown.vocabulary, shown.hidden)
    read = book.read(found, release.placements, items)
    of = {name for name, document in said if document is not None} or {name for name, _ in said}
    clashes.require_none(read.rules, items, segments=segments, max_k=release.serving.max_k, of=of)
    return read


def after(catalogue: OpenCatalogue, said: Sequence[tuple[str, Document | None]], held: Snapshot) -> list[Rule]:
    """Return the rules that would hold after a change."""
    documents = dict(held.of(RULE))
    for name, document in said:
        documents[name] = Newest(RULE, name, held.head.version + 1, (0, 0), document)
    return book.merged(catalogue.release.rules, documents, unread=[])


def _said(catalogue: OpenCatalogue, ask: RulesRequest, held: Snapshot) -> list[tuple[str, Document | None]]:
    if ask.undo is not None:
        return _undone(catalogue, ask.undo, held)
    have = [rule.name for rule in after(catalogue, [], held)]
    found: dict[str, Document] = {}
    for place, one in enumerate(ask.rules):
        if one.root.name in found:
            raise refused(
                f"rules[{place}].name", f"{short(one.root.name)} is there twice", "each rule once in a request"
            )
        found[one.root.name] = one.root.document()
    for place, name in enumerate(ask.remove):
        if name not in have or name in found:
            why = "is put by the same request" if name in found else f"is no rule{nearest(name, have)}"
            raise refused(f"remove[{place}]", f"{short(name)} {why}", ", ".join(have) or "none: there are no rules")
        found[name] = {REMOVED: True}
    return list(found.items())


def _undone(catalogue: OpenCatalogue, version: int, held: Snapshot) -> list[tuple[str, Document | None]]:
    """Return what taking a version back would make of rules."""
    assert catalogue.documents is not None
    changes: list[Change] = catalogue.documents.changes(after=version - 1, until=version)
    if not changes or changes[0].kind != RULE:
        return []  # the log refuses it, and says why
    return [(entry.id, entry.document) for entry in inverse(changes[0], held.of(RULE))]


def _outcome(document: Any, before: Any) -> RuleOutcome:
    if document is None:
        return "taken back"
    if document.get(REMOVED):
        return "removed"
    return "changed" if before is not None and not before.get(REMOVED) else "added"

"""PUT /items and `intentflow items`: judge what is said of items, and write it into the document log as one version.

Whether a change is good depends on what the log and the release say of the items already, so it is judged against one
version and written only if the log still stands there; else it is judged again. All items of a change are taken, or
none. What a change leaves out stays as it was; a field that is null is unknown from then on.
"""

import datetime as dt
import logging
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bentos.endpoints.items import ItemChange, ItemsRequest, Outcome
from bentos.http.problems import UNAVAILABLE, refused, short
from bentos.recommender.catalogue import OpenCatalogue, ShownItems
from components.data.row_rules import RowRule
from components.data.rules import names
from feature_repo import columns, files
from feature_repo.documents.changes import ITEM, Change, Document, Entry, Newest
from feature_repo.documents.log import Behind, DocumentLog
from feature_repo.errors import DataError, StoreAway, nearest
from feature_repo.ids import NOBODY, plain
from feature_repo.live_items import AVAILABLE, FIXED, FROM_SOURCE, declared, fits, kind_in_words

TRIES = 20  # of a change that others are quicker than
OWN = (columns.TITLE, columns.CATEGORY, columns.CATEGORY_PATH, columns.BRAND, columns.PRICE)
TELLING = (columns.TITLE, columns.CATEGORY, columns.BRAND)  # two things under one id differ in all of these
log = logging.getLogger("intentflow.door")


@dataclass(frozen=True)
class Written:
    """A version of the log, and whether this request made it."""

    change: Change
    new: bool
    released: Container[str]  # ids of the release's own items

    @property
    def outcomes(self) -> list[tuple[str, Outcome]]:
        """Say in a word what became of each item."""
        return [(entry.id, _outcome(entry, there=entry.id in self.released)) for entry in self.change.entries]


def write(catalogue: OpenCatalogue, ask: ItemsRequest, *, who: str) -> Written:
    """Write what a request says, or refuse it; the catalogue shows it when this returns."""
    documents = catalogue.documents
    if documents is None:
        raise refused("items", "this service keeps no document log", "a service with an online store")
    if catalogue.release.ranking.exclude_self:  # an id would be a person's
        raise refused(
            "items",
            "are users here: a new one is recommended to others once a run, or the job materialise, has read them from "
            "the source, and `intentflow forget` removes one",
            "what the source's tables say of users",
        )
    try:
        written = _written(catalogue, documents, ask, who)
        catalogue.refresh()
    except DataError as error:
        what, _, allowed = str(error).partition("; allowed: ")
        where = "undo" if ask.undo is not None else "items"
        raise refused(where, what.removeprefix("undo: "), allowed or "see docs/catalogue.md") from None
    except StoreAway as away:
        raise refused("items", f"are not in the document log: {away}", "a retry", status=UNAVAILABLE) from away
    if written.new:
        log.info("catalogue version %d: %d items, by %s", written.change.version, len(written.change.entries), who)
    return written


def _written(catalogue: OpenCatalogue, documents: DocumentLog, ask: ItemsRequest, who: str) -> Written:
    key, asked = ask.change_id or "", files.digest(ask.model_dump(mode="json", exclude_unset=True))
    now, released = dt.datetime.now(dt.UTC), catalogue.vocabulary.index_of_item
    for _ in range(TRIES):
        if (earlier := documents.earlier(key, asked)) is not None:
            return Written(earlier, False, released)
        shown = catalogue.refresh()
        after = catalogue.snapshot
        try:
            if ask.undo is not None:
                return Written(
                    documents.undo(ask.undo, who=who, at=now, after=after, key=key, asked=asked), True, released
                )
            said = drafted(ask.items, shown, after.of(ITEM), rules=catalogue.release.item_rules)
            return Written(
                documents.put(ITEM, said, who=who, at=now, after=after, key=key, asked=asked), True, released
            )
        except Behind:
            continue
    raise refused("items", "others change items at this moment", "a retry", status=UNAVAILABLE)


def drafted(
    items: Sequence[ItemChange], shown: ShownItems, documents: Mapping[str, Newest], *, rules: Sequence[RowRule]
) -> list[tuple[str, Document]]:
    """Return each item's whole document after a change; refuse an item that is wrong, by its place."""
    found: dict[str, Document] = {}
    for place, item in enumerate(items):
        where = f"items[{place}]"
        identity = plain(item.item_id)
        if not identity or identity.lower() in NOBODY:
            raise refused(f"{where}.item_id", f"{short(item.item_id)} is no id", "an id, as your data has it")
        if identity in found:
            raise refused(f"{where}.item_id", f"{short(identity)} is there twice", "each item once in a request")
        said = _said(item, shown, where)
        row = _row(identity, shown)
        _require_same_thing(item, said, row, where)
        newest = documents.get(identity)
        before = dict(newest.document or {}) if newest is not None and not item.replaces else {}
        before.pop(FROM_SOURCE, None)  # from now on people say what it is
        if item.replaces and row:  # nor does what the release's table says of the old thing hold of the new one
            before = dict.fromkeys(declared(shown.vocabulary))
        document = before | said
        _judge(document, row | document, shown, where, learnt=identity in _learnt(shown), rules=rules)
        found[identity] = document
    return list(found.items())


def _outcome(entry: Entry, *, there: bool) -> Outcome:
    if entry.document is None:
        return "taken back"
    if entry.document.get(AVAILABLE) is False:
        return "withdrawn"
    return "changed" if there or entry.before is not None else "added"


def _said(item: ItemChange, shown: ShownItems, where: str) -> dict[str, Any]:
    """Return what one change says, by column; refuse columns and types that the release's items do not have."""
    given = {name: getattr(item, name) for name in OWN if name in item.model_fields_set}
    paths = {name: f"{where}.{name}" for name in given}
    for name, value in item.attributes.items():
        if name in given or name in OWN:
            raise refused(f"{where}.attributes.{name}", "is a field of its own", f"{where}.{name}")
        given[name], paths[name] = value, f"{where}.attributes.{name}"
    schema, have = shown.vocabulary.items.schema, declared(shown.vocabulary)
    for name, value in given.items():
        if name in FIXED or name not in have:
            raise refused(paths[name], f"no such column of items{nearest(name, have)}", ", ".join(have))
        if not fits(schema.field(name).type, value):
            allowed = f"{kind_in_words(schema.field(name).type)}, or null"
            raise refused(paths[name], f"{short(value)} is of another type", allowed)
    return given | ({AVAILABLE: item.available} if item.available is not None else {})


def _learnt(shown: ShownItems) -> frozenset[str]:
    return frozenset(shown.vocabulary.item_ids[: shown.vocabulary.learnt])


def _row(identity: str, shown: ShownItems) -> dict[str, Any]:
    """Return what is known of an item now; nothing of one that is not there."""
    index = shown.vocabulary.index_of_item.get(identity)
    if index is None:
        return {}
    row: dict[str, Any] = shown.vocabulary.items.slice(index, 1).to_pylist()[0]
    return row


def _require_same_thing(item: ItemChange, said: Mapping[str, Any], row: Mapping[str, Any], where: str) -> None:
    """Refuse an id for another thing: all of title, category and brand that both sides name differ, two or more."""
    both = [name for name in TELLING if said.get(name) is not None and row.get(name) is not None]
    if item.replaces or len(both) < 2 or any(said[name] == row[name] for name in both):
        return
    was, now = (", ".join(str(one[name]) for name in both) for one in (row, said))
    raise refused(
        f"{where}.item_id",
        f"{short(item.item_id)} is '{was}' and not '{now}'",
        "an id of its own, or `replaces: true` where the old thing is gone for good",
    )


def _judge(
    document: Document,
    row: Mapping[str, Any],
    shown: ShownItems,
    where: str,
    *,
    learnt: bool,
    rules: Sequence[RowRule],
) -> None:
    """Refuse an item that breaks a rule of the batch's contract, or of which nothing is known; withdrawn ones may."""
    if document.get(AVAILABLE) is False:
        return
    if not learnt and not set(document) - {AVAILABLE}:
        have = ", ".join(declared(shown.vocabulary))
        raise refused(where, "is not among the release's items, and nothing is said of it", f"some of {have}")
    held = {*shown.vocabulary.items.column_names}
    for name, rule in zip(names(list(rules)), rules, strict=True):
        if set(rule.named) <= held and rule.broken_by({columns.ITEM_ID: where, **row}):
            given = " beside ".join(short(row.get(column)) for column in rule.named)
            raise refused(f"{where}.{rule.named[0]}", f"{given} breaks the rule {name}", rule.asks)

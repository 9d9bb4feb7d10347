"""`intentflow items`: put, withdraw, undo and list what the document log says of items, as PUT /items does.

It writes into the log itself, so it works while no service runs; every door shows it within seconds. Items are judged
by the champion's columns and rules. On a cluster the online store must be within reach, as for `forget`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feature_repo.errors import DataError, ServerError, SpecError
from feature_repo.item_vectors import BY_ENCODER
from feature_repo.later_people import AS_PERSON, BY, TO
from pipelines.environment import Installation

if TYPE_CHECKING:
    from bentos.endpoints.items import ItemsRequest
    from feature_repo.vocabulary import Vocabulary

LISTED = 20  # changes that `list` shows, the newest
PUT, WITHDRAW, UNDO, LIST = ACTIONS = ("put", "withdraw", "undo", "list")
NEEDS = {PUT: "FILE", WITHDRAW: "ID ...", UNDO: "VERSION", LIST: "nothing more"}


@dataclass(frozen=True)
class _Release:
    """Of a ranker only what items are called: nothing is ranked here."""

    vocabulary: "Vocabulary"


def act(place: Installation, action: str, what: Sequence[str], *, change_id: str = "") -> dict[str, Any]:
    """Do one of ACTIONS; return the change, or the list."""
    if action == LIST:
        if what:
            raise _wrong(action, what)
        return listed(place)
    return changed(place, asked(action, what, change_id=change_id))


def asked(action: str, what: Sequence[str], *, change_id: str = "") -> "ItemsRequest":
    """Return a command's words as the request that they stand for."""
    from pydantic import ValidationError

    from bentos.endpoints.items import ItemsRequest
    from bentos.http.problems import rejected

    more: dict[str, Any] = {"change_id": change_id} if change_id else {}
    if action == PUT and len(what) == 1:
        more["items"] = _read(Path(what[0]))
    elif action == WITHDRAW and what:
        more["items"] = [{"item_id": item, "available": False} for item in what]
    elif action == UNDO and len(what) == 1 and what[0].isdecimal():
        more["undo"] = int(what[0])
    else:
        raise _wrong(action, what)
    try:
        return ItemsRequest.model_validate(more)
    except ValidationError as error:
        raise SpecError(f"items {action}: {rejected(error, ItemsRequest)}") from None


def changed(place: Installation, ask: "ItemsRequest", *, who: str = "") -> dict[str, Any]:
    """Write a request into the document log, in the name of `who`; '' is whoever uses the command line."""
    from bentos.http.problems import UNAVAILABLE, Rejected
    from bentos.recommender import item_changes
    from bentos.recommender.catalogue import OpenCatalogue
    from bentos.release import RANKING, Release
    from components.registry import client
    from feature_repo.documents.opened import document_log
    from feature_repo.vocabulary import Vocabulary
    from pipelines.releases import release as releases

    with releases.variables(place):
        release = Release.load(releases.assembled(place, releases.resolved(place)))
        words: Any = _Release(Vocabulary.load(release.folder / RANKING / "vocabulary"))
        catalogue = OpenCatalogue(release, words, document_log(place.spec.name), lambda items, _: words)
        try:
            written = item_changes.write(catalogue, ask, who=who or f"{client.user()}, command line")
        except Rejected as refusal:
            raise (ServerError if refusal.status == UNAVAILABLE else SpecError)(f"items: {refusal}") from None
    items = [{"item_id": item, "outcome": outcome} for item, outcome in written.outcomes]
    return {"version": written.change.version, "repeated": not written.new, "items": items}


def listed(place: Installation) -> dict[str, Any]:
    """Return the newest documents of items, and the newest changes."""
    from feature_repo.documents.changes import ITEM, PERSON
    from feature_repo.documents.log import Snapshot
    from feature_repo.documents.opened import document_log
    from pipelines.releases import release as releases

    with releases.variables(place):
        log = document_log(place.spec.name)
        held = log.refreshed(Snapshot())
        changes = log.changes(after=max(0, held.head.version - LISTED), until=held.head.version)
    said = [*held.of(ITEM).values(), *held.of(PERSON).values()]
    items = [{"item_id": n.id, "version": n.version, "document": n.document} for n in said]
    return {
        "catalogue_version": held.head.version,
        "items": items,
        "changes": [row for change in reversed(changes) for row in change.rows()],
    }


def text(found: Mapping[str, Any]) -> str:
    """Return what was done, or the list, as a person reads it."""
    if "changes" not in found:
        again = ", as before: this change_id was there" if found["repeated"] else "; every door shows it within 5 s"
        lines = [f"version {found['version']}{again}"]
        return "\n".join([*lines, *(f"  {one['item_id']}: {one['outcome']}" for one in found["items"])])
    lines = [f"catalogue version {found['catalogue_version']}: {len(found['items'])} items differ from the release's"]
    lines += [f"  {one['item_id']} (version {one['version']}): {_said(one['document'])}" for one in found["items"]]
    for row in found["changes"]:
        undone = f", undoes {row['undoes']}" if row["undoes"] else ""
        lines.append(f"  {row['version']}  {row['at']}  {row['who']}{undone}: {row['id']} {_said(row['document'])}")
    return "\n".join(lines)


def _said(document: Mapping[str, Any] | None) -> str:
    if document is not None and BY_ENCODER in document:
        return "a vector of its text or image"
    if document is not None and AS_PERSON in document:
        return f"a person who came later, {sum(len(document[AS_PERSON][ties]) for ties in (BY, TO))} ties"
    return "taken back" if document is None else json.dumps(document, ensure_ascii=False)


def _wrong(action: str, what: Sequence[str]) -> SpecError:
    return SpecError(f"items {action}: {' '.join(what) or 'nothing'} is not allowed; give {NEEDS[action]}")


def _read(path: Path) -> Any:
    """Read a file of items: a JSON list, as PUT /items takes it."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SpecError(f"items put: {path}: no such file") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"items put: {path}: no JSON: {error}; give a list of items (docs/catalogue.md)") from None
    if not isinstance(found, list):
        raise DataError(f"items put: {path}: {type(found).__name__}; allowed: a JSON list of items")
    return found

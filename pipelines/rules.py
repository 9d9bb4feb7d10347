"""`intentflow rules`: put, remove, undo, list and preview rules of what lists may hold, as PUT /rules does.

It writes into the document log itself, so it works while no service runs; every door keeps to it within seconds. Rules
are judged by the champion's items. `preview` measures on the last run's test weeks what rules would cost, before
anything is written; a user's list before and after comes from `PUT /rules` with `preview`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feature_repo.errors import DataError, ServerError, SpecError
from pipelines.environment import Installation

if TYPE_CHECKING:
    from bentos.endpoints.rules import RulesRequest
    from bentos.recommender.catalogue import OpenCatalogue
    from components.ranking.rules.book import RuleBook
    from feature_repo.vocabulary import Vocabulary

LISTED = 20  # changes that `list` shows, the newest
PUT, REMOVE, UNDO, LIST, PREVIEW = ACTIONS = ("put", "remove", "undo", "list", "preview")
NEEDS = {PUT: "FILE", REMOVE: "NAME ...", UNDO: "VERSION", LIST: "nothing more", PREVIEW: "FILE"}


@dataclass(frozen=True)
class _Release:
    """Of a ranker only what items are called: nothing is ranked here."""

    vocabulary: "Vocabulary"


def act(
    place: Installation, action: str, what: Sequence[str], *, change_id: str = "", placement: str = ""
) -> dict[str, Any]:
    """Do one of ACTIONS; return the change, the list or the cost."""
    if action == LIST:
        if what:
            raise _wrong(action, what)
        return listed(place)
    ask = asked(action, what, change_id=change_id)
    return previewed(place, ask, placement=placement or None) if action == PREVIEW else changed(place, ask)


def asked(action: str, what: Sequence[str], *, change_id: str = "") -> "RulesRequest":
    """Return a command's words as the request that they stand for."""
    from pydantic import ValidationError

    from bentos.endpoints.rules import RulesRequest
    from bentos.http.problems import rejected

    more: dict[str, Any] = {"change_id": change_id} if change_id else {}
    if action in (PUT, PREVIEW) and len(what) == 1:
        more["rules"] = _read(action, Path(what[0]))
    elif action == REMOVE and what:
        more["remove"] = list(what)
    elif action == UNDO and len(what) == 1 and what[0].isdecimal():
        more["undo"] = int(what[0])
    else:
        raise _wrong(action, what)
    try:
        return RulesRequest.model_validate(more)
    except ValidationError as error:
        raise SpecError(f"rules {action}: {rejected(error, RulesRequest)}") from None


def changed(
    place: Installation, ask: "RulesRequest", *, who: str = "", seen: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Write a request into the document log, in the name of `who`; '' is whoever uses the command line.

    With `seen`, the texts that the writer saw (bentos/recommender/rule_changes.py), a rule that somebody else changed
    meanwhile raises Overtaken.
    """
    from bentos.http.problems import UNAVAILABLE, Rejected
    from bentos.recommender import rule_changes
    from components.registry import client
    from pipelines.releases import release as releases

    with releases.variables(place):
        catalogue, segments = catalogue_of(place)
        try:
            named = who or f"{client.user()}, command line"
            written = rule_changes.write(catalogue, ask, who=named, segments=segments, seen=seen or rule_changes.ANY)
        except rule_changes.Overtaken:
            raise
        except Rejected as refusal:
            raise (ServerError if refusal.status == UNAVAILABLE else SpecError)(f"rules: {refusal}") from None
    rules = [{"name": name, "outcome": outcome} for name, outcome in written.outcomes]
    return {"version": written.change.version, "repeated": not written.new, "rules": rules}


def judged(place: Installation, ask: "RulesRequest") -> "tuple[OpenCatalogue, RuleBook]":
    """Return the rules that would hold after a request, and over which items; refuse what clashes or cannot be kept.

    It is the judgement of a change; nothing is written or measured.
    """
    from pipelines.releases import release as releases

    with releases.variables(place):
        catalogue, segments = catalogue_of(place)
        return catalogue, _after(catalogue, ask, segments)


def previewed(place: Installation, ask: "RulesRequest", *, placement: str | None) -> dict[str, Any]:
    """Measure on the last run's test weeks what lists lose and gain by a request; nothing is written."""
    from bentos.release import RANKING
    from components.ranking import examples, rule_cost
    from components.ranking.score import Ranker
    from components.ranking.steps import users_key
    from pipelines.releases import release as releases
    from pipelines.runs import local

    run, spec = local.last_run(place.home), place.spec.models.ranking
    if run is None or not {"rows", "intent"} <= run.folders.keys():
        raise SpecError(f"rules preview: {place.home} has no test weeks; `intentflow run` first")
    if spec.vectors is not None:
        raise SpecError("rules preview: not for specs with vectors; PUT /rules with preview shows a user's lists")
    with releases.variables(place):
        catalogue, segments = catalogue_of(place)
        if placement is not None and placement not in catalogue.release.placements:
            have = ", ".join(catalogue.release.placements) or "none"
            raise SpecError(f"--placement: '{placement}' is no placement of the release; have {have}")
        after = _after(catalogue, ask, segments)
        world = examples.load(run.folders["rows"], run.folders["intent"], spec, key=users_key(spec, place.variables))
        ranker = Ranker.load(catalogue.release.folder / RANKING)
        found = rule_cost.cost(ranker, world, catalogue.current.rules, after, segments=segments, placement=placement)
    return {"placement": placement, **asdict(found)}


def listed(place: Installation) -> dict[str, Any]:
    """Return the rules that hold, and the newest changes of rules."""
    from feature_repo.documents.changes import RULE
    from pipelines.releases import release as releases

    with releases.variables(place):
        catalogue, _ = catalogue_of(place)
        catalogue.refresh()
        assert catalogue.documents is not None
        changes = [one for one in catalogue.documents.changes() if one.kind == RULE][-LISTED:]
    held = catalogue.snapshot.of(RULE)
    rules = [
        {**one.rule.document(), "version": held[one.rule.name].version if one.rule.name in held else None}
        | ({"problem": one.problem} if one.problem else {})
        for one in catalogue.current.rules.rules
    ]
    return {
        "catalogue_version": catalogue.current.version,
        "rules": rules,
        "changes": [row for change in reversed(changes) for row in change.rows()],
    }


def text(found: Mapping[str, Any]) -> str:
    """Return what was done, the list or the cost, as a person reads it."""
    if "before" in found:
        return _cost(found)
    if "changes" not in found:
        again = ", as before: this change_id was there" if found["repeated"] else "; every door keeps to it within 5 s"
        lines = [f"version {found['version']}{again}"]
        return "\n".join([*lines, *(f"  {one['name']}: {one['outcome']}" for one in found["rules"])])
    lines = [f"catalogue version {found['catalogue_version']}: {len(found['rules'])} rules"]
    for rule in found["rules"]:
        whence = "the spec" if rule["version"] is None else f"version {rule['version']}"
        told = {name: value for name, value in rule.items() if name not in ("name", "version")}
        lines.append(f"  {rule['name']} ({whence}): {json.dumps(told, ensure_ascii=False)}")
    for row in found["changes"]:
        undone = f", undoes {row['undoes']}" if row["undoes"] else ""
        said = "taken back" if row["document"] is None else json.dumps(row["document"], ensure_ascii=False)
        lines.append(f"  {row['version']}  {row['at']}  {row['who']}{undone}: {row['id']} {said}")
    return "\n".join(lines)


def _cost(found: Mapping[str, Any]) -> str:
    before, after, (mean, low, high) = found["before"], found["after"], found["ndcg_change"]
    lines = [f"on {found['rows']} user-weeks of the test, nothing written:"]
    lines += [f"  {name:<16} {before[name]:.4f} -> {after.get(name, 0.0):.4f}" for name in before]
    lines.append(f"  NDCG@10 changes by {mean:+.4f} (95 % over users: {low:+.4f} to {high:+.4f})")
    return "\n".join([*lines, f"  {found['short']:.1%} of lists have fewer than 10 items"])


def _after(catalogue: "OpenCatalogue", ask: "RulesRequest", segments: Sequence[str]) -> "RuleBook":
    """Return the rules that would hold after a request, or refuse it."""
    from bentos.http.problems import UNAVAILABLE, Rejected
    from bentos.recommender import rule_changes

    try:
        return rule_changes.previewed(catalogue, ask, segments=segments)
    except Rejected as refusal:
        raise (ServerError if refusal.status == UNAVAILABLE else SpecError)(f"rules: {refusal}") from None


def catalogue_of(place: Installation) -> tuple["OpenCatalogue", tuple[str, ...]]:
    """Return the champion's items over the document log, and the names of its segments."""
    from bentos.recommender.catalogue import OpenCatalogue
    from bentos.release import RANKING, Release
    from feature_repo.documents.opened import document_log
    from feature_repo.fallback import Fallback
    from feature_repo.vocabulary import Vocabulary
    from pipelines.releases import release as releases

    release = Release.load(releases.assembled(place, releases.resolved(place)))
    words: Any = _Release(Vocabulary.load(release.folder / RANKING / "vocabulary"))
    segments = Fallback.load(release.folder / RANKING).names
    return OpenCatalogue(release, words, document_log(place.spec.name), lambda items, _: words), segments


def _wrong(action: str, what: Sequence[str]) -> SpecError:
    return SpecError(f"rules {action}: {' '.join(what) or 'nothing'} is not allowed; give {NEEDS[action]}")


def _read(action: str, path: Path) -> Any:
    """Read a file of rules: a JSON list, as PUT /rules takes it."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SpecError(f"rules {action}: {path}: no such file") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"rules {action}: {path}: no JSON: {error}; give a list of rules (docs/rules.md)") from None
    if not isinstance(found, list):
        raise DataError(f"rules {action}: {path}: {type(found).__name__}; allowed: a JSON list of rules")
    return found

"""The page `rules`: what holds, and a form by which somebody puts, changes or removes a rule after seeing its cost.

Nothing is saved that was not previewed as it is: the form carries the digest of the text that the preview was made of.
It carries as well the digest of the text that its editor began with, so that nobody writes over another's change
unseen, and an id, so that a repeated save is one.
"""

import json
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from bentos.console import rule_words, words
from bentos.console.forms import Form
from bentos.console.ports.rules import HeldRules, Overtaken, Preview, RuleChange, Rules, Written
from bentos.console.render import CONFLICT, REFUSALS, done, refused, render, told
from bentos.console.rule_forms import FIELDS, OPERATORS, WHERE, Fields, document_of, fields_of, typed
from bentos.console.settings import ROOT
from feature_repo import files
from feature_repo.errors import ServerError, SpecError

if TYPE_CHECKING:
    from bentos.endpoints.rules import RulesRequest

PATH = f"{ROOT}/rules"
LIST, EDITOR = "rules.html.jinja", "rule_form.html.jinja"
PUT, REMOVE = "put", "remove"
NOBODY = files.digest(None)  # `seen` where there was no rule (bentos/recommender/rule_changes.py)


def show(request: Request) -> Response:
    """Show what holds and what was changed."""
    return _list(request)


def new(request: Request) -> Response:
    """Show the form of a new rule of a kind."""
    held, kind = _port(request).held(), request.query_params.get("kind", "")
    if kind not in FIELDS:
        return RedirectResponse(PATH, 303)
    return _editor(request, held, Fields(kind, name=_free_name(kind, held)), PUT, seen=NOBODY)


def edit(request: Request) -> Response:
    """Show the form of a rule that holds, or what removing it means."""
    held, name = _port(request).held(), request.query_params.get("name", "")
    rule = held.rule(name)
    if rule is None:
        return _list(request, SpecError(words.text(request.state.language, "rules.no_such", name=name)))
    action = REMOVE if request.url.path.endswith(REMOVE) else PUT
    return _editor(request, held, fields_of(rule.document, held.timezone), action, seen=rule.seen)


def preview(request: Request) -> Response:
    """Show what the form's rule would do and cost; nothing is saved."""
    return _previewed(request, _port(request).held())


def save(request: Request) -> Response:
    """Save what was previewed; what was not is previewed first, and what somebody else changed meanwhile is shown."""
    port, form = _port(request), request.state.form
    held, fields, action = port.held(), typed(form), _action(form)
    try:
        said = _said(fields, held, action)
        ask = _request(said | {"change_id": form.get("change_id") or None})
        if form.get("previewed") != files.digest(said):
            return _previewed(request, held, key="rules.not_previewed")
        written = port.write(ask, seen={fields.name: _seen(form, fields)}, who=request.state.who)
    except Overtaken:
        return _overtaken(request, port.held(), fields, action)
    except REFUSALS as error:
        return _editor(request, held, fields, action, seen=_seen(form, fields), error=error)
    return _saved(request, written)


def undo(request: Request) -> Response:
    """Take a change of rules back."""
    form, port = request.state.form, _port(request)
    try:
        version = form.get("version")
        if not version.isdecimal():
            raise SpecError(f"undo: '{version}' is no version; allowed: one of the list below")
        ask = _request({"undo": int(version), "change_id": form.get("change_id") or None})
        written = port.write(ask, seen={}, who=request.state.who)
    except REFUSALS as error:
        return _list(request, error)
    return _saved(request, written)


def _port(request: Request) -> Rules:
    port: Rules | None = request.app.state.ports.rules
    if port is None:
        raise ServerError(words.text(request.state.language, "frame.missing"))
    return port


def _list(request: Request, error: Exception | None = None) -> Response:
    """Return the list; with an error, its sentence above it."""
    try:
        held = _port(request).held()
    except REFUSALS as away:
        return refused(request, LIST, away, held=None)
    language, zone = request.state.language, held.timezone
    status, refusal = told(error) if error else (200, "")
    return render(
        request,
        LIST,
        status=status,
        refusal=refusal,
        held=held,
        rules=[(one, rule_words.sentence(language, one.document, zone)) for one in held.rules],
        changes=[(one, _told(language, one, zone)) for one in held.changes],
        kinds=[one for one in FIELDS if one not in _without(held)],
        token=secrets.token_hex(8),
    )


def _without(held: HeldRules) -> set[str]:
    """Return the kinds that no rule of this recommender can have."""
    return {kind for kind, absent in (("shown", not held.impressions), ("pin", held.people)) if absent}


def _told(language: words.Language, change: RuleChange, zone: str) -> str:
    """Say what a change made of a rule."""
    if change.document is not None:
        return rule_words.sentence(language, change.document, zone)
    return words.text(language, "rules.did_removed" if change.removed else "rules.did_back")


def _editor(
    request: Request,
    held: HeldRules,
    fields: Fields,
    action: str,
    *,
    seen: str,
    error: Exception | None = None,
    status: int = 200,
    **what: Any,
) -> Response:
    """Return the form with what was typed; whatever changed it last asks for a preview before the next save."""
    form = request.state.form
    if error is not None:
        status, what["refusal"] = told(error)
    empty = dict.fromkeys(("said", "document", "previewed", "cost", "verdict"), "")
    shown: dict[str, Any] = {"preview": None, "theirs": None, "moves": []} | empty | what
    own = held.rule(fields.name)
    return render(
        request,
        EDITOR,
        status=status,
        held=held,
        fields=fields,
        action=action,
        seen=seen,
        fixed=bool(form.get("fixed")) or (not form.get("kind") and seen != NOBODY),
        asks_where=fields.kind in WHERE,
        scoped=bool(fields.placements or fields.segments or any(fields.times.values())),
        placements=_also(held.placements, fields.placements),
        segments=_also(held.segments, fields.segments),
        placement_options=[(one, one) for one in held.placements],
        event_options=[(one, one) for one in held.events],
        operators=[(one, words.text(request.state.language, rule_words.OPERATORS[one])) for one in OPERATORS],
        values=[(value, one.name) for one in held.columns for value in one.values],
        figures=[(name, words.text(request.state.language, key)) for name, key in rule_words.FIGURES.items()],
        version=(own.version or 0) if own else 0,
        change_id=f"console-{secrets.token_hex(12)}",
        placement=form.get("placement"),
        user=form.get("user"),
        **shown,
    )


def _previewed(request: Request, held: HeldRules, *, key: str = "") -> Response:
    """Return the form with what its rule would do, and the digest by which it may be saved."""
    port, form, language = _port(request), request.state.form, request.state.language
    fields, action = typed(form), _action(form)
    try:
        said = _said(fields, held, action)
        found = port.preview(_request(said), placement=form.get("placement"), user=form.get("user"))
    except REFUSALS as error:
        return _editor(request, held, fields, action, seen=_seen(form, fields), error=error)
    what: dict[str, Any] = {"refusal": words.text(language, key)} if key else {}
    return _editor(
        request,
        held,
        fields,
        action,
        seen=_seen(form, fields),
        status=CONFLICT if key else 200,
        preview=found,
        cost=rule_words.verdict(found.cost) if found.cost else "",
        verdict=rule_words.cost_in_words(language, found.cost) if found.cost else "",
        moves=_moves(found),
        previewed=files.digest(said),
        said=rule_words.sentence(language, said["rules"][0], held.timezone) if said.get("rules") else "",
        document=json.dumps(said, ensure_ascii=False, indent=1),
        **what,
    )


def _overtaken(request: Request, held: HeldRules, fields: Fields, action: str) -> Response:
    """Return the form with one's own text, and beside it what somebody else made of the rule meanwhile."""
    language, theirs = request.state.language, held.rule(fields.name)
    last = next((one for one in held.changes if one.name == fields.name), None)
    return _editor(
        request,
        held,
        fields,
        action,
        seen=theirs.seen if theirs else NOBODY,
        status=CONFLICT,
        refusal=words.text(language, "rules.overtaken", name=fields.name),
        theirs={
            "rule": theirs,
            "said": rule_words.sentence(language, theirs.document, held.timezone) if theirs else "",
            "document": json.dumps(dict(theirs.document), ensure_ascii=False, indent=1) if theirs else "",
            "change": last,
        },
        document=json.dumps(_said(fields, held, action), ensure_ascii=False, indent=1),
    )


def _saved(request: Request, written: Written) -> Response:
    """Send the visitor to the list, with what the log holds of the version by now."""
    language, found = request.state.language, _port(request).written(written.version)
    if found is None:
        return done(request, PATH, "rules.saved_unread", version=written.version)
    outcomes = ", ".join(words.text(language, _outcome(one), name=one.name) for one in found.changes)
    if written.repeated:
        return done(request, PATH, "rules.saved_again", version=written.version, outcomes=outcomes)
    return done(request, PATH, "rules.saved", version=written.version, outcomes=outcomes)


def _outcome(change: RuleChange) -> str:
    if change.removed:
        return "rules.outcome_removed"
    return "rules.outcome_back" if change.document is None else "rules.outcome_put"


def _seen(form: Form, fields: Fields) -> str:
    """Return the digest of the text that the editor of a rule began with; under another name there was none."""
    return form.get("seen") if form.get("seen_of") == fields.name else NOBODY


def _also(have: tuple[str, ...], chosen: tuple[str, ...]) -> list[str]:
    """Return what may be chosen, and what a rule has that nobody may choose any more: it is not dropped unseen."""
    return list(dict.fromkeys([*have, *chosen]))


def _action(form: Form) -> str:
    return REMOVE if form.get("action") == REMOVE else PUT


def _said(fields: Fields, held: HeldRules, action: str) -> dict[str, Any]:
    """Return what a form asks for, as PUT /rules would take it; the digest of this is what a preview is of."""
    if action == REMOVE:
        return {"remove": [fields.name]}
    return {"rules": [document_of(fields, held.columns, held.timezone)]}


def _request(said: Mapping[str, Any]) -> "RulesRequest":
    """Read it as the endpoint's own model; a mistake is the line that the endpoint would answer with."""
    from pydantic import ValidationError

    from bentos.endpoints.rules import RulesRequest
    from bentos.http.problems import rejected

    try:
        return RulesRequest.model_validate_json(json.dumps(dict(said)))
    except ValidationError as error:
        raise SpecError(str(rejected(error, RulesRequest))) from None


def _moves(found: Preview) -> list[tuple[str, Any]]:
    """Say of each item of the list after a change whether it `came`, or `moved` past others that were there before."""
    if found.lists is None:
        return []
    before, after = ([one.item_id for one in side] for side in (found.lists.before, found.lists.after))
    old, now = ([one for one in side if one in both] for both in [{*before} & {*after}] for side in (before, after))
    stays = {one for one, other in zip(old, now, strict=True) if one == other}
    hows = ["" if one in stays else "moved" if one in old else "came" for one in after]
    return list(zip(hows, found.lists.after, strict=True))


def _free_name(kind: str, held: HeldRules) -> str:
    """Suggest a name that no rule has."""
    taken = {one.name for one in held.rules} | {one.name for one in held.changes}
    return next(name for number in range(1, 10_000) if (name := f"{kind} {number}") not in taken)


ROUTES = [
    Route(PATH, show),
    Route(f"{PATH}/new", new),
    Route(f"{PATH}/edit", edit),
    Route(f"{PATH}/{REMOVE}", edit),
    Route(f"{PATH}/preview", preview, methods=["POST"]),
    Route(f"{PATH}/save", save, methods=["POST"]),
    Route(f"{PATH}/undo", undo, methods=["POST"]),
]

"""The page `changes`: the audit. Who changed which items, rules and releases, and when; the newest first."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bentos.console import words
from bentos.console.ports.changes import Changes
from bentos.console.render import REFUSALS, refused, render
from bentos.console.settings import ROOT
from feature_repo.errors import ServerError, SpecError

PATH = f"{ROOT}/changes"
PAGE = "changes.html.jinja"
KINDS = {
    "": "changes.every",
    "item": "changes.item",
    "rule": "changes.rule",
    "release": "changes.release",
    "vector": "changes.vector",
    "person": "changes.person",
    "event": "changes.event",
}
DID = {
    "put": "changes.put",
    "removed": "changes.removed",
    "taken back": "changes.taken_back",
    "moved": "changes.moved",
    "sent": "changes.sent",
    "sent, unanswered": "changes.unanswered",
}


def show(request: Request) -> Response:
    """Show a part of the audit: of one kind alone, and from a version of the log back, where the address says so."""
    what, until = request.query_params.get("what", ""), request.query_params.get("until", "")
    language = request.state.language
    kinds = [(kind, words.text(language, key)) for kind, key in KINDS.items()]
    port: Changes | None = request.app.state.ports.changes
    try:
        if port is None:
            raise ServerError(words.text(language, "frame.missing"))
        if what not in KINDS:
            have = ", ".join(kind for kind in KINDS if kind)
            raise SpecError(words.text(language, "changes.bad_kind", what=what, have=have))
        if until and not (until.isascii() and until.isdecimal() and len(until) < 16):
            raise SpecError(words.text(language, "changes.bad_until", until=until))
        audit = port.audit(what=what, until=int(until) if until else None)
    except REFUSALS as error:
        return refused(request, PAGE, error, audit=None, kinds=kinds, what="", until="")
    did = {name: words.text(language, key) for name, key in DID.items()}
    return render(request, PAGE, audit=audit, kinds=kinds, what=what, until=until, did=did, labels=dict(kinds))


ROUTES = [Route(PATH, show)]

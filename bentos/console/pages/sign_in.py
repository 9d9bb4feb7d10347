"""Signing in with a server's key, and out. The key comes in a form, never in an address, and is not shown again."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from bentos.console import forms, gate, words
from bentos.console.doorman import Doorman
from bentos.console.settings import ROOT, SIGN_IN, SIGN_OUT
from bentos.http.callers import network_of
from bentos.http.problems import FORBIDDEN, OVERLOADED, UNAUTHENTICATED, UNAVAILABLE, Rejected

SCOPE = "sign-in"  # of the limit on tries


async def show(request: Request) -> Response:
    """Show the form; whoever is in goes on."""
    doorman: Doorman = request.app.state.doorman
    if request.state.who or doorman.open:
        return RedirectResponse(gate.inside(request.query_params.get("next", "")), 303)
    return gate.sign_in(request)


async def enter(request: Request) -> Response:
    """Let in who gives a key with the scope, and go on to what was wanted."""
    doorman: Doorman = request.app.state.doorman
    address = network_of(request.client.host if request.client else "")
    try:
        await request.app.state.tries.hit(SCOPE, address)
        visitor = doorman.sign_in(request.state.form.get("key"))
    except Rejected as refusal:
        return _refused(request, refusal)
    doorman.sign_out(request.state.visitor)  # the token from before is worth nothing from now on
    request.state.visitor, request.state.who = visitor, visitor.who
    form: forms.Form = request.state.form
    after = gate.inside(form.get("next"))
    kept = [(n.removeprefix(f"{gate.KEPT}."), value) for n, value in form if n.startswith(f"{gate.KEPT}.")]
    if kept:
        return gate.again(request, after, forms.Form(tuple(kept)), key="again")
    return RedirectResponse(after, 303)


async def leave(request: Request) -> Response:
    """Forget the session."""
    doorman: Doorman = request.app.state.doorman
    doorman.sign_out(request.state.visitor)
    request.state.visitor, request.state.who = doorman.welcome(), ""
    request.state.visitor.notices.append(words.text(request.state.language, "frame.signed_out"))
    return RedirectResponse(ROOT if doorman.open else SIGN_IN, 303)


def _refused(request: Request, refusal: Rejected) -> Response:
    if refusal.status == OVERLOADED:
        wait_s = refusal.headers.get("Retry-After", "60")
        answer = gate.sign_in(request, status=OVERLOADED, key="too_often", seconds=wait_s)
        answer.headers["Retry-After"] = wait_s
        return answer
    if refusal.status == UNAVAILABLE:
        return gate.sign_in(request, status=UNAVAILABLE, key="away")
    status = FORBIDDEN if refusal.status == FORBIDDEN else UNAUTHENTICATED
    return gate.sign_in(request, status=status, key="no_such_key")


ROUTES = [
    Route(SIGN_IN, show, methods=["GET"]),
    Route(SIGN_IN, enter, methods=["POST"]),
    Route(SIGN_OUT, leave, methods=["POST"]),
]

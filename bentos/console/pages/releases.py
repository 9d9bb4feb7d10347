"""The page `releases`: who serves and why, what was judged of each version, and the way back to the one before.

A rollback asks once more, names both versions in its form, and is refused where they moved meanwhile. What it came to
is read back from the registry and the routes: the page never says "done" of its own.
"""

from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from bentos.console import elsewhere, words
from bentos.console.ports.releases import Releases, ReleasesShown, ReleaseVersion
from bentos.console.ports.watch import Link
from bentos.console.render import REFUSALS, refused, render, told
from bentos.console.settings import ROOT
from feature_repo.errors import Refused, ServerError

PATH = f"{ROOT}/releases"
PAGE, CONFIRM = "releases.html.jinja", "rollback.html.jinja"
LONGEST = 200  # characters of a reason, as the registry keeps them


def show(request: Request) -> Response:
    """Show who serves; htmx asks for the state of a rollback alone."""
    try:
        return _page(request, _port(request).shown())
    except REFUSALS as error:
        return refused(request, PAGE, error, shown=None)


def ask(request: Request) -> Response:
    """Ask once more, with both versions beside each other; where there is no way back, say why."""
    shown = _port(request).shown()
    back = shown.back
    if back.refusal:
        return _page(request, shown, Refused(back.refusal))
    both = {one.version: one for one in shown.versions}
    return render(request, CONFIRM, back=back, champion=both.get(back.champion), to=both.get(back.to), longest=LONGEST)


def rollback(request: Request) -> Response:
    """Roll back; the page that follows says what it came to."""
    form, port = request.state.form, _port(request)
    why = form.get("why")[:LONGEST] or words.text(request.state.language, "releases.by_hand")
    try:
        port.rollback(form.get("champion"), form.get("to"), why=why, who=request.state.who)
    except REFUSALS as error:
        return _page(request, port.shown(), error)
    return RedirectResponse(PATH, 303)


def _port(request: Request) -> Releases:
    port: Releases | None = request.app.state.ports.releases
    if port is None:
        raise ServerError(words.text(request.state.language, "frame.missing"))
    return port


def _page(request: Request, shown: ReleasesShown, error: Exception | None = None) -> Response:
    status, refusal = told(error) if error else (200, "")
    more: dict[str, Any] = {"refusal": refusal} if refusal else {}
    return render(
        request,
        PAGE,
        status=status,
        block="last",
        shown=shown,
        served=_served(shown),
        links={one.version: _links(request, one.version) for one in shown.versions},
        **more,
    )


def _links(request: Request, version: str) -> tuple[Link, ...]:
    return elsewhere.links(request, lambda port: port.version(version))


def _served(shown: ReleasesShown) -> ReleaseVersion | None:
    """Return the version whose release users are led to, the champion first where two are of one release."""
    found = [one for one in shown.versions if one.serves == "stable"]
    return next((one for one in found if one.version == shown.champion), found[0] if found else None)


ROUTES = [
    Route(PATH, show),
    Route(f"{PATH}/rollback", ask, methods=["GET"]),
    Route(f"{PATH}/rollback", rollback, methods=["POST"]),
]

"""The console as a Starlette application: pages over ports, behind the gate."""

from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from bentos.console.doorman import Doorman
from bentos.console.gate import Gate
from bentos.console.pages import PAGES, sign_in
from bentos.console.ports import Ports
from bentos.console.render import REFUSALS, render, told
from bentos.console.settings import ROOT, STATIC, Settings
from bentos.http.limits import Limits

FOLDER = Path(__file__).parent / "static"


def application(ports: Ports, doorman: Doorman, settings: Settings) -> Starlette:
    """Make the application of one installation."""
    app = Starlette(
        routes=[
            Route("/", lambda _: RedirectResponse(ROOT, 307)),
            Mount(STATIC, StaticFiles(directory=FOLDER)),
            *sign_in.ROUTES,
            *(route for page in PAGES for route in page.routes),
        ],
        middleware=[Middleware(Gate, doorman=doorman, settings=settings)],
        exception_handlers={HTTPException: _nowhere, **dict.fromkeys(REFUSALS, _refused)},
    )
    app.state.ports, app.state.doorman, app.state.settings, app.state.pages = ports, doorman, settings, PAGES
    app.state.tries = Limits({sign_in.SCOPE: settings.sign_in_rate})
    return app


def _nowhere(request: Request, error: Exception) -> Response:
    """Answer for an address that is none, or takes no such request."""
    assert isinstance(error, HTTPException)
    key = "not_found" if error.status_code == 404 else "method"
    return render(request, "message.html.jinja", status=error.status_code, key=key)


def _refused(request: Request, error: Exception) -> Response:
    """Answer for a refusal that a page left to us: the sentence alone."""
    status, sentence = told(error)
    return render(request, "message.html.jinja", status=status, key="refused", refusal=sentence)

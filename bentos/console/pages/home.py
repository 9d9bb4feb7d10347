"""The page `home`."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bentos.console.render import render
from bentos.console.settings import ROOT


def show(request: Request) -> Response:
    """Show the page."""
    return render(request, "home.html.jinja")


ROUTES = [Route(ROOT, show)]

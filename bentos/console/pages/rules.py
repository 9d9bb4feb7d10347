"""The page `rules`."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bentos.console.render import render
from bentos.console.settings import ROOT


def show(request: Request) -> Response:
    """Show the page."""
    return render(request, "rules.html.jinja")


ROUTES = [Route(f"{ROOT}/rules", show)]

"""Drift over time: what moved, how far and since when, what each check said, and what was done about it."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bentos.console import elsewhere
from bentos.console.chart import Chart, chart
from bentos.console.ports.watch import Drift, Signal
from bentos.console.render import render
from bentos.console.settings import ROOT


def show(request: Request) -> Response:
    """Show the page."""
    port: Drift | None = request.app.state.ports.drift
    return render(
        request,
        "drift.html.jinja",
        found=None if port is None else port.watched(),
        drawn=drawn,
        links=elsewhere.links(request, lambda links: links.drift()),
        of_version=lambda version: elsewhere.links(request, lambda links: links.version(version)),
    )


def drawn(signal: Signal) -> Chart | None:
    """Return the drawing of a signal's periods, with what is usual as a band."""
    return chart([one.value for one in signal.points], signal.usual)


ROUTES = [Route(f"{ROOT}/drift", show)]

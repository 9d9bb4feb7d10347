"""Drift over time: what moved, how far and since when, what each check said, and what was done about it."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bentos.console import elsewhere, figures
from bentos.console.chart import Chart, chart
from bentos.console.ports.watch import Drift, Signal
from bentos.console.render import render
from bentos.console.settings import ROOT

SHARES = ("share", "null")  # kinds of signals that are read in percent


def show(request: Request) -> Response:
    """Show the page."""
    port: Drift | None = request.app.state.ports.drift
    return render(
        request,
        "drift.html.jinja",
        found=None if port is None else port.watched(),
        drawn=drawn,
        newest=newest,
        links=elsewhere.links(request, lambda links: links.drift()),
        of_version=lambda version: elsewhere.links(request, lambda links: links.version(version)),
    )


def drawn(signal: Signal) -> Chart | None:
    """Return the drawing of a signal's periods, with what is usual as a band."""
    return chart([one.value for one in signal.points], signal.usual)


def newest(signal: Signal) -> str:
    """Return the newest known value, as its kind is read; asked of signals with a drawing only."""
    value = [one.value for one in signal.points if one.value is not None][-1]
    return figures.number(value, "share" if signal.kind in SHARES else "amount")


ROUTES = [Route(f"{ROOT}/drift", show)]

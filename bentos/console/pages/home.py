"""The overview: the KPIs of a window, what serves, what runs, and what needs a person."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bentos.console import elsewhere, figures
from bentos.console.chart import chart
from bentos.console.ports.watch import Kpis, Tile
from bentos.console.render import REFUSALS, render, told
from bentos.console.settings import ROOT

DAYS = (1, 7, 28, 90)  # windows to choose from
DEFAULT_DAYS = 28


def show(request: Request) -> Response:
    """Show the page."""
    port: Kpis | None = request.app.state.ports.kpis
    if port is None:
        return render(request, "home.html.jinja", tiles=None, standing=None, links=())
    days = chosen(request.query_params.get("days", ""))
    standing, tiles, refusal = port.standing(), None, ""
    try:
        tiles = port.tiles(days)
    except REFUSALS as error:  # what serves is shown all the same
        _, refusal = told(error)
    return render(
        request,
        "home.html.jinja",
        tiles=tiles,
        refusal=refusal,
        standing=standing,
        days=days,
        choices=DAYS,
        drawn=drawn,
        newest=newest,
        number=figures.number,
        duration=figures.duration,
        links=elsewhere.links(request, lambda links: links.version(standing.version)),
        servers=elsewhere.links(request, lambda links: links.servers()),
    )


def chosen(text: str) -> int:
    """Return the window that an address asks for; the default where it asks for none that there is.

    >>> chosen("7"), chosen(""), chosen("-3"), chosen("1e9")
    (7, 28, 28, 28)
    """
    return int(text) if text.isdecimal() and int(text) in DAYS else DEFAULT_DAYS


def drawn(tile: Tile) -> object:
    """Return the drawing of a tile's days; None where fewer than two are known."""
    return chart([one.value for one in tile.days], zero=True)


def newest(tile: Tile) -> float:
    """Return the value of a tile's newest day that has one; asked of tiles with a drawing only."""
    return [one.value for one in tile.days if one.value is not None][-1]


ROUTES = [Route(ROOT, show)]

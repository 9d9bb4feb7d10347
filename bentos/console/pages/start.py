"""The first page after `intentflow up`: what runs and where, what did not start, and what to try first."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bentos.console import elsewhere
from bentos.console.ports.watch import Kpis
from bentos.console.render import render
from bentos.console.settings import ROOT

PATH = f"{ROOT}/start"
PARTS = ("router", "recommender", "console", "mlflow", "feast", "evidently", "words")  # that have words of their own
TASKS = (("people", "find"), ("people", "event"), ("rules", "rule"), ("releases", "back"), ("drift", "drift"))


def show(request: Request) -> Response:
    """Show the page."""
    port: Kpis | None = request.app.state.ports.kpis
    return render(
        request,
        "start.html.jinja",
        found=None if port is None else port.start(),
        parts=PARTS,
        tasks=TASKS,
        links=elsewhere.links(request, lambda links: links.servers()),
    )


ROUTES = [Route(PATH, show)]

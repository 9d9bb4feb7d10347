"""The first page after `intentflow up`: what runs and where, what did not start, and what to try first."""

import functools

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bentos.console import elsewhere
from bentos.console.ports.watch import Kpis, Process
from bentos.console.render import render
from bentos.console.settings import ROOT

PATH = f"{ROOT}/start"
PARTS = ("router", "recommender", "console", "mlflow", "feast", "evidently", "words")  # that have words of their own
TASKS = (("people", "find"), ("people", "event"), ("rules", "rule"), ("releases", "back"), ("drift", "drift"))


def show(request: Request) -> Response:
    """Show the page."""
    port: Kpis | None = request.app.state.ports.kpis
    found = None if port is None else port.start()
    return render(
        request,
        "start.html.jinja",
        found=found,
        parts=PARTS,
        processes=[] if found is None else sorted(found.processes, key=_place),
        leads=functools.partial(elsewhere.leads, request),
        tasks=TASKS,
        links=elsewhere.links(request, lambda links: links.servers()),
    )


def _place(one: Process) -> tuple[int, str]:
    """Return the place of a process in the table: where customers ask first, then what leads from there."""
    part = one.name.partition("-")[0]
    return PARTS.index(part) if part in PARTS else len(PARTS), one.name


ROUTES = [Route(PATH, show)]

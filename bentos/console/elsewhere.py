"""Links to the same thing in MLflow, Kubeflow, Evidently and Feast, for a page to show.

A tool that runs on this machine's loopback is linked only for a visitor who is on it too: for others the link is dead.
"""

from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from starlette.requests import Request

from bentos.access import LOOPBACK
from bentos.console.ports.watch import Link, Links


def links(request: Request, of: Callable[[Links], Sequence[Link]]) -> tuple[Link, ...]:
    """Return the links that a page asks the port for, without those that this visitor cannot follow.

    `links(request, lambda port: port.version("3"))`; () where no tool has an address.
    """
    port: Links | None = request.app.state.ports.links
    found = () if port is None else of(port)
    return tuple(one for one in found if leads(request, one.url))


def leads(request: Request, url: str) -> bool:
    """Tell whether an address leads this visitor anywhere: this machine's loopback only does whoever is on it."""
    here = (urlsplit(f"//{request.headers.get('host', '')}").hostname or "") in LOOPBACK
    return here or (urlsplit(url).hostname or "") not in LOOPBACK

"""Every endpoint that callers may ask, once: its name, its kind, and one line about it. Text only, no types.

A new endpoint is a row here and a file `bentos/endpoints/<name>.py` with its request, its answer, an example and a
function. All else follows from the two: the route, its scope and its operation in /docs.json (bentos/endpoints), how
the router treats it (bentos/router/requests.py), what the objectives count (monitoring/observability). The client's
method, the gateway's paths and the tables of the docs are files, which `python -m bentos.endpoints.derived_files`
writes; a test compares them.

The table lies in the lowest package since three readers that may not import one another share it: the door, which
imports models; the router, which must import none; and the alerts, in a package beside bentos. The column `endpoint` of
the request log holds the names too.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["read", "stream", "write", "admin"]
RECOMMEND, EVENTS = "recommend", "events"  # the two that other modules name
POPULAR = "/internal/popular"  # of the door, for the router alone; no caller's endpoint (bentos/endpoints/popular.py)


@dataclass(frozen=True)
class Endpoint:
    """One endpoint: a POST, and a PUT where it is of kind `admin`.

    read    one user's, answered whole: may be asked twice, of either release, and mirrored; objectives count it
    stream  one user's, and may be asked twice; passes the router in pieces, so that nothing there counts or compares it
    write   takes entries, a list under the endpoint's own name: each has a user_id, and one with an event_id may come
            twice; has threads of its own, needs the scope `events`, and is copied to the other release
    admin   changes what every release shows, through the document log: needs the scope `admin`, shares the threads of
            writes, goes to the stable release and is copied to none
    """

    name: str
    kind: Kind
    about: str

    @property
    def path(self) -> str:
        """Return where it is asked.

        >>> Endpoint("rank", "read", "").path
        '/rank'
        """
        return f"/{self.name}"

    @property
    def method(self) -> Literal["POST", "PUT"]:
        """Return how it is asked."""
        return "PUT" if self.kind == "admin" else "POST"


ENDPOINTS = (
    Endpoint(RECOMMEND, "read", "Items for a user"),
    Endpoint("intents", "read", "What a user is about to do"),
    Endpoint("rank", "read", "Scores of given items for a user"),
    Endpoint("similar", "read", "Items like an item"),
    Endpoint("values", "read", "Values of an attribute for a user, such as brands"),
    Endpoint(EVENTS, "write", "Take note of events"),
    Endpoint("explain", "read", "Why an item for a user"),
    Endpoint("describe", "stream", "Text about items for a user"),
    Endpoint("items", "admin", "Add, change and withdraw items, or undo that"),
    Endpoint("rules", "admin", "Put, change and remove rules of what lists hold, preview or undo that"),
)


def paths(*kinds: Kind) -> tuple[str, ...]:
    """Return the paths of all endpoints of some kinds.

    >>> paths("stream", "write")
    ('/events', '/describe')
    """
    return tuple(endpoint.path for endpoint in ENDPOINTS if endpoint.kind in kinds)

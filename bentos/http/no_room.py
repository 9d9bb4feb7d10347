"""The refusal of a request that would wait for too long, which the door and, in its place, the router give."""

from bentos.http.headers import ROOM
from bentos.http.problems import OVERLOADED, Rejected, refused


def no_room(running: int, most: int) -> Rejected:
    """Refuse since so many run, and tell the router how many may.

    >>> no_room(9, 8).headers
    {'Retry-After': '1', 'X-IntentFlow-Room': '8'}
    """
    refusal = refused("service", f"{running} requests are running", f"{most}", status=OVERLOADED)
    return refusal.with_header(ROOM, str(most))

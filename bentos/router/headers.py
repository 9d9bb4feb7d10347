"""Headers at the router: what is passed on, what is taken off, what is added. Pure."""

import os
from collections.abc import Iterable

from multidict import CIMultiDict

from bentos.http.headers import RELEASE, REQUEST_ID, SHADOW, is_request_id

FORWARDED = "X-Forwarded-For"
SERVER = "intentflow"

_HOP = {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
        "transfer-encoding", "upgrade"}  # fmt: skip
_NOT_ASKED = _HOP | {"host", "content-length", "expect", SHADOW.lower(), REQUEST_ID.lower(), FORWARDED.lower()}
_NOT_ANSWERED = _HOP | {"content-length", "server"}  # versions are nobody's business


def request_id(given: str | None) -> str:
    """Return the caller's id of a request if it is one, else a new one.

    >>> request_id("order-7"), len(request_id("two words"))
    ('order-7', 32)
    """
    return given if given is not None and is_request_id(given) else os.urandom(16).hex()


def passed_on(headers: Iterable[tuple[str, str]], *, request_id: str, peer: str) -> CIMultiDict[str]:
    """Return a client's headers as a door gets them: the trace, the credentials and all else unchanged."""
    found: CIMultiDict[str] = CIMultiDict()
    named, hops = _NOT_ASKED, ""
    before = []
    for name, value in headers:
        lower = name.lower()
        if lower not in named:
            found.add(name, value)
        elif lower == "connection":
            hops = value
        elif lower == FORWARDED.lower():
            before.append(value)
    _drop_named(found, hops)
    found[REQUEST_ID] = request_id
    found[FORWARDED] = ", ".join([*before, peer])
    return found


def answered(headers: Iterable[tuple[str, str]], *, request_id: str, release: str) -> CIMultiDict[str]:
    """Return a door's headers as a client gets them."""
    found: CIMultiDict[str] = CIMultiDict()
    hops = ""
    for name, value in headers:
        lower = name.lower()
        if lower not in _NOT_ANSWERED:
            found.add(name, value)
        elif lower == "connection":
            hops = value
    _drop_named(found, hops)
    found["Server"] = SERVER
    found.setdefault(REQUEST_ID, request_id)
    found.setdefault(RELEASE, release)  # the door knows best which release it is
    return found


def _drop_named(found: CIMultiDict[str], connection: str) -> None:
    """Take off what `Connection` names as of this connection alone."""
    for token in connection.split(","):
        if (name := token.strip()) and name.lower() not in ("keep-alive", "close"):
            found.popall(name, None)

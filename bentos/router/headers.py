"""Headers at the router: what is passed on, what is taken off, what is added. Pure.

A header is a pair of bytes whose name is in lower case; a block of headers is its lines as they go over the wire.
"""

import functools
import os
from collections.abc import Iterable, Sequence

from bentos.http.headers import CLIENT, RELEASE, REQUEST_ID, ROOM, SHADOW, is_request_id

FORWARDED = "X-Forwarded-For"
SERVER = "intentflow"

Header = tuple[bytes, bytes]  # a name in lower case, and its value


@functools.cache
def key(name: str) -> bytes:
    """Return a header's name as a pair has it.

    >>> key("X-Request-Id")
    b'x-request-id'
    """
    return name.lower().encode()


_HOP = {b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te",
        b"trailer", b"transfer-encoding", b"upgrade", b"http2-settings"}  # fmt: skip
_OURS = frozenset(map(key, (SHADOW, CLIENT, REQUEST_ID, FORWARDED)))
_NOT_ASKED = frozenset(_HOP | {b"host", b"content-length", b"expect"} | _OURS)
_NOT_ANSWERED = frozenset(_HOP | {b"content-length", b"server", key(ROOM)})  # versions are nobody's business
_STAYS = frozenset((b"", b"keep-alive", b"close"))  # in `connection`: no name of a header
_FORWARDED, _REQUEST_ID, _RELEASE = map(key, (FORWARDED, REQUEST_ID, RELEASE))
_NAMED = f"{REQUEST_ID}: ".encode()
_RELEASED = f"{RELEASE}: ".encode()
_SERVED = f"Server: {SERVER}\r\n".encode()


def request_id(given: str | None) -> str:
    """Return the caller's id of a request if it is one, else a new one.

    >>> request_id("order-7"), len(request_id("two words"))
    ('order-7', 32)
    """
    return given if given is not None and is_request_id(given) else os.urandom(16).hex()


def lines(named: Iterable[tuple[str, str]]) -> bytes:
    r"""Write headers as a block.

    >>> lines([("Accept", "text/plain")])
    b'Accept: text/plain\r\n'
    """
    return "".join(f"{name}: {value}\r\n" for name, value in named).encode("latin-1")


def without(block: bytes, name: bytes) -> bytes:
    r"""Take a header off a block, all its lines.

    >>> without(b"accept: a\r\nage: 1\r\n", b"age")
    b'accept: a\r\n'
    """
    return b"".join(line for line in block.splitlines(keepends=True) if not line.lower().startswith(name + b":"))


def first_values(headers: Sequence[Header]) -> dict[bytes, bytes]:
    """Return the first value of each header.

    >>> first_values([(b"accept", b"a"), (b"accept", b"b")])
    {b'accept': b'a'}
    """
    return dict(headers[::-1])


def passed_on(headers: Iterable[Header], *, request_id: str, peer: str) -> bytes:
    r"""Return a client's headers as a door gets them: the trace, the credentials and all else unchanged.

    >>> passed_on([(b"connection", b"x-a"), (b"x-a", b"1"), (b"accept", b"*/*")], request_id="r", peer="10.0.0.1")
    b'accept: */*\r\nX-Request-Id: r\r\nX-Forwarded-For: 10.0.0.1\r\n'
    """
    kept, before, hops = [], b"", b""
    for header in headers:
        name, value = header
        if name not in _NOT_ASKED:
            kept.append(header)
        elif name == b"connection":
            hops += value + b","
        elif name == _FORWARDED:
            before += value + b", "
    block = _block(_without_named(kept, hops) if hops else kept)
    ours = f"{REQUEST_ID}: {request_id}\r\n{FORWARDED}: {before.decode('latin-1')}{peer}\r\n"
    return block + ours.encode("latin-1")


def answered(headers: Iterable[Header], *, request_id: str, release: str) -> bytes:
    r"""Return a door's headers as a client gets them.

    >>> answered([(b"server", b"uvicorn"), (b"age", b"1")], request_id="r", release="aaa")
    b'age: 1\r\nServer: intentflow\r\nX-Request-Id: r\r\nX-IntentFlow-Release: aaa\r\n'
    """
    kept, hops, named, released = [], b"", False, False
    for header in headers:
        name = header[0]
        if name not in _NOT_ANSWERED:
            kept.append(header)
            named = named or name == _REQUEST_ID
            released = released or name == _RELEASE  # the door knows best which release it is
        elif name == b"connection":
            hops += header[1] + b","
    block = _block(_without_named(kept, hops) if hops else kept) + _SERVED
    if not named:
        block += b"%b%b\r\n" % (_NAMED, request_id.encode())
    if not released:
        block += b"%b%b\r\n" % (_RELEASED, release.encode())
    return block


def _block(headers: Iterable[Header]) -> bytes:
    return b"".join([b"%b: %b\r\n" % header for header in headers])


def _without_named(headers: list[Header], connection: bytes) -> list[Header]:
    """Take off what `Connection` names as of this connection alone."""
    named = {token.strip().lower() for token in connection.split(b",")} - _STAYS
    return [header for header in headers if header[0] not in named] if named else headers

"""A client's request and the answer to it, as bytes of HTTP/1.1. Pure: client_connection.py reads and writes them."""

import email.utils
import ipaddress
import time
from collections.abc import AsyncGenerator
from http import HTTPStatus
from urllib.parse import unquote

import msgspec

from bentos.router.headers import Header, key

OK, NO_CONTENT, NOT_MODIFIED = 200, 204, 304
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"


class Request(msgspec.Struct):
    """A whole request of a client."""

    method: str
    target: str  # as it came, with its query
    headers: list[Header]
    named: dict[bytes, bytes]  # their first values
    body: bytes
    peer: str  # the client's address
    keep_alive: bool = True
    old: bool = False  # HTTP/1.0, which knows no chunks

    @property
    def path(self) -> str:
        """The target's path as a server reads it."""
        path = self.target.partition("?")[0]
        return unquote(path) if "%" in path else path

    def header(self, name: str) -> str | None:
        """Return the first value of a header."""
        value = self.named.get(key(name))
        return None if value is None else value.decode("latin-1")

    @property
    def from_here(self) -> bool:
        """Whether it comes from this machine, and not through a proxy on it."""
        if self.header("X-Forwarded-For") is not None or self.header("Forwarded") is not None:
            return False
        try:
            return ipaddress.ip_address(self.peer).is_loopback
        except ValueError:
            return False


class Response(msgspec.Struct):
    """An answer to a client: whole, or in pieces that come one by one."""

    status: int
    headers: bytes  # a block, without what this module adds
    body: bytes = b""
    pieces: AsyncGenerator[bytes, None] | None = None
    length: int | None = None  # of what is sent in pieces, or would be to another method than HEAD


def whole(response: Response, *, head_only: bool, close: bool, old: bool) -> bytes:
    r"""Write an answer that is whole.

    >>> whole(Response(204, b"A: b\r\n"), head_only=False, close=True, old=False)
    b'HTTP/1.1 204 No Content\r\nA: b\r\nConnection: close\r\n\r\n'
    """
    status, body = response.status, response.body
    if head_only or status in (NO_CONTENT, NOT_MODIFIED):
        body, length = b"", response.length
    else:
        length = len(body)
    size = b"" if length is None else b"Content-Length: %d\r\n" % length
    return b"%b%b%b%b\r\n%b" % (_status_line(status), response.headers, size, _connection(close, old), body)


def head_of_pieces(response: Response, *, close: bool, old: bool) -> tuple[bytes, bool]:
    """Write the head of an answer in pieces; say whether its pieces are chunks."""
    if response.length is not None:
        size, chunked = b"Content-Length: %d\r\n" % response.length, False
    else:  # an old client takes it that the end of the connection is the end of the answer
        size, chunked = (b"", False) if old else (b"Transfer-Encoding: chunked\r\n", True)
    return b"%b%b%b%b\r\n" % (_status_line(response.status), response.headers, size, _connection(close, old)), chunked


def chunk(piece: bytes) -> bytes:
    r"""Write a piece as a chunk.

    >>> chunk(b"0123456789")
    b'a\r\n0123456789\r\n'
    """
    return b"%x\r\n%b\r\n" % (len(piece), piece)


def date() -> str:
    """Return the time as a header has it."""
    return email.utils.formatdate(time.time(), usegmt=True)


def _connection(close: bool, old: bool) -> bytes:
    if close:
        return b"Connection: close\r\n"
    return b"Connection: keep-alive\r\n" if old else b""


def _status_line(status: int) -> bytes:
    return _STATUS_LINES.get(status) or b"HTTP/1.1 %d Unknown\r\n" % status


_STATUS_LINES = {one.value: f"HTTP/1.1 {one.value} {one.phrase}\r\n".encode() for one in HTTPStatus}

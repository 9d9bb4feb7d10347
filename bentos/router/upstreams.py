"""Requests to the doors: send one and return its answer, or say why there is none: refused, reset or late."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass

import aiohttp
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from bentos.router.routes import Backend

CONNECT_S = 1.0
KEEP_S = 2.0  # an idle connection; below the 5 s after which the doors' servers close theirs
STREAMED = "text/event-stream"
WHOLE_BYTES = 4 << 20  # a longer answer is passed on in pieces
OURS = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")  # what aiohttp would add by itself


class Lost(Exception):
    """No answer came: `refused` before the request was sent; `reset` or `late` after, so it may have been worked on."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass
class Answer:
    """A door's answer: whole, or to be streamed."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes
    response: aiohttp.ClientResponse | None = None  # the rest is still to come

    def discard(self) -> None:
        """Give the rest up."""
        if self.response is not None:
            self.response.close()

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Yield the rest as it comes."""
        assert self.response is not None
        async with self.response as response:
            async for piece in response.content.iter_any():
                yield piece


@dataclass(frozen=True)
class Sent:
    """A request as it goes to a door."""

    method: str
    path: str  # raw, with its query
    headers: CIMultiDict[str]
    body: bytes

    def marked(self, more: Mapping[str, str]) -> "Sent":
        """Return it with more headers."""
        headers = self.headers.copy()
        headers.update(more)
        return Sent(self.method, self.path, headers, self.body)


class Doors:
    """Connections to the doors, kept open."""

    def __init__(self, *, silence_s: float) -> None:
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=silence_s)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=OURS,
            trust_env=False,
        )

    async def send(self, backend: Backend, sent: Sent, *, patience_s: float) -> Answer:
        """Send a request and read its answer; raise Lost if none comes."""
        try:
            async with asyncio.timeout(patience_s):
                return await self._send(backend, sent)
        # First, for it is a TimeoutError too: no connection was made, so nothing was sent.
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            raise Lost("refused") from None
        except TimeoutError:
            raise Lost("late") from None
        except (aiohttp.ClientError, OSError):
            raise Lost("reset") from None

    async def _send(self, backend: Backend, sent: Sent) -> Answer:
        response = await self._session.request(
            sent.method,
            URL(backend.url + sent.path, encoded=True),
            data=sent.body or None,
            headers=sent.headers,
            allow_redirects=False,
            timeout=self._timeout,
        )
        length = response.content_length
        if response.content_type == STREAMED or (length is not None and length > WHOLE_BYTES):
            return Answer(response.status, response.headers, b"", response)
        try:
            return Answer(response.status, response.headers, await response.read())
        finally:
            response.release()

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()

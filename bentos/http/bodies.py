"""Reading a request's body, but not a huge one, and not for ever."""

import asyncio
from typing import TYPE_CHECKING

from bentos.http.problems import TIMEOUT, TOO_LARGE, refused

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Receive

MAX_BODY_BYTES = 2 << 20  # of a request to the door; the router before it keeps the same bound
BODY_S = 60.0  # that a body of a request to the door may take to come


async def whole_body(request: "Request", *, most_bytes: int = MAX_BODY_BYTES) -> bytes:
    """Return a request's body; one that is too large is refused before the rest of it is read."""
    return await received(request.receive, most_bytes=most_bytes)


async def received(receive: "Receive", *, most_bytes: int = MAX_BODY_BYTES, within_s: float | None = None) -> bytes:
    """Return the body that an ASGI server hands over; refuse one that is too large or takes longer than `within_s`.

    Raises ClientDisconnect where the caller is gone before its end.
    """
    parts, size, more = [], 0, True
    try:
        async with asyncio.timeout(within_s):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    from starlette.requests import ClientDisconnect  # the router reads bodies without starlette

                    raise ClientDisconnect
                parts.append(part := message.get("body", b""))
                size, more = size + len(part), message.get("more_body", False)
                if size > most_bytes:
                    raise refused("body", "too large", f"at most {most_bytes} bytes", status=TOO_LARGE)
    except TimeoutError:
        raise refused("body", "did not come in time", f"{within_s:g} s", status=TIMEOUT) from None
    return b"".join(parts)

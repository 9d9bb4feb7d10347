"""Reading a request's body, but not a huge one."""

from typing import TYPE_CHECKING

from bentos.http.problems import TOO_LARGE, refused

if TYPE_CHECKING:
    from starlette.requests import Request

MAX_BODY_BYTES = 2 << 20  # of a request to the door; the router before it keeps the same bound


async def whole_body(request: "Request", *, most_bytes: int = MAX_BODY_BYTES) -> bytes:
    """Return a request's body; one that is too large is refused before the rest of it is read."""
    parts, size = [], 0
    async for part in request.stream():
        parts.append(part)
        size += len(part)
        if size > most_bytes:
            raise refused("body", "too large", f"at most {most_bytes} bytes", status=TOO_LARGE)
    return b"".join(parts)

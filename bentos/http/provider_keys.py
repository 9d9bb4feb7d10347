"""Reads the public keys of an OIDC provider, from a file or over HTTPS: within a time and a size, and no key for hire.

No redirect is followed, since it would let whoever writes one page of the provider say where keys come from. Keys that
are meant to encrypt verify nothing.
"""

import time
from pathlib import Path
from typing import Any

MOST_BYTES = 1 << 20
SIGNS = (None, "sig")  # `use` of a key that signs


class Away(Exception):
    """The keys cannot be read now; the message says why."""


def read(source: str, *, within_s: float) -> dict[str | None, Any]:
    """Return the provider's signing keys by id."""
    import jwt

    try:
        text = _fetched(source, within_s) if source.startswith(("https://", "http://")) else _read(source)
        found = {one.key_id: one for one in jwt.PyJWKSet.from_json(text).keys if one.public_key_use in SIGNS}
    except (OSError, ValueError, AttributeError, jwt.PyJWTError) as error:  # those of requests are OSErrors
        raise Away(str(error)) from error
    if not found:
        raise Away("it has no key that signs")
    return dict(found)


def _read(path: str) -> str:
    return Path(path).read_text()


def _fetched(url: str, within_s: float) -> str:
    """Return a page that comes whole within a time: `timeout` alone would wait that long for every piece."""
    import requests

    deadline = time.monotonic() + within_s
    with requests.get(url, timeout=within_s, stream=True, allow_redirects=False) as reply:
        if reply.status_code != requests.codes.ok:
            raise OSError(f"it answered {reply.status_code}; 200 and the keys are wanted, no redirect")
        pieces = bytearray()
        for piece in reply.iter_content(1):  # a longer piece would be waited for until it is full
            pieces += piece
            if time.monotonic() > deadline:
                raise OSError(f"not whole within {within_s:g} s")
            if len(pieces) > MOST_BYTES:
                raise OSError(f"more than {MOST_BYTES} bytes")
    return pieces.decode()

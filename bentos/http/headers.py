"""The headers that callers, the router, the doors and the model services share, by name."""

import re

from bentos.http.problems import MALFORMED, refused

RELEASE = "X-IntentFlow-Release"  # on every answer of a door
VOCABULARY = "X-IntentFlow-Vocabulary"  # on every answer of a model service
SHADOW = "X-IntentFlow-Shadow"  # on the router's copies, with the token; never from a client
REQUEST_ID = "X-Request-Id"
PATIENCE = "X-Request-Timeout-Ms"  # the caller's own
LONGEST_MS = 600_000

_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def is_request_id(text: str) -> bool:
    """Tell whether a caller's id of a request may stand in logs and answers.

    >>> is_request_id("order-7"), is_request_id("two words")
    (True, False)
    """
    return _ID.fullmatch(text) is not None


def patience_ms(text: str) -> int:
    """Read a caller's own patience, or refuse.

    >>> patience_ms("250")
    250
    """
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:10]) <= LONGEST_MS:
        raise refused(PATIENCE, "is not allowed", f"1 to {LONGEST_MS}", status=MALFORMED)
    return int(text[:10])

"""How long a caller waits, by a header of its own; the door and the router read it alike."""

from bentos.http.headers import PATIENCE
from bentos.http.problems import MALFORMED, refused

LONGEST_MS = 600_000


def patience_ms(text: str) -> int:
    """Read a caller's own patience, or refuse.

    >>> patience_ms("250")
    250
    """
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:10]) <= LONGEST_MS:
        raise refused(PATIENCE, "is not allowed", f"1 to {LONGEST_MS}", status=MALFORMED)
    return int(text[:10])

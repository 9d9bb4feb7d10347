"""Pseudonyms of users: a keyed hash, made at the door and at ingest. Nothing behind them sees a raw id."""

import hashlib
import hmac

LENGTH = 16  # hex digits: 64 bits, collisions are improbable below a billion users


def pseudonym(raw: str, key: str) -> str:
    """Return the pseudonym of a raw user id under a key (hex).

    >>> pseudonym("1", "00") == pseudonym("1", "00") != pseudonym("1", "01")
    True
    """
    return hmac.new(bytes.fromhex(key), raw.encode(), hashlib.sha256).hexdigest()[:LENGTH]

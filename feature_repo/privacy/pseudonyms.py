"""Pseudonyms of users: a keyed hash, made at the door and at ingest. Nothing behind them sees a raw id.

The key may be changed: then the environment names the new one and, until the change is complete, the one before.
Whatever was made under a key says so by the key's fingerprint, so that two sides can tell that they agree.
"""

import functools
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

from feature_repo import env_names
from feature_repo.errors import SpecError
from feature_repo.ids import plain

LENGTH = 16  # hex digits: 64 bits, collisions are improbable below a billion users
KEY = env_names.PSEUDONYM_KEY
PREVIOUS = env_names.PREVIOUS_PSEUDONYM_KEYS  # separated by commas, the newest first; usually none
KEY_DIGITS, DIFFERENT_BYTES = 32, 8  # hex digits of a key, and how many of its bytes differ, at least
MEND = "must be hexadecimal, as `openssl rand -hex 32` prints; its value is not"


def pseudonym(raw: str, key: str) -> str:
    """Return the pseudonym of a raw user id, in its one form, under a key (hex).

    >>> pseudonym("1", "00") == pseudonym(" 1", "00") != pseudonym("1", "01")
    True
    """
    inner, outer = (half.copy() for half in _halves(key))
    inner.update(plain(raw).encode())
    outer.update(inner.digest())
    return str(outer.hexdigest()[:LENGTH])


@functools.lru_cache(maxsize=64)
def _halves(key: str) -> tuple[Any, Any]:
    """Return both hashes of HMAC-SHA256 (RFC 2104) begun with a key: each answer would take seven times as long
    to look OpenSSL's HMAC up and begin it.
    """
    block = hashlib.sha256().block_size
    told = bytes.fromhex(key)
    padded = (hashlib.sha256(told).digest() if len(told) > block else told).ljust(block, b"\0")
    inner, outer = (hashlib.sha256(bytes(byte ^ pad for byte in padded)) for pad in (0x36, 0x5C))
    return inner, outer


def fingerprint(key: str) -> str:
    """Name a key without giving it away.

    >>> fingerprint("00") == fingerprint("00") != fingerprint("01")
    True
    """
    return hmac.new(bytes.fromhex(key), b"intentflow: fingerprint of this key", hashlib.sha256).hexdigest()[:12]


def mark(hidden: str, key: str) -> str:
    """Name a pseudonym, again under its key: it tells someone who has the key, and is found nowhere in the data.

    >>> mark(pseudonym("1", "00"), "00") != pseudonym("1", "00")
    True
    """
    return hmac.digest(bytes.fromhex(key), b"forgotten " + hidden.encode(), "sha256").hex()[:32]


def event_mark(event_id: str, hidden: str, key: str) -> str:
    """Name a sender's own id of an event of one user: it says nothing of another user's event with the same id.

    Under a key of its own, so that no user's id has the mark of an event.

    >>> event_mark("e1", pseudonym("1", "00"), "00") != event_mark("e1", pseudonym("2", "00"), "00")
    True
    """
    own = hmac.new(bytes.fromhex(key), b"intentflow: ids of events", hashlib.sha256).digest()
    return hmac.new(own, f"{hidden} {event_id}".encode(), hashlib.sha256).hexdigest()[:LENGTH]


def weakness(key: str) -> str:
    """Say why a key could be guessed, '' where it could not: it is short, or few of its bytes differ.

    >>> weakness("00" * 32), weakness("5eed"), weakness("000102030405060708090a0b0c0d0e0f")
    ('64 hex digits, 1 different bytes', '4 hex digits, 2 different bytes', '')
    """
    digits = len(key)
    different = len({key[at : at + 2].lower() for at in range(0, digits, 2)})
    fine = digits >= KEY_DIGITS and different >= DIFFERENT_BYTES
    return "" if fine else f"{digits} hex digits, {different} different bytes"


def ring(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the keys that the environment gives: the one in use, then those before it."""
    keys = [environment.get(KEY, ""), *environment.get(PREVIOUS, "").split(",")]
    if not keys[0]:
        raise SpecError(f"{KEY} is not set; `intentflow` sets it, and a Deployment's Secret does")
    for name, key in zip([KEY, *[PREVIOUS] * len(keys)], keys, strict=False):
        try:
            bytes.fromhex(key)
        except ValueError:
            raise SpecError(f"{name}: {MEND}") from None
    return tuple(dict.fromkeys(key.strip().lower() for key in keys if key.strip()))


def matching(keys: tuple[str, ...], made_under: str, *, what: str) -> str:
    """Return the key whose fingerprint is `made_under` ('': from before fingerprints, so the one in use)."""
    for key in keys:
        if made_under in ("", fingerprint(key)):
            return key
    have = ", ".join(fingerprint(key) for key in keys)
    raise SpecError(
        f"{KEY}: {what} was made under the key {made_under}, the environment gives {have}; its users would all be "
        "unknown: run the pipeline under the new key first, or name the old one as the previous key (docs/privacy.md)"
    )

"""Encryption at rest of what tells most of people: event memories in the online store, event and request logs.

The environment may give keys (`privacy.key_env` of the environment file); without any, texts stay as they are. A sealed
text begins with `~`, the fingerprint of its key and `:`, then a Fernet token (AES-128-CBC and HMAC-SHA256), so that a
reader can tell a key that is absent or another from a text that a crash cut short. The first key seals; those behind it
open what was sealed before them, so that a key can be changed. A text of equal length has a seal of equal length.

Pseudonyms have a key of their own (pseudonyms.py): one tells who a name is, the other what is written.
"""

import base64
import functools
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.fernet import Fernet, InvalidToken

from feature_repo import env_names
from feature_repo.errors import SpecError
from feature_repo.privacy.pseudonyms import fingerprint

KEYS = env_names.DATA_KEYS  # separated by commas, the newest first
MARK, END = b"~", b":"
NAME = re.compile(rb"[0-9a-f]+")  # a fingerprint; what is none names no key that could be given
BYTES = 32  # of a key
FORM = "64 hex digits, as `openssl rand -hex 32` prints"


class SealError(SpecError):
    """A sealed text cannot be read with the keys at hand."""


class DamagedSeal(ValueError):
    """A sealed text whose key is at hand was cut short or changed."""


@dataclass(frozen=True)
class Keys:
    """The keys of one environment by fingerprint, the newest first; none leaves texts as they are."""

    by_name: Mapping[bytes, Fernet]

    @property
    def newest(self) -> str:
        """Name the key that seals; '' where nothing is sealed."""
        return next(iter(self.by_name)).decode() if self.by_name else ""

    def seal(self, text: bytes) -> bytes:
        """Encrypt a text, where there is a key."""
        for name, key in self.by_name.items():
            return MARK + name + END + key.encrypt(text)
        return text

    def open(self, text: bytes, *, what: str) -> bytes:
        """Decrypt a text; one that is not sealed comes back as it is. Raises SealError or DamagedSeal."""
        if not sealed(text):
            return text
        name, whole, token = text[1:].partition(END)
        if not whole or not NAME.fullmatch(name):
            raise DamagedSeal(f"{what}: an encrypted text is cut short before the name of its key ends, or was changed")
        key = self.by_name.get(name)
        if key is None:
            raise SealError(self._strange(name.decode("ascii", "replace"), what))
        try:
            return key.decrypt(token.strip())
        except InvalidToken:
            raise DamagedSeal(f"{what}: a text under the key {name.decode()} is cut short or was changed") from None

    def _strange(self, name: str, what: str) -> str:
        have = ", ".join(n.decode() for n in self.by_name)
        given = f"the environment gives {have}" if have else "the environment gives no key"
        return (
            f"{KEYS}: {what} is encrypted under the key {name}, {given}; export that key in the variable that "
            "privacy.key_env names, behind the newer one and a comma if it was changed (docs/privacy.md)"
        )


def sealed(text: bytes) -> bool:
    """Tell whether a text is encrypted.

    >>> sealed(b'{"user_id": 1}'), sealed(b"~0123:x")
    (False, True)
    """
    return text[:1] == MARK


def given(environment: Mapping[str, str] | None = None) -> Keys:
    """Return the keys that the environment gives."""
    return keys_of((os.environ if environment is None else environment).get(KEYS, ""))


@functools.lru_cache(maxsize=8)
def keys_of(text: str) -> Keys:
    """Read keys, separated by commas.

    >>> keys_of("").newest, len(keys_of("ab" * 32 + "," + "cd" * 32).by_name)
    ('', 2)
    """
    raws = [_raw(part.strip()) for part in text.split(",") if part.strip()]
    names = {fingerprint(raw.hex()).encode(): Fernet(base64.urlsafe_b64encode(raw)) for raw in raws}
    return Keys(names)


def _raw(text: str) -> bytes:
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != BYTES:
        raise SpecError(f"{KEYS}: a key of {len(text)} characters is none; use {FORM}, separated by commas")
    return found

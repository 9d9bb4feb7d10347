"""Signatures of releases: whoever registers one signs its document, whoever loads one checks the signature first.

The document names each part by the digest of its files (file_set.py), so one Ed25519 signature covers every byte. Where
the environment gives public keys, signing is on: a release without a signature by one of them is refused before
anything of it is loaded. Several keys may be given, so that a key is changed without a pause: add the new public key
everywhere, then sign with the new key, and take the old one away once no release in use bears it.

A signature says who registered a release. It does not say which release should serve: aliases do, and an older release
that was signed stays signed.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from feature_repo import env_names, file_set, files
from feature_repo.errors import DataError, SpecError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

FILE = "signature.json"  # beside release.json
TAG = "signature"  # of a release's version in the registry: the same text
KEY, PUBLIC = env_names.SIGNING_KEY, env_names.VERIFY_KEYS
HEX_DIGITS = 64  # of a key
PURPOSE = b"intentflow: release 1\n"  # so that no other signature of the same key is one of a release
NAME, SIGNATURE = "key", "signature"
PARTS = ("intent", "ranking")
FORM = "64 hex digits, as `python -m components.registry.signing_keys` prints"


@dataclass(frozen=True)
class Signer:
    """A private key, and the name of its public one."""

    name: str
    public: str
    private: "Ed25519PrivateKey"

    def sign(self, document: Mapping[str, Any], *, purpose: bytes = PURPOSE) -> str:
        """Return the text of a signature of a document, a release's unless `purpose` says otherwise."""
        return files.canonical({NAME: self.name, SIGNATURE: self.private.sign(_signed(document, purpose)).hex()})


@dataclass(frozen=True)
class TrustedKeys:
    """The public keys that may have signed a release, by name; none: signing is off."""

    by_name: Mapping[str, "Ed25519PublicKey"]

    @property
    def on(self) -> bool:
        """Whether releases must be signed."""
        return bool(self.by_name)

    def require(self, document: Mapping[str, Any], signature: str, place: object) -> None:
        """Refuse a document that none of the keys has signed; without keys any is taken."""
        if not self.on:
            return
        release = f"{place}: release '{document.get('id')}'"
        self.require_text(document, signature, release)
        if short := [part for part in PARTS if not file_set.is_full(_digest(document, part))]:
            raise DataError(
                f"{release}: its {' and '.join(short)} digest is of the short form, which no signature can hold to; "
                f"{MEND}"
            )

    def require_text(self, document: Mapping[str, Any], signature: str, what: str, *, purpose: bytes = PURPOSE) -> None:
        """Refuse a document of some purpose that none of the keys has signed; without keys any is taken."""
        if not self.on:
            return
        from cryptography.exceptions import InvalidSignature

        if not signature:
            raise DataError(f"{what} is not signed, and the environment gives public keys ({PUBLIC}); {MEND}")
        name, value = _read(signature, what)
        if name not in self.by_name:
            raise DataError(f"{what} is signed with the key {name}, trusted are {', '.join(self.by_name)}; {MEND}")
        try:
            self.by_name[name].verify(value, _signed(document, purpose))
        except InvalidSignature:
            raise DataError(f"{what}: the signature with the key {name} is not of this document; {MEND}") from None


MEND = "run the pipeline again with the signing key to register it anew (docs/security.md#signed-releases)"


def signer(environment: Mapping[str, str]) -> Signer | None:
    """Return who signs here: None where the environment gives no private key."""
    text = environment.get(KEY, "").strip().lower()
    if not text:
        return None
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.from_private_bytes(_bytes(KEY, text))
    public = private.public_key().public_bytes_raw().hex()
    return Signer(name_of(public), public, private)


def trusted(environment: Mapping[str, str]) -> TrustedKeys:
    """Return whose releases are loaded here; the private key alone signs, so that signing can be turned on first."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    found = {text: _bytes(PUBLIC, text) for text in public_keys(environment)}
    return TrustedKeys({name_of(text): Ed25519PublicKey.from_public_bytes(key) for text, key in found.items()})


def public_keys(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield the public keys as the environment gives them."""
    yield from dict.fromkeys(text.strip().lower() for text in environment.get(PUBLIC, "").split(",") if text.strip())


def require_signer(environment: Mapping[str, str]) -> Signer | None:
    """Return who signs what is registered here; where signing is on and nobody can, or would be believed, say so."""
    one, keys = signer(environment), trusted(environment)
    if keys.on and one is None:
        raise SpecError(
            f"{KEY} is not set, and {PUBLIC} has releases signed: what is registered here would be refused by every "
            "service; give the private key to who registers (docs/security.md#signed-releases)"
        )
    if keys.on and one is not None and one.name not in keys.by_name:
        raise SpecError(
            f"{KEY}: its public key {one.public} is not among those of {PUBLIC} ({', '.join(keys.by_name)}); what it "
            "signs would be refused: add it there first"
        )
    return one


def name_of(public: str) -> str:
    """Name a public key.

    >>> name_of("00" * 32)
    '66687aadf862'
    """
    return hashlib.sha256(bytes.fromhex(public)).hexdigest()[:12]


def _signed(document: Mapping[str, Any], purpose: bytes) -> bytes:
    return purpose + files.canonical(dict(document)).encode()


def _digest(document: Mapping[str, Any], part: str) -> str:
    found = document.get(part)
    return str(found.get("digest", "")) if isinstance(found, Mapping) else ""


def _read(text: str, place: str) -> tuple[str, bytes]:
    import json

    try:
        found = json.loads(text)
        return str(found[NAME]), bytes.fromhex(found[SIGNATURE])
    except (ValueError, KeyError, TypeError):
        raise DataError(f"{place}: its signature is no {{key, signature}} in JSON; {MEND}") from None


def _bytes(name: str, text: str) -> bytes:
    """Read a key; its value is in no message."""
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) * 2 != HEX_DIGITS:
        raise SpecError(f"{name}: a key must be {FORM}; its value is not")
    return found

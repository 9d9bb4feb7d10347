"""Authentication: an API key from a file, or a token of an OIDC provider. Secrets are never logged.

Secrets are compared in constant time. A changed file of keys is read again within a second; verified tokens are
remembered for at most a minute.
"""

import hashlib
import hmac
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from bentos import keys
from bentos.access import SCOPES, Access, Jwt
from bentos.http.problems import FORBIDDEN, UNAUTHENTICATED, UNAVAILABLE, Rejected, refused

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA")  # none that shares a secret
LOOK_S = 1.0  # between looks at the file of keys
REMEMBER_S, REMEMBERED = 60.0, 10_000
FRESH_S, AGAIN_S, FETCH_S = 300.0, 10.0, 5.0  # a key set's age, the pause between fetches, patience for one


@dataclass(frozen=True)
class Caller:
    """Who asks; `name` may be logged."""

    name: str
    scopes: frozenset[str]

    def need(self, scope: str) -> None:
        """Refuse a caller without a scope."""
        if scope and scope not in self.scopes:
            raise refused(
                "authorization", f"{scope} is not among its scopes", f"a key or token for {scope}", status=FORBIDDEN
            ).with_header("WWW-Authenticate", f'Bearer realm="intentflow", error="insufficient_scope", scope="{scope}"')


class Check(Protocol):
    """Finds the caller that a credential belongs to."""

    blocks: bool  # may wait for a server

    def caller(self, credential: str) -> Caller:
        """Return who it is, or refuse."""


def check(access: Access) -> Check | None:
    """Return how callers are recognised; None: everyone may do everything."""
    if access.auth == "keys":
        return KeyFile(Path(access.keys_file))
    return None if access.jwt is None or access.auth == "none" else Tokens(access.jwt)


def unknown(what: str) -> Rejected:
    """Write the refusal of an unknown caller."""
    allowed = "Authorization: Bearer KEY or X-API-Key: KEY"
    return refused("authorization", what, allowed, status=UNAUTHENTICATED).with_header(
        "WWW-Authenticate", 'Bearer realm="intentflow"' + ("" if what == "is missing" else ', error="invalid_token"')
    )


def credential_of(authorization: str, api_key: str) -> str:
    """Return the key or token that a request's two headers hold ('' where one is absent), or refuse."""
    kind, _, token = authorization.partition(" ")
    found = token.strip() if kind.lower() == "bearer" else api_key
    if not found:
        raise unknown("is missing")
    return found


class KeyFile:
    """Knows the keys of a file."""

    blocks = False

    def __init__(self, path: Path) -> None:
        self._path, self._looked, self._changed = path, 0.0, 0
        self._keys: dict[str, keys.Key] = {}
        self._nobody = keys.Key(id="", name="", salt="0" * 32, hash="0" * 64, scopes=())
        self._look()

    def caller(self, credential: str) -> Caller:
        """Return whose key it is."""
        if time.monotonic() - self._looked > LOOK_S:
            self._look()
        _, name, secret = [*credential.split("_", 2), "", ""][:3]
        key = self._keys.get(name, self._nobody)
        if not hmac.compare_digest(keys.hashed(secret, key.salt), key.hash):
            raise unknown("no such key")
        return Caller(f"key {key.id}", frozenset(key.scopes))

    def _look(self) -> None:
        self._looked = time.monotonic()
        changed = self._path.stat().st_mtime_ns if self._path.exists() else 0
        if changed != self._changed or not changed:
            self._keys = {key.id: key for key in keys.load(self._path).keys}
            self._changed = changed


class Tokens:
    """Verifies tokens against the provider's public keys."""

    def __init__(self, settings: Jwt) -> None:
        self._settings, self._set = settings, KeySet(settings.jwks)
        self.blocks = self._set.remote
        self._seen: OrderedDict[bytes, tuple[Caller, float]] = OrderedDict()

    def caller(self, credential: str) -> Caller:
        """Return whose token it is."""
        digest, now = hashlib.sha256(credential.encode()).digest(), time.time()
        found = self._seen.get(digest)
        if found is None or found[1] < now:
            claims = self._verified(credential)
            until = min(now + REMEMBER_S, float(claims["exp"]) + self._settings.leeway_s)
            found = self._seen[digest] = (self._who(claims), until)
            while len(self._seen) > REMEMBERED:
                self._seen.popitem(last=False)
        return found[0]

    def _verified(self, token: str) -> dict[str, Any]:
        import jwt

        settings = self._settings
        try:
            key = self._set.key(jwt.get_unverified_header(token).get("kid"))
            if key is None:
                raise unknown("signed with no key of the provider")
            claims: dict[str, Any] = jwt.decode(
                token,
                key.key,
                algorithms=[key.algorithm_name] if key.algorithm_name in ALGORITHMS else [],
                audience=settings.audience,
                issuer=settings.issuer,
                leeway=settings.leeway_s,
                options={"require": ["exp", "sub", "iss", "aud"]},
            )
        except jwt.ExpiredSignatureError:
            raise unknown("the token has expired") from None
        except jwt.PyJWTError:
            raise unknown("no valid token") from None
        return claims

    def _who(self, claims: dict[str, Any]) -> Caller:
        given = claims.get(self._settings.scopes_claim, ())
        words = given.split() if isinstance(given, str) else given if isinstance(given, list) else ()
        return Caller(f"subject {claims['sub']}", frozenset(words).intersection(SCOPES))


class KeySet:
    """A provider's public keys, fetched when they are old or one is missing, with a pause between fetches."""

    def __init__(self, source: str) -> None:
        self._source, self.remote = source, source.startswith(("https://", "http://"))
        self._keys: dict[str | None, Any] = {}
        self._asked = 0.0
        self._lock = threading.Lock()

    def key(self, name: str | None) -> Any | None:
        """Return a key by its id, or the only one there is."""
        with self._lock:
            age_s = time.monotonic() - self._asked if self._asked else float("inf")
            if age_s > FRESH_S or (name not in self._keys and age_s > AGAIN_S):
                self._fetch()
        if name is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(name)

    def _fetch(self) -> None:
        import jwt
        import requests

        self._asked = time.monotonic()
        try:
            if self.remote:
                reply = requests.get(self._source, timeout=FETCH_S)
                reply.raise_for_status()
                text = reply.text
            else:
                text = Path(self._source).read_text()
            found = {one.key_id: one for one in jwt.PyJWKSet.from_json(text).keys}
        except (OSError, ValueError, jwt.PyJWTError) as error:  # those of requests are OSErrors
            if not self._keys:
                raise refused("authorization", "the provider's keys are away", "a retry", status=UNAVAILABLE) from error
            return  # the old ones still hold
        self._keys = dict(found)

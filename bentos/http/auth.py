"""Authentication: an API key from a file, or a token of an OIDC provider. Secrets are never logged.

Secrets are compared in constant time. A changed file of keys is read again within a second; one that is gone or broken
lets nobody in, which is logged and counted. Verified tokens are remembered for at most a minute.
"""

import hashlib
import hmac
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from bentos import keys
from bentos.access import SCOPES, Access, Jwt
from bentos.http import provider_keys
from bentos.http.callers import Caller, PageRights
from bentos.http.problems import UNAUTHENTICATED, UNAVAILABLE, Rejected, refused
from feature_repo.errors import SpecError
from feature_repo.ids import plain

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA")  # none that shares a secret
LOOK_S = 1.0  # between looks at the file of keys
REMEMBER_S, REMEMBERED = 60.0, 10_000
FRESH_S, AGAIN_S, FETCH_S = 300.0, 10.0, 5.0  # a key set's age, the pause between fetches, patience for one
FIRST_S = 1.0  # the pause between fetches while there are no keys yet
STALE_S = 3600.0  # a key set's age past which nobody is let in by it: a key that was taken back ends by then
log = logging.getLogger("intentflow.access")


class Check(Protocol):
    """Finds the caller that a credential belongs to."""

    blocks: bool  # may wait for a server

    @property
    def origins(self) -> frozenset[str]:
        """Return the origins of all pages that may send."""

    def caller(self, credential: str) -> Caller:
        """Return who it is, or refuse."""


def check(access: Access, *, hide: Callable[[str], str] = str) -> Check | None:
    """Return how callers are recognised, None: everyone may do everything; `hide` names a user where it is logged."""
    if access.auth == "none":
        return None
    known = KeyFile(Path(access.keys_file)) if access.auth in ("keys", "both") else None
    tokens = Tokens(access.jwt, hide=hide) if access.jwt is not None and access.auth in ("jwt", "both") else None
    return KeysAndTokens(known, tokens) if known is not None and tokens is not None else known or tokens


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
        self._path, self._looked = path, 0.0
        self._nobody = keys.Key(id="", name="", salt="0" * 32, hash="0" * 64, scopes=())
        self._broken = ""  # why nobody is let in
        self._mark = _mark(path)
        self._keys = {key.id: key for key in keys.load(path).keys}

    def caller(self, credential: str) -> Caller:
        """Return whose key it is."""
        if time.monotonic() - self._looked > LOOK_S:
            self._look()
        if self._broken:
            raise refused("authorization", "the service's keys cannot be read", "a retry", status=UNAVAILABLE)
        _, name, secret = [*credential.split("_", 2), "", ""][:3]
        key = self._keys.get(name, self._nobody)
        if not hmac.compare_digest(keys.hashed(secret, key.salt), key.hash):
            raise unknown("no such key")
        if key.ended(time.time()):
            raise unknown("the key has ended")
        page = None
        if key.page is not None:
            page = PageRights(frozenset(key.page.events), frozenset(key.page.origins), key.page.rate)
        return Caller(f"key {key.id}", frozenset(key.scopes), page, _own(key, secret) if key.user else None)

    @property
    def origins(self) -> frozenset[str]:
        """Return the origins of all pages that have a key which has not ended."""
        if time.monotonic() - self._looked > LOOK_S:
            self._look()
        now = time.time()
        return frozenset(
            one for key in self._keys.values() if key.page and not key.ended(now) for one in key.page.origins
        )

    def _look(self) -> None:
        """Read the file again where it changed; keys that it does not say any more open nothing from then on."""
        self._looked = time.monotonic()
        mark = _mark(self._path)
        if mark == self._mark and not self._broken:
            return
        was, self._broken = self._broken, ""
        try:
            self._mark, self._keys = mark, {key.id: key for key in keys.load(self._path).keys}
        except (SpecError, OSError) as error:
            self._broken, self._keys = str(error), {}
        if self._broken != was:
            log.error("%s", f"{self._broken}: nobody is let in" if self._broken else f"{self._path}: read again")


def _own(key: keys.Key, secret: str) -> Callable[[str], bool]:
    """Return what tells whether a user is the one that a key is bound to; the file alone does not say who that is."""
    return lambda user: hmac.compare_digest(keys.bound(secret, user), key.user)


def _mark(path: Path) -> tuple[int, ...]:
    """Return what changes when a file does; of one that is not there, nothing."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return (found.st_mtime_ns, found.st_size, found.st_ino)


class Tokens:
    """Verifies tokens against the provider's public keys."""

    origins: frozenset[str] = frozenset()  # no page has a token of its own

    def __init__(self, settings: Jwt, *, hide: Callable[[str], str] = str) -> None:
        self._settings, self._set, self._hide = settings, KeySet(settings.jwks), hide
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
        settings, given = self._settings, claims.get(self._settings.scopes_claim, ())
        words = given.split() if isinstance(given, str) else given if isinstance(given, list) else ()
        scopes = frozenset(word for word in words if isinstance(word, str))
        if settings.speaks_for == "anyone" or (settings.servers_scope and settings.servers_scope in scopes):
            return Caller(f"subject {claims['sub']}", scopes.intersection(SCOPES))
        user = claims.get(settings.user_claim)
        if not isinstance(user, str) or not (own := plain(user)):
            raise unknown(f"the token's {settings.user_claim} names no user")
        # Whom it speaks for is a person, whom no log names; and one user's credential changes nothing for all.
        return Caller(
            f"subject {self._hide(own)}",
            scopes.intersection(SCOPES) - {"admin"},
            speaks_for=lambda asked: plain(asked) == own,
        )


class KeysAndTokens:
    """Knows keys and tokens: a key begins as keys do, and no token does."""

    def __init__(self, known: KeyFile, tokens: Tokens) -> None:
        self._known, self._tokens = known, tokens
        self.blocks = tokens.blocks

    def caller(self, credential: str) -> Caller:
        """Return whose key or token it is."""
        return (self._known if credential.startswith(f"{keys.PREFIX}_") else self._tokens).caller(credential)

    @property
    def origins(self) -> frozenset[str]:
        """Return the origins of all pages that have a key."""
        return self._known.origins


class KeySet:
    """A provider's public keys, fetched when they are old or one is missing, with a pause between fetches.

    Nobody whose key is known waits for the provider: old keys are renewed aside, and hold for STALE_S at most. Those
    who come later than that, after a quiet hour, wait for one fetch that they share. Who
    brings an unknown key waits for one fetch; others with such a key are told to come again meanwhile.
    """

    def __init__(self, source: str) -> None:
        self._source, self.remote = source, source.startswith(("https://", "http://"))
        self._keys: dict[str | None, Any] = {}
        self._asked = self._fetched = 0.0  # 0: never
        self._fetching = threading.Lock()

    def key(self, name: str | None) -> Any | None:
        """Return a key by its id, or the only one there is."""
        if self._keys and self._stale:
            self._renew()
        found, age_s = self._found(name), _age_s(self._asked)
        if found is None and age_s > self._pause_s:
            self._renewed()
            found = self._found(name)
        elif found is not None and age_s > FRESH_S and not self._fetching.locked():
            threading.Thread(target=self._renew, name="provider's keys", daemon=True).start()
        if not self._keys:
            raise refused("authorization", "the provider's keys are away", "a retry", status=UNAVAILABLE)
        if self._stale:
            raise refused("authorization", "the provider's keys are too old", "a retry", status=UNAVAILABLE)
        return found

    @property
    def _stale(self) -> bool:
        return _age_s(self._fetched) > STALE_S

    @property
    def _pause_s(self) -> float:
        return AGAIN_S if self._keys else FIRST_S

    def _found(self, name: str | None) -> Any | None:
        if name is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(name)

    def _renewed(self) -> None:
        """Fetch the keys now, unless somebody does already."""
        if self._keys and self._fetching.locked():
            raise refused("authorization", "the provider's keys are being fetched", "a retry", status=UNAVAILABLE)
        self._renew()

    def _renew(self) -> None:
        """Fetch the keys, one caller at a time; those that are held stay where the provider is away."""
        if not self._fetching.acquire(timeout=0.0 if self._keys and not self._stale else FETCH_S):
            return
        try:
            if _age_s(self._asked) <= self._pause_s:  # another has just done it
                return
            self._asked = time.monotonic()
            self._keys = provider_keys.read(self._source, within_s=FETCH_S)
            self._fetched = time.monotonic()
        except provider_keys.Away as error:
            log.warning("%s: the provider's keys cannot be read: %s", self._source, error)
        finally:
            self._fetching.release()


def _age_s(since: float) -> float:
    return time.monotonic() - since if since else float("inf")

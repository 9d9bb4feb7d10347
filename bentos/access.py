"""Who may ask a service and how much: the environment's `serving` block, which a service reads as INTENTFLOW_SERVING.

Nothing here is secret. Keys are in a file, as salted hashes; the address of a store, which may hold a password, is in
an environment variable of its own.
"""

import re
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, model_validator

from feature_repo import env_names
from feature_repo.errors import SpecError
from feature_repo.slice import Slice

LOOPBACK = ("127.0.0.1", "::1", "localhost")
Scope = Literal["recommend", "events", "admin"]
ORIGIN = re.compile(r"(?P<scheme>https?)://(?P<host>[a-z0-9.-]+|\[[0-9a-f:]+\])(:(?P<port>[1-9][0-9]{0,4}))?", re.ASCII)
USUAL_PORTS = {"https": "443", "http": "80"}  # which browsers leave out
SCOPES: tuple[Scope, ...] = ("recommend", "events", "admin")


class Jwt(Slice):
    """Tokens of an OIDC provider."""

    jwks: str = Field(min_length=1, description="Its public keys: a file or an https:// address")
    issuer: str = Field(min_length=1, description="Who must have issued a token")
    audience: str = Field(min_length=1, description="Whom a token must be meant for")
    leeway_s: int = Field(default=30, ge=0, le=300, description="Seconds that clocks may differ")
    scopes_claim: str = Field(default="scope", description="A list, or words in one string")
    speaks_for: Literal["anyone", "sub"] = Field(
        default="anyone",
        description="sub: a token speaks for the user that it names and for nobody else; anyone: tokens are servers'",
    )
    user_claim: str = Field(default="sub", min_length=1, description="Claim that names the user, as events name them")
    servers_scope: str = Field(
        default="", description="With speaks_for: sub, the word among a token's scopes by which a server speaks for all"
    )

    @model_validator(mode="after")
    def _unchanged_on_the_way(self) -> "Jwt":
        if self.jwks.startswith("http://") and urlsplit(self.jwks).hostname not in LOOPBACK:
            raise ValueError(f"jwks: {self.jwks} is not https://: whoever sits between could let anybody in")
        return self


class Bounds(Slice):
    """How much one caller's events may change, counted by event; docs/security.md says what counts in each process."""

    user: str = Field(
        default="240/minute",
        description="Events of one user, by pages' and by users' credentials each; empty: any number",
    )
    caller: str = Field(
        default="600/minute",
        description="Events of one caller: a user's token or key, or an address with a page's key; empty: any number",
    )
    item_share: float = Field(
        default=0.2, gt=0, le=1, description="Of an item's events within an hour, from one such caller; 1: any"
    )
    item_events: int = Field(
        default=20, ge=1, description="Of an item within an hour, that such a caller may send whatever its share"
    )
    server: str = Field(default="", description="Events of one server's key, token or address; empty: any number")

    @model_validator(mode="after")
    def _rates(self) -> "Bounds":
        for name in sorted(self.model_fields_set & {"user", "caller", "server"}):  # the defaults are rates
            require_rate(getattr(self, name), place=name)
        return self


def require_rate(text: str, *, place: str) -> None:
    """Refuse a rate that is none; '' is none at all."""
    import limits

    if not text:
        return
    try:
        limits.parse(text)
    except ValueError:
        raise ValueError(f"{place}: {text!r} is no rate; give one such as 600/minute") from None


def problem_of_origin(origin: str) -> str:
    """Say what is wrong with an origin that somebody declares, '' if nothing is.

    >>> problem_of_origin("https://shop.example"), problem_of_origin("http://localhost:8000")
    ('', '')
    >>> problem_of_origin("https://shop.example/cart")
    'is not as browsers write it; give scheme://host, with a port only where it is not the usual one'
    """
    found = ORIGIN.fullmatch(origin)
    if found is None or found["port"] == USUAL_PORTS[found["scheme"]]:
        return "is not as browsers write it; give scheme://host, with a port only where it is not the usual one"
    if found["scheme"] == "http" and found["host"].strip("[]") not in LOOPBACK:
        return "is not https://: whoever sits between could send what the page may send"
    return ""


class Access(Slice):
    """How a service recognises its callers, and what they may do."""

    auth: Literal["none", "keys", "jwt", "both"] = Field(
        default="none", description="none: on this machine only; both: keys and tokens"
    )
    anyone: bool = Field(default=False, description="auth: none on other addresses too; a network policy must guard it")
    keys_file: str = Field(default="", description="Made by `intentflow keys`")
    jwt: Jwt | None = None
    open: tuple[Literal["metrics", "docs"], ...] = Field(default=(), description="Pages that need no admin scope")
    limits: dict[Scope, str] = Field(default={}, description="By scope, of each caller: 50/second")
    bounds: Bounds = Field(default=Bounds(), description="Of events")
    drain_s: float = Field(default=0.0, ge=0, le=60, description="Seconds not ready, still answering, before it ends")

    @model_validator(mode="after")
    def _whole(self) -> "Access":
        if self.auth in ("keys", "both") and not self.keys_file:
            raise ValueError(f"auth: {self.auth} needs keys_file")
        if self.auth in ("jwt", "both") and self.jwt is None:
            raise ValueError(f"auth: {self.auth} needs jwt: {{jwks, issuer, audience}}")
        if self.limits:
            import limits

            for text in self.limits.values():
                limits.parse(text)
        return self


def access_of(text: str) -> Access:
    """Read the block as a service is given it; '' is its defaults, a mistake is one line."""
    try:
        return Access.model_validate_json(text or "{}")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, ("serving", *first["loc"])))
        raise SpecError(f"{env_names.SERVING}: {place}: {first['msg']}; see docs/security.md") from None

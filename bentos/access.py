"""Who may ask a service and how much: the environment's `serving` block, which a service reads as INTENTFLOW_SERVING.

Nothing here is secret. Keys are in a file, as salted hashes; the address of a store, which may hold a password, is in
an environment variable of its own.
"""

from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, model_validator

from feature_repo import env_names
from feature_repo.errors import SpecError
from feature_repo.slice import Slice

LOOPBACK = ("127.0.0.1", "::1", "localhost")
Scope = Literal["recommend", "events", "admin"]
SCOPES: tuple[Scope, ...] = ("recommend", "events", "admin")


class Jwt(Slice):
    """Tokens of an OIDC provider."""

    jwks: str = Field(min_length=1, description="Its public keys: a file or an https:// address")
    issuer: str = Field(min_length=1, description="Who must have issued a token")
    audience: str = Field(min_length=1, description="Whom a token must be meant for")
    leeway_s: int = Field(default=30, ge=0, le=300, description="Seconds that clocks may differ")
    scopes_claim: str = Field(default="scope", description="A list, or words in one string")

    @model_validator(mode="after")
    def _unchanged_on_the_way(self) -> "Jwt":
        if self.jwks.startswith("http://") and urlsplit(self.jwks).hostname not in LOOPBACK:
            raise ValueError(f"jwks: {self.jwks} is not https://: whoever sits between could let anybody in")
        return self


class Access(Slice):
    """How a service recognises its callers, and what they may do."""

    auth: Literal["none", "keys", "jwt"] = Field(default="none", description="none: on this machine only")
    anyone: bool = Field(default=False, description="auth: none on other addresses too; a network policy must guard it")
    keys_file: str = Field(default="", description="Made by python -m bentos.keys")
    jwt: Jwt | None = None
    open: tuple[Literal["metrics", "docs"], ...] = Field(default=(), description="Pages that need no admin scope")
    limits: dict[Scope, str] = Field(default={}, description="By scope, of each caller: 50/second")
    drain_s: float = Field(default=0.0, ge=0, le=60, description="Seconds not ready, still answering, before it ends")

    @model_validator(mode="after")
    def _whole(self) -> "Access":
        if self.auth == "keys" and not self.keys_file:
            raise ValueError("auth: keys needs keys_file")
        if self.auth == "jwt" and self.jwt is None:
            raise ValueError("auth: jwt needs jwt: {jwks, issuer, audience}")
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

"""Who asks, and what they may do: scopes, the rights of a page's key, and the one user that a credential speaks for.

A server's credential speaks for every user. A page's key may send events of its kinds and nothing else. A credential
that is bound speaks for its user alone: `require_own` holds every endpoint that names users to that.
"""

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from bentos.http.problems import FORBIDDEN, refused

EVENTS = "events"  # the one scope of a page
UNKNOWN_ADDRESS = "unknown"
NEIGHBOURS = 64  # bits of an IPv6 address that one customer of a provider has: the rest is theirs to choose


@dataclass(frozen=True)
class PageRights:
    """What a key that stands in a page may do."""

    kinds: frozenset[str]  # of events
    origins: frozenset[str]  # as browsers write them
    rate: str  # events of all who use the key


@dataclass(frozen=True)
class Caller:
    """Who asks; `name` may be logged."""

    name: str
    scopes: frozenset[str]
    page: PageRights | None = None
    speaks_for: Callable[[str], bool] | None = None  # tells whether a user is its own; None: it speaks for every user

    @property
    def serves(self) -> bool:
        """Tell whether it is a server's: it speaks for every user, and no page shows it."""
        return self.page is None and self.speaks_for is None

    def need(self, scope: str) -> None:
        """Refuse a caller without a scope; a page has no right but its own."""
        if scope and scope not in self.scopes:
            raise refused(
                "authorization", f"{scope} is not among its scopes", f"a key or token for {scope}", status=FORBIDDEN
            ).with_header("WWW-Authenticate", f'Bearer realm="intentflow", error="insufficient_scope", scope="{scope}"')
        if self.page is not None and scope != EVENTS:
            raise refused("authorization", "a page's key sends events alone", "POST /events", status=FORBIDDEN)

    def need_origin(self, origin: str) -> None:
        """Refuse a page's key where it comes from another page than those that its owner declared."""
        if self.page is not None and origin not in self.page.origins:
            what = f"{origin[:60]!r} is none of the key's" if origin else "is missing"
            raise refused("origin", what, "the origins that the key was made for", status=FORBIDDEN)


def require_own(who: Caller | None, ask: Any, *, entries: str = "") -> None:
    """Refuse a request that names another user than its caller's own: its `user_id`, a preview's, and each entry's."""
    if who is None or who.speaks_for is None:
        return
    named = [("user_id", getattr(ask, "user_id", None))]
    if (preview := getattr(ask, "preview", None)) is not None:
        named.append(("preview.user_id", preview.user_id))
    for place, entry in enumerate(getattr(ask, entries, ()) if entries else ()):
        named.append((f"{entries}[{place}].user_id", entry.user_id))
    for where, user in named:
        if user is not None and not who.speaks_for(user):
            raise refused(where, "is another user than the caller speaks for", "the caller's own id", status=FORBIDDEN)


@lru_cache(maxsize=1024)
def network_of(address: str) -> str:
    """Return what an address counts under: itself, of IPv6 its network; what is none counts together.

    >>> network_of("10.0.0.7"), network_of("2001:db8:1:2:3::4"), network_of("::ffff:10.0.0.7"), network_of("x" * 9000)
    ('10.0.0.7', '2001:db8:1:2::', '10.0.0.7', 'unknown')
    """
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return UNKNOWN_ADDRESS
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((int(found), NEIGHBOURS), strict=False).network_address)

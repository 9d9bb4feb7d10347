"""The address that a request came from, as the router before a door vouches for it.

A door sees the router's own address, and an X-Forwarded-For that anybody may have begun. So the router names the
client in a header of its own, with a mark under the token that it shares with the doors; a client's own is taken off.
"""

import functools
import hashlib
import hmac
import ipaddress
from collections.abc import Sequence

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
MARK_DIGITS = 32
LONGEST = 128  # characters of an address and its mark: a stranger's longer ones are not even remembered
KEPT = 4096  # addresses whose mark is remembered


def client_of(peer: str, forwarded: str, trusted: Sequence[Network]) -> str:
    """Return who asked: the peer, or of a proxy that is trusted the last address before it that is none.

    >>> near = [ipaddress.ip_network("10.0.0.0/8")]
    >>> client_of("203.0.113.9", "1.2.3.4", near), client_of("10.0.0.1", "1.2.3.4, 203.0.113.9, 10.0.0.2", near)
    ('203.0.113.9', '203.0.113.9')
    """
    found = peer
    for said in [*reversed([one.strip() for one in forwarded.split(",") if one.strip()]), ""]:
        if not said or not _within(found, trusted):
            return found
        if _address(said) is None:  # a proxy that writes no address is as far as one can look
            return found
        found = said
    return found


def vouched(address: str, token: str) -> str:
    """Write an address with the mark of who shares the token.

    >>> named_by(vouched("203.0.113.9", "t"), "t"), named_by(vouched("203.0.113.9", "t"), "u"), named_by("x", "t")
    ('203.0.113.9', None, None)
    """
    return f"{address} {_mark(address, token)}"


def named_by(text: str, token: str) -> str | None:
    """Return the address that a router vouches for; None: it is none of ours."""
    if len(text) > LONGEST:
        return None
    address, _, mark = text.partition(" ")
    return address if token and hmac.compare_digest(mark.encode(), _mark(address, token).encode()) else None


@functools.lru_cache(maxsize=KEPT)
def _mark(address: str, token: str) -> str:
    return hmac.new(token.encode(), f"client {address}".encode(), hashlib.sha256).hexdigest()[:MARK_DIGITS]


def _within(address: str, trusted: Sequence[Network]) -> bool:
    found = _address(address)
    return found is not None and any(found in network for network in trusted)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None

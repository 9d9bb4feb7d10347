"""What the router must know of a request: its endpoint's kind, whose it is, whether it may be sent twice. Pure.

The kinds are those of feature_repo/endpoints.py: nothing here names an endpoint but the one whose answers are compared.
"""

import json
import zlib
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from bentos.router.routes import STABLE, Arm, Routes, arm_of
from feature_repo import endpoints

RECOMMEND = f"/{endpoints.RECOMMEND}"  # the items of its answers are compared
READS = frozenset(endpoints.paths("read"))
PERSONAL = frozenset(endpoints.paths("read", "stream"))  # of one user, and safe to repeat
WRITES = frozenset(endpoints.paths("write"))  # of many users; each entry is safe to repeat if it has an id
_Read = TypeVar("_Read")
OTHER = "other"  # how counts call every other path


def endpoint_of(method: str, path: str) -> str:
    """Name the endpoint of a request.

    >>> endpoint_of("POST", "/rank"), endpoint_of("GET", "/docs.json")
    ('/rank', 'other')
    """
    return path if method == "POST" and (path in PERSONAL or path in WRITES) else OTHER


def arm_for(endpoint: str, body: bytes, routes: Routes) -> Arm:
    """Say which arm a request belongs to; what cannot be read is stable's to refuse.

    A write goes to another arm than stable's where the users of all its entries are in that one.
    """
    if endpoint == OTHER or not (routes.mode == "canary" or routes.arms):
        return STABLE
    users = _users(endpoint, body)
    if len(users) == 1:
        return arm_of(users[0], routes)
    arms = {arm_of(user, routes) for user in users}
    return arms.pop() if len(arms) == 1 else STABLE


def owner_of(endpoint: str, body: bytes) -> int:
    """Return a number of the user whom a request is about: the same at every router, whichever release answers.

    A write of several users goes with the first of them.

    >>> owner_of("/rank", b'{"user_id": "1"}') == owner_of("/events", b'{"events": [{"user_id": "1"}]}')
    True
    """
    users = [] if endpoint == OTHER else _users(endpoint, body)
    return zlib.crc32(users[0].encode("utf-8", "surrogatepass")) if users else 0


def repeatable(method: str, endpoint: str, body: bytes) -> bool:
    """Say whether a request does no harm if it arrives twice.

    >>> repeatable("POST", "/events", b'{"events": [{"event_id": "e1"}, {"user_id": "1"}]}')
    False
    """
    if endpoint in WRITES:
        entries = _entries(endpoint, body)
        return bool(entries) and all(isinstance(entry, dict) and entry.get("event_id") for entry in entries)
    return endpoint in PERSONAL or method in ("GET", "HEAD", "OPTIONS")


def items_of(answer: bytes) -> list[str] | None:
    """Return the recommended items of an answer, best first; None if it is none.

    >>> items_of(b'{"items": [{"item_id": "7"}]}'), items_of(b'{"error": "no"}')
    (['7'], None)
    """
    if (listed := _read(_LISTED, answer)) is not None:
        given = listed.items
        return None if given is None else [str(item.item_id) for item in given if item.item_id is not msgspec.UNSET]
    found = _parsed(answer)
    if not isinstance(found, dict) or not isinstance(found.get("items"), list):
        return None
    return [str(item["item_id"]) for item in found["items"] if isinstance(item, dict) and "item_id" in item]


def overlap(ours: Sequence[str], theirs: Sequence[str]) -> float:
    """Return the share of items that two lists have in common, of the longer one.

    >>> overlap(["a", "b"], ["b", "c"]), overlap([], [])
    (0.5, 1.0)
    """
    longer = max(len(ours), len(theirs))
    return len(set(ours) & set(theirs)) / longer if longer else 1.0


def degraded(answer: bytes) -> bool:
    """Say whether an answer names a failure behind the door. In a text the quotes would be escaped."""
    at = answer.find(b'"degraded":')  # once for both ways to write it: few answers have it more than once
    while at >= 0:
        if answer.startswith((b"true", b" true"), at + 11):
            return True
        at = answer.find(b'"degraded":', at + 11)
    return False


class _Ask(msgspec.Struct):
    """What a request about one user says of it."""

    user_id: Any = None


class _Item(msgspec.Struct):
    item_id: Any = msgspec.UNSET


class _Listed(msgspec.Struct):
    """An answer's items."""

    items: list[_Item] | None = None


_ASK, _LISTED = msgspec.json.Decoder(_Ask), msgspec.json.Decoder(_Listed)


def _users(endpoint: str, body: bytes) -> list[str]:
    if endpoint in WRITES:
        entries = _entries(endpoint, body)
        found = [entry.get("user_id") if isinstance(entry, dict) else None for entry in entries]
    else:
        if (quick := _read(_ASK, body)) is not None:
            return [quick.user_id] if isinstance(quick.user_id, str) else []
        ask = _parsed(body)
        found = [ask.get("user_id") if isinstance(ask, dict) else None]
    return [user for user in found if isinstance(user, str)] if all(isinstance(u, str) for u in found) else []


def _entries(endpoint: str, body: bytes) -> list[Any]:
    """Return the entries of a write: the list under the endpoint's own name."""
    ask = _parsed(body)
    entries = ask.get(endpoint.removeprefix("/")) if isinstance(ask, dict) else None
    return entries if isinstance(entries, list) else []


def _read(decoder: "msgspec.json.Decoder[_Read]", text: bytes) -> _Read | None:
    """Read the few fields that are wanted, at a tenth of the whole's cost; None: only `_parsed` can say what it is."""
    try:
        return decoder.decode(text.decode())  # as text, since the decoder does not check bytes that it leaves out
    except (ValueError, RecursionError):
        return None


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None

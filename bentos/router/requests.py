"""What a request asks for, as far as the router must know: whose it is, and whether it may be sent twice. Pure."""

import json
from collections.abc import Sequence
from typing import Any

from bentos.router.routes import CANDIDATE, STABLE, Arm, Routes, arm_of

EVENTS, DESCRIBE, RECOMMEND = "/events", "/describe", "/recommend"
READS = frozenset({RECOMMEND, "/intents", "/rank", "/explain"})  # answered at once, whole, and safe to repeat
PERSONAL = READS | {DESCRIBE}  # of one user
OTHER = "other"  # how counts call every other path


def endpoint_of(method: str, path: str) -> str:
    """Name the endpoint of a request.

    >>> endpoint_of("POST", "/rank"), endpoint_of("GET", "/docs.json")
    ('/rank', 'other')
    """
    return path if method == "POST" and (path in PERSONAL or path == EVENTS) else OTHER


def arm_for(endpoint: str, body: bytes, routes: Routes) -> Arm:
    """Say which arm a request belongs to; what cannot be read is stable's to refuse.

    Events go to the candidate where all of their users are in its arm.
    """
    if routes.mode != "canary" or endpoint == OTHER:
        return STABLE
    users = _users(endpoint, body)
    return CANDIDATE if users and all(arm_of(user, routes) == CANDIDATE for user in users) else STABLE


def repeatable(method: str, endpoint: str, body: bytes) -> bool:
    """Say whether a request does no harm if it arrives twice.

    >>> repeatable("POST", "/events", b'{"events": [{"event_id": "e1"}, {"user_id": "1"}]}')
    False
    """
    if endpoint == EVENTS:
        events = _events(body)
        return bool(events) and all(isinstance(e, dict) and e.get("event_id") for e in events)
    return endpoint in PERSONAL or method in ("GET", "HEAD", "OPTIONS")


def items_of(answer: bytes) -> list[str] | None:
    """Return the recommended items of an answer, best first; None if it is none.

    >>> items_of(b'{"items": [{"item_id": "7"}]}'), items_of(b'{"error": "no"}')
    (['7'], None)
    """
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
    """Say whether an answer owns up to a failure behind the door. In a text the quotes would be escaped."""
    return b'"degraded":true' in answer or b'"degraded": true' in answer


def _users(endpoint: str, body: bytes) -> list[str]:
    if endpoint == EVENTS:
        found = [event.get("user_id") if isinstance(event, dict) else None for event in _events(body)]
    else:
        ask = _parsed(body)
        found = [ask.get("user_id") if isinstance(ask, dict) else None]
    return [user for user in found if isinstance(user, str)] if all(isinstance(u, str) for u in found) else []


def _events(body: bytes) -> list[Any]:
    ask = _parsed(body)
    events = ask.get("events") if isinstance(ask, dict) else None
    return events if isinstance(events, list) else []


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None

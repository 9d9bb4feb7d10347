"""What every client must get from a door over the tiny world (tests/bentos/conftest.py), in this order.

Of an answer the fields that are named are compared; of a refusal its status, its place and how its line begins.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

SHOP = "https://shop.example"
KeyOf = Literal["server", "admin", "reader", "ended", "page", "none"]


@dataclass(frozen=True)
class Case:
    """One request and what comes of it."""

    about: str
    method: str
    ask: dict[str, Any]
    key: KeyOf = "server"
    answer: dict[str, Any] = field(default_factory=dict)
    refusal: tuple[int, str, str] | None = None  # status, where, error


def items(*ids: str) -> dict[str, Any]:
    """Return what an answer says of the items that it holds, in their order."""
    return {"items": [{"item_id": one} for one in ids]}


ANN = {"user_id": "ann"}
VIEW = {"user_id": "ann", "item_id": "i3", "event": "view", "event_id": "e1"}
KEYS = "Authorization: Bearer KEY or X-API-Key: KEY"

CASES = (
    Case("items of a known user, best first", "recommend", ANN | {"k": 3}, answer=items("i2", "i0", "i1")),
    Case("items that are not wanted", "recommend", ANN | {"k": 2, "exclude": ["i2"]}, answer=items("i0", "i1")),
    Case(
        "the intents of a user",
        "intents",
        ANN,
        answer={"intents": [{"name": "buy:FRUIT"}, {"name": "buy:SOUP"}, {"name": "visit"}]},
    ),
    Case(
        "scores in the order asked",
        "rank",
        ANN | {"item_ids": ["i3", "i1"]},
        answer={"scores": [{"item_id": "i3"}, {"item_id": "i1"}]},
    ),
    Case("texts", "describe", ANN | {"item_ids": ["i1"]}, answer=items("i1")),
    Case("an event", "events", {"events": [VIEW]}, answer={"accepted": 1, "duplicates": 0}),
    Case("the same event again", "events", {"events": [VIEW]}, answer={"accepted": 0, "duplicates": 1}),
    Case("what the event changed", "recommend", ANN | {"k": 3}, answer=items("i3", "i2", "i0")),
    Case(
        "an item withdrawn",
        "items",
        {"items": [{"item_id": "i3", "available": False}], "change_id": "c1"},
        key="admin",
        answer={"version": 1, "repeated": False},
    ),
    Case("what the withdrawal changed", "recommend", ANN | {"k": 2}, answer=items("i2", "i0")),
    Case(
        "an unknown item",
        "rank",
        ANN | {"item_ids": ["i0", "nothing"]},
        refusal=(422, "item_ids[1]", "item_ids[1]: 'nothing' is no item; allowed: the 6 items of release "),
    ),
    Case(
        "no items",
        "recommend",
        ANN | {"k": 0},
        refusal=(422, "k", "k: 0 is not allowed; allowed: 1 or more"),
    ),
    Case("too many items", "recommend", ANN | {"k": 99}, refusal=(422, "k", "k: 99 is too many; allowed: 1 to 50")),
    Case(
        "no key",
        "recommend",
        ANN,
        key="none",
        refusal=(401, "authorization", f"authorization: is missing; allowed: {KEYS}"),
    ),
    Case(
        "a key that has ended",
        "recommend",
        ANN,
        key="ended",
        refusal=(401, "authorization", f"authorization: the key has ended; allowed: {KEYS}"),
    ),
    Case(
        "a key without the scope",
        "events",
        {"events": [VIEW]},
        key="reader",
        refusal=(
            403,
            "authorization",
            "authorization: events is not among its scopes; allowed: a key or token for events",
        ),
    ),
    Case(
        "a page sends",
        "events",
        {"events": [VIEW | {"event_id": "e2"}]},
        key="page",
        answer={"accepted": 1, "duplicates": 0},
    ),
    Case(
        "a page reads nothing",
        "recommend",
        ANN,
        key="page",
        refusal=(
            403,
            "authorization",
            "authorization: recommend is not among its scopes; allowed: a key or token for recommend",
        ),
    ),
)

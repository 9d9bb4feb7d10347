r"""An answer with items as server-sent events: `item` for each, then `done` with the rest. Errors stay plain JSON.

Where a language model writes (bentos/recommender/words.py), `token` events come before each `item`, as it writes, and
a `retract` takes back what came of an item so far. A client that shows `item` events alone shows nothing of that.
"""

from typing import Any

from pydantic_core import from_json, to_json

MEDIA_TYPE = "text/event-stream"
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # a proxy must not hold events back


def wanted(accept: str) -> bool:
    """Tell whether a client asks for events.

    >>> wanted("text/event-stream"), wanted("application/json, text/event-stream;q=0.5"), wanted("*/*")
    (True, False, False)
    """
    weights = {}
    for part in accept.lower().split(","):
        name, *parameters = (word.strip() for word in part.split(";"))
        weights[name] = next((_weight(p[2:]) for p in parameters if p.startswith("q=")), 1.0)
    return weights.get(MEDIA_TYPE, 0.0) > weights.get("application/json", 0.0)


def events(answer: bytes) -> bytes:
    r"""Write an answer's JSON as events.

    >>> events(b'{"items":[{"text":"a"}],"release":"r"}')
    b'event: item\ndata: {"text":"a"}\n\nevent: done\ndata: {"release":"r"}\n\n'
    """
    document: dict[str, Any] = from_json(answer)
    items = document.pop("items")
    return b"".join(event("item", item) for item in items) + event("done", document)


def event(name: str, data: Any) -> bytes:
    """Write one event."""
    return f"event: {name}\ndata: ".encode() + to_json(data) + b"\n\n"


def _weight(text: str) -> float:
    return float(text) if text.replace(".", "", 1).isdecimal() else 0.0

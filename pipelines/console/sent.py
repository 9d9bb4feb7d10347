"""Which events were sent from the console, when and by whom: lines of JSON beside the state, only ever appended to.

A line is written before an event is sent and another when it was answered, so nothing is sent unnoted. Neither says in
whose name: there is no person in the file, so there is nothing to forget in it (docs/console.md).
"""

import datetime as dt
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feature_repo.errors import ServerError
from pipelines.environment import Installation

FAILED = 500  # a status from here on says nothing of what became of an event
FILE = Path("console") / "sent.jsonl"  # below the state folder


@dataclass(frozen=True)
class SentEvent:
    """An event that was sent."""

    at: str  # ISO 8601, UTC
    who: str
    event: str
    item_id: str
    answered: bool  # False: the console ended, or the service broke off, before it was known what became of it


@contextmanager
def noted(place: Installation, *, who: str, event: str, item_id: str) -> Iterator[None]:
    """Note an event around its being sent; one that the service refuses was not sent. Raises if it cannot, before.

    What breaks off in between (the service is away, or fails at it) leaves the event noted as unanswered.
    """
    name = uuid.uuid4().hex
    at = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    _append(place, {"id": name, "at": at, "who": who, "event": event, "item": item_id})
    try:
        yield
    except Exception as error:
        failed = isinstance(error, ServerError) or getattr(error, "status", 0) >= FAILED
        if not failed:
            _append(place, {"id": name, "stored": False})
        raise
    _append(place, {"id": name, "stored": True})


def read(place: Installation) -> list[SentEvent]:
    """Return what was sent, the oldest first; a line that a crash cut off is passed over."""
    asked: dict[str, dict[str, Any]] = {}
    stored: dict[str, bool] = {}
    for line in _lines(place.home / FILE):
        if "stored" in line:
            stored[line["id"]] = bool(line["stored"])
        else:
            asked[line["id"]] = line
    return [
        SentEvent(one["at"], one["who"], one["event"], one["item"], name in stored)
        for name, one in asked.items()
        if stored.get(name, True)
    ]


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return
    for line in text.splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict) and "id" in found:
            yield found


def _append(place: Installation, line: dict[str, Any]) -> None:
    """Write a line and have it on disk."""
    path = place.home / FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(handle, (json.dumps(line, ensure_ascii=False) + "\n").encode())
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        raise ServerError(f"{path}: the event could not be noted, so it was not sent: {error.strerror}") from None

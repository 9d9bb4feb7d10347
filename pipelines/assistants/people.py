"""What an assistant is told of a person: the latest logged answer, by pseudonym. No raw id comes in or goes out.

A pseudonym cannot be turned back, so nobody is asked for anew here: what is told is what the service last said.
"""

import itertools
from collections import Counter
from collections.abc import Mapping
from typing import Any

from components.content import words
from feature_repo import columns
from feature_repo.errors import SpecError
from feature_repo.logs import request_log
from pipelines.environment import Installation

LISTED = 20  # people that are named unless more are asked for
SHOWN = "recommend"  # the endpoint whose answers hold items and intents
MOST_REASONS = 3


def listed(place: Installation, most: int = LISTED, *, within: int | None = None) -> list[dict[str, Any]]:
    """Return whom the service answered last: pseudonym, when, which rung, how many answers in the log; newest first.

    `within` bounds how many of the newest answers are looked at, and so counted; None: all of them.
    """
    newest: dict[str, dict[str, Any]] = {}
    answers: Counter[str] = Counter()
    for answer in itertools.islice(_answers(place), within):
        who = str(answer[columns.USER_ID])
        answers[who] += 1
        if who not in newest and len(newest) < most:
            newest[who] = {"person": who, "at": str(answer["logged_at"]), "rung": answer["rung"]}
    return [one | {"answers": answers[one["person"]]} for one in newest.values()]


def latest(place: Installation, person: str) -> dict[str, Any]:
    """Return a person's latest answer with items, explained (pipelines/answers/explain.py)."""
    from pipelines.answers import explain

    for answer in _answers(place):
        if answer[columns.USER_ID] == person:
            return explain.why(place, request_id=str(answer[columns.REQUEST_ID]))
    # What was given may be a raw id: no line repeats it.
    raise SpecError(
        f"person: no logged answer of that pseudonym in {place.home / columns.REQUESTS_FOLDER}; the tool `people` "
        "lists those that have one, and raw ids are not taken here"
    )


def listed_text(found: list[dict[str, Any]]) -> str:
    """Return the list as an assistant reads it."""
    if not found:
        return "nobody was answered yet: the request log holds no recommendations"
    return "\n".join(
        f"{one['person']}  last answered {one['at']}, rung {one['rung']}, {one['answers']} answers logged"
        for one in found
    )


def text(found: Mapping[str, Any]) -> str:
    """Return a person's intents and items in words."""
    intents = ", ".join(f"{one['name']} {one['probability']:.0%}" for one in found["intents"])
    lines = [
        f"{found['user_id']}: as answered at {found['logged_at']} (request {found['request_id']})",
        f"Release    {found['release']}, rung {found['rung']}"
        + (f", degraded: {found['degraded']}" if found["degraded"] else ""),
        f"Intents    {intents or 'none are known here'}",
        "Items",
        *(_item(one, found) for one in found["items"]),
    ]
    return "\n".join([*lines, *([found["note"]] if found["note"] else [])])


def _item(item: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    reasons = [
        words.reason(name, value, found["verb"], found["step"])
        for name, value in list(item.get("reasons", {}).items())[:MOST_REASONS]
    ]
    name = item.get("title") or item[columns.ITEM_ID]
    return (
        f"  {item['position']}. {name} ({item[columns.ITEM_ID]}, from {item['source']}) {', '.join(reasons)}".rstrip()
    )


def _answers(place: Installation) -> Any:
    """Yield the logged recommendations that callers got, newest first."""
    for answer in request_log.read(place.home / columns.REQUESTS_FOLDER, newest_first=True):
        if answer["endpoint"] == SHOWN and not answer.get("mirrored"):
            yield answer

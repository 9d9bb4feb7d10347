"""What vocabularies and profiles need of a spec's intents and of its ranking; a release keeps both slices."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from feature_repo import columns
from feature_repo.signs import NONE, Signs


def of(
    intents: Sequence[Mapping[str, Any]],
    ranking: Mapping[str, Any],
    *,
    ahead: Mapping[str, int] = MappingProxyType({}),
    signs: Signs = NONE,
) -> dict[str, Any]:
    """Return the rule of the slices `intents` and `models.ranking`, as they are written.

    `ahead` says how many steps of the clock the labels of intents look ahead; one, where it says nothing.
    `signs` is what declared kinds of events say of items.

    >>> rule = of([{"name": "buy", "event": None, "level": "items.genres", "top": 5}],
    ...     {"event": None, "min_item_sessions": 2, "min_item_users": 1, "train_weeks": 8, "repeat": "allow"})
    >>> rule["items"], rule["intents"][0]["column"]
    ({'event': None, 'min_sessions': 2, 'min_users': 1}, 'genres')
    """
    items = {
        "event": ranking["event"],
        "min_sessions": ranking["min_item_sessions"],
        "min_users": ranking["min_item_users"],
    }
    whole: dict[str, Any] = {"whole_history": True} if ranking.get("repeat") == "forbid" or signs else {}
    whole |= {"people": True} if ranking.get("people") else {}
    whole |= {"signs": signs.as_dict()} if signs.declared else {}
    named = [
        {"name": i["name"], "event": i["event"], "column": columns.of_level(i["level"]), "top": i["top"]}
        | ({"horizon": ahead[i["name"]]} if ahead.get(i["name"], 1) > 1 else {})  # as recorded before horizons
        for i in intents
    ]
    return {"intents": named, "items": items, "history_weeks": ranking["train_weeks"]} | whole

"""What vocabularies and profiles need of a spec's intents and of its ranking; a release keeps both slices."""

from collections.abc import Mapping, Sequence
from typing import Any

from feature_repo import columns
from feature_repo.clock import Pace, seconds_of
from feature_repo.signs import NONE, Signs

WEEKLY = Pace()


def of(
    intents: Sequence[Mapping[str, Any]],
    ranking: Mapping[str, Any],
    pace: Pace = WEEKLY,
    *,
    signs: Signs = NONE,
) -> dict[str, Any]:
    """Return the rule of the slices `intents` and `models.ranking`, as they are written, on a clock.

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
    items |= {"later": True} if ranking.get("later_items") else {}
    whole: dict[str, Any] = {"whole_history": True} if ranking.get("repeat") == "forbid" or signs else {}
    whole |= {"people": True} if ranking.get("people") else {}
    whole |= {"signs": signs.as_dict()} if signs.declared else {}
    named = [
        {"name": i["name"], "event": i["event"], "column": columns.of_level(i["level"]), "top": i["top"]}
        for i in intents
    ]
    for intent, steps in zip(named, horizons(intents, pace), strict=True):
        intent |= {"horizon": steps} if steps > 1 else {}  # left out of what was recorded before horizons
    return {"intents": named, "items": items, "history_weeks": ranking["train_weeks"]} | whole


def horizons(intents: Sequence[Mapping[str, Any]], pace: Pace) -> list[int]:
    """Return how many steps of a clock each intent of the slice looks ahead.

    >>> horizons([{"horizon_days": 7}, {"horizon": "28d"}], Pace())
    [1, 4]
    """
    durations = [intent.get("horizon") or f"{intent.get('horizon_days', 7)}d" for intent in intents]
    return [max(seconds_of(duration) // pace.seconds, 1) for duration in durations]

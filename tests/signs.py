"""A made-up shop whose events are of several kinds, for tests: what was looked at, bought, sent back, hidden."""

import datetime as dt
import random
from typing import Any

from feature_repo.calendar import Calendar
from feature_repo.signs import Signs
from tests import worlds

KINDS = {"view": 1.0, "cart": 3.0, "purchase": 5.0, "skip": -1.0, "hide": -2.0, "return": -1.0, "search": 0.0}
KINDS["impression"] = 0.0
SIGNS = Signs.of(
    {"weights": KINDS, "hides": ["hide"], "once": ["purchase"], "undoes": {"return": "purchase"}}
    | {"bare": ["login"], "shown": "impression"}
)
VOCABULARY: dict[str, Any] = worlds.VOCABULARY | {
    "intents": [
        {"name": "buy", "event": "purchase", "column": "category", "top": 4},
        {"name": "any", "event": None, "column": "category", "top": 4},
        {"name": "enter", "event": "login", "column": None, "top": 1},
        {"name": "visit", "event": None, "column": None, "top": 1},
    ],
    "items": {"event": None, "min_sessions": 1, "min_users": 1},
    "signs": SIGNS.as_dict(),
    "whole_history": True,
}


def scattered(seed: int, *, users: int = 6, late: bool = False) -> worlds.World:
    """Scatter events of every kind; one in six is a login, which has no item. `late`: some became known weeks after."""
    world, rng = worlds.scattered(seed, users=users), random.Random(seed)
    events = []
    for event in world.events:
        bare, at = rng.random() < 1 / 6, event["timestamp"]
        assert isinstance(at, dt.datetime)
        kind = {"event": "login", "item_id": None} if bare else {"event": rng.choice(list(KINDS))}
        known = at + dt.timedelta(days=rng.choice([0, 0, 9, 20]) if late else 0)
        events.append(event | kind | {"created_at": known})
    calendar = Calendar(worlds.FIRST_DAY)
    logins = [calendar.start(week) + dt.timedelta(hours=5) for week in (2, 5)]  # one user does nothing else
    events += [worlds.event("u99", "", at, session=f"l{n}", item_id=None, event="login") for n, at in enumerate(logins)]
    first = calendar.start(1) + dt.timedelta(hours=6)  # every item is of the vocabulary: folds know no others
    events += [worlds.event("u00", f"i{n}", first, session="first", event="view") for n in range(8)]
    return worlds.World(events, world.items, [*world.users, "u99"], world.weeks)

"""What counts as a reward, on a handful of lines."""

import datetime as dt
from typing import Any

from pipelines.rollout.actuator import Rewarded
from pipelines.rollout.rewards import joined

WALL = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
BEGAN = WALL.timestamp()
CLOCK = 1_000_000  # the data's


def answer(user: str, *items: str, after: float = 0, release: str = "new", **more: Any) -> dict[str, Any]:
    shown = [{"item_id": item} for item in items]
    at = (WALL + dt.timedelta(seconds=after)).isoformat()
    line = {"release": release, "endpoint": "recommend", "user_id": user, "items": shown, "logged_at": at}
    return line | {"now": CLOCK + after} | more


def event(user: str, item: str, *, after: float) -> dict[str, Any]:
    return {"user_id": user, "item_id": item, "timestamp": CLOCK + after}


def test_an_answer_is_rewarded_by_an_event_with_one_of_its_items_in_time() -> None:
    answers = [
        answer("ana", "soup", "bread"),  # bought bread: rewarded
        answer("bo", "soup"),  # bought something else
        answer("cy", "soup"),  # bought soup too late
        answer("di", "soup", release="old"),  # rewarded, the other release
        answer("ed", "soup", after=-5),  # answered before the canary began
        answer("fy", "soup", after=50),  # may still act
        answer("gus", "soup", mirrored=True),  # nobody saw it
        answer("hal", "soup", endpoint="intents"),
        answer("ida", "soup", release="third"),
    ]
    events = [
        event("ana", "bread", after=10),
        event("bo", "tea", after=10),
        event("cy", "soup", after=61),
        event("di", "soup", after=60),
        event("ed", "soup", after=1),
        event("gus", "soup", after=1),
    ]
    found = joined(answers, events, ["old", "new"], since_s=BEGAN, until_s=BEGAN + 40, within_s=60)
    assert found == {"old": Rewarded(1, 1), "new": Rewarded(3, 1)}

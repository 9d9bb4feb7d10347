"""Whether an intent counts as yes, beside its probability, where a caller asks for that."""

import numpy as np
import pytest

from bentos.endpoints.intents import IntentsRequest
from bentos.recommender.door import Door
from bentos.recommender.logs.eventlog import EventLog
from bentos.recommender.logs.requestlog import RequestLog
from components.intent.decisions import Thresholds
from tests.bentos.conftest import KEY, TinyProfiles, World, asked, fallback


def door(world: World, thresholds: Thresholds | None) -> Door:
    return Door(
        world.release(),
        world.scorer,
        world.ranker,
        TinyProfiles(),
        RequestLog(world.folder / "requests"),
        world.clock,
        events=EventLog(world.folder / "events"),
        fallback=fallback(),
        key=KEY,
        thresholds=thresholds,
    )


@pytest.mark.parametrize("user", ["ann", "somebody new"])
def test_an_intent_counts_as_yes_from_its_own_threshold_on(world: World, user: str) -> None:
    before = asked(door(world, None), IntentsRequest(user_id=user, decide=True))
    said = np.array([intent.probability for intent in before.intents])
    assert before.decisions is None  # no thresholds in the release
    by_target = said + np.array([0.0, 0.01, -0.01])
    shop = door(world, Thresholds(0.5, by_target, np.ones(3, dtype=bool)))
    answer = asked(shop, IntentsRequest(user_id=user, decide=True))
    assert answer.decisions == {"buy:FRUIT": True, "buy:SOUP": False, "visit": True}
    assert answer.intents == before.intents
    assert asked(shop, IntentsRequest(user_id=user)).decisions is None

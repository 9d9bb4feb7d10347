"""Events and then intents within one visit: the door answers from the event memory, and says on what it rests."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from bentos.endpoints.events import EventsRequest
from bentos.endpoints.intents import IntentsRequest
from bentos.endpoints.schemas import Event
from bentos.recommender.door import Door
from bentos.recommender.logs.eventlog import EventLog
from bentos.recommender.logs.requestlog import RequestLog
from components.intent.sessions.encode import Codes, encode, window
from components.intent.sessions.score import SessionScorer
from components.intent.sessions.spec import SessionIntent
from feature_repo import memory
from feature_repo.errors import StoreAway
from feature_repo.memory import Remembered
from feature_repo.update import Event as Folded
from tests.bentos.conftest import KEY, TinyProfiles, World, asked, fallback

CODES = Codes(("cart", "purchase", "view"), ("FRUIT",), {"i0": 1}, by_id=True, quiet_s=1800)
CARTED = CODES.names.index("had_cart")


@dataclass
class Remembering(TinyProfiles):
    """Keeps the memory of each user beside."""

    kept: dict[str, bytes] = field(default_factory=dict)
    deaf: bool = False  # memories cannot be read, while rows can

    def push_all(self, events: Mapping[str, Sequence[Folded]]) -> None:
        super().push_all(events)
        for user, theirs in events.items():
            new = [Remembered(e.at, e.session_id, e.item_id, e.event, e.value) for e in theirs]
            self.kept[user] = memory.added(self.kept.get(user, memory.EMPTY), new)

    def memories(self, user_ids: Sequence[str]) -> list[list[Remembered] | None]:
        if self.down or self.deaf:
            raise StoreAway("the store is down")
        return [memory.decode(self.kept[user]) if user in self.kept else None for user in user_ids]


def scorer() -> SessionScorer:
    """Who put something into the cart buys with .88, others with .12; nobody else's numbers count."""
    F = len(CODES.names)
    first = np.zeros((F, 1))
    first[CARTED] = 4.0
    return SessionScorer(
        intents=(SessionIntent(name="buy_now", event="purchase"),),
        codes=CODES,
        mean=np.zeros(F),
        scale=np.ones(F),
        weights=(first, np.ones((1, 1)), np.ones((1, 1))),
        biases=(np.zeros(1), np.zeros(1), np.asarray([-2.0])),
        start=np.asarray([0.25]),
    )


@pytest.fixture
def profiles() -> Remembering:
    return Remembering()


@pytest.fixture
def door(world: World, profiles: Remembering) -> Door:
    return Door(
        world.release(),
        world.scorer,
        world.ranker,
        profiles,
        RequestLog(world.folder / "requests"),
        world.clock,
        events=EventLog(world.folder / "events"),
        fallback=fallback(),
        key=KEY,
        sessions=scorer(),
    )


def did(door: Door, *kinds: str, user: str = "ann", session: str = "s1") -> None:
    for kind in kinds:
        asked(door, EventsRequest(events=[Event(user_id=user, item_id="i0", event=kind, session_id=session)]))


def session(door: Door, user: str = "ann", **fields: Any) -> Any:
    return asked(door, IntentsRequest(user_id=user, **fields)).session


def test_events_of_the_visit_move_the_answer_at_once(door):
    did(door, "view")
    before = session(door)
    did(door, "cart", "view")
    after = session(door)
    assert (before.basis, before.events, after.events) == ("visit", 1, 3)
    assert before.intents[0].name == "buy_now"
    assert before.intents[0].probability == pytest.approx(0.119, abs=0.001)
    assert after.intents[0].probability == pytest.approx(0.881, abs=0.001)


def test_the_answer_is_what_the_encoded_memory_gives(door, world, profiles):
    did(door, "view", "cart", "purchase")
    mine = memory.decode(profiles.kept[world.hidden("ann")])
    expected = scorer().predict(encode(window(mine, CODES), CODES))[0, 0]
    assert session(door).intents[0].probability == expected


def test_a_visit_of_another_session_does_not_count(door):
    did(door, "view", "cart")
    did(door, "view", session="s2")
    found = session(door)
    assert found.events == 1
    assert found.intents[0].probability == pytest.approx(0.119, abs=0.001)


def test_without_a_visit_the_rates_of_visits_that_begin_are_told_as_such(door, world):
    nobody = session(door)
    assert (nobody.basis, nobody.events, nobody.intents[0].probability) == ("start", 0, 0.25)
    did(door, "view", "cart")
    world.clock.saw(world.clock.now() + CODES.quiet_s + 5)
    silent = session(door)
    assert (silent.basis, silent.events, silent.intents[0].probability) == ("start", 0, 0.25)


def test_a_memory_that_cannot_be_read_is_told_as_unknown(door, profiles):
    did(door, "view", "cart")
    profiles.deaf = True
    found = session(door)
    assert (found.basis, found.events, found.intents[0].probability) == ("unknown", 0, 0.25)


def test_a_store_that_is_away_is_told_as_unknown(door, profiles):
    profiles.down = True
    answer = asked(door, IntentsRequest(user_id="ann"))
    assert answer.profile.reason == "store_away"
    assert answer.session.basis == "unknown"


def test_a_release_without_such_intents_answers_as_before(world):
    answer = asked(world.door(), IntentsRequest(user_id="ann"))
    assert answer.session is None
    assert [one.name for one in answer.intents] == ["buy:FRUIT", "buy:SOUP", "visit"]


def test_the_request_log_holds_what_was_said_of_the_visit(door, world):
    did(door, "view", "cart")
    said = session(door)
    door.close()
    (file,) = [path for path in (world.folder / "requests").rglob("*") if path.is_file() and "jsonl" in path.name]
    (line,) = [json.loads(text) for text in file.read_text().splitlines()]
    assert line["asked"]["session"] == said.model_dump()

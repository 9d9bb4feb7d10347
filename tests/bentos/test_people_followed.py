"""Whom one follows already is never recommended, nor oneself: a trained ranker of people at the door, by event."""

import dataclasses
import datetime as dt
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bentos.endpoints.events import EventsRequest
from bentos.endpoints.recommend import RecommendRequest
from bentos.recommender.clock import DataEndClock
from bentos.recommender.door import Door
from bentos.recommender.logs.eventlog import EventLog
from bentos.recommender.logs.requestlog import RequestLog
from bentos.release import RANKING, Release
from components.ranking import examples
from components.ranking.score import Ranker
from components.ranking.spec import OF_PEOPLE, Candidates, Ranking
from components.ranking.train import train
from feature_repo import files
from feature_repo.calendar import Calendar
from feature_repo.fallback import Fallback, ListedItem
from feature_repo.privacy.pseudonyms import pseudonym
from feature_repo.rows import UserRows
from feature_repo.update import Event, Folding, State, event_of, mirrored
from tests import people_worlds, worlds
from tests.bentos import conftest
from tests.bentos.conftest import KEY, TinyScorer, asked

PEOPLE, WEEKS = 24, 12
RAWS = [f"person-{n}" for n in range(PEOPLE)]
HIDDEN = {raw: pseudonym(raw, KEY) for raw in RAWS}
CALENDAR = Calendar(worlds.FIRST_DAY)
END = int(CALENDAR.start(WEEKS + 1).timestamp())
SPEC = Ranking(
    people=True,
    exclude_self=True,
    repeat="forbid",
    candidates=Candidates(**{"history": 5, "neighbours": 5, "popular": 3} | dict.fromkeys(OF_PEOPLE, 4)),
    min_item_sessions=1,
    min_item_users=1,
    width=8,
    epochs=1,
)


@dataclass
class Folded(conftest.TinyProfiles):
    """Rows as folding every event gives them."""

    folding: Folding | None = None
    states: dict[str, State] = field(default_factory=dict)

    def read(self, user_ids: Sequence[str], *, now: int) -> UserRows:
        (user,) = user_ids
        if user not in self.states:
            return UserRows.unknown(user_ids, now=now)
        state = self.states[user]
        row = {name: [value] for name, value in state.items() if name not in ("vocabulary", "last_session_id")}
        return UserRows.from_online(row | {"user_id": [user]}, now=now)

    def push_all(self, events: Mapping[str, Sequence[Event]]) -> None:
        assert self.folding is not None
        for user, theirs in events.items():
            self.states[user] = self.folding.fold(self.states.get(user, self.folding.empty()), theirs)


class Even(TinyScorer):
    """Says of everyone that they write as often as not."""

    def predict(self, rows: UserRows) -> np.ndarray:
        return np.full((len(rows), len(self.vocabulary.targets)), 0.5)


def popular() -> Fallback:
    """Everyone is as popular as anyone."""
    everyone = ListedItem(np.arange(PEOPLE), np.full(PEOPLE, 0.1))
    return Fallback("segs", ("all",), np.full((2, 1), 0.5, dtype=np.float32), (everyone, everyone))


def release_of_people(world: conftest.World, **serving: Any) -> Release:
    """Write and load a release whose items are people."""
    document = conftest.release_document(world.ranker.vocabulary.digest, **serving)
    document["serving"]["ranking"] = {"people": True, "exclude_self": True, "repeat": "forbid"}
    document["serving"]["calendar"] = {"first_day": worlds.FIRST_DAY, "timezone": "UTC"}
    document["serving"]["data_end"] = dt.datetime.fromtimestamp(END, dt.UTC).isoformat()
    rest = {key: value for key, value in document.items() if key != "id"}
    files.write_json(world.folder / "release.json", {"id": files.digest(rest), **rest})
    return Release.load(world.folder)


@dataclass
class People(conftest.World):
    """A door over the trained ranker, of people."""

    profiles: Folded = field(default_factory=Folded)
    followed: dict[str, set[str]] = field(default_factory=dict)  # by raw id, pseudonyms

    def release(self, **serving: Any) -> Release:
        return release_of_people(self, **serving)

    def door(self, **serving: Any) -> Door:
        logs = RequestLog(self.folder / "requests"), EventLog(self.folder / "events")
        parts = (self.scorer, self.ranker, self.profiles, logs[0], self.clock)
        return Door(self.release(**serving), *parts, events=logs[1], fallback=popular(), key=KEY)

    def shown(self, user: str) -> list[str]:
        return [one.item_id for one in asked(self.door(), RecommendRequest(user_id=user, k=50)).items]

    def follow(self, user: str, other: str) -> None:
        event = {"user_id": user, "item_id": other, "event": "message"}
        asked(self.door(), EventsRequest.model_validate({"events": [event]}))
        self.followed.setdefault(user, set()).add(HIDDEN.get(other, other))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[people_worlds.Made, Ranker]:
    """A world of random messages, each person under the pseudonym, and a ranker of it."""
    plain = people_worlds.chatter(1, people=PEOPLE, weeks=WEEKS)
    hidden = dict(zip(plain.users, HIDDEN.values(), strict=True))
    events = [e | {"user_id": hidden[str(e["user_id"])], "item_id": hidden[str(e["item_id"])]} for e in plain.events]
    items = [worlds.item(name, "person") for name in hidden.values()]
    named = dataclasses.replace(plain, events=events, items=items, users=list(hidden.values()))
    folder = tmp_path_factory.mktemp("people")
    made = people_worlds.make(named, folder, whole_history=True)
    (folder / RANKING).mkdir()
    train(examples.load(made.rows, made.intent, SPEC), SPEC).ranker.save(folder / RANKING)
    return made, Ranker.load(folder / RANKING)


@pytest.fixture
def world(trained: tuple[people_worlds.Made, Ranker], tmp_path: Path) -> People:
    made, ranker = trained
    folding = Folding(CALENDAR, ranker.vocabulary, (7, 28))
    profiles, raw_of = Folded(folding=folding), {hidden: raw for raw, hidden in HIDDEN.items()}
    followed: dict[str, set[str]] = {}
    for line in sorted(made.world.events, key=lambda e: str(e["timestamp"])):
        done = event_of(line | {"timestamp": int(line["timestamp"].timestamp())}, CALENDAR)  # type: ignore[attr-defined]
        user, other = str(line["user_id"]), str(line["item_id"])
        profiles.push_all({user: [done]})
        profiles.push_all({other: [mirrored(done, by=user)]})
        followed.setdefault(raw_of[user], set()).add(other)
    return People(
        tmp_path,
        profiles=profiles,
        scorer=Even(ranker.vocabulary),
        ranker=ranker,
        clock=DataEndClock(END),
        followed=followed,
    )


@pytest.mark.world
@pytest.mark.parametrize("days_later", [0, 90, 400])  # fresh, stale, and past all use: segment or popular
def test_no_answer_holds_whom_the_user_follows_or_the_user(world: People, days_later: int) -> None:
    world.clock = DataEndClock(END + days_later * 86_400)
    for raw in RAWS:
        shown = set(world.shown(raw))
        assert shown == set(HIDDEN.values()) - {HIDDEN[raw]} - world.followed.get(raw, set())


@pytest.mark.world
@pytest.mark.parametrize("seed", range(3))
def test_nor_after_any_follow_that_came_live_until_nobody_is_left(world: People, seed: int) -> None:
    dice = random.Random(seed)
    raw_of = {hidden: raw for raw, hidden in HIDDEN.items()}
    user, newcomer = dice.sample(RAWS, 1)[0], "somebody new"
    for who in (user, newcomer):
        while shown := world.shown(who):
            assert not {HIDDEN.get(who), *world.followed.get(who, ())} & set(shown)
            other = dice.choice(shown)
            world.follow(who, dice.choice([other, raw_of[other]]))  # as an answer names people, or as the data does
            back = dice.choice([raw for raw in RAWS if raw not in (who, raw_of[other])])
            if dice.random() < 0.3:  # what others do to the user takes nobody away
                world.follow(back, who)
        assert world.followed[who] == set(HIDDEN.values()) - {HIDDEN.get(who)}

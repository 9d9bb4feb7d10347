"""A policy that was learnt from a door's own log, served by a door: what it shows, and what it says of that."""

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bentos.endpoints.events import EventsRequest
from bentos.endpoints.schemas import Event
from bentos.http.request_context import RequestContext
from bentos.recommender.logs import json_lines, requestlog
from components.policy import record, reward_table, steps
from components.policy.rewards import attributed
from components.policy.spec import PolicySlice
from feature_repo import columns, env_names
from tests.bentos.conftest import OPERATION_OF, TinyProfiles
from tests.bentos.test_exploration import Exploring, ask

SLICE = PolicySlice.model_validate(
    {
        "name": "softmax",
        "temperature": 5.0,
        "candidates": 6,
        "guard": {"placements": ["checkout"]},
        "rewards": [{"name": "buy", "event": ["purchase"], "within": "1h"}],
        "learn": {"least_ess": 30, "temperature": 0.6},
    }
)
LIKED = {"i4": 0.7, "i5": 0.9}  # how likely what is shown is bought: what the ranker puts last
USERS = [f"u{n}" for n in range(240)]


class Unmoved(TinyProfiles):
    """Profiles that events do not change: the ranker's order stays, so what is liked stays where it is in it."""

    def push_all(self, events: Mapping[str, Sequence[object]]) -> None:
        """Take events, and change nothing."""


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Exploring:
    monkeypatch.setenv(env_names.HOME, str(tmp_path))
    found = Exploring(tmp_path, profiles=Unmoved())
    found.slices = {"policy": SLICE.slice(), "placements": {"checkout": {}, "home": {}}}
    for user in USERS:
        found.knows(user, 0, 1)
    return found


def answered(world: Exploring) -> list[dict[str, Any]]:
    """Ask once for each user, have them buy what they like, and return the door's lines of its release."""
    door, rng = world.door(k=2), np.random.default_rng(1)
    for user in USERS:
        answer = ask(door, user, placement="home")
        bought = [one.item_id for one in answer.items if rng.random() < LIKED.get(one.item_id, 0.02)]
        events = [Event(user_id=user, item_id=i, event="purchase", request_id=answer.request_id) for i in bought]
        if events:
            OPERATION_OF[EventsRequest].answer(door, EventsRequest(events=events), RequestContext())
    door.close()
    lines = requestlog.read(world.folder / columns.REQUESTS_FOLDER)
    return [line for line in lines if line[columns.RELEASE] == door.release.id]


def rewarded(world: Exploring) -> None:
    """Make the rewards table from both logs, as of a time when every answer's hour is over."""
    answers = list(requestlog.read(world.folder / columns.REQUESTS_FOLDER))
    acted = [line for path in json_lines.files(world.folder / columns.EVENTS_FOLDER) for line in json_lines.read(path)]
    kpis = [one.kpi() for one in SLICE.rewards]
    reward_table.write(world.folder, attributed(answers, acted, kpis, now_s=time.time() + 3601), kpis)


def learnt(world: Exploring, release: str) -> tuple[bool, dict[str, Any], dict[str, Any]]:
    rows, folder = world.folder / "rows", world.folder / "learned"
    said = SLICE.model_dump_json()
    steps.gather(said, release, folder=str(rows))
    passed = steps.learn(said, log=str(rows), mode="auto", folder=str(folder), report=str(world.folder / "page.md"))
    return passed, *steps.read_candidate(folder)


def first(lines: list[dict[str, Any]]) -> Counter[str]:
    return Counter(line["items"][0]["item_id"] for line in lines)


def test_what_a_door_logged_is_learnt_from_and_served_with_true_propensities(world: Exploring) -> None:
    explored = answered(world)
    rewarded(world)
    passed, candidate, verdict = learnt(world, explored[0][columns.RELEASE])
    assert passed, verdict["why"]
    assert (candidate["name"], candidate["slice"]["guard"]) == ("learned@1", {"placements": ["checkout"]})

    world.policy, world.slices = candidate["name"], world.slices | {"policy": candidate["slice"]}
    served = answered(world)
    assert len(served) == len(USERS)
    for line in served:
        choice = line["asked"]["choice"]
        assert (line["policy"], choice["policy"], choice["explored"]) == ("learned@1", "learned@1", True)
        again = record.probability(line)
        assert again.given.tolist() == choice["given"]
        assert again.propensities.tolist() == [item["propensity"] for item in line["items"]]
    # What is said of the first place is how often it is so: all users have the same history, so the same chances.
    said = {line["items"][0]["item_id"]: line["items"][0]["propensity"] for line in served}
    for item, count in first(served).items():
        assert abs(count / len(USERS) - said[item]) < 4.5 * np.sqrt(said[item] * (1 - said[item]) / len(USERS))
    assert first(served)["i5"] + first(served)["i4"] > 2 * (first(explored)["i5"] + first(explored)["i4"])

    # The log holds both policies now. What serves is the measure: learnt again it is as good, and not better.
    rewarded(world)
    passed, _, verdict = learnt(world, served[0][columns.RELEASE])
    counts = json.loads((world.folder / "rows" / "counts.json").read_text())
    assert counts == {"explored": len(USERS), "other": len(USERS)}
    assert verdict["running"] > 0.5
    assert (passed, verdict["verdict"]) == (False, "undecided"), verdict["why"]


def test_the_rails_of_the_spec_hold_for_what_was_learnt(world: Exploring) -> None:
    world.policy = "learned@1"
    settings = {"weights": [-1.0, 0.0], "temperature": 0.3, "candidates": 6}
    world.slices |= {"policy": SLICE.slice() | {"name": "learned@1", "settings": settings}}
    door = world.door(k=2)
    kept = {tuple(item.item_id for item in ask(door, "u1", placement="checkout").items) for _ in range(5)}
    free = {tuple(item.item_id for item in ask(door, "u1", placement="home").items) for _ in range(5)}
    door.close()
    assert kept == {("i1", "i0")}
    assert kept.isdisjoint(free)

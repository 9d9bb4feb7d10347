"""A door that explores: what it shows, what it logs of that, and whom it leaves alone."""

import itertools
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bentos.endpoints.events import EventsRequest
from bentos.endpoints.recommend import RecommendRequest
from bentos.endpoints.schemas import Event, SessionEvent
from bentos.http.request_context import RequestContext
from bentos.recommender import exploration
from bentos.recommender.door import Door
from bentos.recommender.logs import json_lines, requestlog, trace_people, traces
from bentos.release import Release
from components.policy import record, reward_table
from components.policy.policies.epsilon import Epsilon
from components.policy.rewards import Kpi, attributed
from feature_repo import files
from feature_repo.errors import DataError
from tests.bentos.conftest import OPERATION_OF, World, release_document, vocabulary
from tests.policy import test_rewards

SOFTMAX = {"settings": {"temperature": 2.0, "candidates": 6}, "guard": {}}


@dataclass
class Exploring(World):
    """A world whose release explores."""

    policy: str = "softmax@1"
    slices: dict[str, Any] = field(default_factory=lambda: {"policy": SOFTMAX})

    def release(self, **serving: Any) -> Release:
        self.folder.mkdir(parents=True, exist_ok=True)
        rest = {k: v for k, v in release_document(vocabulary().digest, **serving).items() if k != "id"}
        rest["policy"] = self.policy
        rest["serving"] |= self.slices
        files.write_json(self.folder / "release.json", {"id": files.digest(rest), **rest})
        return Release.load(self.folder)


def ask(door: Door, user: str | None = "ana", *, request: str = "", **more: Any) -> Any:
    asked, context = RecommendRequest(user_id=user, **more), RequestContext()
    context.endpoint = "recommend"
    context.request_id = request or context.request_id
    return OPERATION_OF[RecommendRequest].answer(door, asked, context)


def logged(world: World, door: Door) -> list[dict[str, Any]]:
    door.close()
    return list(requestlog.read(world.folder / "requests"))


@pytest.fixture
def world(tmp_path: Path) -> Exploring:
    found = Exploring(tmp_path)
    for user in ("ana", "bo"):
        found.knows(user, 0, 1, segment=0 if user == "bo" else -1)
    return found


def test_every_line_says_how_likely_its_list_was_and_the_log_alone_says_it_again(world: Exploring) -> None:
    door = world.door()
    answers = [ask(door, request=f"r{n}") for n in range(60)]
    lines = logged(world, door)
    assert len({tuple(item.item_id for item in answer.items) for answer in answers}) > 20
    for answer, line in zip(answers, lines, strict=True):
        assert line["policy"] == "softmax@1"
        choice = line["asked"]["choice"]
        assert (choice["policy"], choice["share"], choice["why"], choice["explored"]) == ("softmax@1", 1.0, None, True)
        assert [item["item_id"] for item in line["items"]] == [item.item_id for item in answer.items]
        assert [item["propensity"] for item in line["items"]] == [item.propensity for item in answer.items]
        assert [item["position"] for item in line["items"]] == [1, 2, 3]
        found = record.probability(line)
        assert found.given.tolist() == choice["given"]
        assert found.propensities.tolist() == [item.propensity for item in answer.items]
        assert 0 < record.probability(line, Epsilon(0.5)).list_probability < 1 or answer.items
        record.require_true(line)


def test_lists_are_as_frequent_as_what_is_said_of_them(world: Exploring) -> None:
    door, n = world.door(k=1), 1500
    answers = [ask(door).items[0] for _ in range(n)]
    said = {item.item_id: item.propensity for item in answers}
    assert sum(said.values()) == pytest.approx(1)
    for item, chance in said.items():
        assert abs(sum(a.item_id == item for a in answers) / n - chance) < 4.5 * np.sqrt(chance * (1 - chance) / n)
        assert {a.propensity for a in answers if a.item_id == item} == {chance}
    door.close()


def test_the_same_request_gets_the_same_list_and_callers_cannot_choose_it(world: Exploring) -> None:
    door = world.door()
    one, again, other = (ask(door, request=name).items for name in ("r1", "r1", "r2"))
    assert one == again != other
    assert door.exploration is not None
    elsewhere = exploration.Exploration.of(
        door.release, segments=door.ladder.segments, words=door.vocabulary, key="another"
    )
    assert elsewhere is not None
    assert elsewhere.seed_of("r1") != door.exploration.seed_of("r1")
    door.close()


@pytest.mark.parametrize(
    ("guard", "more", "user", "why"),
    [
        ({"placements": ["checkout"]}, {"placement": "checkout"}, "ana", "placement"),
        ({"cohorts": ["soup, bread"]}, {}, "bo", "cohort"),
        ({"per_user_day": 0.03}, {}, "ana", "budget"),
        ({}, {}, "nobody knows", "rung"),
        ({}, {"exclude": ["i0", "i1", "i2", "i3"]}, "ana", "candidates"),
    ],
)
def test_guarded_answers_are_greedy_certain_and_say_why(
    world: Exploring, guard: dict[str, Any], more: dict[str, Any], user: str, why: str
) -> None:
    world.slices = {"policy": SOFTMAX | {"guard": guard}, "placements": {"checkout": {}, "home": {}}}
    door = world.door()
    found = {tuple(item.item_id for item in ask(door, user, **more).items) for _ in range(8)}
    lines = logged(world, door)
    assert len(found) == 1
    for line in lines:
        assert (line["asked"]["choice"]["share"], line["asked"]["choice"]["why"]) == (0.0, why)
        assert {item["propensity"] for item in line["items"]} == {1.0}
        assert record.probability(line).list_probability == 1.0


def test_other_placements_and_users_are_explored(world: Exploring) -> None:
    guard = {"placements": ["checkout"], "cohorts": ["soup, bread"]}
    world.slices = {"policy": SOFTMAX | {"guard": guard}, "placements": {"checkout": {}, "home": {}}}
    door = world.door()
    assert len({tuple(i.item_id for i in ask(door, placement="home").items) for _ in range(20)}) > 5
    door.close()


def test_the_days_share_of_a_user_holds_over_their_answers(world: Exploring) -> None:
    world.slices = {"policy": SOFTMAX | {"guard": {"per_user_day": 0.3}}}
    door = world.door()
    for _ in range(40):
        ask(door)
    outside = places = 0
    for line in logged(world, door):
        choice = line["asked"]["choice"]
        greedy = {choice["candidates"][p] for p in choice["greedy"]}
        outside += sum(item["item_id"] not in greedy for item in line["items"])
        places += len(line["items"])
        assert outside <= 0.3 * places + 1e-9
    assert outside > 0.2 * places


def test_rules_hold_in_what_is_drawn(world: Exploring) -> None:
    rules = [
        {"kind": "filter", "name": "no tea", "where": "item_id = 'i5'"},
        {"kind": "pin", "name": "first", "item": "i4", "place": 2},
        {"kind": "cap", "name": "one each", "column": "kind", "at_most": 1},
    ]
    world.slices = {"policy": SOFTMAX, "rules": rules}
    door = world.door(k=3)
    kind = dict(zip(door.vocabulary.item_ids, door.vocabulary.items["kind"].to_pylist(), strict=True))
    for _ in range(60):
        answer = ask(door)
        shown = [item.item_id for item in answer.items]
        assert shown[1] == "i4"
        assert "i5" not in shown
        assert {kind[shown[0]], kind[shown[2]]} == {"fruit", "soup"}
        assert answer.items[1].propensity == pytest.approx(1)
    lines = logged(world, door)
    assert len({line["items"][0]["item_id"] for line in lines}) == 4
    for line in lines:
        assert record.probability(line).given.tolist() == line["asked"]["choice"]["given"]


def test_somebody_who_is_no_user_gets_the_greedy_list(world: Exploring) -> None:
    door = world.door()
    events = [SessionEvent(item_id="i1", event="purchase")]
    found = {tuple(item.item_id for item in ask(door, None, events=events).items) for _ in range(10)}
    (*lines,) = logged(world, door)
    assert len(found) == 1
    assert all("choice" not in line["asked"] for line in lines)


def test_a_greedy_release_logs_what_it_did_before(world: Exploring) -> None:
    world.policy, world.slices = "greedy@1", {}
    door = world.door()
    answer = ask(door, placement=None)
    assert door.exploration is None
    (line,) = logged(world, door)
    assert set(line["asked"]) == {"k", "context", "exclude", "at"}
    assert [item.propensity for item in answer.items] == [1.0, 1.0, 1.0]
    assert [item["item_id"] for item in line["items"]] == ["i1", "i0", "i2"]


def test_a_share_of_answers_is_greedy_and_their_propensities_know_it(world: Exploring) -> None:
    world.slices = {"policy": SOFTMAX | {"guard": {"share": 0.25}}}
    door = world.door()
    for _ in range(200):
        ask(door)
    lines = logged(world, door)
    assert 25 < sum(line["asked"]["choice"]["explored"] for line in lines) < 80
    greedy = [line for line in lines if not line["asked"]["choice"]["explored"]]
    assert all(0.75 < line["items"][0]["propensity"] < 1 for line in greedy)
    assert all(line["asked"]["choice"]["share"] == 0.25 for line in lines)


def test_a_rail_that_guards_nothing_and_a_slate_of_items_without_kinds_start_no_door(world: Exploring) -> None:
    world.slices = {"policy": SOFTMAX | {"guard": {"cohorts": ["soup bread"]}}}
    with pytest.raises(
        DataError, match=r"policy.guard.cohorts: 'soup bread' is no segment of release .* have soup, bread"
    ):
        world.door()
    world.policy, world.slices = "slate@1", {"policy": {"settings": {"diversity": 1.0}, "guard": {}}}
    with pytest.raises(DataError, match="slate tells items apart by category and brand, and no item has one"):
        world.door()
    world.policy, world.slices = "softmax@1", {"policy": {"settings": {"sigma": 1.0}, "guard": {}}}
    with pytest.raises(DataError, match="release policy 'softmax@1': no setting 'sigma'"):
        world.door()


def test_lines_are_not_much_longer_than_what_they_hold(world: Exploring) -> None:
    door = world.door()
    ask(door)
    (line,) = logged(world, door)
    assert len(json.dumps(line["asked"]["choice"])) < 900
    assert [*itertools.chain(line["asked"]["choice"]["candidates"])] == ["i1", "i0", "i2", "i3", "i4", "i5"]


def test_what_users_then_do_is_a_row_of_the_rewards_table(world: Exploring) -> None:
    world.slices = {"policy": SOFTMAX | {"guard": {"share": 0.5}}, "placements": {"home": {}}}
    door = world.door()
    answers = [ask(door, request=f"r{n}", placement="home") for n in range(6)]
    events = [
        Event(user_id="ana", item_id=one.items[1].item_id, event="purchase", value=2.5, request_id=one.request_id)
        for one in answers[:3]
    ]
    for sent in (events, events[:1]):  # the second is another purchase: no event_id makes it a repetition
        OPERATION_OF[EventsRequest].answer(door, EventsRequest(events=sent), RequestContext())
    lines = logged(world, door)
    kpis = [Kpi("buy", within_s=3600, events=frozenset({"purchase"})), Kpi("money", within_s=3600, amount="value")]
    acted = [line for path in json_lines.files(world.folder / "events") for line in json_lines.read(path)]
    reward_table.write(world.folder, attributed(lines, acted, kpis, now_s=time.time() + 3601), kpis)
    rows = reward_table.read(world.folder).to_pylist()
    assert len(rows) == 18
    assert {row["user_id"] for row in rows} == {world.hidden("ana")}
    assert {(row["placement"], row["policy"], row["share"]) for row in rows} == {("home", "softmax@1", 0.5)}
    bought = {(row["request_id"], row["position"]): row["money"] for row in rows if row["buy"]}
    assert bought.keys() == {("r0", 2), ("r1", 2), ("r2", 2)}
    assert sum(bought.values()) >= 7.5
    by_place = {(r["request_id"], r["position"]): (r["propensity"], r["given"]) for r in rows}
    for one, line in zip(answers, lines, strict=True):
        for place, item in enumerate(one.items, 1):
            assert by_place[one.request_id, place] == (item.propensity, line["asked"]["choice"]["given"][place - 1])


def test_forgetting_a_person_deletes_their_rewards(world: Exploring) -> None:
    kpis = [Kpi("any", within_s=60)]
    shown = [test_rewards.answer(f"r{n}", world.hidden(user), "soup") for n, user in enumerate(("ana", "bo", "ana"))]
    reward_table.write(world.folder, attributed(shown, [], kpis, now_s=time.time()), kpis)
    table = reward_table.path(world.folder)
    ana = trace_people.People(("ana",), (world.hidden("ana"),))
    assert traces.find([world.folder], ana).hits == {table: 2}
    assert traces.clean(table, ana) == 2
    assert reward_table.read(world.folder, ["user_id"]).to_pylist() == [{"user_id": world.hidden("bo")}]
    assert traces.find([world.folder], ana).hits == {}

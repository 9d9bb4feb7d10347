"""Kinds of events at the door: what was hidden is gone from the next answer, unknown kinds are refused in one line."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from bentos.endpoints.events import EventsRequest
from bentos.endpoints.explain import ExplainRequest
from bentos.endpoints.recommend import RecommendRequest
from bentos.endpoints.schemas import Event as Reported
from bentos.release import RANKING, Release
from components.data.derived import rules_at_the_door, with_bare, with_kinds
from components.profiles.spec import Profiles
from components.ranking.score import Ranker
from components.ranking.spec import Ranking
from feature_repo import columns, files, memory
from feature_repo.calendar import Calendar
from feature_repo.rows import UserRows
from feature_repo.update import Event, Folding
from feature_repo.vocabulary import Vocabulary
from tests.bentos import conftest
from tests.bentos.conftest import asked
from tests.bentos.recommender.test_event_rules import client, opened
from tests.registry.conftest import ranking_model

RANKED = {
    "kinds": {"view": 1, "purchase": 5, "hide": -1, "unhide": 0, "return": -1},
    "hide": ["hide"],
    "undo": {"return": "purchase", "unhide": "hide"},
    "repeat": {"purchase": "forbid"},
}
SPEC = Ranking.model_validate(RANKED)
RULES = [
    rule.model_dump(mode="json")
    for rule in rules_at_the_door(
        with_bare(with_kinds({}, ["view", "purchase"], every=[*SPEC.kinds, "login"]), ["login"])
    )
]


class FoldedProfiles(conftest.TinyProfiles):
    """Folds events as the store does, and gives rows as it does."""

    folding: Folding
    states: dict[str, dict[str, Any]]

    def push_all(self, events: Mapping[str, Sequence[Event]]) -> None:
        for user, theirs in events.items():
            self.states[user] = self.folding.fold(self.states.get(user, self.folding.empty()), theirs)

    def read(self, user_ids: Sequence[str], *, now: int) -> UserRows:
        (user,) = user_ids
        if user not in self.states:
            return UserRows.unknown(user_ids, now=now)
        names = (columns.LAST_SESSION, columns.VOCABULARY)
        cells = {name: [value] for name, value in self.states[user].items() if name not in names}
        return UserRows.from_online({columns.USER_ID: user_ids} | cells, now=now)


class Shop(conftest.World):
    """The tiny world with a real ranker and rows that are folded from events."""

    def release(self, **serving: Any) -> Release:
        document = conftest.release_document(self.ranker.vocabulary.digest, **serving)
        document["serving"] |= {"ranking": RANKED, "event_rules": RULES}
        rest = {key: value for key, value in document.items() if key != "id"}
        files.write_json(self.folder / "release.json", {"id": files.digest(rest), **rest})
        return Release.load(self.folder)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    known = dataclasses.replace(conftest.vocabulary(), whole_history=True, signs=SPEC.signs(["login"]))
    (tmp_path / RANKING).mkdir()
    ranking_model(tmp_path / RANKING, known, seed=1)
    profiles = FoldedProfiles()
    profiles.folding = Folding(Calendar("2016-12-26", "America/New_York"), known, columns.WINDOWS_DAYS)
    profiles.states = {}
    made = Shop(tmp_path, profiles=profiles)
    made.ranker = Ranker.load(tmp_path / RANKING)
    made.scorer = conftest.TinyScorer(known)
    return made


NUMBERS = itertools.count()


def report(door: Any, kind: str, item: str | None) -> Any:
    event = Reported.model_construct(**{
        **dict.fromkeys(Reported.model_fields), "user_id": "ann", "item_id": item, "event": kind,
        "event_id": f"e{next(NUMBERS)}",
    })  # fmt: skip
    return asked(door, EventsRequest.model_construct(events=[event]))


def shown(door: Any) -> set[str]:
    return {item.item_id for item in asked(door, RecommendRequest(user_id="ann", k=50)).items}


def test_a_hidden_item_is_gone_from_the_next_answer_until_it_is_unhidden(shop: Shop) -> None:
    door = shop.door()
    report(door, "view", "i1")
    assert shown(door) == {f"i{n}" for n in range(6)}
    report(door, "hide", "i1")
    assert shown(door) == {f"i{n}" for n in range(6)} - {"i1"}
    shop.clock.saw(shop.clock.now() + 60)
    report(door, "unhide", "i1")
    assert "i1" in shown(door)


def test_bought_items_are_gone_until_they_are_returned_and_viewed_ones_stay(shop: Shop) -> None:
    door = shop.door()
    report(door, "view", "i2")
    report(door, "purchase", "i3")
    assert shown(door) == {"i0", "i1", "i2", "i4", "i5"}
    shop.clock.saw(shop.clock.now() + 60)
    report(door, "return", "i3")
    assert "i3" in shown(door)


def test_the_fallback_shows_no_hidden_item_either(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    door = shop.door()
    report(door, "hide", "i0")

    def broken(*_: object, **__: object) -> Any:
        raise ArithmeticError("no number")

    monkeypatch.setattr(Ranker, "recommend", broken)
    answer = asked(door, RecommendRequest(user_id="ann", k=50))
    assert answer.profile.degraded
    assert "i0" not in {item.item_id for item in answer.items}


def test_a_login_is_activity_and_names_no_item(shop: Shop) -> None:
    door = shop.door()
    assert report(door, "login", None).accepted == 1
    (state,) = shop.profiles.states.values()  # type: ignore[attr-defined]
    assert (state["events_total"], state["items_total"], len(state["history_items"])) == (1.0, 0.0, 0)
    assert [door.vocabulary.target_names[t] for t in state["target_ids"]] == ["visit"]
    again = shop.door()  # what was logged is read again
    assert again.intake is not None


def test_explain_quotes_the_record_with_the_item(shop: Shop) -> None:
    door = shop.door()
    report(door, "view", "i4")
    found = {f.name: f.value for f in asked(door, ExplainRequest(user_id="ann", item_id="i4")).features}
    assert found["item: history_slow"] == pytest.approx(0.96 * 0.2)


LOGIN = {"user_id": "ann", "event": "login"}
VIEW = {"user_id": "ann", "item_id": "i1", "event": "view"}


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (VIEW | {"event": "veiw"}, "event is one of view, purchase, hide, unhide, return, login"),
        ({"user_id": "ann", "event": "view"}, "item_id is given, but by events of kind login"),
        (VIEW | {"item_id": None}, "item_id is given, but by events of kind login"),
    ],
)
def test_the_door_refuses_unknown_kinds_and_missing_items_in_one_line(
    world: Any, event: dict[str, Any], said: str
) -> None:
    answer = client(opened(world, RULES)).post("/events", json={"events": [event]})
    assert answer.status_code in (400, 422)
    assert said in answer.json()["error"]
    assert "\n" not in answer.json()["error"]


@pytest.mark.parametrize("event", [LOGIN, LOGIN | {"item_id": None}, VIEW])
def test_the_door_takes_what_is_declared(world: Any, event: dict[str, Any]) -> None:
    found: TestClient = client(opened(world, RULES, unknown="warning"))
    answer = found.post("/events", json={"events": [event]})
    assert (answer.status_code, answer.json()["accepted"]) == (200, 1)


def test_without_declared_kinds_an_item_is_asked_for_as_before(world: Any) -> None:
    answer = client(opened(world, None)).post("/events", json={"events": [LOGIN]})
    assert answer.status_code in (400, 422)
    assert "item_id" in answer.json()["error"]


def test_every_row_of_the_stored_lists_is_a_number(shop: Shop) -> None:
    """Logs and stores hold keys as 32-bit numbers; the last kind's must be one."""
    known: Vocabulary = shop.ranker.vocabulary
    assert max(known.signs.numbers.values()) * (1 << 24) + len(known.item_ids) < np.iinfo(np.int32).max


@pytest.mark.parametrize("kept", [True, False])
def test_what_a_user_writes_is_masked_before_the_disk_and_kept_where_models_read_it(
    shop: Shop, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    folding = dataclasses.replace(shop.profiles.folding, events=kept, texts=kept)  # type: ignore[attr-defined]
    monkeypatch.setattr(shop.profiles, "folding", folding)
    memories = Profiles(memory="texts" if kept else "newest")
    release = Shop.release
    monkeypatch.setattr(Shop, "release", lambda self, **fields: dataclasses.replace(release(self), profiles=memories))
    door = shop.door()
    event = {"user_id": "ann", "item_id": "i1", "event": "view", "text": "Too SWEET, says ann@example.org"}
    told = Reported.model_validate(event)
    assert asked(door, EventsRequest.model_construct(events=[told])).accepted == 1
    (state,) = shop.profiles.states.values()  # type: ignore[attr-defined]
    assert [one.text for one in memory.decode(state[columns.MEMORY])] == ["too sweet, says" if kept else ""]
    logged = b"".join(path.read_bytes() for path in (shop.folder / "events").rglob("*.jsonl"))
    assert b"example.org" not in logged
    assert (b"too sweet, says" in logged) == kept
    assert (b'"text"' in logged) == kept


def test_a_text_that_is_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 10000 characters"):
        Reported.model_validate(VIEW | {"text": "x" * 10_001})

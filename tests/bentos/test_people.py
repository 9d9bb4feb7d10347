"""Items that are people, at the door: raw ids come in, pseudonyms are kept, and an event moves two people's rows."""

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from bentos.endpoints import popular
from bentos.endpoints.describe import DescribeRequest
from bentos.endpoints.events import EventsRequest
from bentos.endpoints.explain import ExplainRequest
from bentos.endpoints.rank import RankRequest
from bentos.endpoints.recommend import RecommendRequest
from bentos.http.callers import Caller, PageRights
from bentos.http.problems import Rejected
from bentos.http.request_context import RequestContext
from bentos.release import Release
from feature_repo import erasure, files
from feature_repo.privacy.pseudonyms import pseudonym
from feature_repo.privacy.tombstones import Tombstones
from feature_repo.update import RECEIVED, Event
from feature_repo.vocabulary import Target, Vocabulary
from tests.bentos import conftest
from tests.bentos.conftest import DATA_END, KEY, OPERATION_OF, TinyRanker, TinyScorer, asked

RAWS = ["person-a1", "person-b2", "person-c3", "person-d4", "person-e5", "person-f6"]
HIDDEN = [pseudonym(raw, KEY) for raw in RAWS]


def vocabulary() -> Vocabulary:
    titles = [None, "Bert", None, None, None, None]
    items = pa.table({"item_index": range(6), "item_id": HIDDEN, "title": titles})
    pairs = pa.table({"item_id": HIDDEN[:1], "target_id": [0], "kind": ["message"]})
    targets = (
        Target("write", "X", "message", "town"),
        Target("write", "Y", "message", "town"),
        Target("visit", None, None, None),
    )
    return Vocabulary(targets, items, pairs, people=True)


@dataclass
class Pushed(conftest.TinyProfiles):
    """Profiles that note what was folded into whose row."""

    folded: dict[str, list[Event]] = field(default_factory=dict)

    def push_all(self, events: Mapping[str, Sequence[Event]]) -> None:
        for user, theirs in events.items():
            self.folded.setdefault(user, []).extend(theirs)


@dataclass
class People(conftest.World):
    """The tiny world, of people."""

    def release(self, **serving: Any) -> Release:
        document = conftest.release_document(vocabulary().digest, **serving)
        document["serving"]["ranking"] = {"people": True, "exclude_self": True}
        rest = {key: value for key, value in document.items() if key != "id"}
        files.write_json(self.folder / "release.json", {"id": files.digest(rest), **rest})
        return Release.load(self.folder)

    def written(self) -> str:
        """Return all that the door's logs hold."""
        logs = [path for name in ("requests", "events") for path in (self.folder / name).glob("*")]
        return "".join(path.read_text() for path in logs)


@pytest.fixture
def world(tmp_path: Path) -> People:
    words = vocabulary()
    return People(tmp_path, profiles=Pushed(), scorer=TinyScorer(words), ranker=TinyRanker(words))


def shown(made: People, user: str, **ask: Any) -> list[str]:
    return [item.item_id for item in asked(made.door(), RecommendRequest(user_id=user, **{"k": 50} | ask)).items]


def message(by: str, to: str, **more: Any) -> dict[str, Any]:
    return {"user_id": by, "item_id": to, "event": "message"} | more


def posted(made: People, *events: dict[str, Any]) -> Any:
    return asked(made.door(), EventsRequest.model_validate({"events": list(events)}))


@pytest.mark.parametrize("user", ["person-b2", " person-b2"])
def test_nobody_is_shown_themselves_and_answers_name_pseudonyms(world: People, user: str) -> None:
    assert sorted(shown(world, user)) == sorted(set(HIDDEN) - {HIDDEN[1]})
    assert sorted(shown(world, "a stranger")) == sorted(HIDDEN)


def test_a_person_is_named_by_the_raw_id_or_by_what_answers_say(world: People) -> None:
    world.knows(RAWS[0], 1)
    assert set(HIDDEN) - set(shown(world, RAWS[0], exclude=[RAWS[2], HIDDEN[3], "unknown"])) == {
        HIDDEN[0],
        HIDDEN[2],
        HIDDEN[3],
    }
    door = world.door()
    scores = asked(door, RankRequest(user_id=RAWS[0], item_ids=[RAWS[4], HIDDEN[4]])).scores
    assert scores[0].score == scores[1].score
    assert asked(door, ExplainRequest(user_id=RAWS[0], item_id=RAWS[1])).title == "Bert"
    with pytest.raises(Rejected, match="is no item"):
        asked(door, ExplainRequest(user_id=RAWS[0], item_id="unknown"))


def test_no_log_holds_a_raw_id_of_either_end(world: People) -> None:
    shown(world, RAWS[0], exclude=[RAWS[2]])
    door = world.door()
    asked(door, RankRequest(user_id=RAWS[0], item_ids=RAWS[1:]))
    asked(door, ExplainRequest(user_id=RAWS[0], item_id=RAWS[3]))
    posted(world, message(RAWS[0], RAWS[4]), message(RAWS[0], "person-new-77"))
    text = world.written()
    assert not [raw for raw in [*RAWS, "person-new-77"] if raw in text]
    assert {HIDDEN[0], HIDDEN[2], HIDDEN[3], HIDDEN[4], pseudonym("person-new-77", KEY)} <= _names(text)


def _names(text: str) -> set[str]:
    return {text[n : n + 16] for n in range(len(text) - 16)}


def test_an_event_moves_the_row_of_who_acted_and_of_whom_it_was_done_to(world: People) -> None:
    posted(world, message(RAWS[0], RAWS[1], event_id="m1"))
    assert isinstance(world.profiles, Pushed)
    (one,), (other,) = (world.profiles.folded[HIDDEN[n]] for n in (0, 1))
    assert (one.item_id, one.event) == (HIDDEN[1], "message")
    assert (other.item_id, other.event) == (HIDDEN[0], f"{RECEIVED}message")
    assert (one.at, one.key) == (other.at, other.key)


@pytest.mark.parametrize("to", ["person-a1", " person-a1 ", HIDDEN[0]])
def test_an_event_with_oneself_is_refused_whole(world: People, to: str) -> None:
    with pytest.raises(Rejected) as refused:
        posted(world, message(RAWS[1], RAWS[2]), message(RAWS[0], to))
    assert "events[1].item_id" in str(refused.value)
    assert not world.written()


@pytest.mark.parametrize("to", [RAWS[0], HIDDEN[0]])
def test_a_page_is_not_told_whose_pseudonym_it_named(world: People, to: str) -> None:
    """Else it asks for each person of a list whether a pseudonym that it saw is theirs."""
    door, context = world.door(), RequestContext()
    context.who = Caller("key p", frozenset({"events"}), page=PageRights(frozenset({"message"}), frozenset(), ""))
    ask = EventsRequest.model_validate({"events": [message(RAWS[0], to), message(RAWS[0], RAWS[1])]})
    told = OPERATION_OF[EventsRequest].answer(door, ask, context)
    assert told.without_findings().accepted == 2
    assert (told.accepted, told.ignored) == (1, 1)
    assert isinstance(world.profiles, Pushed)
    assert [one.item_id for one in world.profiles.folded[HIDDEN[0]]] == [HIDDEN[1]]


def test_a_copy_with_an_event_that_the_first_door_ignored_is_taken(world: People) -> None:
    door, context = world.door(), RequestContext()
    context.mirrored = True
    ask = EventsRequest.model_validate({"events": [message(RAWS[0], HIDDEN[0]), message(RAWS[0], RAWS[1])]})
    assert OPERATION_OF[EventsRequest].answer(door, ask, context).accepted == 1


def test_an_event_with_a_forgotten_person_at_either_end_is_ignored(world: People, tmp_path: Path) -> None:
    world.tombstones = Tombstones(tmp_path, (KEY,))
    world.tombstones.write(RAWS[1], {})
    answer = posted(
        world,
        message(RAWS[0], RAWS[1]),
        message(RAWS[0], HIDDEN[1]),
        message(RAWS[1], RAWS[0]),
        message(RAWS[0], RAWS[2]),
    )
    assert (answer.accepted, answer.ignored) == (1, 3)
    world.profiles.gone.add(HIDDEN[2])  # as only the store heard
    assert posted(world, message(RAWS[0], RAWS[2]), message(RAWS[0], HIDDEN[2])).ignored == 2


def test_a_forgotten_person_is_shown_to_nobody_at_once(world: People, tmp_path: Path) -> None:
    world.knows(RAWS[0], 1, 3)
    world.tombstones = Tombstones(tmp_path, (KEY,))
    door = world.door()
    assert HIDDEN[1] in [item.item_id for item in asked(door, RecommendRequest(user_id=RAWS[0], k=50)).items]
    world.tombstones.write(RAWS[1], {})
    assert HIDDEN[1] not in [item.item_id for item in asked(door, RecommendRequest(user_id=RAWS[0], k=50)).items]
    assert HIDDEN[1] not in shown(world, "a stranger")  # on the lowest rung too
    world.profiles.gone.add(HIDDEN[3])
    assert HIDDEN[3] not in shown(world, RAWS[0])


@pytest.mark.parametrize("named", [RAWS[1], HIDDEN[1]])
@pytest.mark.parametrize("heard", ["here", "in the store"])
def test_no_endpoint_knows_a_forgotten_person_and_no_log_names_them(
    world: People, tmp_path: Path, named: str, heard: str
) -> None:
    world.knows(RAWS[0], 1, 3)
    world.tombstones = Tombstones(tmp_path, (KEY,))
    if heard == "here":
        world.tombstones.write(RAWS[1], {})
    else:
        world.profiles.gone.add(HIDDEN[1])
    door = world.door()
    asks = (
        RankRequest(user_id=RAWS[0], item_ids=[RAWS[2], named]),
        ExplainRequest(user_id=RAWS[0], item_id=named),
        DescribeRequest(user_id=RAWS[0], item_ids=[named]),
    )
    for ask in asks:
        with pytest.raises(Rejected, match="is no item") as refused:
            asked(door, ask)
        assert "Bert" not in str(refused.value)
    asked(door, RecommendRequest(user_id=RAWS[0], k=50, exclude=[named, RAWS[2]]))
    asked(door, EventsRequest.model_validate({"events": [message(RAWS[0], named)]}))
    document = popular.document(door, auth="none", made_at=dt.datetime(2026, 11, 1, tzinfo=dt.UTC))
    for text in (world.written(), json.dumps(popular.sealed(document))):
        assert not [one for one in (HIDDEN[1], RAWS[1], "Bert") if one in text]
    assert HIDDEN[2] in world.written()  # the log does name whom else was left out


def test_a_row_that_names_nobody_any_more_is_shown_on_no_rung_and_known_to_no_endpoint(tmp_path: Path) -> None:
    """A door that starts after `forget`, and hears of no tombstone: the release itself says it."""
    folder = tmp_path / "model" / "ranking" / "vocabulary"
    vocabulary().save(folder)
    assert erasure.erase(folder, [HIDDEN[1]], None) == 1
    words = Vocabulary.load(folder)
    world = People(tmp_path, profiles=Pushed(), scorer=TinyScorer(words), ranker=TinyRanker(words))
    world.knows(RAWS[0], 1, 3)
    everyone = {one for n, one in enumerate(HIDDEN) if n != 1}
    assert set(shown(world, RAWS[0])) == everyone - {HIDDEN[0]}
    assert set(shown(world, "a stranger")) == everyone
    door = world.door()
    for named in (RAWS[1], HIDDEN[1], "erased-1"):
        for ask in (
            RankRequest(user_id=RAWS[0], item_ids=[named]),
            ExplainRequest(user_id=RAWS[0], item_id=named),
            DescribeRequest(user_id=RAWS[0], item_ids=[named]),
        ):
            with pytest.raises(Rejected, match="is no item"):
                asked(door, ask)


def test_a_router_that_cannot_tell_who_asks_shows_no_people(world: People) -> None:
    made = popular.document(world.door(), auth="none", made_at=dt.datetime(2026, 11, 1, tzinfo=dt.UTC))
    assert made.items == []  # nor keeps any, since nobody tells it whom to forget
    found = popular.unsealed(json.dumps(popular.sealed(made)).encode())
    answer = popular.answer(found, RecommendRequest(user_id=RAWS[0], k=5), "r1")
    assert (answer.items, answer.profile.degraded) == ([], True)
    assert DATA_END

"""People who came after training, at a door over a trained ranker of people: shown, followed, forgotten."""

import dataclasses
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pytest

from bentos.endpoints.events import EventsRequest
from bentos.endpoints.explain import ExplainRequest
from bentos.endpoints.rank import RankRequest
from bentos.endpoints.recommend import RecommendRequest
from bentos.http.problems import Rejected
from bentos.http.request_context import RequestContext
from bentos.recommender.clock import DataEndClock
from bentos.recommender.door import Door
from bentos.recommender.logs.eventlog import EventLog
from bentos.recommender.logs.requestlog import RequestLog
from bentos.release import RANKING, Release
from components.profiles.online import scoring_rows
from components.ranking import batch, examples, open_catalogue
from components.ranking.score import Ranker
from components.ranking.train import train
from feature_repo import columns, files, memory
from feature_repo.documents.log import DocumentLog, Snapshot
from feature_repo.documents.sqlite import SqliteShelf
from feature_repo.errors import StoreAway
from feature_repo.live_items import of_log
from feature_repo.memory import Remembered
from feature_repo.privacy.pseudonyms import pseudonym
from feature_repo.privacy.tombstones import Tombstones
from feature_repo.release_folder import ReleaseFolder
from feature_repo.update import Event, Folding, event_of, mirrored
from pipelines.jobs import later_people
from tests import people_worlds, worlds
from tests.bentos import conftest
from tests.bentos.conftest import KEY, asked
from tests.bentos.test_people_followed import CALENDAR, END, SPEC, WEEKS, Even, Folded, popular, release_of_people

pytestmark = pytest.mark.world
RAWS = [f"person-{n}" for n in range(26)]
HIDDEN = [pseudonym(raw, KEY) for raw in RAWS]
NEW, NEWER = 24, 25  # who came after training
ASKED = {"split": json.dumps(people_worlds.SPLIT), "vocabulary": json.dumps(people_worlds.VOCABULARY)}


@dataclass
class Remembering(Folded):
    """Rows as folding every event gives them, and their memories."""

    forgetful: bool = False  # memories cannot be read

    def memories(self, user_ids: Sequence[str]) -> list[list[Remembered] | None]:
        if self.forgetful:
            raise StoreAway("the store is down")
        return [memory.decode(self.states[u][columns.MEMORY]) if u in self.states else None for u in user_ids]


@dataclass
class Place(conftest.World):
    """A door of people over a document log."""

    profiles: Remembering = field(default_factory=Remembering)

    def release(self, **serving: Any) -> Release:
        return release_of_people(self, **serving)

    def door(self, **serving: Any) -> Door:
        logs = RequestLog(self.folder / "requests"), EventLog(self.folder / "events")
        return Door(
            self.release(**serving), self.scorer, self.ranker, self.profiles, logs[0], self.clock,
            events=logs[1], fallback=popular(), key=KEY, documents=self.documents,
            grow=lambda items, _: open_catalogue.over(self.ranker, items), tombstones=self.tombstones,
        )  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[people_worlds.Made, Ranker, dict[str, Any]]:
    """The world of newcomers under pseudonyms, a ranker of its training weeks, and the documents of who came later."""
    plain, folder = people_worlds.newcomers(), tmp_path_factory.mktemp("later")
    hidden = dict(zip(plain.users, HIDDEN, strict=True))
    events = [e | {"user_id": hidden[str(e["user_id"])], "item_id": hidden[str(e["item_id"])]} for e in plain.events]
    items = [worlds.item(name, "person") for name in hidden.values()]
    named = dataclasses.replace(plain, events=events, items=items, users=list(hidden.values()))
    made = people_worlds.make(named, folder, whole_history=True)
    (folder / RANKING).mkdir()
    train(examples.load(made.rows, made.intent, SPEC), SPEC).ranker.save(folder / RANKING)
    config = files.read_json(folder / RANKING / "config.json")
    files.write_json(folder / RANKING / "config.json", config | {"repeat": "forbid"})
    shutil.copyfile(made.profiles / "segments.json", folder / RANKING / "segments.json")
    ranker = Ranker.load(folder / RANKING)
    released = cast(
        ReleaseFolder, SimpleNamespace(ranking=folder / RANKING, slices={"profiles": people_worlds.PROFILES})
    )
    found = later_people.later([ranker.vocabulary], made.clean)
    documents = later_people.documents(found, ranker.vocabulary, released, made.clean, ASKED, scratch=folder)
    return made, ranker, documents


@pytest.fixture
def place(trained: tuple[people_worlds.Made, Ranker, dict[str, Any]], tmp_path: Path) -> Place:
    made, ranker, documents = trained
    folding = Folding(CALENDAR, ranker.vocabulary, (7, 28))
    profiles = Remembering(folding=folding)
    for line in sorted(made.world.events, key=lambda e: str(e["timestamp"])):
        done = event_of(line | {"timestamp": int(line["timestamp"].timestamp())}, CALENDAR)  # type: ignore[attr-defined]
        user, other = str(line["user_id"]), str(line["item_id"])
        profiles.push_all({user: [done]})
        profiles.push_all({other: [mirrored(done, by=user)]})
    log = DocumentLog(SqliteShelf(str(tmp_path / "online.db"), "tiny"))
    at = CALENDAR.start(WEEKS + 1)
    later_people._put(log, documents, list(documents), at)
    return Place(
        tmp_path, profiles=profiles, scorer=Even(ranker.vocabulary), ranker=ranker, clock=DataEndClock(END),
        documents=log, tombstones=Tombstones(tmp_path, (KEY,)),
    )  # fmt: skip


@dataclass
class Open:
    """A door that follows the log."""

    door: Door

    def shown(self, who: int) -> list[str]:
        return [one.item_id for one in self.recommended(who)]

    def recommended(self, who: int) -> Any:
        return asked(self.door, RecommendRequest(user_id=RAWS[who], k=50)).items

    def posted(self, who: int, other: str, event: str = "message") -> None:
        given = {"user_id": RAWS[who], "item_id": other, "event": event}
        asked(self.door, EventsRequest.model_validate({"events": [given]}))


@pytest.fixture
def at(place: Place) -> Any:
    door = place.door()
    yield Open(door)
    door.close()


def test_a_newcomer_is_shown_to_others_by_ties_and_to_those_without_any(at: Open) -> None:
    assert at.door.catalogue.current.vocabulary.learnt == 24
    found = {one.item_id: one for one in at.recommended(0)}
    assert HIDDEN[NEW] in found
    assert found[HIDDEN[NEW]].source == "reciprocity", "the newcomer wrote to them in the last two weeks"
    assert found[HIDDEN[NEW]].reasons["wrote_weeks"] == 2.0
    assert found[HIDDEN[NEWER]].source in ("common_neighbours", "adamic_adar", "friends_of_friends", "new")
    assert HIDDEN[NEWER] in at.shown(9)


def test_the_score_of_a_newcomer_is_what_their_ties_say(at: Open) -> None:
    asking = RankRequest(user_id=RAWS[0], item_ids=[HIDDEN[NEW], HIDDEN[NEWER]])
    one, other = (score.score for score in asked(at.door, asking).scores)
    assert one != other
    places = [at.door.index_of(name, RequestContext(), where="item") for name in (RAWS[NEW], HIDDEN[NEW])]
    assert places[0] == places[1]


def test_a_newcomer_is_answered_and_shown_neither_oneself_nor_whom_one_wrote_to(at: Open) -> None:
    shown = at.shown(NEW)
    assert shown, "whoever came later is a user like others"
    assert not {HIDDEN[NEW], HIDDEN[0], HIDDEN[3], HIDDEN[NEWER]} & {*shown}, "themselves, and whom they wrote to"
    assert {HIDDEN[1], HIDDEN[2]} <= {*shown}, "who wrote to them"


@pytest.mark.parametrize("days_later", [0, 90, 400])  # fresh, stale, and past all use: segment or popular
def test_whom_one_wrote_to_is_not_shown_on_any_rung(place: Place, days_later: int) -> None:
    place.clock = DataEndClock(END + days_later * 86_400)
    opened = Open(place.door())
    assert HIDDEN[NEW] not in opened.shown(1)
    assert HIDDEN[NEW] not in opened.shown(2)
    assert HIDDEN[NEW] in opened.shown(5)
    opened.door.close()


@pytest.mark.parametrize("named", [RAWS[NEW], HIDDEN[NEW]])  # as the data names people, or as an answer does
def test_a_live_follow_of_a_newcomer_takes_them_out_of_the_next_answer(at: Open, place: Place, named: str) -> None:
    assert HIDDEN[NEW] in at.shown(9)
    at.posted(9, named)
    assert HIDDEN[NEW] not in at.shown(9)
    assert HIDDEN[NEWER] in at.shown(9)
    assert memory.decode(place.profiles.states[HIDDEN[9]][columns.MEMORY])[-1].item_id == HIDDEN[NEW]
    with pytest.raises(Rejected, match="is the user themselves"):
        at.posted(NEW, HIDDEN[NEW])


@pytest.mark.parametrize("rung", ["fresh", "segment"])
@pytest.mark.parametrize("k", [3, 50])  # fewer than there are candidates, and all
def test_batch_lists_hold_nobody_whom_one_follows_since_they_came(place: Place, rung: str, k: int) -> None:
    """No list of a row holds a follow of a person whom the release has not learnt: the memory beside it does."""
    assert place.documents is not None
    live = open_catalogue.over(place.ranker, of_log(place.ranker.vocabulary, place.documents.refreshed(Snapshot())))
    follow = Event(HIDDEN[NEW], "message", END - 5, "")
    place.profiles.push_all({HIDDEN[9]: [follow]})
    table = rows_of(place, HIDDEN[9], HIDDEN[5], rung=rung)
    half = np.full((2, len(place.ranker.vocabulary.targets)), 0.5, dtype=np.float32)

    def listed(rows: pa.Table, **more: Any) -> list[set[str]]:
        found = batch.recommended(rows, half, live, popular(), k=k, **more)
        return [{live.vocabulary.item_ids[item] for item, *_ in answer} for answer in found]

    nine, five = listed(table)
    assert HIDDEN[NEW] not in nine
    assert k > 3 or len(nine) == len(five) == 3
    if k == 50:
        assert HIDDEN[NEW] in five
        assert HIDDEN[NEW] in listed(table, event="like")[0], "a message is not what counts there"
    for shown in listed(table.drop([columns.MEMORY])):
        assert not {HIDDEN[NEW], HIDDEN[NEWER]} & shown, "rows from before memories: nobody who came later"


def rows_of(place: Place, *users: str, rung: str) -> pa.Table:
    """Lay out the door's rows as the step of batch scoring does."""

    class Standing(scoring_rows.FreshnessRule):
        def __init__(self) -> None:
            pass

        def of(self, state: scoring_rows.Row) -> dict[str, Any]:
            return {"now": END, columns.STATE_AT: END, "group": 0, "rung": rung}

    assert place.profiles.folding is not None
    states = {user: place.profiles.states[user] for user in users}
    return scoring_rows._table(states, place.profiles.folding, Standing())


def test_where_memories_cannot_be_read_nobody_who_came_later_is_shown(at: Open, place: Place) -> None:
    place.profiles.forgetful = True
    assert not {HIDDEN[NEW], HIDDEN[NEWER]} & {*at.shown(9)}
    assert at.shown(9)


def test_a_newcomer_who_is_forgotten_is_shown_by_no_door_at_once(at: Open, place: Place) -> None:
    assert HIDDEN[NEW] in at.shown(0)
    assert place.tombstones is not None
    place.tombstones.write(RAWS[NEW], {})
    assert HIDDEN[NEW] not in at.shown(0)
    for ask in (
        ExplainRequest(user_id=RAWS[0], item_id=RAWS[NEW]),
        RankRequest(user_id=RAWS[0], item_ids=[HIDDEN[NEW]]),
    ):
        with pytest.raises(Rejected, match="is no item"):
            asked(at.door, ask)


def test_a_door_that_has_no_tombstone_hears_of_it_by_the_log(at: Open, place: Place) -> None:
    assert place.documents is not None
    before = at.door.catalogue.current.vocabulary.item_ids
    scores = asked(at.door, RankRequest(user_id=RAWS[7], item_ids=[HIDDEN[NEWER], HIDDEN[3]])).scores
    assert place.documents.remove([HIDDEN[NEW]])
    at.door.catalogue.refresh()
    shown = at.door.catalogue.current
    assert HIDDEN[NEW] not in shown.vocabulary.index_of_item
    assert shown.vocabulary.item_ids == [one for one in before if one != HIDDEN[NEW]], "nothing stands in their place"
    assert not [one for one in at.shown(7) if one.startswith("erased")]
    assert HIDDEN[NEW] not in {*shown.people.by, *shown.people.to}
    again = asked(at.door, RankRequest(user_id=RAWS[7], item_ids=[HIDDEN[NEWER], HIDDEN[3]])).scores
    assert len(again) == len(scores)


def test_a_request_in_flight_leaves_out_who_is_forgotten_by_the_positions_that_it_works_with(
    at: Open, place: Place
) -> None:
    """Forgetting moves those behind up, and this request goes on with the catalogue that it found first."""
    assert place.documents is not None
    assert place.tombstones is not None
    context = RequestContext()
    ids = at.door.items_of(context).vocabulary.item_ids
    first, second = sorted((HIDDEN[NEW], HIDDEN[NEWER]), key=ids.index)
    place.tombstones.write(RAWS[HIDDEN.index(second)], {})
    assert place.documents.remove([first])
    at.door.catalogue.refresh()
    state = at.door.state_of(RAWS[9], None, context)
    assert ids.index(second) in state.own
    assert ids.index(first) not in state.own - {ids.index(second)}, "it was not forgotten here"
    listed, _ = at.door.popular(at.door.items_of(context), items=50, intents=1)
    assert ids.index(second) not in {one.item_index for one in listed}
    now = at.door.items_of(RequestContext()).vocabulary.item_ids
    assert at.door.state_of(RAWS[9], None, RequestContext()).own >= {now.index(second)}

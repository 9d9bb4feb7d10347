"""The door's own logic over tiny models: known users in, known answers out."""

import datetime as dt
from typing import Any

import numpy as np
import pytest

from bentos.endpoints.events import EventsRequest
from bentos.endpoints.explain import ExplainRequest
from bentos.endpoints.intents import IntentsRequest
from bentos.endpoints.rank import RankRequest
from bentos.endpoints.recommend import RecommendRequest
from bentos.endpoints.schemas import Event
from bentos.http.problems import Rejected
from bentos.recommender.door import Door
from bentos.recommender.logs import requestlog
from feature_repo import files
from feature_repo.errors import DataError, ServerError
from feature_repo.privacy import sealing
from feature_repo.privacy.pseudonyms import event_mark
from feature_repo.privacy.sealing import SealError
from tests.bentos.conftest import KEY, asked, fallback


def bought(user: str, item: str, **fields: Any) -> EventsRequest:
    return EventsRequest(events=[Event(user_id=user, item_id=item, event="purchase", **fields)])


def test_a_known_user_gets_the_history_first(world: Any) -> None:
    world.knows("ann", 1, 3)
    answer = asked(world.door(), RecommendRequest(user_id="ann"))
    assert [(i.item_id, i.title, i.source) for i in answer.items] == [
        ("i3", "pea soup", "history"),
        ("i1", "pear", "history"),
        ("i0", "apple", "popular"),
    ]
    assert [i.propensity for i in answer.items] == [1.0, 1.0, 1.0]
    assert answer.profile.rung == "fresh"
    assert answer.profile.age_days == 1.0


def test_intents_come_likeliest_first(world: Any) -> None:
    world.knows("ann", 0)
    answer = asked(world.door(), RecommendRequest(user_id="ann"))
    assert [(i.name, i.probability) for i in answer.intents] == [("buy:FRUIT", 0.5), ("visit", 0.4), ("buy:SOUP", 0.2)]


def test_all_intents_come_in_the_vocabularys_order(world: Any) -> None:
    answer = asked(world.door(), IntentsRequest(user_id="ann"))
    assert [i.name for i in answer.intents] == ["buy:FRUIT", "buy:SOUP", "visit"]


def test_an_unknown_user_gets_popular_items(world: Any) -> None:
    answer = asked(world.door(), RecommendRequest(user_id="nobody"))
    assert [i.item_id for i in answer.items] == ["i0", "i1", "i2"]
    assert {i.source for i in answer.items} == {"popular"}
    assert answer.profile.model_dump(exclude_none=True) == {"rung": "popular", "degraded": False}


@pytest.mark.parametrize(("days_ago", "rung"), [(0, "fresh"), (120, "fresh"), (120.1, "stale"), (300, "stale")])
def test_a_profile_past_its_ttl_is_stale_and_used_all_the_same(world: Any, days_ago: float, rung: str) -> None:
    world.knows("ann", 4, days_ago=days_ago)
    answer = asked(world.door(), RecommendRequest(user_id="ann"))
    assert answer.profile.rung == rung
    assert answer.items[0].item_id == "i4"


def test_an_item_without_a_title_shows_its_id(world: Any) -> None:
    world.knows("ann", 5)
    assert asked(world.door(), RecommendRequest(user_id="ann", k=1)).items[0].title == "i5"


def test_excluded_items_are_not_shown_and_unknown_ones_are_ignored(world: Any) -> None:
    ask = RecommendRequest(user_id="nobody", exclude=["i0", "i2", "no such item"])
    assert [i.item_id for i in asked(world.door(), ask).items] == ["i1", "i3", "i4"]


def test_k_larger_than_the_catalogue_returns_all_there_is(world: Any) -> None:
    assert len(asked(world.door(), RecommendRequest(user_id="ann", k=50)).items) == 6


def test_k_above_the_spec_is_refused(world: Any) -> None:
    with pytest.raises(Rejected) as refusal:
        asked(world.door(), RecommendRequest(user_id="ann", k=51))
    assert refusal.value.problem.model_dump() == {
        "error": "k: 51 is too many; allowed: 1 to 50",
        "where": "k",
        "allowed": "1 to 50",
    }


def test_rank_scores_in_the_order_asked(world: Any) -> None:
    world.knows("ann", 1)
    answer = asked(world.door(), RankRequest(user_id="ann", item_ids=["i5", "i1"]))
    assert [(s.item_id, round(s.score, 6)) for s in answer.scores] == [("i5", 0.5), ("i1", 0.1)]


def test_rank_refuses_an_unknown_item(world: Any) -> None:
    with pytest.raises(Rejected, match=r"item_ids\[1\]: 'x' is no item; allowed: the 6 items of release"):
        asked(world.door(), RankRequest(user_id="ann", item_ids=["i5", "x"]))


def test_explain_says_source_place_intents_and_the_users_record(world: Any) -> None:
    world.knows("ann", 3, 1)
    answer = asked(world.door(), ExplainRequest(user_id="ann", item_id="i3"))
    assert (answer.source, answer.position, answer.title) == ("history", 2, "pea soup")
    assert [i.name for i in answer.intents] == ["buy:SOUP", "visit"]
    values = {f.name: (round(f.value, 6), f.at) for f in answer.features}
    state_at = answer.profile.state_at
    assert values["item: history_slow"] == (0.96, state_at)
    assert values["item: history_last_at"][1] == state_at - dt.timedelta(seconds=1)
    assert values["events_total"] == (2.0, state_at)
    assert values["intent"][1] == state_at + dt.timedelta(days=1), "reasons are computed when asked"


def test_explain_an_item_to_an_unknown_user_says_it_is_popular(world: Any) -> None:
    answer = asked(world.door(), ExplainRequest(user_id="nobody", item_id="i0"))
    assert (answer.source, [(f.name, f.value) for f in answer.features]) == ("popular", [("popular_share", 0.4)])


def test_an_event_shows_in_the_next_answer(world: Any) -> None:
    door = world.door()
    before = asked(door, RecommendRequest(user_id="ann"))
    accepted = asked(door, bought("ann", "i4"))
    after = asked(door, RecommendRequest(user_id="ann"))
    assert (accepted.accepted, accepted.duplicates) == (1, 0)
    assert before.items[0].item_id == "i0"
    assert after.items[0].item_id == "i4"
    assert after.profile.rung == "fresh"


def test_an_event_with_an_id_counts_once_also_within_a_batch_and_after_a_restart(world: Any) -> None:
    door = world.door()
    twice = EventsRequest(events=[Event(user_id="ann", item_id="i4", event="purchase", event_id="e1")] * 2)
    first, second = asked(door, twice), asked(door, bought("ann", "i4", event_id="e1"))
    door.close()
    third = asked(world.door(), bought("ann", "i4", event_id="e1"))
    assert [(a.accepted, a.duplicates) for a in (first, second, third)] == [(1, 1), (0, 1), (0, 1)]
    assert world.profiles.bought[world.hidden("ann")][1] == [4]


def test_an_event_without_an_id_is_told_by_who_did_what_when(world: Any) -> None:
    door, at = world.door(), dt.datetime(2017, 12, 31, 1, tzinfo=dt.UTC)
    counts = [
        asked(door, bought("ann", "i4", timestamp=at)).accepted,
        asked(door, bought("ann", "i4", timestamp=at)).accepted,
        asked(door, bought("bob", "i4", timestamp=at)).accepted,
        asked(door, bought("ann", "i4")).accepted,  # no time of its own: nothing tells it from another
        asked(door, bought("ann", "i4")).accepted,
    ]
    assert counts == [1, 0, 1, 1, 1]


def test_an_event_without_a_session_is_in_its_users_local_days(world: Any) -> None:
    door = world.door()
    asked(door, bought("ann", "i4", session_id="s1"))
    asked(door, bought("ann", "i4", timestamp=dt.datetime(2017, 12, 31, 4, tzinfo=dt.UTC)))  # 23:00 in New York
    assert world.profiles.sessions == ["s1", f"{world.hidden('ann')} 2017-12-30"]


def test_an_event_is_on_disk_before_it_is_folded(world: Any) -> None:
    door, world.profiles.down = world.door(), True
    with pytest.raises(Rejected, match="events: are not in profiles yet: the store is down; allowed: a retry"):
        asked(door, bought("ann", "i4", event_id="e1"))
    (path,) = (world.folder / "events").iterdir()
    assert f'"key":"id:{event_mark("e1", world.hidden("ann"), KEY)}"' in path.read_text()
    world.profiles.down = False
    assert asked(door, bought("ann", "i4", event_id="e1")).accepted == 1, "it was never confirmed: the retry counts"
    assert world.profiles.bought[world.hidden("ann")][1] == [4]


@pytest.mark.parametrize(
    "why", [SealError("an event memory is encrypted under the key 1a"), DataError("form '2'"), ServerError("damaged")]
)
def test_an_event_of_a_user_whose_memory_cannot_be_read_waits_for_who_can(
    world: Any, monkeypatch: pytest.MonkeyPatch, why: Exception
) -> None:
    door = world.door()

    def unreadable(events: object) -> None:
        raise why

    with monkeypatch.context() as patch:
        patch.setattr(world.profiles, "push_all", unreadable)
        with pytest.raises(Rejected, match=f"events: are not in profiles yet: {why}; allowed: a retry"):
            asked(door, bought("ann", "i4", event_id="e1"))
    assert asked(door, bought("ann", "i4", event_id="e1")).accepted == 1
    assert world.profiles.bought[world.hidden("ann")][1] == [4]


def test_a_door_whose_log_is_encrypted_takes_up_what_it_had(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(sealing.KEYS, "0b" * 32)
    assert asked(world.door(), bought("ann", "i4", event_id="e1")).accepted == 1
    (path,) = (world.folder / "events").iterdir()
    assert world.hidden("ann") not in path.read_text()
    assert asked(world.door(), bought("ann", "i4", event_id="e1")).duplicates == 1
    monkeypatch.delenv(sealing.KEYS)
    with pytest.raises(SealError, match="a line is encrypted under the key"):
        world.door()


def test_the_clock_moves_with_events_and_not_back(world: Any) -> None:
    door = world.door()
    asked(door, bought("ann", "i1", timestamp=dt.datetime(2018, 1, 20, tzinfo=dt.UTC)))
    asked(door, bought("ann", "i1", timestamp=dt.datetime(2018, 1, 3, tzinfo=dt.UTC)))
    assert dt.datetime.fromtimestamp(world.clock.now(), dt.UTC) == dt.datetime(2018, 1, 20, 0, 0, 1, tzinfo=dt.UTC)


def test_the_clock_remembers_events_over_a_restart(world: Any) -> None:
    first = world.door()
    asked(first, bought("ann", "i1", timestamp=dt.datetime(2018, 1, 20, tzinfo=dt.UTC)))
    first.close()
    again = type(world)(world.folder)  # a new process: a clock at the end of the data
    again.door()
    assert again.clock.now() == world.clock.now()


@pytest.mark.parametrize("stray", [dt.datetime(2025, 1, 1, tzinfo=dt.UTC), dt.datetime(1970, 1, 1, tzinfo=dt.UTC)])
def test_an_event_out_of_time_is_refused_and_nothing_of_its_batch_is_taken(world: Any, stray: dt.datetime) -> None:
    good = Event(user_id="ann", item_id="i1", event="purchase")
    with pytest.raises(Rejected, match=r"events\[1\]\.timestamp: .* is out of time; allowed: 2016-12-26T05:00:00"):
        asked(world.door(), EventsRequest(events=[good, good.model_copy(update={"timestamp": stray})]))
    assert world.profiles.bought == {}


def test_at_moves_the_question_and_not_the_clock(world: Any) -> None:
    world.knows("ann", 1, days_ago=100)
    door = world.door()
    later = dt.datetime(2018, 3, 1, tzinfo=dt.UTC)
    assert asked(door, RecommendRequest(user_id="ann", at=later)).profile.rung == "stale"
    assert asked(door, RecommendRequest(user_id="ann")).profile.rung == "fresh"


def test_at_before_the_profile_is_refused_since_it_would_know_the_future(world: Any) -> None:
    world.knows("ann", 1, days_ago=1)
    with pytest.raises(Rejected) as refusal:
        asked(world.door(), RecommendRequest(user_id="ann", at=dt.datetime(2017, 6, 1, tzinfo=dt.UTC)))
    assert refusal.value.problem.where == "at"
    assert refusal.value.problem.allowed == "2017-12-30T00:00:00+00:00 or later"


def test_a_profile_from_after_the_clock_is_asked_about_at_its_own_time(world: Any) -> None:
    world.knows("ann", 1, days_ago=-2)
    assert asked(world.door(), RecommendRequest(user_id="ann")).profile.age_days == 0.0


def test_every_answer_is_logged_with_what_the_models_saw(world: Any) -> None:
    world.knows("ann", 1, 3)
    door = world.door()
    ask = RecommendRequest(user_id="ann", k=2, context={"page": "home"}, exclude=["i0"])
    answer = asked(door, ask)
    asked(door, IntentsRequest(user_id="ann"))
    asked(door, RankRequest(user_id="ann", item_ids=["i0"]))
    asked(door, ExplainRequest(user_id="ann", item_id="i0"))
    door.close()
    lines = list(requestlog.read(world.folder / "requests"))
    assert [line["endpoint"] for line in lines] == ["recommend", "intents", "rank", "explain"]
    line = lines[0]
    assert line["request_id"] == answer.request_id
    assert line["release"] == answer.release
    assert line["user_id"] == world.hidden("ann")
    assert line["asked"] == {"k": 2, "context": {"page": "home"}, "exclude": ["i0"], "at": None}
    assert line["lists"]["history_items"] == [1, 3]
    assert line["probabilities"] == [2 / 3, 0.2, 0.4]
    assert line["items"][0] == {"position": 1, "item_id": "i3", "score": 1.0, "source": "history", "propensity": 1.0}
    assert line["latency_ms"] > 0


def test_a_logged_row_is_the_row_that_was_served(world: Any) -> None:
    world.knows("ann", 1, 3)
    door = world.door()
    asked(door, RecommendRequest(user_id="ann"))
    door.close()
    (line,) = requestlog.read(world.folder / "requests")
    served, again = world.profiles.read([world.hidden("ann")], now=world.clock.now()), requestlog.rows_of(line)
    for name, ragged in served.lists.items():
        assert again.lists[name].values.dtype == ragged.values.dtype
        np.testing.assert_array_equal(again.lists[name].values, ragged.values)
    assert again.numbers["events_total"].tolist() == [2.0]
    assert (again.now[0], again.state_at[0], again.known[0]) == (served.now[0], served.state_at[0], True)


def test_no_raw_user_id_reaches_a_log_or_the_store(world: Any) -> None:
    door = world.door()
    asked(door, bought("ann@example.com", "i1"))
    asked(door, RecommendRequest(user_id="ann@example.com"))
    door.close()
    written = "".join(path.read_text() for path in world.folder.rglob("*.jsonl"))
    assert written.count(world.hidden("ann@example.com")) == 2
    assert "ann@example.com" not in written + str(world.profiles.bought)


def test_the_same_question_gets_the_same_scores(world: Any) -> None:
    world.knows("ann", 1, 3)
    door = world.door()
    answers = [asked(door, RecommendRequest(user_id="ann")).model_dump(exclude={"request_id"}) for _ in range(3)]
    assert answers[0] == answers[1] == answers[2]


def test_models_of_another_vocabulary_are_refused(world: Any) -> None:
    door = world.door()
    document = files.read_json(world.folder / "release.json") | {"vocabulary": "another"}
    document["id"] = files.digest({k: v for k, v in document.items() if k != "id"})
    files.write_json(world.folder / "release.json", document)
    release = type(door.release).load(world.folder)
    with pytest.raises(DataError, match="its intent model has the vocabulary"):
        Door(
            release,
            world.scorer,
            world.ranker,
            world.profiles,
            door._log,
            world.clock,
            events=door._events,
            fallback=fallback(),
            key="00",
        )


def test_warming_up_logs_nothing(world: Any) -> None:
    door = world.door()
    door.warm_up()
    door.close()
    assert list(requestlog.read(world.folder / "requests")) == []

"""/recommend for somebody who is no user: folded as a user's events are, and stored nowhere."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bentos.endpoints.events import EventsRequest
from bentos.endpoints.recommend import RecommendRequest
from bentos.http.breaker import Breaker
from bentos.http.problems import Rejected
from bentos.http.request_context import RequestContext
from bentos.recommender.logs import requestlog
from components.data.row_rules import OneOf
from feature_repo.privacy.pseudonyms import pseudonym
from tests.bentos.conftest import DATA_END, KEY, OPERATION_OF, asked, fallback
from tests.bentos.test_people import HIDDEN, RAWS, People
from tests.bentos.test_people import world as people

__all__ = ["people"]


def session(*items: str, event: str = "purchase", **more: Any) -> RecommendRequest:
    return RecommendRequest.model_validate({"events": [{"item_id": item, "event": event} for item in items]} | more)


def everything(folder: Path) -> bytes:
    """Return all bytes that a door wrote."""
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def test_a_sessions_events_decide_what_comes_first(world: Any) -> None:
    answer = asked(world.door(), session("i4"))
    assert [(i.item_id, i.source) for i in answer.items] == [("i4", "history"), ("i0", "popular"), ("i1", "popular")]
    assert answer.intents[0].probability == 0.5, "one event: 1 / (1 + 1)"
    assert (answer.profile.rung, answer.profile.degraded) == ("fresh", False)


def test_nothing_of_it_is_read_pushed_or_written(world: Any) -> None:
    door = world.door()
    before = world.clock.now()
    asked(door, session("i4", "i5", exclude=["i2"]))
    door.close()
    assert world.profiles.reads == 0
    assert world.profiles.bought == {}
    assert world.clock.now() == before
    written = everything(world.folder / "requests") + everything(world.folder / "events")
    assert not any(item in written for item in (b'"i4', b'"i5', b'"i2'))
    (line,) = requestlog.read(world.folder / "requests")
    assert (line["endpoint"], line["rung"], line["user_id"]) == ("recommend", "popular", pseudonym("", KEY))
    assert not line["items"]
    blank = np.asarray(fallback().rates[1], dtype=np.float64)
    assert np.asarray(line["probabilities"], dtype=np.float64) == pytest.approx(blank), "what is said of anyone"


def test_the_next_session_knows_nothing_of_the_last(world: Any) -> None:
    door = world.door()
    asked(door, session("i4"))
    assert asked(door, session("i5")).items[0].item_id == "i5"
    assert "i4" not in [i.item_id for i in asked(door, session("i5", k=2)).items]


@pytest.mark.parametrize(
    ("ask", "error"),
    [
        ({}, "user_id: is missing; allowed: a user, or the events or interests of somebody who is none"),
        (
            {"user_id": "ann", "events": [{"item_id": "i1", "event": "view"}]},
            "events: are here with a user_id; allowed: one of the two; what users do goes to /events",
        ),
        (
            {"events": [{"item_id": "i1", "event": "view", "timestamp": "2001-01-01T00:00:00Z"}]},
            "events[0].timestamp: 2001-01-01T00:00:00+00:00 is out of time; allowed: 2016-12-26T05:00:00+00:00 to ",
        ),
    ],
)
def test_what_cannot_be_a_session_is_refused(world: Any, ask: dict[str, Any], error: str) -> None:
    with pytest.raises(Rejected) as refusal:
        asked(world.door(), RecommendRequest.model_validate_json(json.dumps(ask)))
    assert refusal.value.problem.error.startswith(error)
    assert refusal.value.status == 422


def test_an_unknown_item_is_set_aside_and_told(world: Any) -> None:
    door = world.door()
    rules = door.rules
    rules._unknown, rules._known = "critical", lambda item: item in ("i1", "i4")
    answer = asked(door, session("x", "i4"))
    assert [(one.event, one.rule) for one in answer.set_aside] == [(0, "known item_id")] or answer.set_aside[
        0
    ].event == 0
    assert answer.items[0].item_id == "i4"
    alone = asked(door, session("x"))
    assert (alone.profile.rung, len(alone.set_aside)) == ("popular", 1)


def test_an_event_that_breaks_the_contract_is_refused(world: Any) -> None:
    door = world.door()
    kinds = OneOf(expect="one_of", column="event", values=("purchase",), severity="critical")
    door.rules._refusing = {"kinds": kinds}
    events = [{"item_id": "i4", "event": kind} for kind in ("purchase", "view")]
    ask = RecommendRequest.model_validate({"events": events})
    with pytest.raises(Rejected, match=r"events\[1\].event: 'view' breaks the rule kinds; allowed: .*purchase"):
        asked(door, ask)


def test_a_late_answer_is_made_without_models_and_says_so(world: Any) -> None:
    context = RequestContext()
    context.overdue = True
    answer = OPERATION_OF[RecommendRequest].answer(world.door(), session("i4"), context)
    assert (answer.profile.rung, answer.profile.reason) == ("popular", "timeout")


def test_a_question_about_a_time_before_the_session_is_refused(world: Any) -> None:
    late = dt.datetime.fromtimestamp(DATA_END, dt.UTC)
    ask = {"events": [{"item_id": "i4", "event": "view", "timestamp": late}], "at": late - dt.timedelta(minutes=2)}
    with pytest.raises(Rejected, match=r"at: .* is in the past of the user's profile"):
        asked(world.door(), RecommendRequest.model_validate(ask))


def test_people_of_a_session_go_by_pseudonyms_and_who_was_forgotten_says_nothing(people: People) -> None:
    door = people.door()
    assert asked(door, session(RAWS[3], event="message")).items[0].item_id == HIDDEN[3]
    people.profiles.gone.add(HIDDEN[3])
    answer = asked(door, session(RAWS[3], event="message"))
    assert answer.profile.rung == "popular"
    assert HIDDEN[3] not in [item.item_id for item in answer.items]


@pytest.mark.world
def test_a_session_is_answered_as_a_new_user_who_did_the_same(
    trained_toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.bentos.test_service import in_process

    for name, value in trained_toy.variables.items():
        monkeypatch.setenv(name, value)
    door = in_process(trained_toy, tmp_path, Breaker())
    at = door._clock.now() - 60
    when = [dt.datetime.fromtimestamp(at + n, dt.UTC) for n in range(3)]
    items = [door.vocabulary.item_ids[place] for place in (0, 2, 0)]
    did = [
        {"item_id": item, "event": "purchase", "timestamp": time, "session_id": "s", "value": 2.0}
        for item, time in zip(items, when, strict=True)
    ]
    nobody = asked(door, RecommendRequest.model_validate({"events": did, "k": 8}))
    asked(door, EventsRequest.model_validate({"events": [one | {"user_id": "a stranger"} for one in did]}))
    user = asked(door, RecommendRequest(user_id="a stranger", k=8))
    assert nobody.items == user.items
    assert nobody.intents == user.intents
    assert nobody.profile.rung == user.profile.rung == "fresh"  # a user's row is as of the last batch at least
    door.close()

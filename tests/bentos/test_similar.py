"""POST /similar at the door: of whom, for whom, what is left out, what is logged, and what is refused."""

import json
from dataclasses import replace
from typing import Any

import pytest

from bentos.endpoints.similar import SimilarRequest
from bentos.http.callers import Caller
from bentos.http.problems import Rejected
from bentos.http.request_context import RequestContext
from bentos.recommender.logs import requestlog
from feature_repo.privacy.pseudonyms import pseudonym
from tests.bentos.conftest import KEY, OPERATION_OF, asked
from tests.bentos.test_people import HIDDEN, RAWS, People
from tests.bentos.test_people import world as people

__all__ = ["people"]


def shown(door: Any, **ask: Any) -> list[str]:
    return [item.item_id for item in asked(door, SimilarRequest(**ask)).items]


def test_items_come_the_most_alike_first_without_a_user(world: Any) -> None:
    answer = asked(world.door(), SimilarRequest(item_id="i3", k=2))
    assert [(i.item_id, i.title, i.source, i.reasons) for i in answer.items] == [
        ("i2", "leek soup", "neighbours", {"neighbours": 1.0}),
        ("i4", "bread", "neighbours", {"neighbours": 1.0}),
    ]
    assert (answer.bases, answer.profile) == (["neighbours"], None)
    assert world.profiles.reads == 0, "nobody's profile was read"


def test_with_a_user_the_profile_is_read_and_told(world: Any) -> None:
    world.knows("ann", 1)
    answer = asked(world.door(), SimilarRequest(item_id="i3", user_id="ann"))
    assert answer.profile.rung == "fresh"


def test_excluded_items_are_not_shown_and_unknown_ones_are_ignored(world: Any) -> None:
    assert shown(world.door(), item_id="i3", exclude=["i2", "no such item"], k=2) == ["i4", "i1"]


def test_where_repeats_are_forbidden_a_user_is_not_shown_what_they_had(world: Any) -> None:
    world.knows("ann", 2, 4)
    door = world.door()
    door.ladder._eligible = replace(door.ladder._eligible, repeat="forbid")
    assert shown(door, item_id="i3", user_id="ann", k=2) == ["i1", "i5"]
    assert shown(door, item_id="i3", k=2) == ["i2", "i4"]


def test_a_withdrawn_item_is_not_shown_and_may_be_asked_about(world: Any) -> None:
    world.documents = world.log()
    door = world.door()
    from bentos.endpoints.items import ItemsRequest

    asked(door, ItemsRequest.model_validate({"items": [{"item_id": "i2", "available": False}]}))
    assert shown(door, item_id="i3", k=2) == ["i4", "i1"]
    assert shown(door, item_id="i2", k=1) == ["i1"]


@pytest.mark.parametrize(
    ("ask", "error"),
    [
        ({"item_id": "x"}, "item_id: 'x' is no item; allowed: the 6 items of release "),
        ({"item_id": "i0", "by": "als"}, "by: 'als' is nothing that this release compares by; allowed: neighbours"),
        ({"item_id": "i0", "k": 51}, "k: 51 is too many; allowed: 1 to 50"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_one_line(world: Any, ask: dict[str, Any], error: str) -> None:
    with pytest.raises(Rejected) as refusal:
        asked(world.door(), SimilarRequest(**ask))
    assert refusal.value.problem.error.startswith(error)
    assert refusal.value.status == 422


def test_a_ranker_that_fails_is_no_reason_to_show_what_is_popular(world: Any) -> None:
    world.ranker.similar = lambda *_, **__: 1 / 0
    with pytest.raises(Rejected, match="item_id: cannot be compared now; allowed: a retry") as refusal:
        asked(world.door(), SimilarRequest(item_id="i3"))
    assert refusal.value.status == 503


def test_the_answer_is_logged_with_places_and_without_a_user(world: Any) -> None:
    door = world.door()
    asked(door, SimilarRequest(item_id="i3", k=1))
    door.close()
    (line,) = requestlog.read(world.folder / "requests")
    assert line["endpoint"] == "similar"
    assert line["user_id"] == pseudonym("", KEY)
    assert [(i["item_id"], i["position"], i["propensity"], i["source"]) for i in line["items"]] == [
        ("i2", 1, 1.0, "neighbours")
    ]
    said = line["asked"] if isinstance(line["asked"], dict) else json.loads(line["asked"])
    assert (said["item_id"], said["k"]) == ("i3", 1)


def test_people_go_by_pseudonyms_and_those_who_were_forgotten_are_in_no_list(people: People) -> None:
    people.profiles.gone.add(HIDDEN[2])
    door = people.door()
    assert shown(door, item_id=RAWS[3], k=2) == [HIDDEN[4], HIDDEN[1]]
    assert shown(door, item_id=RAWS[3], user_id=RAWS[4], k=2) == [HIDDEN[1], HIDDEN[5]], "nobody to themselves"
    with pytest.raises(Rejected, match="is no item"):
        shown(door, item_id=RAWS[2])
    assert not any(raw in people.written() for raw in RAWS)


def test_whoever_speaks_for_one_person_asks_about_nobody_else(people: People) -> None:
    door, operation = people.door(), OPERATION_OF[SimilarRequest]

    def about(item: str) -> Any:
        context = RequestContext()
        context.who = Caller("page", frozenset({"recommend"}), speaks_for=lambda user: user == RAWS[0])
        return operation.answer(door, SimilarRequest(item_id=item, k=1), context)

    assert about(RAWS[0]).items
    with pytest.raises(Rejected, match="item_id: is another user than the caller speaks for"):
        about(RAWS[1])

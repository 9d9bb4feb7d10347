"""POST /values at the door: by the models, by what is popular where they fail, and what is refused."""

import json
from typing import Any

import pytest

from bentos.endpoints.values import ValuesRequest
from bentos.http.problems import Rejected
from bentos.recommender.logs import requestlog
from bentos.recommender.standby import standby_values
from tests.bentos.conftest import asked, fallback, vocabulary


def shown(door: Any, user: str, **more: Any) -> list[str]:
    return [one.value for one in asked(door, ValuesRequest(user_id=user, attribute="kind", **more)).values]


def test_values_come_best_first_with_the_items_that_stand_for_them(world: Any) -> None:
    world.knows("ann", 3)
    answer = asked(world.door(), ValuesRequest(user_id="ann", attribute="kind"))
    assert [(one.value, [item.title for item in one.items]) for one in answer.values] == [
        ("soup", ["pea soup", "leek soup"]),
        ("fruit", ["apple", "pear"]),
    ]
    assert (answer.attribute, answer.profile.rung) == ("kind", "fresh")
    assert shown(world.door(), "ann", k=1) == ["soup"]


def test_without_a_model_a_value_has_what_everyone_had_of_its_items(world: Any) -> None:
    answer = asked(world.door(), ValuesRequest(user_id="nobody", attribute="kind"))
    assert [(one.value, round(one.score, 6), one.source, one.reasons) for one in answer.values] == [
        ("fruit", 0.7, "popular", {"popular_share": 0.7}),
        ("soup", 0.4, "popular", {"popular_share": 0.4}),
    ]
    assert answer.profile.rung == "popular"


def test_a_ranker_that_fails_steps_down_to_the_users_segment_and_says_so(world: Any) -> None:
    world.knows("ann", 0, segment=0)
    world.ranker.values = lambda *_, **__: 1 / 0
    answer = asked(world.door(), ValuesRequest(user_id="ann", attribute="kind"))
    assert [(one.value, round(one.score, 6), one.source) for one in answer.values] == [
        ("soup", 0.9, "segment"),
        ("fruit", 0.4, "segment"),  # of the segment's apple, and of everyone's pear
    ]
    assert (answer.profile.rung, answer.profile.reason) == ("segment", "models_failed")


def test_what_may_not_be_shown_stands_for_nothing() -> None:
    found = standby_values(fallback(), 1, vocabulary(), "kind", k=5, exclude={0, 1})
    assert [(one.value, one.items) for one in found] == [("soup", (2, 3))]


def test_what_is_on_offer_no_lower_rung_knows() -> None:
    assert standby_values(fallback(), 1, vocabulary(), "offers", k=5) == []


@pytest.mark.parametrize(
    ("ask", "error"),
    [
        ({"attribute": "brand"}, "attribute: 'brand' has no lists in release "),
        ({"attribute": "kind", "k": 51}, "k: 51 is too many; allowed: 1 to 50"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_one_line(world: Any, ask: dict[str, Any], error: str) -> None:
    with pytest.raises(Rejected) as refusal:
        asked(world.door(), ValuesRequest(user_id="ann", **ask))
    assert refusal.value.problem.error.startswith(error)


def test_the_answer_is_logged_with_its_values_and_no_items(world: Any) -> None:
    door = world.door()
    asked(door, ValuesRequest(user_id="nobody", attribute="kind", k=1))
    door.close()
    (line,) = requestlog.read(world.folder / "requests")
    said = line["asked"] if isinstance(line["asked"], dict) else json.loads(line["asked"])
    assert (line["endpoint"], said["attribute"]) == ("values", "kind")
    assert [one["value"] for one in said["values"]] == ["fruit"]
    assert not line["items"], "a value is no item, and no impression of one"

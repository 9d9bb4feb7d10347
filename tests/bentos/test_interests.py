"""What somebody says to like counts double where nothing else is known of them, and nowhere else."""

from typing import Any

import pytest
from pydantic import ValidationError

from bentos.endpoints.recommend import RecommendRequest
from bentos.http.problems import Rejected
from feature_repo.logs import request_log
from tests.bentos.conftest import asked, fallback


def said(user: str | None, **interests: list[str]) -> RecommendRequest:
    return RecommendRequest.model_validate({"user_id": user, "k": 4, "interests": interests})


def shown(answer: Any) -> list[str]:
    return [one.item_id for one in answer.items]


def test_items_of_an_interest_count_as_if_twice_as_many_had_them_and_say_so(world: Any) -> None:
    """Everyone has .4 of i0, .3 of i1, .2 of each soup, i2 and i3."""
    answer = asked(world.door(), said("nobody", kind=["soup"]))
    assert shown(answer) == ["i0", "i2", "i3", "i1"]
    assert [one.reasons.get("interest") for one in answer.items] == [None, 1.0, 1.0, None]
    assert [one.score for one in answer.items] == sorted((one.score for one in answer.items), reverse=True)
    assert (answer.profile.rung, answer.algorithm) == ("popular", None)


def test_somebody_who_is_no_user_may_say_it_too_and_it_is_kept_nowhere(world: Any) -> None:
    door = world.door()
    assert shown(asked(door, said(None, kind=["soup"]))) == ["i0", "i2", "i3", "i1"]
    door.close()
    (line,) = request_log.read(world.folder / "requests")
    assert "interests" not in line["asked"]


def test_of_whom_a_model_knows_something_it_answers(world: Any) -> None:
    world.knows("ann", 4)
    door = world.door()
    assert shown(asked(door, said("ann", kind=["soup"])))[0] == "i4"
    door.close()
    (line,) = request_log.read(world.folder / "requests")
    assert line["asked"]["interests"] == {"kind": ["soup"]}


def test_they_count_where_the_models_fail(world: Any) -> None:
    world.knows("ann", 4)
    world.ranker.recommend = lambda *_, **__: 1 / 0
    answer = asked(world.door(), said("ann", kind=["soup"]))
    assert (shown(answer)[:3], answer.profile.reason) == (["i0", "i2", "i3"], "models_failed")


def test_a_value_that_no_item_has_changes_nothing(world: Any) -> None:
    plain = asked(world.door(), RecommendRequest(user_id="nobody", k=4))
    assert shown(asked(world.door(), said("nobody", kind=["cheese"]))) == shown(plain)


def test_an_attribute_that_items_lack_is_refused_by_name(world: Any) -> None:
    with pytest.raises(ValidationError, match="at most 100 items"):
        said("nobody", kind=["soup"] * 101)
    with pytest.raises(Rejected, match=r"interests: 'knd' is no attribute of items.*kind"):
        asked(world.door(), said("nobody", knd=["soup"]))


def test_a_groups_own_items_stay_first_and_of_those_nobody_had_an_interest_is() -> None:
    """Of the segment 3 has .5 and 2 has .4, which counts .8; nobody had 5 or 6."""
    found = fallback().recommend(0, n_items=8, k=8, exclude={0}, interests=frozenset({0, 1, 2, 6}))
    assert [one.item_index for one in found] == [2, 3, 1, 4, 6, 5, 7]
    assert [dict(one.reasons).get("interest") for one in found] == [1.0, None, 1.0, None, 1.0, None, None]

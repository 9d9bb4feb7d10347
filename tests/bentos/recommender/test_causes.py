"""What speaks for an intent, beside the reasons for an item, where a caller asks for it."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from bentos.endpoints.explain import ExplainRequest
from bentos.http.request_context import RequestContext
from bentos.recommender.door import Door
from bentos.recommender.logs.eventlog import EventLog
from bentos.recommender.logs.requestlog import RequestLog
from bentos.recommender.ports import Explains
from components.intent.causes import Explained, Told
from feature_repo.rows import UserRows
from tests.bentos.conftest import KEY, World, asked, fallback


def explains(rows: UserRows, targets: Sequence[int]) -> list[Explained]:
    """Say of each target that it happened of late."""
    assert len(rows) == 1
    told = (Told("step", "1", "1 week ago: buy:SOUP", 0.75),)
    return [Explained(f"target {t}", 0.5, -0.5, "integrated gradients", told, 0.25, 0.0) for t in targets]


def fails(rows: UserRows, targets: Sequence[int]) -> list[Explained]:
    raise ValueError("shapes (1, 8) and (9, 8) not aligned")


def no_number(rows: UserRows, targets: Sequence[int]) -> list[Explained]:
    """Return what no schema takes: the door checks it where a failure costs the causes alone."""
    return [replace(one, said="?") for one in explains(rows, targets)]  # type: ignore[arg-type]


def says_nothing(rows: UserRows, targets: Sequence[int]) -> list[Explained]:
    return []


def door(world: World, *, knows: bool = True, by: Explains = explains) -> Door:
    return Door(
        world.release(),
        world.scorer,
        world.ranker,
        world.profiles,
        RequestLog(world.folder / "requests"),
        world.clock,
        events=EventLog(world.folder / "events"),
        fallback=fallback(),
        key=KEY,
        explains=by if knows else None,
    )


def test_explain_says_what_the_items_intents_rest_on_where_it_is_asked_to(world: World) -> None:
    world.knows("ann", 3, 1)
    shop = door(world)
    plain = asked(shop, ExplainRequest(user_id="ann", item_id="i3"))
    assert plain.causes is None
    told = asked(shop, ExplainRequest(user_id="ann", item_id="i3", causes=True))
    assert told.features == plain.features  # the reasons for the item stay
    assert told.causes is not None
    assert [one.intent for one in told.causes] == ["target 1", "target 2"]  # soup and visit
    first = told.causes[0]
    assert [(cause.words, cause.effect) for cause in first.causes] == [("1 week ago: buy:SOUP", 0.75)]
    assert first.said - first.nobody == sum(c.effect for c in first.causes) + first.others + first.unexplained


@pytest.mark.parametrize(("user", "knows"), [("nobody", True), ("ann", False)])
def test_where_no_model_in_the_door_answered_there_are_no_causes(world: World, user: str, knows: bool) -> None:
    world.knows("ann", 3, 1)
    answer = asked(door(world, knows=knows), ExplainRequest(user_id=user, item_id="i3", causes=True))
    assert answer.causes is None


@pytest.mark.parametrize("by", [fails, no_number, says_nothing])
def test_a_model_that_cannot_say_why_costs_the_causes_and_not_the_answer(world: World, by: Explains) -> None:
    world.knows("ann", 3, 1)
    answer = asked(door(world, by=by), ExplainRequest(user_id="ann", item_id="i3", causes=True))
    assert answer.causes is None
    assert answer.intents
    assert answer.profile.rung == "fresh"


def test_past_its_time_a_request_is_not_explained(world: World) -> None:
    world.knows("ann", 3, 1)
    shop, context = door(world), RequestContext()
    state = shop.state_of("ann", None, context)
    assert shop.causes_of(state, [1], context) is not None
    context.overdue = True
    assert shop.causes_of(state, [1], context) is None

"""An event's id is its user's: nobody makes another's event a duplicate by sending its id first."""

from pathlib import Path
from typing import Any

import pytest

from bentos.endpoints.events import EventsRequest
from feature_repo.privacy.pseudonyms import event_mark, pseudonym
from tests.bentos.conftest import World, asked

KEY = "5eed" * 16


def bought(user: str, event_id: str) -> Any:
    event = {"user_id": user, "item_id": "i1", "event": "purchase", "event_id": event_id}
    return EventsRequest.model_validate({"events": [event]})


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_an_id_that_a_stranger_sent_first_hides_no_event_of_the_victim(world: World) -> None:
    """The review got `accepted: 0, duplicates: 1` for the victim."""
    door = world.door()
    assert asked(door, bought("stranger", "order-1001")).accepted == 1
    victim = asked(door, bought("victim", "order-1001"))
    assert (victim.accepted, victim.duplicates) == (1, 0)
    again = asked(door, bought("victim", "order-1001"))
    assert (again.accepted, again.duplicates) == (0, 1)


@pytest.mark.parametrize(
    ("one", "other"),
    [(("e1", "ann"), ("e1", "bob")), (("e1", "ann"), ("e2", "ann")), (("1 e", "ann"), ("e", "ann 1"))],
)
def test_marks_of_other_users_and_other_ids_differ(one: tuple[str, str], other: tuple[str, str]) -> None:
    first, second = (event_mark(event_id, pseudonym(user, KEY), KEY) for event_id, user in (one, other))
    assert first != second


def test_no_user_s_id_has_the_name_of_an_event() -> None:
    hidden = pseudonym("ann", KEY)
    assert event_mark("e1", hidden, KEY) not in {pseudonym(text, KEY) for text in ("event e1", f"{hidden} e1", "e1")}

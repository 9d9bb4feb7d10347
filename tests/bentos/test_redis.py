"""The door over a real Redis: an event is in the next answer, and a server that goes does not stay gone."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import servers
from bentos.endpoints import schemas
from bentos.endpoints.events import EventsRequest
from bentos.endpoints.recommend import RecommendRequest
from bentos.http.problems import Rejected
from feature_repo.calendar import Calendar
from feature_repo.online.profiles import OnlineProfiles
from feature_repo.update import Folding
from tests.bentos.conftest import World, asked, vocabulary
from tests.patience import patient


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    with servers.running("redis", tmp_path_factory.mktemp("redis")) as found:
        yield found


@pytest.fixture
def live(world: World, server: servers.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """The tiny world, its profiles in Redis."""
    where = server.online_store | {
        "connection_string": f"{server.online_store['connection_string']},socket_timeout=0.3"
    }
    monkeypatch.setenv("INTENTFLOW_FEAST", servers.settings(server.registry, where))
    folding = Folding(Calendar("2016-12-26", "America/New_York"), vocabulary(), (7, 28, 91))
    world.profiles = OnlineProfiles.open(f"tiny-{tmp_path.name}", folding)  # type: ignore[assignment]
    return world


def bought(item: str, user: str = "ann") -> EventsRequest:
    return EventsRequest(events=[schemas.Event(user_id=user, item_id=item, event="purchase")])


def test_the_next_answer_shows_an_event_within_a_second(live: World) -> None:
    door, ask = live.door(), RecommendRequest(user_id="ann")
    assert {item.source for item in asked(door, ask).items} == {"popular"}
    start = time.perf_counter()
    asked(door, bought("i4"))
    first = asked(door, ask).items[0]
    assert time.perf_counter() - start < 1.0
    assert (first.item_id, first.source) == ("i4", "history")


def test_events_are_refused_while_the_server_says_nothing_and_taken_afterwards(
    live: World, server: servers.Server
) -> None:
    door, ask = live.door(), RecommendRequest(user_id="ben")
    asked(door, bought("i3", "ben"))
    with server.silent(), pytest.raises(Rejected) as refusal:
        asked(door, bought("i5", "ben"))
    assert refusal.value.status == 503
    assert asked(door, bought("i5", "ben")).accepted == 1
    deadline = time.monotonic() + patient(10)  # a door that found its store away may leave it alone for a moment
    while asked(door, ask).profile.rung not in ("fresh", "stale") and time.monotonic() < deadline:
        time.sleep(0.1)
    had = [item.item_id for item in asked(door, ask).items if item.source == "history"]
    assert sorted(had) == ["i3", "i5"]

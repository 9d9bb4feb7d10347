"""What a door's process has no room for the router refuses itself, in its words, for as long as that may hold."""

import asyncio

import pytest
from aiohttp import web

from bentos.router.room import HOLDS_S, Room
from tests.bentos.router.conftest import World, until

FULL = {"error": "service: 2 requests are running; allowed: 2", "where": "service", "allowed": "2"}


def test_a_process_is_full_while_as_many_run_as_it_said() -> None:
    room = Room()
    for _ in range(100):
        room.enter()
    assert not room.full(0.0), "it has refused none"
    room.refused(2, now=10.0)
    assert room.full(10.0)
    assert room.full(10.0 + HOLDS_S - 0.01)
    assert not room.full(10.0 + HOLDS_S), "it is tried again"
    for _ in range(98):
        room.leave()
    assert room.full(10.5)
    room.leave()
    assert not room.full(10.5), "one was answered, so one more goes"


@pytest.mark.parametrize("auth", ["none", "keys"])
def test_the_router_refuses_what_a_process_has_no_room_for(play, monkeypatch, auth):
    """Two requests run and the third is refused by the door; the fourth does not reach it, an event does."""
    monkeypatch.setattr("bentos.router.room.HOLDS_S", 60.0)
    go = asyncio.Event()

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/events":
            return web.json_response({"accepted": 1})
        if len(running) == 2:
            refusal = {"Retry-After": "1", "X-IntentFlow-Room": "2", "X-IntentFlow-Release": "aaa"}
            return web.json_response(FULL, status=429, headers=refusal)
        running.append(1)
        await go.wait()
        return web.json_response({"items": [], "release": "aaa"})

    running: list[int] = []

    async def scene(world: World):
        if auth == "keys":
            object.__setattr__(world.router.settings.access, "auth", "keys")
        world.stable.answer = answer
        first = [asyncio.create_task(world.post("/recommend", {"user_id": "1"})) for _ in range(2)]
        await until(lambda: len(running) == 2)
        by_door = await world.post("/recommend", {"user_id": "1"})
        by_router = await world.post("/rank", {"user_id": "2"}, **{"X-Request-Id": "mine"})
        assert len(world.stable.asked) == 3
        for status, body, headers in (by_door, by_router):
            assert (status, body, headers["Retry-After"]) == (429, FULL, "1")
            assert headers["X-IntentFlow-Release"] == "aaa"
            assert "X-IntentFlow-Room" not in headers
        assert by_router[2]["X-Request-Id"] == "mine"
        assert (await world.post("/events", {"events": [{"user_id": "1", "event_id": "e"}]}))[0] == 200
        go.set()
        assert [status for status, _, _ in await asyncio.gather(*first)] == [200, 200]
        running.clear()
        assert (await world.post("/recommend", {"user_id": "1"}))[0] == 200, "there is room again"
        arm = (await world.seen())["arms"]["stable"]
        assert (arm["requests"], arm["shed"]) == ((5, 2) if auth == "none" else (4, 1)), "strangers are no evidence"

    play(scene)


def test_a_callers_own_rate_is_nobody_elses(play):
    async def scene(world: World):
        world.stable.status = 429  # without a number of requests that may run
        assert (await world.post("/recommend", {"user_id": "1"}))[0] == 429
        assert (await world.post("/recommend", {"user_id": "1"}))[0] == 429
        assert len(world.stable.asked) == 2, "the door is asked"

    play(scene)

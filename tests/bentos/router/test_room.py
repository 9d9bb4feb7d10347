"""What a door's process has no room for the router refuses itself, in its words, for as long as that may hold."""

import asyncio
from typing import Any

import pytest
from aiohttp import web

from bentos.http.no_room import no_room
from bentos.router import room as rooms
from bentos.router.room import HOLDS_S, Room
from tests.bentos.router.conftest import World, event, until

FULL = {"error": "service: 2 requests are running; allowed: 2", "where": "service", "allowed": "2"}
ASKED = {"user_id": "1"}


class Narrow:
    """An answer that lets so many requests run and refuses the others as a door's pool does, until it is opened."""

    def __init__(self, most: int) -> None:
        self.most, self.running, self.open = most, 0, asyncio.Event()

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        if self.running >= self.most:
            refusal = no_room(self.running, self.most)
            return web.json_response(refusal.problem.model_dump(), status=refusal.status, headers=refusal.headers)
        self.running += 1
        try:
            await self.open.wait()
            return web.json_response({"items": [], "profile": {"degraded": False}})
        finally:
            self.running -= 1


async def filled(world: World, most: int = 2) -> tuple[Narrow, list["asyncio.Task[Any]"]]:
    """Have the stable door as full as it may be."""
    narrow = world.stable.answer = Narrow(most)
    waiting = [asyncio.create_task(world.post("/recommend", ASKED)) for _ in range(most)]
    await until(lambda: narrow.running == most)
    return narrow, waiting


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


def test_a_full_door_is_tried_again_after_its_refusal_is_old(play, monkeypatch):
    monkeypatch.setattr(rooms, "HOLDS_S", 0.05)

    async def scene(world: World):
        narrow, waiting = await filled(world)
        assert (await world.post("/recommend", ASKED))[0] == 429
        await asyncio.sleep(0.1)
        narrow.most = 3
        third = asyncio.create_task(world.post("/recommend", ASKED))
        await until(lambda: narrow.running == 3)
        narrow.open.set()
        assert [status for status, _, _ in await asyncio.gather(*waiting, third)] == [200] * 3

    play(scene)


def test_writes_and_other_paths_reach_a_full_door(play):
    async def scene(world: World):
        narrow, waiting = await filled(world)
        assert (await world.post("/recommend", ASKED))[0] == 429
        world.stable.answer = None
        assert (await world.post("/events", {"events": [event()]}))[0] == 200
        assert (await world.get("/docs.json"))[0] == 200
        narrow.open.set()
        await asyncio.gather(*waiting)

    play(scene)


def test_a_refusal_of_one_caller_closes_the_door_to_nobody(play):
    async def scene(world: World):
        narrow, waiting = await filled(world)
        world.stable.answer, world.stable.status = None, 429  # of a caller's rate, say: it names no room
        assert (await world.post("/recommend", ASKED))[0] == 429
        world.stable.status = 200
        assert (await world.post("/recommend", ASKED))[0] == 200
        narrow.open.set()
        await asyncio.gather(*waiting)

    play(scene)


def test_callers_who_go_leave_their_room(play):
    async def scene(world: World):
        narrow, waiting = await filled(world)
        assert (await world.post("/recommend", ASKED))[0] == 429
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        narrow.open.set()
        await until(lambda: narrow.running == 0)

        async def again() -> bool:
            return bool((await world.post("/recommend", ASKED))[0] == 200)

        assert await again()

    play(scene)


def test_doors_each_have_a_room(play):
    async def scene(world: World):
        narrow, waiting = await filled(world)
        assert (await world.post("/recommend", ASKED))[0] == 429
        world.route("canary", share=1.0)
        assert (await world.post("/recommend", ASKED))[1]["release"] == "bbb"
        narrow.open.set()
        await asyncio.gather(*waiting)

    play(scene)

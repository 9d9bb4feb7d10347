"""What a door has no room for the router refuses itself, in the door's words, until there is room."""

import asyncio
from typing import Any

from aiohttp import web

from bentos.http.headers import ROOM
from bentos.http.problems import no_room
from bentos.router import room
from tests.bentos.router.conftest import World, event, until

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


def test_a_full_door_is_asked_once_and_again_when_it_has_room(play):
    async def scene(world: World):
        narrow, waiting = await filled(world)
        by_door = await world.post("/recommend", ASKED)
        assert len(world.stable.asked) == 3
        by_router = [await world.post(path, ASKED) for path in ("/recommend", "/intents", "/describe")]
        assert len(world.stable.asked) == 3, "the door was not asked"
        for status, body, headers in (by_door, *by_router):
            assert status == 429
            assert body == {"error": "service: 2 requests are running; allowed: 2", "where": "service", "allowed": "2"}
            assert (headers["Retry-After"], headers["X-IntentFlow-Release"]) == ("1", "aaa")
            assert ROOM not in headers
            assert "application/json" in headers["Content-Type"]
        assert (await world.seen())["arms"]["stable"]["shed"] == 3  # /describe is not timed
        narrow.open.set()
        assert [status for status, _, _ in await asyncio.gather(*waiting)] == [200, 200]
        assert (await world.post("/recommend", ASKED))[0] == 200, "there is room, though the refusal is fresh"

    play(scene)


def test_a_full_door_is_tried_again_after_its_refusal_is_old(play, monkeypatch):
    monkeypatch.setattr(room, "HOLDS_S", 0.05)

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

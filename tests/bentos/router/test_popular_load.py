"""At full load: a door that is away holds few requests up, and gets all of them back in steps."""

import asyncio

from bentos.router.slow_start import FAILURES, FIRST, WIDE
from tests.bentos.router.conftest import World, until
from tests.bentos.router.test_popular import ASK, QUICK, armed, ids


def test_a_silent_door_holds_up_few_and_all_of_them_come_back_to_it(play) -> None:
    async def scene(world: World):
        await armed(world, timeout_s=0.1)
        world.stable.pause_s = 30.0
        await asyncio.gather(*(world.post("/recommend", ASK) for _ in range(FAILURES)))
        before = len(world.stable.asked)
        answers = [asyncio.create_task(world.post("/recommend", ASK)) for _ in range(100)]
        await until(lambda: sum(one.done() for one in answers) >= 100 - FIRST)
        assert len(world.stable.asked) - before <= FIRST
        assert {(status, body["profile"]["reason"]) for status, body, _ in await asyncio.gather(*answers)} == {
            (200, "door_away")
        }
        world.stable.pause_s, world.stable.asked = 0.0, []
        assert ids((await world.post("/recommend", ASK))[1]) == ["i1", "i2", "i3"], "the first one is its own"
        for _ in range(6):
            answers = await asyncio.gather(*(world.post("/recommend", ASK) for _ in range(WIDE)))
        assert {status for status, _, _ in answers} == {200}
        assert all(ids(body) == ["i1", "i2", "i3"] for _, body, _ in answers)

    play(scene, patience_s=0.5, timeout_s=60.0, **QUICK)


def test_without_an_answer_of_its_own_the_router_holds_nothing_back(play) -> None:
    async def scene(world: World):
        world.stable.status = 503
        for _ in range(2):
            answers = await asyncio.gather(*(world.post("/recommend", ASK) for _ in range(30)))
        assert [status for status, _, _ in answers] == [503] * 30
        assert len(world.stable.asked) == 60

    play(scene)

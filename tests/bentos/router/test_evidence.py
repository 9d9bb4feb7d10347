"""What may decide a rollout: answers to callers whom a door knows, and nothing that a caller chose."""

import pytest
from aiohttp import web

from tests.bentos.router.conftest import TOKEN, World, until

HURRIED = {"X-Request-Timeout-Ms": "1"}
EVENTS = {"events": [{"event_id": "e1", "user_id": "1"}]}


def knows_nobody(status: int):
    """Refuse every caller but the router, whose copies carry its token."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        ours = request.headers.get("X-IntentFlow-Shadow") == TOKEN
        return web.json_response({}, status=200 if ours else status)

    return answer


async def hurries(request: web.BaseRequest) -> web.StreamResponse:
    """Answer in time only those who wait for it."""
    return web.json_response({}, status=504 if "X-Request-Timeout-Ms" in request.headers else 200)


@pytest.mark.parametrize("status", [400, 401, 403, 429, 431])
def test_what_stable_refuses_before_it_knows_its_caller_is_not_asked_of_the_candidate(play, status):
    async def scene(world: World):
        world.route("shadow", mirror=1.0)
        world.stable.answer = world.candidate.answer = knows_nobody(status)
        for _ in range(5):
            assert (await world.post("/recommend", {"user_id": "1"}))[0] == status
        world.stable.answer = None
        await world.post("/recommend", {"user_id": "1"})  # the queue is in order: behind it comes no other
        await until(lambda: world.router.counts.mirrored > 0)
        shadow = (await world.seen())["shadow"]
        assert (shadow["mirrored"], shadow["differing"], shadow["dropped"]) == (1, 0, 0)

    play(scene, mirror_at_once=1)


@pytest.mark.parametrize("status", [400, 401, 403, 431])
def test_refused_strangers_do_not_fill_a_canary(play, status):
    async def scene(world: World):
        world.route("canary", share=1.0)
        world.candidate.status = status
        for path, body in (("/recommend", {"user_id": "1"}), ("/events", EVENTS)):
            assert (await world.post(path, body))[0] == status
        candidate = (await world.seen())["arms"]["candidate"]
        assert (candidate["requests"], candidate["events"], candidate["buckets_ms"]["+Inf"]) == (0, 0, 0)
        metrics = (await world.get("/metrics"))[1].decode()
        assert f'arm="candidate",code="{status}"' in metrics, "whoever watches still sees them"
        world.candidate.status = 422  # a caller it knows, and a body that it cannot take
        await world.post("/recommend", {"user_id": "1"})
        assert (await world.seen())["arms"]["candidate"]["requests"] == 1

    play(scene)


def test_a_caller_s_own_haste_says_nothing_of_a_candidate(play):
    async def scene(world: World):
        world.candidate.answer = hurries
        for mode in ("canary", "shadow"):
            world.route(mode, share=1.0, mirror=1.0)
            for _ in range(3):
                assert (await world.post("/recommend", {"user_id": "1"}, **HURRIED))[0] == 200
        await world.post("/recommend", {"user_id": "1"})
        await until(lambda: world.router.counts.mirrored > 0)
        seen = await world.seen()
        assert (seen["shadow"]["mirrored"], seen["shadow"]["errors"]) == (1, 0)
        assert (seen["arms"]["candidate"]["requests"], seen["arms"]["candidate"]["errors"]) == (0, 0)

    play(scene, mirror_at_once=1)


def test_a_copy_of_events_does_not_hurry_with_its_caller(play):
    """Else it fails until its time is up, and the copies behind it wait."""

    async def scene(world: World):
        world.route("shadow")
        world.candidate.answer = hurries
        assert (await world.post("/events", EVENTS, **HURRIED))[0] == 200
        await until(lambda: world.router.counts.copies["sent"] == 1)
        assert len(world.candidate.asked) == 1

    play(scene)

"""While every door is away: /recommend is answered with what is popular, everything else is told when to retry."""

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import web
from yarl import URL

from bentos import keys
from bentos.access import Access
from bentos.endpoints.recommend import Recommendations
from feature_repo.endpoints import POPULAR
from tests.bentos.router.conftest import TOKEN, World, popular_document, until
from tests.bentos.router.test_upstreams import black_hole
from tests.patience import patient

ASK = {"user_id": "ann"}
EVENT = {"user_id": "ann", "item_id": "i1", "event": "purchase", "event_id": "e1"}
OTHERS = {
    "/events": {"events": [EVENT]},
    "/intents": ASK,
    "/rank": ASK | {"item_ids": ["i1"]},
    "/similar": ASK | {"item_id": "i1"},
    "/values": ASK | {"attribute": "brand"},
    "/explain": ASK | {"item_id": "i1"},
    "/describe": ASK | {"item_ids": ["i1"]},
}
QUICK = {"popular_every_s": 0.05, "popular_again_s": 0.05}


async def armed(world: World, **document: Any) -> None:
    """Have the router hold the stable door's document."""
    world.stable.popular = popular_document(world.stable.release, **document)
    world.router._popular.wake()
    await until(lambda: world.router._popular.document(world.router.file.routes) is not None)


def ids(body: Any) -> list[str]:
    return [item["item_id"] for item in body["items"]]


async def value(world: World, line: str) -> float:
    """Read a series of the router's metrics."""
    for one in (await world.get("/metrics"))[1].decode().splitlines():
        if one.startswith(line + " "):
            return float(one.split()[-1])
    return 0.0


@contextlib.contextmanager
def half_open() -> Iterator[int]:
    """Take every connection, and never answer."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(64)
        yield server.getsockname()[1]


async def cut(request: web.BaseRequest) -> web.StreamResponse:
    request.transport.abort()
    return web.Response()


@contextlib.asynccontextmanager
async def away(world: World, how: str) -> Any:
    """Take the only door away."""
    with contextlib.ExitStack() as held:
        if how == "killed":
            await world.stable.kill()
        elif how == "reset":
            world.stable.answer = cut
        elif how == "starting":
            world.stable.status = 503
        elif how == "slow":
            world.stable.pause_s = 30.0
        else:
            port = held.enter_context(black_hole() if how == "black-holed" else half_open())
            await world.stable.kill()
            world.stable.port = port
            world.route(candidate=False)
        yield


WAYS = ["killed", "reset", "starting", "slow", "black-holed", "half-open"]


@pytest.mark.parametrize("how", WAYS)
def test_without_a_door_reads_are_popular_and_all_else_is_told_to_retry(play, how):
    async def scene(world: World):
        await armed(world, timeout_s=0.1)
        async with away(world, how):
            started = time.monotonic()
            answers = await asyncio.gather(*(world.post("/recommend", ASK | {"user_id": f"u{n}"}) for n in range(8)))
            assert time.monotonic() - started < patient(3)
            for status, body, headers in answers:
                assert status == 200
                found = Recommendations.model_validate(body)
                assert (ids(body), found.release, headers["X-IntentFlow-Release"]) == (["p0", "p1", "p2"], "aaa", "aaa")
                assert (found.profile.rung, found.profile.degraded, found.profile.reason) == (
                    "popular",
                    True,
                    "door_away",
                )
                assert found.request_id == headers["X-Request-Id"]
                assert "u0" not in json.dumps(body)
            others = await asyncio.gather(*(world.post(path, body) for path, body in OTHERS.items()))
            for path, (status, said, headers) in zip(OTHERS, others, strict=True):
                code = 504 if how in ("slow", "half-open") else 502 if how == "reset" else 503
                assert (path, status) == (path, code)
                if how != "starting":  # whose words are the door's
                    assert (headers["Retry-After"], said["allowed"]) == ("1", "a retry")
        arm = (await world.seen())["arms"]["stable"]
        assert arm["errors"] == arm["requests"], "no answer of the router's is one of the release"
        assert await value(world, 'intentflow_router_popular_answers_total{release="aaa"}') == 8.0

    play(scene, patience_s=0.5, timeout_s=2.5, **QUICK)


def test_without_a_document_a_read_says_when_to_retry(play):
    async def scene(world: World):
        await world.stable.kill()
        code, body, headers = await world.post("/recommend", ASK)
        assert (code, body["error"], headers["Retry-After"]) == (503, "no door takes requests", "1")

    play(scene)


def test_a_door_that_returns_answers_the_next_request(play):
    async def scene(world: World):
        await armed(world)
        await world.stable.kill()
        assert (await world.post("/recommend", ASK))[1]["profile"]["reason"] == "door_away"
        await world.stable.open()
        assert ids((await world.post("/recommend", ASK))[1]) == ["i1", "i2", "i3"]

    play(scene, popular_again_s=60.0)


def test_the_doors_are_asked_no_more_than_normal_traffic_does(play):
    async def scene(world: World):
        await armed(world)
        world.stable.status = 503
        before = len(world.stable.asked), len(world.stable.popular_asked)
        for _ in range(20):
            await world.post("/recommend", ASK)
        assert (len(world.stable.asked), len(world.stable.popular_asked)) == (before[0] + 20, before[1])

    play(scene)


@pytest.mark.parametrize("mode", ["shadow", "canary"])
def test_in_a_rollout_both_arms_are_charged_and_the_mirror_sees_nothing(play, mode):
    async def scene(world: World):
        await armed(world)
        world.route(mode, share=1.0)
        await world.stable.kill()
        world.candidate.status = 503
        status, body, _ = await world.post("/recommend", ASK)
        assert (status, body["profile"]["reason"]) == (200, "door_away")
        seen = await world.seen()
        arms = {name: (arm["requests"], arm["errors"], arm["degraded"]) for name, arm in seen["arms"].items()}
        assert arms == {"stable": (1, 1, 0), "candidate": (1, 1, 0)}
        assert (seen["shadow"]["mirrored"], seen["shadow"]["dropped"]) == (0, 0)

    play(scene)


def test_another_release_that_runs_still_answers_first(play):
    async def scene(world: World):
        await armed(world)
        world.route("canary", share=0.0)
        await world.stable.kill()
        assert (await world.post("/recommend", ASK))[1]["release"] == "bbb"

    play(scene)


@pytest.mark.parametrize(
    ("body", "status", "where"),
    [
        ("{", 400, "body"),
        ("", 400, "body"),
        ("[]", 422, "body"),
        ("{}", 422, "user_id"),
        ('{"user_id": 7}', 422, "user_id"),
        ('{"user_id": "a", "segment": "x"}', 422, "segment"),
        ('{"user_id": "a", "k": 0}', 422, "k"),
        ('{"user_id": "a", "k": 51}', 422, "k"),
        ('{"user_id": "a", "at": "soon"}', 422, "at"),
        ('{"user_id": "a", "exclude": "p0"}', 422, "exclude"),
    ],
)
def test_what_a_door_would_refuse_is_refused(play, body, status, where):
    async def scene(world: World):
        await armed(world)
        await world.stable.kill()
        async with world.client.post(world.url + "/recommend", data=body) as reply:
            assert (reply.status, (await reply.json())["where"]) == (status, where)
        assert await value(world, f'intentflow_router_own_total{{code="{status}"}}') == 1.0

    play(scene)


def test_a_patience_that_is_none_is_refused_as_a_door_does(play):
    async def scene(world: World):
        await armed(world)
        await world.stable.kill()
        status, body, _ = await world.post("/recommend", ASK, **{"X-Request-Timeout-Ms": "soon"})
        assert (status, body["where"]) == (400, "X-Request-Timeout-Ms")
        assert (await world.post("/recommend", ASK, **{"X-Request-Timeout-Ms": "900"}))[0] == 200

    play(scene)


@pytest.mark.parametrize(
    ("more", "shown"),
    [
        ({"k": 1}, ["p0"]),
        ({"k": 50}, ["p0", "p1", "p2", "p3", "p4"]),  # all there are
        ({"k": 2, "exclude": ["p0", "p2", "no item"]}, ["p1", "p3"]),
        ({"exclude": ["p0", "p1", "p2", "p3", "p4"]}, []),
    ],
)
def test_k_and_exclude_hold(play, more, shown):
    async def scene(world: World):
        await armed(world)
        await world.stable.kill()
        status, body, _ = await world.post("/recommend", ASK | more)
        assert (status, ids(body)) == (200, shown)

    play(scene)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "OPTIONS"])
def test_another_method_gets_no_items(play, method):
    async def scene(world: World):
        await armed(world)
        await world.stable.kill()
        async with world.client.request(method, world.url + "/recommend") as reply:
            assert (reply.status, reply.headers["Retry-After"]) == (503, "1")
            assert b"p0" not in await reply.read()

    play(scene)


@pytest.mark.parametrize(
    "path", [POPULAR, "/%69nternal/popular", "/internal%2Fpopular", POPULAR + "?a=1", POPULAR + "/", "/x/.." + POPULAR]
)
def test_a_caller_does_not_reach_the_document_through_the_router(play, path):
    async def scene(world: World):
        await armed(world)
        world.stable.popular_asked.clear()
        for method in ("GET", "HEAD", "POST"):
            headers = {"X-IntentFlow-Shadow": TOKEN}
            target = URL(world.url + path, encoded=True)
            async with world.client.request(method, target, headers=headers) as reply:
                assert b"p0" not in await reply.read()
        assert all(TOKEN not in given.values() for _, _, given in world.stable.asked)
        assert world.stable.popular_asked == []

    play(scene, popular_every_s=60.0)


def test_where_doors_ask_for_keys_the_router_does_too(play, tmp_path):
    made, other = tmp_path / "keys.json", {}
    for name, scope in (("shop", "recommend"), ("till", "events")):
        other[name] = keys.make(made, name=name, scopes=(scope,))

    async def scene(world: World):
        await armed(world, auth="keys")
        await world.stable.kill()
        assert (await world.post("/recommend", ASK))[0] == 401
        assert (await world.post("/recommend", ASK, **{"X-API-Key": "if_a_b"}))[0] == 401
        assert (await world.post("/recommend", ASK, **{"X-API-Key": other["till"]}))[0] == 403
        for given in ({"X-API-Key": other["shop"]}, {"Authorization": f"Bearer {other['shop']}"}):
            status, body, _ = await world.post("/recommend", ASK, **given)
            assert (status, ids(body)) == (200, ["p0", "p1", "p2"])

    play(scene, access=Access(auth="keys", keys_file=str(made)), **QUICK)


def test_a_door_s_own_long_deadline_is_waited_for(play):
    async def scene(world: World):
        await armed(world, timeout_s=2.0)
        world.stable.pause_s = 1.0
        assert ids((await world.post("/recommend", ASK))[1]) == ["i1", "i2", "i3"]

    play(scene, patience_s=0.3)


@pytest.mark.parametrize("how", ["slow", "half-open"])
def test_a_silent_door_is_waited_for_as_long_as_another_could_answer(play, how):
    async def scene(world: World):
        await armed(world, timeout_s=0.1)
        async with away(world, how):
            status, body, _ = await asyncio.wait_for(world.post("/recommend", ASK), patient(5))
            assert (status, body["profile"]["reason"]) == (200, "door_away")

    play(scene, patience_s=0.3, timeout_s=60.0, **QUICK)


def test_an_answer_over_a_later_catalogue_makes_the_router_ask_anew(play):
    async def scene(world: World):
        await armed(world, catalogue_version=1)
        world.stable.popular = popular_document(world.stable.release, catalogue_version=2, items=3)
        popular = world.router._popular
        popular.saw("1")
        popular.saw(None)
        popular.saw("two")
        assert not popular._wake.is_set(), "nothing is newer"
        popular.saw("2")
        routes = world.router.file.routes
        await until(lambda: popular.document(routes).catalogue_version == 2)
        popular.saw("2")
        assert not popular._wake.is_set(), "a version wakes once"

    play(scene, popular_every_s=600)

"""The router between real clients and real doors."""

import asyncio
import json
import re

import aiohttp
import pytest
from aiohttp import web

from bentos.router.observations import Observations
from bentos.router.routes import arm_of
from monitoring.observability import metrics_catalogue
from tests.bentos.router.conftest import TOKEN, World, event, until
from tests.monitoring.observability.exposition import differences


def test_a_user_s_answers_come_from_one_arm_and_say_which_release(play):
    async def scene(world: World):
        world.route("canary", share=0.5)
        for user in map(str, range(20)):
            expected = {"stable": "aaa", "candidate": "bbb"}[arm_of(user, world.router.file.routes)]
            for path in ("/recommend", "/intents", "/rank", "/explain", "/describe"):
                status, body, headers = await world.post(path, {"user_id": user})
                assert (status, body["release"], headers["X-IntentFlow-Release"]) == (200, expected, expected)
        seen = Observations.model_validate(await world.seen())
        assert seen.arms["stable"].requests + seen.arms["candidate"].requests == 20 * 4  # /describe is not timed
        assert seen.arms["candidate"].buckets_ms["+Inf"] == seen.arms["candidate"].requests > 0

    play(scene)


def test_headers_pass_but_a_client_cannot_pretend_to_be_a_copy(play):
    async def scene(world: World):
        trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        given = {"traceparent": trace, "Authorization": "Bearer k", "X-Request-Id": "r-7", "X-IntentFlow-Shadow": TOKEN}
        _, _, headers = await world.post("/recommend", {"user_id": "1"}, **given)
        got = world.stable.asked[-1][2]
        assert (got["traceparent"], got["Authorization"], got["X-Request-Id"]) == (trace, "Bearer k", "r-7")
        assert "X-IntentFlow-Shadow" not in got
        assert (headers["X-Request-Id"], got["X-Forwarded-For"]) == ("r-7", "127.0.0.1")
        _, _, headers = await world.post("/recommend", {"user_id": "1"}, **{"X-Request-Id": "two words"})
        assert re.fullmatch("[0-9a-f]{32}", headers["X-Request-Id"])

    play(scene)


def test_every_other_path_goes_to_stable_as_it_is(play):
    async def scene(world: World):
        world.route("canary", share=1.0)
        await world.get("/docs.json?a=%2Fb&c")
        await world.get("/any//where/%7Euser")
        assert [path for path, _, _ in world.stable.asked] == ["/docs.json?a=%2Fb&c", "/any//where/%7Euser"]
        assert (await world.post("/nowhere", {}))[0] == 200

    play(scene)


def test_a_killed_door_costs_no_request_under_load(play):
    async def scene(world: World):
        world.route("canary", share=0.5)
        codes: list[int] = []

        async def user(name: str) -> None:
            for turn in range(40):
                body = {"events": [event(name, f"{name}-{turn}")]} if turn % 4 == 3 else {"user_id": name}
                codes.append((await world.post("/events" if turn % 4 == 3 else "/recommend", body))[0])

        async def killer() -> None:
            await until(lambda: len(codes) > 100)
            await world.candidate.kill()
            await until(lambda: len(codes) > 250)
            await world.candidate.open()
            await until(lambda: len(codes) > 350)
            await world.stable.kill()

        world.stable.pause_s = world.candidate.pause_s = 0.002
        await asyncio.gather(killer(), *(user(str(name)) for name in range(16)))
        assert codes == [200] * 640
        seen = await world.seen()
        assert seen["arms"]["candidate"]["errors"] > 0
        assert seen["arms"]["stable"]["errors"] > 0

    play(scene)


@pytest.mark.parametrize("status", [500, 503])
def test_a_candidate_that_fails_is_counted_and_its_users_are_answered_by_stable(play, status):
    async def scene(world: World):
        world.route("canary", share=1.0)
        world.candidate.status = status
        for _ in range(5):
            code, body, headers = await world.post("/recommend", {"user_id": "1"})
            assert (code, body["release"], headers["X-IntentFlow-Release"]) == (200, "aaa", "aaa")
        arms = (await world.seen())["arms"]
        assert (arms["candidate"]["errors"], arms["stable"]["errors"], arms["stable"]["requests"]) == (5, 0, 5)

    play(scene)


def test_a_candidate_that_hangs_is_left_for_stable_in_time(play):
    async def scene(world: World):
        world.route("canary", share=1.0)
        world.candidate.pause_s = 5.0
        code, body, _ = await asyncio.wait_for(world.post("/recommend", {"user_id": "1"}), 2)
        assert (code, body["release"]) == (200, "aaa")
        assert (await world.seen())["arms"]["candidate"]["errors"] == 1

    play(scene, patience_s=0.1)


def test_without_another_release_a_dead_door_is_one_line_and_a_hanging_one_is_late(play):
    async def scene(world: World):
        world.stable.pause_s = 5.0
        code, body, headers = await world.post("/recommend", {"user_id": "1"})
        assert (code, body["error"], headers["Retry-After"]) == (504, "the door did not answer in time", "1")
        await world.stable.kill()
        code, body, _ = await world.post("/recommend", {"user_id": "1"})
        assert (code, body["error"]) == (503, "no door takes requests")

    play(scene, timeout_s=0.2)


def test_events_without_ids_are_not_sent_twice_once_they_may_have_been_taken(play):
    async def scene(world: World):
        world.route("canary", share=0.0)

        async def cut(request: web.BaseRequest) -> web.StreamResponse:
            request.transport.abort()
            return web.Response()

        world.stable.answer = cut
        assert (await world.post("/events", {"events": [event()]}))[0] == 502
        assert len(world.stable.of("/events")) == 1
        assert (await world.post("/events", {"events": [event(event_id="e1")]}))[0] == 200  # the other arm took it
        assert len(world.stable.of("/events")) == 3
        await world.stable.kill()
        assert (await world.post("/events", {"events": [event()]}))[0] == 200  # refused: nobody has taken it

    play(scene)


def test_new_routes_lose_no_request_and_a_new_rollout_counts_anew(play):
    async def scene(world: World):
        world.route("canary", share=0.5)
        codes: list[int] = []

        async def user(name: str) -> None:
            for _ in range(25):
                codes.append((await world.post("/recommend", {"user_id": name}))[0])

        async def changes() -> None:
            for share in (0.6, 0.8, 1.0):
                await asyncio.sleep(0.02)
                world.route("canary", share=share)

        await asyncio.gather(changes(), *(user(str(name)) for name in range(8)))
        assert codes == [200] * 200
        before = await world.seen()
        assert sum(arm["requests"] for arm in before["arms"].values()) == 200
        world.route("stable", rollout="r2")
        after = await world.seen()
        assert (after["boot"], after["rollout"], after["arms"]["stable"]["requests"]) == (before["boot"], "r2", 0)

    play(scene)


def test_a_broken_routes_file_keeps_the_last_good_one_and_says_so(play, caplog):
    async def scene(world: World):
        file = world.router.settings.routes
        file.write_text('{"mode": "canary", "stable": 3}')
        await until(lambda: "stable" in world.router.file.problem)
        await asyncio.sleep(0.05)
        assert (await world.post("/recommend", {"user_id": "1"}))[0] == 200
        assert "intentflow_router_routes_broken 1.0" in (await world.get("/metrics"))[1].decode()
        assert len([r for r in caplog.records if "rollout 'r1' stays" in r.message]) == 1
        file.unlink()
        await until(lambda: "No such file" in world.router.file.problem)
        assert (await world.get("/readyz"))[0] == 200
        world.route(candidate=False, rollout="r9")
        assert (await world.seen())["rollout"] == "r9"

    play(scene)


def test_a_stream_arrives_piece_by_piece_and_a_broken_one_is_seen_to_break(play):
    async def scene(world: World):
        more = asyncio.Event()

        async def tell(request: web.BaseRequest) -> web.StreamResponse:
            reply = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await reply.prepare(request)
            await reply.write(b"data: one\n\n")
            await more.wait()
            await reply.write(b"data: two\n\n")
            return reply

        world.stable.answer = tell
        async with world.client.post(world.url + "/describe", json={"user_id": "1"}) as reply:
            assert reply.content_type == "text/event-stream"
            assert await asyncio.wait_for(reply.content.readany(), 2) == b"data: one\n\n"
            more.set()
            assert await reply.content.read() == b"data: two\n\n"
        more.clear()
        async with world.client.post(world.url + "/describe", json={"user_id": "1"}) as reply:
            await reply.content.readany()
            await world.stable.kill()
            with pytest.raises(aiohttp.ClientPayloadError):
                await reply.content.read()

    play(scene)


def test_the_router_drains(play):
    async def scene(world: World):
        world.stable.pause_s = 0.4
        slow = asyncio.create_task(world.post("/recommend", {"user_id": "1"}))
        await until(lambda: len(world.stable.asked) == 1)
        stopping = asyncio.create_task(world.router.stop())
        await until(lambda: world.router.draining)
        status, _, headers = await slow
        assert (status, headers["Connection"]) == (200, "close")
        await stopping
        async with aiohttp.ClientSession() as late:
            with pytest.raises(aiohttp.ClientConnectorError):
                await late.get(world.url + "/livez")

    play(scene)


def test_an_open_connection_hears_503_from_readyz_while_the_router_drains(play):
    async def scene(world: World):
        assert await world.get("/readyz") == (200, b"ready\n")
        stopping = asyncio.create_task(world.router.stop())
        await until(lambda: world.router.draining)
        assert await world.get("/readyz") == (503, b"draining\n")
        await stopping

    play(scene, linger_s=0.3)


def test_a_router_without_routes_is_alive_and_not_ready(play):
    async def scene(world: World):
        world.router.file.routes = None
        assert (await world.get("/livez"))[0] == 200
        assert (await world.get("/readyz"))[0] == 503
        assert (await world.post("/recommend", {"user_id": "1"}))[0] == 503

    play(scene)


def test_a_huge_body_is_refused_and_a_large_one_is_not(play):
    async def scene(world: World):
        assert (await world.post("/recommend", {"user_id": "1", "pad": "x" * (2 << 20)}))[0] == 413
        assert (await world.post("/recommend", {"user_id": "1", "pad": "x" * 1_000_000}))[0] == 200

        async def chunks():
            for _ in range(40):
                yield b"x" * (64 << 10)

        async with world.client.post(world.url + "/recommend", data=chunks()) as reply:
            assert reply.status == 413
        assert len(world.stable.asked) == 1

    play(scene)


def test_what_it_counts_is_told_to_this_machine_or_on_a_port_of_its_own(play):
    async def scene(world: World):
        await world.post("/recommend", {"user_id": "1"})
        text = (await world.get("/metrics"))[1].decode()
        assert list(differences(text, metrics_catalogue.of("router"))) == []
        line = 'intentflow_router_requests_total{arm="stable",code="200",endpoint="/recommend",release="aaa"} 1.0'
        assert line in text
        for path in ("/metrics", "/router/observations"):
            assert (await world.get(path, **{"X-Forwarded-For": "10.0.0.9"}))[0] == 404
        assert (await world.post("/livez", {}))[0] == 405

    play(scene)


def test_with_an_admin_port_the_public_one_tells_nothing(play):
    from pipelines.releases.processes import free_port

    admin = free_port(0)

    async def scene(world: World):
        assert (await world.get("/router/observations"))[0] == 404
        async with world.client.get(f"http://127.0.0.1:{admin}/router/observations") as reply:
            assert json.loads(await reply.read())["rollout"] == "r1"
        async with world.client.post(f"http://127.0.0.1:{admin}/recommend", json={"user_id": "1"}) as reply:
            assert reply.status == 404

    play(scene, admin_port=admin)


def test_degraded_and_shed_answers_are_counted(play):
    async def scene(world: World):
        world.stable.degraded = True
        await world.post("/recommend", {"user_id": "1"})
        world.stable.degraded, world.stable.status = False, 429
        assert (await world.post("/recommend", {"user_id": "1"}))[0] == 429
        arm = (await world.seen())["arms"]["stable"]
        assert (arm["requests"], arm["errors"], arm["degraded"], arm["shed"]) == (2, 0, 1, 1)

    play(scene)


def test_a_client_that_goes_in_the_middle_of_its_body_leaves_nothing_behind(play):
    async def scene(world: World):
        _, writer = await asyncio.open_connection("127.0.0.1", world.router.settings.port)
        writer.write(b"POST /recommend HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab")
        await until(lambda: world.router.in_flight == 1)
        writer.close()
        await until(lambda: world.router.in_flight == 0)
        assert world.stable.asked == []

    play(scene)


def test_a_body_that_does_not_come_is_given_up(play, monkeypatch):
    monkeypatch.setattr("bentos.router.listen.BODY_S", 0.1)

    async def scene(world: World):
        reader, writer = await asyncio.open_connection("127.0.0.1", world.router.settings.port)
        writer.write(b"POST /recommend HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n{}")
        assert b" 408 " in await asyncio.wait_for(reader.readline(), 2)
        writer.close()

    play(scene)

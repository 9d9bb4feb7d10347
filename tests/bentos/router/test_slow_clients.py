"""Clients that are slow to ask, slow to read, or gone: none holds anything for ever."""

import asyncio
import contextlib

import pytest
from aiohttp import web

from bentos.router import door_connection
from tests.bentos.router.conftest import World, until
from tests.patience import patient

LINE = b"POST /recommend HTTP/1.1\r\nHost: a\r\n"
GOOD = LINE + b'Content-Length: 15\r\n\r\n{"user_id":"1"}'
STREAM = b"POST /describe HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"


@contextlib.asynccontextmanager
async def client(world: World):
    reader, writer = await asyncio.open_connection("127.0.0.1", world.router.settings.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def all_of(reader: asyncio.StreamReader) -> bytes:
    return await asyncio.wait_for(reader.read(), patient(5))


@pytest.mark.parametrize("drip", [b"X-A: a\r\n", b"\r\n"], ids=["headers", "empty lines"])
def test_a_request_that_comes_drop_by_drop_is_given_up(play, monkeypatch, drip):
    monkeypatch.setattr("bentos.router.listen.HEAD_S", 0.5)

    async def scene(world: World):
        async with client(world) as (reader, writer):
            if drip != b"\r\n":
                writer.write(LINE)

            async def dripping() -> None:
                with contextlib.suppress(ConnectionError):
                    while True:
                        writer.write(drip)
                        await writer.drain()
                        await asyncio.sleep(0.05)

            dripper = asyncio.create_task(dripping())
            assert (await all_of(reader)).startswith(b"HTTP/1.1 408 ")
            dripper.cancel()
        assert world.router.in_flight == 0

    play(scene)


def test_a_connection_without_a_request_is_closed_and_one_that_asks_is_later(play, monkeypatch):
    for bound in ("HEAD_S", "KEEP_S"):
        monkeypatch.setattr(f"bentos.router.listen.{bound}", 1.5)

    async def scene(world: World):
        async with client(world) as (idle, _), client(world) as (reader, writer):
            await asyncio.sleep(1.0)
            writer.write(GOOD)
            await asyncio.wait_for(reader.readuntil(b'"release":"aaa"}'), patient(2))
            assert await all_of(idle) == b""
            assert not reader.at_eof(), "its time began anew with its answer"
            assert await all_of(reader) == b""

    play(scene)


def test_a_client_that_does_not_read_is_left_and_the_door_is_held_back_meanwhile(play, monkeypatch):
    monkeypatch.setattr("bentos.router.listen.WRITE_S", 1.0)
    written = 0

    async def scene(world: World):
        async def pour(request: web.BaseRequest) -> web.StreamResponse:
            nonlocal written
            reply = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await reply.prepare(request)
            for _ in range(1000):
                await reply.write(b"x" * 100_000)
                written += 100_000
            return reply

        world.stable.answer = pour
        async with client(world) as (_, writer):
            writer.write(STREAM)
            await until(lambda: world.router.in_flight == 1)
            writer.transport.pause_reading()
            await until(lambda: world.router.in_flight == 0, within_s=10)
        assert written < 50_000_000, "the router has taken all of it in"
        world.stable.answer = None
        assert (await world.post("/recommend", {"user_id": "1"}))[0] == 200

    play(scene)


def test_a_stream_that_its_client_leaves_is_ended_at_the_door(play):
    async def scene(world: World):
        ended = asyncio.Event()

        async def pour(request: web.BaseRequest) -> web.StreamResponse:
            reply = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await reply.prepare(request)
            try:
                while True:
                    await reply.write(b"data: x\n\n")
                    await asyncio.sleep(0.02)
            finally:
                ended.set()

        world.stable.answer = pour
        async with client(world) as (reader, writer):
            writer.write(STREAM)
            await asyncio.wait_for(reader.readuntil(b"data: x"), patient(2))
        await asyncio.wait_for(ended.wait(), patient(5))
        await until(lambda: world.router.in_flight == 0)

    play(scene)


def test_an_old_client_gets_a_stream_without_chunks_and_its_end_with_the_connection(play):
    async def scene(world: World):
        async def tell(request: web.BaseRequest) -> web.StreamResponse:
            reply = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await reply.prepare(request)
            await reply.write(b"data: one\n\n")
            await reply.write(b"data: two\n\n")
            return reply

        world.stable.answer = tell
        async with client(world) as (reader, writer):
            writer.write(b"POST /describe HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n{}")
            head, _, body = (await all_of(reader)).partition(b"\r\n\r\n")
            assert b"connection: close" in head.lower()
            assert b"chunked" not in head.lower()
            assert body == b"data: one\n\ndata: two\n\n"

    play(scene)


def test_a_silent_stream_is_broken_off(play):
    async def scene(world: World):
        async def tell(request: web.BaseRequest) -> web.StreamResponse:
            reply = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await reply.prepare(request)
            await reply.write(b"data: one\n\n")
            await asyncio.sleep(30)
            return reply

        world.stable.answer = tell
        async with client(world) as (reader, writer):
            writer.write(STREAM)
            heard = await all_of(reader)
            assert heard.endswith(b"data: one\n\n\r\n"), "no last chunk: the client sees that it broke"
        assert world.router.in_flight == 0

    play(scene, timeout_s=0.4)


def test_events_whose_client_has_gone_still_reach_both_releases(play):
    async def scene(world: World):
        world.route("shadow")
        world.stable.pause_s = 0.2
        async with client(world) as (_, writer):
            body = b'{"events": [{"event_id": "e1", "user_id": "1"}]}'
            writer.write(b"POST /events HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
            await until(lambda: world.stable.asked)
        await until(lambda: world.candidate.of("/events"))
        await until(lambda: world.router.in_flight == 0)

    play(scene)


def test_a_large_answer_passes_in_pieces_with_its_length(play):
    async def scene(world: World):
        large = b"x" * (door_connection.WHOLE_BYTES + 1)

        async def tell(request: web.BaseRequest) -> web.StreamResponse:
            return web.Response(body=large)

        world.stable.answer = tell
        async with world.client.post(world.url + "/recommend", json={"user_id": "1"}) as reply:
            assert (reply.content_length, await reply.read()) == (len(large), large)

    play(scene)


def test_bodies_of_many_slow_clients_do_not_fill_the_memory(play, monkeypatch):
    monkeypatch.setattr("bentos.router.listen.MOST_BYTES", 1_000_000)
    head = LINE + b"Content-Length: 900000\r\n\r\n"

    async def scene(world: World):
        async with client(world) as (_, first), client(world) as (reader, second):
            first.write(head + b"x" * 800_000)
            await until(lambda: world.router._sites[0].held_bytes == 800_000)
            second.write(head + b"x" * 800_000)
            heard = await all_of(reader)
            assert heard.startswith(b"HTTP/1.1 503 ")
            assert b"Retry-After: 1" in heard
            assert (await world.post("/recommend", {"user_id": "1"}))[0] == 200
        await until(lambda: world.router._sites[0].held_bytes == 0)
        assert world.router.in_flight == 0

    play(scene)


def test_more_connections_than_allowed_are_told_to_retry_and_the_others_go_on(play, monkeypatch):
    monkeypatch.setattr("bentos.router.listen.MOST", 2)

    async def scene(world: World):
        async with client(world) as (kept, asking), client(world):
            asking.write(GOOD)
            await asyncio.wait_for(kept.readuntil(b'"release":"aaa"}'), patient(2))
            async with client(world) as (refused, _):
                assert (await all_of(refused)).startswith(b"HTTP/1.1 503 ")
            asking.write(GOOD)
            await asyncio.wait_for(kept.readuntil(b'"release":"aaa"}'), patient(2))
        await until(lambda: not world.router._sites[0].connections)
        assert (await world.post("/recommend", {"user_id": "1"}))[0] == 200

    play(scene)


def test_after_every_kind_of_request_nothing_is_held(play):
    async def scene(world: World):
        upgrade = b"Connection: Upgrade\r\nUpgrade: h2c\r\n"
        async with client(world) as (reader, writer):
            writer.write(
                LINE + upgrade + b"Content-Length: 2\r\n\r\n{}" + GOOD + b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"
            )
            writer.write(LINE + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n")
            writer.write(LINE + b"Content-Length: 9\r\nConnection: close\r\n\r\n{")
            writer.write_eof()
            await all_of(reader)
        async with client(world) as (_, writer):
            writer.write(GOOD * 20)
            writer.transport.abort()
        await until(lambda: world.router.in_flight == 0)
        assert world.router._sites[0].held_bytes == 0

    play(scene)

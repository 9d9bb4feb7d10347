"""The bounds on what one client makes the router hold: no kind of request has a way around them."""

import asyncio
import subprocess
import sys

import pytest
from aiohttp import web

from bentos.router import client_connection, door_connection
from tests.bentos.router.conftest import World, until
from tests.bentos.router.test_slow_clients import GOOD, LINE, all_of, client
from tests.patience import patient

UPGRADE = LINE + b"Connection: Upgrade\r\nUpgrade: h2c\r\n"


def test_bodies_beside_an_upgrade_count_as_bodies(play, monkeypatch):
    monkeypatch.setattr("bentos.router.listen.MOST_BYTES", 1_000_000)
    head = UPGRADE + b"Content-Length: 900000\r\n\r\n"

    async def scene(world: World):
        site = world.router._sites[0]
        async with client(world) as (_, first), client(world) as (reader, second):
            first.write(head + b"x" * 800_000)
            await until(lambda: site.held_bytes == 800_000)
            second.write(head + b"x" * 800_000)
            assert (await all_of(reader)).startswith(b"HTTP/1.1 503 ")
            assert site.held_bytes == 800_000
        await until(lambda: site.held_bytes == 0)
        assert world.router.in_flight == 0

    play(scene)


def test_trailers_are_as_short_as_headers(play):
    """The parser keeps a trailer until it is whole, and no budget counts it."""

    async def scene(world: World):
        for part, status in ((b"a" * 1000, b"200"), (b"a" * 100_000, b"431")):
            async with client(world) as (reader, writer):
                writer.write(LINE + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n")
                for piece in (b"X-A: ", part, part, part, b"\r\n\r\n" if status == b"200" else b""):
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0.02)
                assert (await all_of(reader)).startswith(b"HTTP/1.1 " + status)
        await until(lambda: world.router.in_flight == 0)

    play(scene)


def test_many_small_chunks_are_one_body_all_the_same(play):
    async def scene(world: World):
        async with client(world) as (reader, writer):
            writer.write(LINE + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(20):
                writer.write(b"1;" + b"e" * 2000 + b"\r\nx\r\n")
                await writer.drain()
                await asyncio.sleep(0.005)
            writer.write(b"0\r\n\r\n")
            assert (await all_of(reader)).startswith(b"HTTP/1.1 200 ")
        assert world.stable.of("/recommend") == [b"x" * 20]

    play(scene)


@pytest.mark.parametrize("one", [GOOD, UPGRADE + b"\r\n", UPGRADE + b"Content-Length: 2\r\n\r\n{}"])
def test_a_client_that_asks_far_ahead_is_told_to_wait(play, one):
    async def scene(world: World):
        held: list[int] = []
        world.stable.pause_s = 0.2

        async def watch() -> None:
            while True:
                held.append(world.router.in_flight)
                await asyncio.sleep(0.005)

        watching = asyncio.create_task(watch())
        async with client(world) as (reader, writer):
            writer.write(GOOD)
            await until(lambda: len(world.stable.asked) == 1)
            world.stable.pause_s = 0.0
            writer.write(one * 2000)
            heard = await all_of(reader)
        watching.cancel()
        most = client_connection.AHEAD + 1
        assert (heard.count(b"HTTP/1.1 200 "), heard.count(b"HTTP/1.1 503 ")) == (most, 1)
        assert max(held) == most
        await until(lambda: world.router.in_flight == 0)
        assert world.router._sites[0].held_bytes == 0

    play(scene)


class Stuck:
    """A transport of a client that never reads: closing waits for what is written to go."""

    def __init__(self, of: asyncio.Transport) -> None:
        self.of, self.aborted = of, False

    def close(self) -> None:
        """Wait."""

    def abort(self) -> None:
        self.aborted = True
        self.of.abort()

    def __getattr__(self, name: str) -> object:
        return getattr(self.of, name)


@pytest.mark.parametrize("says_no_more", [False, True])
def test_a_client_that_never_reads_its_answer_does_not_stay(play, monkeypatch, says_no_more):
    monkeypatch.setattr("bentos.router.listen.KEEP_S", 0.3)
    monkeypatch.setattr("bentos.router.listen.CLOSE_S", 0.1)
    monkeypatch.setattr("bentos.router.listen.WRITE_S", 0.3)

    async def scene(world: World):
        site = world.router._sites[0]
        world.stable.pause_s = 0.1
        async with client(world) as (_, writer):
            await until(lambda: len(site.connections) == 1)
            (connection,) = site.connections
            stuck = connection._transport = Stuck(connection._transport)
            writer.write(GOOD)
            if says_no_more:
                writer.write_eof()
            await until(lambda: stuck.aborted)
            await until(lambda: not site.connections)

    play(scene)


def test_a_connection_that_a_slow_client_held_back_serves_the_next_one(play, monkeypatch):
    monkeypatch.setattr(door_connection, "AHEAD_BYTES", 1000)

    async def scene(world: World):
        async def tell(request: web.BaseRequest) -> web.StreamResponse:
            return web.Response(body=b"x" * 10_000, content_type="text/event-stream")

        world.stable.answer = tell  # its last piece comes with the first, and is more than may wait
        for _ in range(3):
            async with world.client.post(world.url + "/describe", json={"user_id": "1"}) as reply:
                assert len(await asyncio.wait_for(reply.read(), patient(5))) == 10_000
        world.stable.answer = None
        assert (await world.post("/recommend", {"user_id": "1"}))[0] == 200
        assert world.router.metrics.registry.get_sample_value(
            "intentflow_router_requests_total",
            {"arm": "stable", "release": "aaa", "code": "0", "endpoint": "/describe"},
        ) is None  # fmt: skip

    play(scene, timeout_s=0.5)


def test_a_connection_that_has_not_asked_has_the_time_of_a_head_and_one_that_has_stays(play, monkeypatch):
    monkeypatch.setattr("bentos.router.listen.HEAD_S", 0.3)

    async def scene(world: World):
        async with client(world) as (reader, writer), client(world) as (idle, _):
            writer.write(GOOD)
            await asyncio.wait_for(reader.readuntil(b'"release":"aaa"}'), patient(2))
            assert await all_of(idle) == b""
            writer.write(GOOD)
            await asyncio.wait_for(reader.readuntil(b'"release":"aaa"}'), patient(2))

    play(scene)


LIMITS = """
import asyncio, resource, sys
soft, hard = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
from bentos.router import listen
listen.allow_files()

async def most():
    return listen.Site(None, None, draining=lambda: False).most

print(resource.getrlimit(resource.RLIMIT_NOFILE)[0], asyncio.run(most()))
"""


@pytest.mark.process
@pytest.mark.parametrize(
    ("soft", "hard", "files", "most"), [(1024, 1024, 1024, 768), (256, 2000, 2000, 1744), (200, 200, 200, 16)]
)
def test_no_more_clients_are_let_in_than_files_may_be_open(soft, hard, files, most):
    words = [sys.executable, "-c", LIMITS, str(soft), str(hard)]
    told = subprocess.run(words, capture_output=True, text=True, check=True, timeout=patient(30)).stdout
    assert told.split() == [str(files), str(most)]

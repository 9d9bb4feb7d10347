"""Bytes that a client should not send, to the router as a process: what it answers, and what reaches a door."""

import contextlib
import http.server
import json
import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bentos.http.bodies import MAX_BODY_BYTES
from bentos.router import start
from bentos.router.routes import Backend, Routes
from feature_repo.endpoints import POPULAR
from pipelines.releases.processes import free_port
from tests.patience import patient

pytestmark = pytest.mark.process

LINE = b"POST /recommend HTTP/1.1\r\nHost: a\r\n"
GOOD = LINE + b"Content-Length: 2\r\n\r\n{}"
SECOND = b"POST /stolen HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"


@dataclass
class Place:
    """A running router, and what came to the door behind it."""

    port: int
    came: list[tuple[str, bytes]] = field(default_factory=list)

    def say(self, *parts: bytes, pause_s: float = 0.0) -> list[int]:
        """Send parts, then say no more; return the answers' statuses."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=patient(10)) as client:
            with contextlib.suppress(OSError):  # it may have been refused already
                for part in parts:
                    client.sendall(part)
                    time.sleep(pause_s)
                client.shutdown(socket.SHUT_WR)
            heard = b""
            while part := client.recv(65536):
                heard += part
        return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", heard)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("router")
    found = Place(free_port(0))

    class Door(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.path != POPULAR:  # the router's own question
                found.came.append((self.path, body))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}" if self.command != "HEAD" else b"")

        do_GET = do_HEAD = do_POST  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    door = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Door)
    threading.Thread(target=door.serve_forever, daemon=True).start()
    routes = folder / "routes.json"
    start.write(routes, Routes(stable=Backend(release="aaa", url=f"http://127.0.0.1:{door.server_port}")))
    env = os.environ | start.environment(routes, token="t" * 32, port=found.port)
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(start.command(), env=env, cwd=folder, stderr=log)
    try:
        deadline = time.monotonic() + patient(30)
        while start.observe(start.url(found.port)) is None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield found
        said = Path(folder / "log").read_text()
        assert "Traceback" not in said, "a client can make the router fail"
    finally:
        process.terminate()
        process.wait(patient(10))
        door.shutdown()


def headed(*lines: bytes, body: bytes = b"") -> bytes:
    return LINE + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


READ_IN_TWO_WAYS = {
    "two lengths": headed(b"Content-Length: 2", b"Content-Length: 2", body=b"{}"),
    "two lengths that differ": headed(b"Content-Length: 2", b"Content-Length: 60", body=b"{}" + SECOND),
    "a list of lengths": headed(b"Content-Length: 2, 2", body=b"{}"),
    "a length with a sign": headed(b"Content-Length: +2", body=b"{}"),
    "an endless length": headed(b"Content-Length: 99999999999999999999999", body=b"{}"),
    "a length, then chunks": headed(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n" + SECOND),
    "chunks, then a length": headed(b"Transfer-Encoding: chunked", b"Content-Length: 5", body=b"0\r\n\r\n" + SECOND),
    "chunks twice": headed(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "chunks by another name": headed(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n" + SECOND),
    "chunks and more": headed(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n" + SECOND),
    "chunks not last": headed(b"Transfer-Encoding: chunked, identity", body=b"0\r\n\r\n" + SECOND),
    "chunks with an upgrade": headed(
        b"Connection: Upgrade", b"Upgrade: h2c", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n" + SECOND
    ),
    "chunks of an old client": b"POST /recommend HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SECOND,
    "a space before the colon": headed(b"Content-Length : 2", body=b"{}"),
    "a folded line": headed(b"X-A: a", b" Content-Length: 2", body=b"{}"),
    "a bare line feed": LINE + b"X-A: a\nContent-Length: 2\r\n\r\n{}",
    "a bare carriage return": LINE + b"X-A: a\rContent-Length: 2\r\n\r\n{}",
    "a zero byte": headed(b"X-A: a\x00b", b"Content-Length: 2", body=b"{}"),
    "no name": headed(b": x", b"Content-Length: 2", body=b"{}"),
    "two hosts": headed(b"Host: b", b"Content-Length: 2", body=b"{}"),
    "no host": b"POST /recommend HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
    "a chunk without its end": headed(b"Transfer-Encoding: chunked", body=b"2\r\n{}X0\r\n\r\n"),
    "a chunk with a bare line feed": headed(b"Transfer-Encoding: chunked", body=b"2\n{}\r\n0\r\n\r\n"),
    "a chunk in another base": headed(b"Transfer-Encoding: chunked", body=b"0x2\r\n{}\r\n0\r\n\r\n"),
    "an endless chunk": headed(b"Transfer-Encoding: chunked", body=b"fffffffffffffffff\r\n{}"),
    "a negative chunk": headed(b"Transfer-Encoding: chunked", body=b"-2\r\n{}"),
    "a target that is no path": b"POST http://a/recommend HTTP/1.1\r\nHost: a\r\n\r\n",
    "a fragment": b"POST /recommend#a HTTP/1.1\r\nHost: a\r\n\r\n",
    "a tunnel": b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n" + SECOND,
    "no version": b"POST /recommend\r\n\r\n",
    "another version": b"POST /recommend HTTP/1.2\r\nHost: a\r\n\r\n",
    "HTTP/2 by itself": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "another method": b"STEAL /recommend HTTP/1.1\r\nHost: a\r\n\r\n",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}


@pytest.mark.parametrize("attack", READ_IN_TWO_WAYS.values(), ids=READ_IN_TWO_WAYS)
def test_what_servers_could_read_in_two_ways_is_refused_and_reaches_no_door(place, attack):
    place.came.clear()
    assert place.say(attack) == [400]
    assert place.came == []


@pytest.mark.parametrize("size", [1, 7, 64])
@pytest.mark.parametrize("name", ["a length, then chunks", "two lengths that differ", "a chunk without its end"])
def test_it_does_not_matter_how_the_bytes_are_cut(place, name, size):
    place.came.clear()
    attack = READ_IN_TWO_WAYS[name]
    parts = [attack[at : at + size] for at in range(0, len(attack), size)]
    assert place.say(*parts) == [400]
    assert place.came == []


def test_requests_ahead_are_answered_in_their_order_until_one_is_bad(place):
    place.came.clear()
    asked = b"".join(
        b"POST /any/%d HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n%d" % (number, number) for number in range(9)
    )
    bad = headed(b"Content-Length: 2", b"Content-Length: 2", body=b"{}")
    heard = place.say(asked + bad + GOOD)
    assert heard == [200] * 9 + [400]
    assert place.came == [(f"/any/{number}", b"%d" % number) for number in range(9)]


def test_what_comes_behind_the_last_request_of_a_connection_is_not_read(place):
    place.came.clear()
    last = headed(b"Connection: close", b"Content-Length: 2", body=b"{}")
    assert place.say(last + SECOND) == [200]
    assert place.came == [("/recommend", b"{}")]


def test_an_upgrade_is_not_made_and_the_body_is_still_a_body(place):
    """A Java client asks for HTTP/2 with its first request; the parser gives what follows to the other protocol."""
    place.came.clear()
    asking = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n"
    request = LINE + asking + b"Content-Length: %d\r\n\r\n" % len(SECOND) + SECOND
    for parts in ([request + GOOD], [request[at : at + 1] for at in range(len(request))] + [GOOD]):
        assert place.say(*parts) == [200, 200]
    assert place.came == [("/recommend", SECOND), ("/recommend", b"{}")] * 2


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"X-A: " + b"a" * (20 << 10) + b"\r\n", 431),
        (b"".join(b"X-%d: a\r\n" % number for number in range(200)), 431),
        (b"X-A: " + b"a" * (400 << 10), 431),  # and no end
        (b"X-A: " + b"a" * (12 << 10) + b"\r\n", 200),
    ],
    ids=["long", "many", "endless", "large"],
)
def test_large_heads_are_refused(place, head, status):
    assert place.say(LINE + head + b"Content-Length: 2\r\n\r\n{}") == [status]


def test_a_long_target_is_refused(place):
    asked = b"GET /" + b"a" * (20 << 10) + b" HTTP/1.1\r\nHost: a\r\n\r\n"
    assert place.say(asked) == [431]


def test_huge_bodies_are_refused_whole_and_in_chunks(place):
    place.came.clear()
    size = MAX_BODY_BYTES + 1
    chunks = (b"%x\r\n" % (1 << 16) + b"x" * (1 << 16) + b"\r\n") * 40
    for body in (
        headed(b"Content-Length: %d" % size, body=b"x" * 1000),
        headed(b"Transfer-Encoding: chunked", body=chunks),
        headed(b"Expect: 100-continue", b"Content-Length: %d" % size),
    ):
        assert place.say(body) == [413]
    assert place.came == []
    tiny = b"1;" + b"e" * 2000 + b"\r\nx\r\n"  # what surrounds the bytes costs memory and time too
    assert place.say(headed(b"Transfer-Encoding: chunked", body=tiny * 10_000))[-1] in (413, 400)
    assert place.came == []


def test_chunks_and_what_follows_them_reach_a_door_as_one_body(place):
    place.came.clear()
    body = b"1;a=b\r\n{\r\n1\r\n}\r\n0\r\nHost: b\r\nX-IntentFlow-Shadow: x\r\n\r\n"
    assert place.say(headed(b"Transfer-Encoding: chunked", body=body) + GOOD) == [200] * 2
    assert place.came == [("/recommend", b"{}")] * 2


def test_a_client_that_waits_for_continue_is_told_to_go_on(place):
    place.came.clear()
    with socket.create_connection(("127.0.0.1", place.port), timeout=patient(10)) as client:
        client.sendall(headed(b"Expect: 100-continue", b"Content-Length: 2"))
        assert client.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"{}")
        assert client.recv(1000).startswith(b"HTTP/1.1 200 ")
    assert place.came == [("/recommend", b"{}")]


@pytest.mark.parametrize(
    ("asked", "ends"),
    [
        (b"POST /recommend HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}", True),
        (b"POST /recommend HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n{}", False),
        (GOOD, False),
        (headed(b"Connection: close", b"Content-Length: 2", body=b"{}"), True),
    ],
    ids=["old", "old, kept", "kept", "closed"],
)
def test_a_connection_lives_as_long_as_its_client_asked_for(place, asked, ends):
    with socket.create_connection(("127.0.0.1", place.port), timeout=patient(10)) as client:
        client.sendall(asked)
        heard = client.recv(65536)
        while b"\r\n\r\n{}" not in heard:
            heard += client.recv(65536)
        assert (b"connection: close" in heard.lower()) == ends
        client.settimeout(0.3)
        try:
            ended = client.recv(1) == b""
        except TimeoutError:
            ended = False
        assert ended == ends


def test_a_head_only_answer_has_no_body(place):
    heard = place.say(b"HEAD /any HTTP/1.1\r\nHost: a\r\n\r\n" + GOOD)
    assert heard == [200, 200]


def test_garbage_costs_nobody_else_an_answer(place):
    before = json.loads(start.observe(start.url(place.port)).model_dump_json())["arms"]["stable"]["requests"]
    held = [socket.create_connection(("127.0.0.1", place.port)) for _ in range(200)]
    for number, client in enumerate(held):
        client.sendall(os.urandom(50) if number % 2 else LINE)
    assert [place.say(GOOD)[0] for _ in range(5)] == [200] * 5
    for client in held:
        client.close()
    assert start.observe(start.url(place.port)).arms["stable"].requests == before + 5

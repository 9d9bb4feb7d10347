"""What came of a request to a door, in three words: refused before it was sent, reset or late after."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from bentos.router.door_connection import Answer, Lost, Outcome
from bentos.router.routes import Backend
from bentos.router.upstreams import Doors, Sent
from tests.patience import patient

READ = Sent("POST", "/recommend", b"Content-Type: application/json\r\n", b'{"user_id": "1"}')


@contextlib.contextmanager
def black_hole() -> Iterator[int]:
    """Listen with a full queue: the kernel drops what else knocks, as a dead node or a Service without pods does."""
    with contextlib.ExitStack() as held:
        server = held.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):
            knocking = held.enter_context(socket.socket())
            knocking.setblocking(False)
            knocking.connect_ex(server.getsockname())
        time.sleep(0.1)
        yield server.getsockname()[1]


@contextlib.contextmanager
def talking(answer: bytes | None) -> Iterator[int]:
    """Take one connection and its request, then say this much and hang up; None: say nothing and hold the line."""
    done = threading.Event()
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(5)

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                if answer is None:
                    done.wait(patient(30))
                else:
                    connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        done.set()
        thread.join(patient(5))


def lost(port: int, *, patience_s: float) -> str:
    async def ask() -> None:
        doors = Doors(silence_s=30)
        try:
            await doors.send(Backend(release="aaaa", url=f"http://127.0.0.1:{port}"), READ, patience_s=patience_s)
        finally:
            await doors.close()

    with pytest.raises(Lost) as found:
        asyncio.run(ask())
    return found.value.reason


def test_a_black_holed_door_refuses_since_nothing_was_sent() -> None:
    with black_hole() as port:
        assert lost(port, patience_s=patient(10)) == "refused"


def test_a_port_that_nobody_listens_on_refuses() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert lost(port, patience_s=patient(10)) == "refused"


def test_a_door_that_hangs_up_resets() -> None:
    with talking(b"") as port:
        assert lost(port, patience_s=patient(10)) == "reset"


def test_half_an_answer_resets() -> None:
    with talking(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf") as port:
        assert lost(port, patience_s=patient(10)) == "reset"


def test_a_door_that_says_nothing_is_late() -> None:
    with talking(None) as port:
        assert lost(port, patience_s=1.5) == "late"


@contextlib.contextmanager
def scripted(*answers: bytes) -> Iterator[tuple[int, list[int]]]:
    """Say one answer to each request, on however many connections; yield the port and who asked on which connection."""
    asked: list[int] = []
    left = list(answers)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(5)

        def talk(connection: socket.socket, number: int) -> None:
            with connection:
                while connection.recv(65536):
                    asked.append(number)
                    connection.sendall(answer := left.pop(0))
                    if answer.endswith(b"the end"):
                        return

        def serve() -> None:
            with contextlib.suppress(OSError):
                for number in range(len(answers)):
                    connection, _ = server.accept()
                    threading.Thread(target=talk, args=(connection, number), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1], asked
        server.shutdown(socket.SHUT_RDWR)


def answers(port: int, *, times: int, sent: Sent = READ, pause_s: float = 0.0) -> list[tuple[int, bytes] | str]:
    async def ask() -> list[tuple[int, bytes] | str]:
        doors, found = Doors(silence_s=30), list[tuple[int, bytes] | str]()
        for _ in range(times):
            try:
                backend = Backend(release="aaaa", url=f"http://127.0.0.1:{port}")
                answer = await doors.send(backend, sent, patience_s=patient(5))
                found.append((answer.status, answer.body))
            except Lost as lost:
                found.append(lost.reason)
            await asyncio.sleep(pause_s)
        await doors.close()
        return found

    return asyncio.run(ask())


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"


def test_a_connection_is_used_again() -> None:
    with scripted(OK + b"{}", OK + b"[]") as (port, asked):
        assert answers(port, times=2) == [(200, b"{}"), (200, b"[]")]
    assert asked == [0, 0]


@pytest.mark.parametrize(
    "first",
    [
        OK + b"{}" + OK + b"no",  # the next user would get it
        OK + b"{}x",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    ],
    ids=["an answer too many", "a byte too many", "one that closes", "an old one"],
)
def test_a_connection_whose_answer_may_go_on_is_not_used_again(first: bytes) -> None:
    with scripted(first, OK + b"[]") as (port, asked):
        assert answers(port, times=2) == [(200, b"{}"), (200, b"[]")]
    assert asked == [0, 1]


def test_what_comes_on_an_idle_connection_is_nobody_s_answer() -> None:
    with scripted(OK + b"{}", OK + b"[]") as (port, asked):
        late = threading.Event()

        async def ask() -> list[bytes]:
            doors, backend = Doors(silence_s=30), Backend(release="aaaa", url=f"http://127.0.0.1:{port}")
            first = await doors.send(backend, READ, patience_s=patient(5))
            (connection,) = doors._doors[backend.url].idle
            connection.data_received(OK + b"no")
            second = await doors.send(backend, READ, patience_s=patient(5))
            await doors.close()
            late.set()
            return [first.body, second.body]

        assert asyncio.run(ask()) == [b"{}", b"[]"]
    assert asked == [0, 1]


def test_a_head_has_no_body_whatever_length_it_names() -> None:
    with scripted(OK, OK + b"[]") as (port, asked):
        assert answers(port, times=2, sent=Sent("HEAD", "/", b"", b"")) == [(200, b""), (200, b"")]
    assert asked == [0, 1]


def test_an_answer_that_lasts_until_the_door_closes_is_whole() -> None:
    with scripted(b"HTTP/1.1 200 OK\r\n\r\nthis is the end") as (port, _):
        assert answers(port, times=1) == [(200, b"this is the end")]


def test_what_comes_before_an_answer_is_not_it() -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
    with scripted(early + OK + b"{}", OK + b"[]") as (port, asked):
        assert answers(port, times=2) == [(200, b"{}"), (200, b"[]")]
    assert asked == [0, 0]


@pytest.mark.parametrize(
    "broken",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\nthis is no chunk at the end",
        b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        b"220 mail.example SMTP\r\n",
    ],
    ids=[
        "two lengths",
        "a length and chunks",
        "a bad chunk",
        "half of the chunks",
        "a long head",
        "another protocol",
        "no HTTP",
    ],
)
def test_an_answer_that_cannot_be_read_is_none(broken: bytes) -> None:
    with scripted(broken) as (port, _):
        assert answers(port, times=1) == ["reset"]


def test_a_process_that_refuses_leaves_its_users_to_its_neighbour_and_then_to_the_address_of_all() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
    with socket.socket() as free:  # bound, and nobody listens: it refuses
        free.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{free.getsockname()[1]}"

        async def ask(url: str, workers: tuple[str, ...], owner: int) -> bytes:
            doors = Doors(silence_s=5)
            try:
                backend = Backend(release="a", url=url, workers=workers)
                return (await doors.send(backend, replace(READ, owner=owner), patience_s=patient(5))).body
            finally:
                await doors.close()

        with talking(answer + b"ok") as port:
            assert asyncio.run(ask(dead, (dead, f"http://127.0.0.1:{port}"), 0)) == b"ok"
        with talking(answer + b"ok") as port:
            assert asyncio.run(ask(f"http://127.0.0.1:{port}", (dead, dead), 1)) == b"ok"
        with pytest.raises(Lost) as lost_:
            asyncio.run(ask(dead, (dead,), 0))
        assert lost_.value.reason == "refused"


@pytest.mark.parametrize("before_s", [0.3, 60.0])
def test_each_request_of_a_connection_has_its_own_patience(before_s):
    async def ask(port: int) -> float:
        doors, backend = Doors(silence_s=30), Backend(release="aaaa", url=f"http://127.0.0.1:{port}")
        try:
            await doors.send(backend, READ, patience_s=patient(before_s))
            started = time.perf_counter()
            with pytest.raises(Lost, match="late"):
                await doors.send(backend, READ, patience_s=1.5)
            return time.perf_counter() - started
        finally:
            await doors.close()

    with scripted(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"") as (port, asked):
        assert 1.4 < asyncio.run(ask(port)) < patient(10)
        assert asked == [0, 0]  # both on one connection


def test_who_is_told_of_an_answer_may_ask_again_on_the_same_connection():
    async def ask(port: int) -> list[bytes]:
        doors, backend = Doors(silence_s=30), Backend(release="aaaa", url=f"http://127.0.0.1:{port}")
        told, all_told = list[bytes](), asyncio.Event()

        def done(outcome: Outcome) -> None:
            assert isinstance(outcome, Answer)
            told.append(outcome.body)
            if len(told) == 3:
                all_told.set()
            else:
                doors.ask(backend, READ, done, patience_s=patient(5))

        doors.ask(backend, READ, done, patience_s=patient(5))
        async with asyncio.timeout(patient(5)):
            await all_told.wait()
        await doors.close()
        return told

    texts = [b"a", b"b", b"c"]
    with scripted(*(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n" + text for text in texts)) as (port, asked):
        assert asyncio.run(ask(port)) == texts
        assert asked == [0, 0, 0]

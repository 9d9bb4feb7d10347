"""What came of a request to a door, in three words: refused before it was sent, reset or late after."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from bentos.router.door_connection import Lost
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

"""What an endpoint's bytes may do to its client: nothing but a text, or one word for what went wrong."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import pytest

from components.content.llm.client import LINE_BYTES, Client, Failed, TextField, Usage
from components.content.llm.settings import Endpoint

DONE = "[DONE]"


def chunk(text: str) -> str:
    return json.dumps({"choices": [{"delta": {"content": text}}]})


def client(lines: Sequence[str] = (), *, status: int = 200, body: Any = None) -> Client:
    """Ask an endpoint that answers with these lines of a stream, or with a body."""
    stream = "".join(f"data: {line}\r\n\r\n" for line in lines).encode()

    async def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(status, content=stream if body is None else body)

    return Client(Endpoint(url="http://llm/v1", model="m"), transport=httpx.MockTransport(answer))


def said(one: Client, usage: Usage | None = None) -> str:
    async def run() -> str:
        try:
            found = one.stream("Say.", max_tokens=50, temperature=0.0, timeout_s=30, usage=usage or Usage())
            return "".join([piece async for piece in found])
        finally:
            await one.close()

    return asyncio.run(run())


def document(one: Client) -> dict[str, Any]:
    async def run() -> dict[str, Any]:
        try:
            return await one.document("Say.", {}, max_tokens=50, timeout_s=30, usage=Usage())
        finally:
            await one.close()

    return asyncio.run(run())


class Endless:
    """A body that goes on for as long as somebody reads it."""

    def __init__(self) -> None:
        self.sent = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self.sent < 1 << 28:
            self.sent += 1 << 14
            yield b"x" * (1 << 14)


@pytest.mark.parametrize("size", [1, 3, 100])
def test_a_character_beyond_16_bits_comes_in_two_halves_and_is_one(size: int) -> None:
    raw = r'{"text": "Tea \ud83C\udf75\u4e2d, \ud83d alone, \udf75 too, \ud83d\ud83c\udf75 \ud83d\n, \u12g4"}'
    field = TextField()
    grown = "".join(field.feed(raw[at : at + size]) for at in range(0, len(raw), size))
    assert grown == "Tea 🍵中, \ufffd alone, \ufffd too, \ufffd🍵 \ufffd\n, \ufffd"
    assert field.whole


def test_half_a_character_leaves_nobody() -> None:
    assert said(client([chunk(r'{"text": "Tea \ud83d'), chunk(r'\ude00."}'), DONE])) == "Tea 😀."
    plain = Client(Endpoint(url="http://llm/v1", model="m", structured=False), transport=client(
        [r'{"choices": [{"delta": {"content": "Tea \ud83d"}}]}', DONE]
    ).transport)  # fmt: skip
    assert said(plain) == "Tea \ufffd"
    with pytest.raises(Failed, match="rubbish"):
        document(client([chunk(r'{"words": ["\ud83d"]}'), DONE]))


@pytest.mark.parametrize(
    "line",
    [
        "[" * 50_000,
        '{"usage": {"prompt_tokens": 1e999, "completion_tokens": 1}}',
        '{"usage": {"prompt_tokens": NaN, "completion_tokens": 1}}',
        '{"usage": {"prompt_tokens": -5000000, "completion_tokens": 1}}',
        '{"usage": {"prompt_tokens": 1, "completion_tokens": 1000000000000000000000}}',
    ],
)
def test_what_is_no_answer_is_rubbish_and_is_not_counted(line: str) -> None:
    usage = Usage()
    with pytest.raises(Failed, match="rubbish"):
        said(client([chunk('{"text": "Tea."}'), line, DONE]), usage)
    assert not usage.counted
    assert (usage.asked, usage.answered) == (1, 1)


def test_a_line_that_does_not_end_is_given_up() -> None:
    body = Endless()
    with pytest.raises(Failed, match="endless"):
        said(client(body=body))
    assert body.sent <= LINE_BYTES + (1 << 15)


def test_of_a_refusal_the_beginning_is_read() -> None:
    body = Endless()
    with pytest.raises(Failed, match=r"refused: 500 x{200}$"):
        said(client(status=500, body=body))
    assert body.sent <= 1 << 15

"""Asks an OpenAI-compatible endpoint for a text, which comes piece by piece as it is made.

Raises `Failed` with one word for whatever goes wrong: nothing here tries again, and nothing is believed of an answer
but its text and its count of tokens.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Literal

from components.content.llm.settings import Endpoint

Why = Literal["away", "late", "refused", "rubbish", "endless"]
LONGEST = 2_000  # characters of an answer, with its JSON
LINE_BYTES = 1 << 16  # of a line of the stream; of a refusal only its beginning is read
SAID = 200  # bytes of a refusal that are told
MOST_TOKENS = 10_000_000  # of one call; an endpoint that counts more, or below 0, counts wrongly
SCHEMA = {
    "type": "object",
    "properties": {"text": {"type": "string"}},
    "required": ["text"],
    "additionalProperties": False,
}
HIGH, LOW = re.compile(r"[dD][89abAB][0-9a-fA-F]{2}"), re.compile(r"[dD][c-fC-F][0-9a-fA-F]{2}")
HEX = re.compile(r"([0-9a-fA-F]{4}){1,2}")
CLOSED = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


class Failed(Exception):
    """The endpoint gave no text."""

    def __init__(self, why: Why, said: str = "") -> None:
        super().__init__(f"{why}: {said}" if said else why)
        self.why: Why = why


@dataclass
class Usage:
    """What a call took; tokens are the endpoint's own count, or one a piece where it gives none."""

    asked: int = 0
    answered: int = 0
    counted: bool = False  # by the endpoint


@dataclass
class TextField:
    r"""Reads the value of "text" out of JSON that comes in pieces.

    >>> field = TextField()
    >>> [field.feed(piece) for piece in ('{"te', 'xt": "Le', 'ek\\', 'u00e9 s"', '}')]
    ['', 'Le', 'ek', 'é s', '']
    >>> field.whole
    True
    """

    raw: str = ""
    _at: int = -1  # where the value goes on; -1: not found yet
    whole: bool = False

    def feed(self, piece: str) -> str:
        """Take a piece; return what the value grew by."""
        self.raw += piece
        if self._at < 0:
            key = self.raw.find('"text"')
            opened = self.raw.find('"', self.raw.find(":", key + 6)) if key >= 0 and ":" in self.raw[key + 6 :] else -1
            if opened < 0:
                return ""
            self._at = opened + 1
        grown: list[str] = []
        while not self.whole and self._at < len(self.raw):
            one = self.raw[self._at]
            if one == '"':
                self.whole = True
            elif one != "\\":
                grown.append(one)
            else:
                said = self._escaped()
                if said is None:
                    break
                grown.append(said)
                continue
            self._at += 1
        return "".join(grown)

    def _escaped(self) -> str | None:
        """Read an escape and step over it; None where it is not whole yet."""
        after = self.raw[self._at + 1 : self._at + 2]
        if not after:
            return None
        if after != "u":
            self._at += 2
            return CLOSED.get(after, "\ufffd")
        code = self.raw[self._at + 2 : self._at + 6]
        if len(code) < 4:
            return None
        if HIGH.fullmatch(code):  # the first half of a character beyond 16 bits, such as an emoji
            half = self.raw[self._at + 6 : self._at + 12]
            if len(half) < 6 and "\\u".startswith(half[:2]):
                return None
            code += half[2:] if half.startswith("\\u") and LOW.fullmatch(half[2:]) else ""
        self._at += 6 if len(code) == 4 else 12
        return _whole(bytes.fromhex(code).decode("utf-16-be", "surrogatepass")) if HEX.fullmatch(code) else "\ufffd"


@dataclass
class Client:
    """Asks one endpoint. Use it from one event loop."""

    endpoint: Endpoint
    key: str = field(default="", repr=False)
    transport: Any = None  # of httpx; None: its own
    _opened: Any = None

    async def stream(
        self, prompt: str, *, max_tokens: int, temperature: float, timeout_s: float, usage: Usage, grammar: str = ""
    ) -> AsyncIterator[str]:
        """Yield a text's pieces as they come; raises Failed, at the latest when the time is up.

        A `grammar` (GBNF) binds the text where the endpoint takes one; the answer is then that text, and no JSON.
        """
        bound = grammar if self.endpoint.grammar else ""
        json_wanted = self.endpoint.structured and not bound
        binds = _grammar(self.endpoint, bound) if bound else _schema("text", SCHEMA) if json_wanted else {}
        read = TextField()
        raw = self._raw(
            prompt, binds, max_tokens=max_tokens, temperature=temperature, timeout_s=timeout_s, usage=usage
        )  # fmt: skip
        try:
            async for piece in raw:
                if grown := read.feed(piece) if json_wanted else piece:
                    yield grown
        finally:
            await raw.aclose()  # type: ignore[attr-defined]
        if json_wanted and not read.whole:
            raise Failed("rubbish", "no whole JSON with a text")

    async def document(
        self, prompt: str, schema: dict[str, Any], *, max_tokens: int, timeout_s: float, usage: Usage
    ) -> dict[str, Any]:
        """Return an answer that is a JSON object of a schema, whole; raises Failed, at the latest when time is up.

        An endpoint that follows no schema is asked all the same; what it says around the object is left out. Nothing
        says that the object follows the schema: the caller looks at each value.
        """
        binds = _schema("answer", schema) if self.endpoint.structured else {}
        raw = self._raw(prompt, binds, max_tokens=max_tokens, temperature=0.0, timeout_s=timeout_s, usage=usage)
        try:
            said = "".join([piece async for piece in raw])
        finally:
            await raw.aclose()  # type: ignore[attr-defined]
        try:
            found = json.loads(said[said.find("{") : said.rfind("}") + 1])
            json.dumps(found, ensure_ascii=False).encode()  # half a character can be neither shown nor kept
        except (ValueError, RecursionError):
            raise Failed("rubbish", "no whole JSON object") from None
        if not isinstance(found, dict):
            raise Failed("rubbish", "no JSON object")
        return found

    async def _raw(
        self, prompt: str, binds: dict[str, Any], *, max_tokens: int, temperature: float, timeout_s: float, usage: Usage
    ) -> AsyncIterator[str]:
        """Yield an answer's pieces as they come, whatever they hold; `binds` is what of the body binds its words."""
        import httpx

        until = asyncio.get_running_loop().time() + timeout_s
        pieces, characters, answer = 0, 0, None
        try:
            http = self._http()
            request = http.build_request(
                "POST", "/chat/completions", json=self._body(prompt, max_tokens, temperature) | binds
            )
            async with asyncio.timeout_at(until):
                answer = await http.send(request, stream=True)
                if answer.status_code != 200:
                    said = (await _begun(answer.aiter_bytes()))[:SAID].decode(errors="replace")
                    raise Failed("refused", f"{answer.status_code} {' '.join(said.split())}")
            lines = _lines(answer.aiter_bytes())
            while (line := await _next(lines, until)) is not None:
                piece, ended = _piece(line, usage)
                if ended:
                    break
                pieces, characters = pieces + bool(piece), characters + len(piece)
                if pieces > 2 * max_tokens + 8 or characters > LONGEST:
                    raise Failed("endless")
                if piece:
                    yield piece
        except (TimeoutError, httpx.TimeoutException):
            raise Failed("late") from None
        except httpx.HTTPError as error:
            raise Failed("away", type(error).__name__) from None
        finally:
            if answer is not None:
                await answer.aclose()
            if not usage.counted:
                usage.asked, usage.answered = len(prompt) // 3, pieces

    async def close(self) -> None:
        """Close its connections."""
        if self._opened is not None:
            await self._opened.aclose()
            self._opened = None

    def _http(self) -> Any:
        if self._opened is None:
            import httpx

            headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
            self._opened = httpx.AsyncClient(
                base_url=self.endpoint.url.rstrip("/"), headers=headers, timeout=None, transport=self.transport,
                follow_redirects=False, trust_env=False,
            )  # fmt: skip
        return self._opened

    def _body(self, prompt: str, max_tokens: int, temperature: float) -> dict[str, Any]:
        return {
            "model": self.endpoint.model,
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": max_tokens,
            "temperature": temperature,
            "stream": True,
            "stream_options": {"include_usage": True},
        }


def _grammar(endpoint: Endpoint, grammar: str) -> dict[str, Any]:
    return {"structured_outputs": {"grammar": grammar}} if endpoint.grammar == "vllm" else {"grammar": grammar}


def _schema(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": name, "strict": True, "schema": schema}}}


async def _begun(parts: AsyncIterator[bytes]) -> bytes:
    """Return the beginning of a body, SAID bytes of it or more."""
    read = b""
    async for part in parts:
        read += part
        if len(read) >= SAID:
            break
    return read


async def _lines(parts: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """Yield the lines of a body; raises Failed for one that does not end."""
    rest = b""
    async for part in parts:
        *whole, rest = (rest + part).split(b"\n")
        for line in whole:
            yield line.decode(errors="replace")
        if len(rest) > LINE_BYTES:
            raise Failed("endless", f"a line of more than {LINE_BYTES} bytes")
    if rest:
        yield rest.decode(errors="replace")


def _whole(text: str) -> str:
    """Return a text without halves of characters, which no encoding can write."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


async def _next(lines: AsyncIterator[str], until: float) -> str | None:
    """Return the next line, None at the end; the clock runs only here, not while the caller works with a piece."""
    async with asyncio.timeout_at(until):
        return await anext(lines, None)


def _piece(line: str, usage: Usage) -> tuple[str, bool]:
    """Read one line of the stream: its piece of text, and whether it is the last."""
    if not line.startswith("data:"):
        return "", False
    data = line[5:].strip()
    if data == "[DONE]":
        return "", True
    try:
        chunk = json.loads(data)
        if told := chunk.get("usage"):
            asked, answered = int(told["prompt_tokens"]), int(told["completion_tokens"])
            if not (0 <= asked <= MOST_TOKENS and 0 <= answered <= MOST_TOKENS):
                raise ValueError("counts no tokens")
            usage.asked, usage.answered, usage.counted = asked, answered, True
        choices = chunk.get("choices") or [{}]
        piece = (choices[0].get("delta") or {}).get("content") or ""
        if not isinstance(piece, str):
            raise TypeError("content is no text")
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError, RecursionError) as error:
        raise Failed("rubbish", type(error).__name__) from None
    return _whole(piece), False

"""A server that speaks the part of OpenAI's protocol that we use, over HTTP, and refuses what a real one refuses.

It runs in a thread. What it says is a function of the prompt; how, the test chooses: at which pace, or broken.
"""

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

MODEL, KEY, MOST = "tiny", "sk-test", 400
FIELDS = {"model", "messages", "max_tokens", "temperature", "stream", "stream_options", "response_format"}
FIELDS |= {"grammar", "structured_outputs"}  # of llama.cpp's server and vLLM's


@dataclass
class Behaviour:
    """What the server does with the next requests."""

    says: Callable[[str], str] = lambda prompt: "Tea."
    pause_s: float = 0.0  # before each token
    broken: str = ""  # rubbish, no_json, half, endless, down, plain
    asked: list[dict[str, Any]] = field(default_factory=list)
    sent: list[float] = field(default_factory=list)  # when each token left

    @property
    def prompts(self) -> list[str]:
        return [one["messages"][0]["content"] for one in self.asked]


def refusal(body: Any, authorization: str | None) -> tuple[int, str] | None:
    if authorization != f"Bearer {KEY}":
        return 401, "Incorrect API key provided"
    if not isinstance(body, dict):
        return 400, "We could not parse the JSON body of your request"
    if unknown := sorted(set(body) - FIELDS):
        return 400, f"Unrecognized request argument supplied: {unknown[0]}"
    if body.get("model") != MODEL:
        return 404, f"The model `{body.get('model')}` does not exist"
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        return 400, "[] is too short - 'messages'"
    for one in messages:
        if one.get("role") not in ("system", "user", "assistant") or not isinstance(one.get("content"), str):
            return 400, "Invalid value: 'messages[0]'"
    if not isinstance(body.get("max_tokens", 1), int) or not 1 <= body.get("max_tokens", 1) <= MOST:
        return 400, "max_tokens is too large"
    if not 0 <= body.get("temperature", 1) <= 2:
        return 400, "temperature must be at most 2"
    if body.get("stream_options") and not body.get("stream"):
        return 400, "The 'stream_options' parameter is only allowed when 'stream' is enabled"
    bound = body.get("grammar") or (body.get("structured_outputs") or {}).get("grammar")
    if bound and body.get("response_format"):
        return 400, 'Either "json_schema" or "grammar" can be specified, but not both'
    if bound is not None and not bound.startswith("root ::= "):
        return 400, "failed to parse grammar"
    schema = (body.get("response_format") or {}).get("json_schema")
    if schema and (not schema.get("name") or schema.get("schema", {}).get("additionalProperties") is not False):
        return 400, "Invalid schema for response_format: 'additionalProperties' is required to be false"
    return None


def app(behaviour: Behaviour) -> Starlette:
    async def complete(request: Request) -> Response:
        try:
            body = json.loads(await request.body())
        except ValueError:
            body = None
        if found := refusal(body, request.headers.get("authorization")):
            return JSONResponse({"error": {"message": found[1], "type": "invalid_request_error"}}, found[0])
        behaviour.asked.append(body)
        if behaviour.broken == "down":
            return JSONResponse({"error": {"message": "overloaded", "type": "server_error"}}, 503)
        return StreamingResponse(stream(body, behaviour), media_type="text/event-stream")

    return Starlette(routes=[Route("/v1/chat/completions", complete, methods=["POST"])])


async def stream(body: dict[str, Any], behaviour: Behaviour) -> AsyncIterator[str]:
    def chunk(delta: dict[str, str], end: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": end}
        return f"data: {json.dumps({'object': 'chat.completion.chunk', 'model': MODEL, 'choices': [choice]})}\n\n"

    prompt = body["messages"][0]["content"]
    yield chunk({"role": "assistant", "content": ""})
    if behaviour.broken == "rubbish":
        yield "data: {not json\n\n"
        return
    words = pieces(behaviour.says(prompt))
    if body.get("response_format") and behaviour.broken != "plain" and not words[0].startswith("{"):
        words = ['{"text', '": "', *(json.dumps(word)[1:-1] for word in words), '"}']
    if behaviour.broken == "half":
        words = words[:-1]
    for count, word in enumerate(words if behaviour.broken != "endless" else forever(words)):
        if count >= body["max_tokens"] + 4 and behaviour.broken != "endless":  # a real one stops there
            break
        await asyncio.sleep(behaviour.pause_s)
        behaviour.sent.append(time.monotonic())
        yield chunk({"content": word})
    yield chunk({}, "stop")
    usage = {"prompt_tokens": len(prompt) // 4, "completion_tokens": len(words), "total_tokens": 0}
    yield f"data: {json.dumps({'object': 'chat.completion.chunk', 'choices': [], 'usage': usage})}\n\n"
    yield "data: [DONE]\n\n"


def pieces(text: str) -> list[str]:
    words = text.split(" ")
    return [word if n == 0 else f" {word}" for n, word in enumerate(words)]


def forever(words: list[str]) -> Iterator[str]:
    yield from words[:2]
    while True:
        yield " tea"


@contextlib.contextmanager
def running(behaviour: Behaviour) -> Iterator[str]:
    """Yield the address of a server that runs in a thread."""
    server = uvicorn.Server(uvicorn.Config(app(behaviour), port=0, log_level="error", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.should_exit = True
        thread.join()

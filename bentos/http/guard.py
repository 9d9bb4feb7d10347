"""Middleware before every page of the service: names the request, authenticates its caller, and refuses in one line.

It makes the RequestContext that the endpoints work with. BentoML's own pages (/metrics, /docs.json …) pass through it
as well; the probes always pass. The router's copies carry the shadow token, which also takes the place of a key.
"""

import asyncio
import hmac
import logging
import re
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bentos.http import cors, headers
from bentos.http.auth import Check, credential_of
from bentos.http.callers import Caller, network_of
from bentos.http.client_address import named_by
from bentos.http.patience import patience_ms
from bentos.http.problems import (
    FAULT,
    HEADERS_TOO_LARGE,
    OUR_FAULT,
    UNAUTHENTICATED,
    Problem,
    Rejected,
    refused,
)
from bentos.http.request_context import RequestContext

PROBES = frozenset(("/livez", "/readyz", "/healthz"))
PAGES = ("/", "/docs.json", "/schema.json")
ASSETS = ("/assets/", "/static_content/")
HEADER_BYTES = 16 << 10
TRACE = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
REQUEST_ID, SHADOW, RELEASE, PATIENCE, CATALOGUE = (
    n.lower().encode()
    for n in (headers.REQUEST_ID, headers.SHADOW, headers.RELEASE, headers.PATIENCE, headers.CATALOGUE)
)
_CLIENT = headers.CLIENT.lower().encode()
_ORIGIN, _ASKED_METHOD = cors.ORIGIN.lower().encode(), cors.ASKED_METHOD.lower().encode()
CONTEXT = "intentflow.context"  # in the ASGI scope
log = logging.getLogger("intentflow.door")


class Guard:
    """ASGI middleware; `state.opened` is there once the service has started."""

    def __init__(self, app: ASGIApp, *, state: Any, scopes: dict[str, str]) -> None:
        self._app, self._state, self._scopes = app, state, scopes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        opened, context, begun, span = self._state.opened, RequestContext(), False, None
        scope[CONTEXT] = context

        async def sending(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                if span is not None:
                    opened.tracing.end(span, context, message["status"])
                ours = [(REQUEST_ID, context.request_id.encode()), (RELEASE, opened.release.encode())]
                if context.items is not None and context.items.version is not None:
                    ours.append((CATALOGUE, str(context.items.version).encode()))
                if context.origin:
                    ours += [
                        (name.lower().encode(), text.encode()) for name, text in cors.shown_to(context.origin).items()
                    ]
                if getattr(self._state, "draining", False):
                    ours.append((b"connection", b"close"))
                message = {**message, "headers": [*message.get("headers", ()), *ours]}
            await send(message)

        try:
            given = dict(scope["headers"])
            origin = given.get(_ORIGIN, b"").decode("latin-1")
            if opened.check is not None and cors.is_preflight(scope["method"], scope["path"], origin):
                asked = given.get(_ASKED_METHOD, b"").decode("latin-1")
                await _send(sending, cors.NO_CONTENT, b"", cors.preflight(origin, asked, opened.check.origins))
                return
            await self._admit(scope, context, given)
            if opened.tracing is not None and scope["path"] in self._scopes:
                span = opened.tracing.begin(context, scope["path"], given)
            await self._app(scope, receive, sending)
        except Rejected as refusal:
            path = scope["path"] if scope["path"] in self._scopes else "other"
            opened.metrics.refused_at_door(path, refusal.status)
            await _answer(sending, refusal.status, refusal.problem, refusal.headers)
        except Exception:
            log.exception("%s failed", scope["path"])
            if begun:
                raise
            await _answer(sending, FAULT, OUR_FAULT, {})

    async def _admit(self, scope: Scope, context: RequestContext, given: dict[bytes, bytes]) -> None:
        """Read what the headers say into the context; refuse who may not ask, or asks too often."""
        size = len(scope.get("raw_path") or b"") + len(scope.get("query_string", b""))
        size += sum(len(name) + len(value) for name, value in scope["headers"])
        if size > HEADER_BYTES:
            raise refused("headers", "too large", f"at most {HEADER_BYTES} bytes", status=HEADERS_TOO_LARGE)
        if (name := given.get(REQUEST_ID)) and headers.is_request_id(text := name.decode("latin-1")):
            context.request_id = text
        if (trace := given.get(b"traceparent")) and (found := TRACE.fullmatch(trace)):
            context.trace_id = found[1].decode()
        if patience := given.get(PATIENCE):
            context.patience_ms = patience_ms(patience.decode("latin-1"))
        path, opened = scope["path"], self._state.opened
        token = given.get(SHADOW)
        if token and opened.shadow_token and hmac.compare_digest(token, opened.shadow_token.encode()):
            context.mirrored = True  # by our router; the door that took the original has authenticated it
            return
        if path in PROBES:
            return
        needed = self._needed(path, opened.open_pages)
        named = named_by(given[_CLIENT].decode("latin-1"), opened.shadow_token) if _CLIENT in given else None
        context.address = network_of(named or str((scope.get("client") or ("",))[0]))
        key = cors.key_in_address(scope["method"], path, scope.get("query_string", b""))
        context.who = who = await _caller(opened.check, given, needed, key)
        context.caller = context.address if who is None else who.name
        counted = context.caller
        if who is not None and who.page is not None:
            who.need_origin(given.get(_ORIGIN, b"").decode("latin-1"))
            context.origin = given[_ORIGIN].decode("latin-1")
            counted = f"{who.name} {context.address}"  # a page's key is everybody's who sees the page
        await opened.limits.hit(needed, counted)

    def _needed(self, path: str, open_pages: frozenset[str]) -> str | None:
        """Return the scope that a page needs; '': any authenticated caller, None: everyone."""
        if (scope := self._scopes.get(path)) is not None:
            return scope
        if path == "/metrics":
            return None if "metrics" in open_pages else "admin"
        if path in PAGES or path.startswith(ASSETS):
            return None if "docs" in open_pages else "admin"
        return ""


async def _caller(
    check: Check | None, given: dict[bytes, bytes], needed: str | None, key_in_address: str = ""
) -> Caller | None:
    """Return who asks; None where that does not matter."""
    if check is None or needed is None:
        return None
    named = [given.get(name, b"").decode("latin-1") for name in (b"authorization", b"x-api-key")]
    if key_in_address and not any(named):
        return await _page(check, key_in_address, needed, origin=given.get(_ORIGIN, b"").decode("latin-1"))
    return await _known(check, credential_of(*named), needed)


async def _page(check: Check, key: str, needed: str, *, origin: str) -> Caller:
    """Return the page whose key stands in the address; the page may read why it is refused."""
    try:
        who = await _known(check, key, needed)
        if who.page is None:
            allowed = "a page's key in an address; revoke this one, since addresses are logged on their way"
            raise refused("key", "is no page's", allowed, status=UNAUTHENTICATED)
    except Rejected as refusal:
        for name, text in cors.shown_to(origin).items() if origin else ():
            refusal.with_header(name, text)
        raise
    return who


async def _known(check: Check, credential: str, needed: str) -> Caller:
    who: Caller = await asyncio.to_thread(check.caller, credential) if check.blocks else check.caller(credential)
    who.need(needed)
    return who


async def _answer(send: Send, status: int, problem: Problem, headers: dict[str, str]) -> None:
    await _send(send, status, problem.model_dump_json().encode(), {"content-type": "application/json"} | headers)


async def _send(send: Send, status: int, body: bytes, headers: dict[str, str]) -> None:
    sent = headers if status == cors.NO_CONTENT else headers | {"content-length": str(len(body))}
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in sent.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})

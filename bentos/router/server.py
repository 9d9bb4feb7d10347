"""The router's HTTP side: probes, metrics and observations are its own, every other path goes to a door.

It keeps no state: a second router with the same routes.json decides the same. It uses aiohttp's plain server and
client, since every request passes it: routing tables and middleware would cost as much again.
"""

import asyncio
import contextlib
import logging
import random
import time
import uuid

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from bentos.endpoints.popular import PopularDocument
from bentos.http.bodies import MAX_BODY_BYTES
from bentos.http.headers import CATALOGUE, REQUEST_ID
from bentos.http.problems import FAULT, MALFORMED, TIMEOUT, TOO_LARGE, UNAVAILABLE, Problem
from bentos.router import headers
from bentos.router.counts import Counts, Metrics
from bentos.router.listen import BODY_S, body_of, from_here, listen
from bentos.router.mirror import Mirror
from bentos.router.observations import PATH as OBSERVATIONS
from bentos.router.popular import Popular
from bentos.router.proxy import Answered, Proxy, RoutedRequest
from bentos.router.requests import READS, RECOMMEND, WRITES, arm_for, endpoint_of
from bentos.router.routes import STABLE, Routes
from bentos.router.routes_file import RoutesFile
from bentos.router.settings import Settings
from bentos.router.spare import Spare
from bentos.router.upstreams import Answer, Doors, Lost, Sent
from feature_repo.endpoints import POPULAR

OK, NOT_FOUND, WRONG_METHOD, LATE_CLIENT, BAD_GATEWAY = 200, 404, 405, 408, 502
GRACE_S = 1.0  # beyond the door's own deadline, for an answer to come
LOST = {
    "refused": (UNAVAILABLE, "no door takes requests"),
    "reset": (BAD_GATEWAY, "the door broke off"),
    "late": (TIMEOUT, "the door did not answer in time"),
}
log = logging.getLogger("intentflow.router")


class Router:
    """One router: make it, `start` it in a running loop, `stop` it."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.boot, self.draining = settings, uuid.uuid4().hex, False
        self.metrics, self.counts, self.in_flight = Metrics(), Counts(), 0
        self.metrics.in_flight.set_function(lambda: self.in_flight)
        self.file = RoutesFile(settings.routes, on_change=self._changed, first=settings.first_routes)
        self._draw = random.Random().random

    async def start(self) -> None:
        """Read the routes and listen."""
        self._doors = Doors(silence_s=self.settings.timeout_s)
        self._proxy = Proxy(self._doors, self.metrics, self.settings)
        self._mirror = Mirror(self._doors, self.metrics, self.settings, current=lambda: self.file.routes)
        self._popular = Popular(self._doors, self.metrics, self.settings, current=lambda: self.file.routes)
        self._spare = Spare(self.settings.access)
        self.file.check()
        self._mirror.start()
        self._popular.start()
        self._watching = asyncio.create_task(self._watch())
        self._runners = [await listen(self.handle, self.settings.host, self.settings.port)]
        if self.settings.admin_port is not None:
            self._runners.append(await listen(self.handle_admin, self.settings.host, self.settings.admin_port))

    async def stop(self) -> None:
        """Take no more connections, let what is in flight finish, send the copies that wait, close."""
        self.draining = True  # from here on /readyz says 503, and answers close their connections
        deadline = time.monotonic() + self.settings.drain_s
        for site in list(self._runners[0].sites):
            await site.stop()
        await asyncio.sleep(min(self.settings.linger_s, self.settings.drain_s))
        while self.in_flight and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        await self._mirror.stop(max(deadline - time.monotonic(), 0.1))
        await self._popular.stop()
        self._watching.cancel()
        for runner in self._runners:
            await runner.cleanup()
        await self._doors.close()
        log.info("stopped with %d requests in flight", self.in_flight)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request, whatever happens."""
        self.in_flight += 1
        try:
            response = await self._answer(request)
        except web.HTTPRequestEntityTooLarge:
            response = self._own(TOO_LARGE, "the body is too large", where="body", allowed=_MOST)
        except web.RequestPayloadError:
            response = self._own(MALFORMED, "the body is broken", where="body", allowed="what its headers say")
        except TimeoutError:
            response = self._own(LATE_CLIENT, "the body did not come", where="body", allowed=f"{BODY_S:.0f} s")
        except (ConnectionError, asyncio.CancelledError):
            raise  # the client has gone
        except Exception:  # the traceback belongs in our log, not in the answer
            log.exception("%s %s failed", request.method, request.path)
            response = self._own(FAULT, "a fault of the router; its log says more", where="service", allowed="a retry")
        finally:
            self.in_flight -= 1
        if self.draining:
            response.force_close()
        return response

    async def handle_admin(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer on the port of its own for probes and for those who watch."""
        if request.path in _LOCAL:
            return self._local(request, inside=True)
        allowed = f"GET /livez /readyz /metrics {OBSERVATIONS}"
        return self._own(NOT_FOUND, f"nothing at {request.path}", where="path", allowed=allowed)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path in _LOCAL:
            return self._local(request, inside=self.settings.admin_port is None and from_here(request))
        if request.path == POPULAR:  # the doors' answer to the router alone
            return self._own(NOT_FOUND, f"nothing at {POPULAR} here", where="path", allowed="the doors' endpoints")
        path = request.raw_path
        if not path.startswith("/"):
            return self._own(MALFORMED, "the target is no path", where="path", allowed="a path that begins with /")
        routes, counts = self.file.routes, self.counts
        if routes is None:
            return self._own(UNAVAILABLE, "no release is routed yet", where="service", allowed="a retry")
        body = await body_of(request)
        name = headers.request_id(request.headers.get(REQUEST_ID))
        passed = headers.passed_on(request.headers.items(), request_id=name, peer=request.remote or "unknown")
        endpoint = endpoint_of(request.method, request.path)
        sent = Sent(request.method, path, passed, body)
        routed = RoutedRequest(endpoint, sent, arm_for(endpoint, body, routes), routes, counts)
        spare = self._popular.document(routes) if endpoint == RECOMMEND else None
        spare_s = None if spare is None else max(self.settings.patience_s, spare.timeout_s + GRACE_S)
        try:
            found = await self._proxy.answer(routed, spare_s=spare_s)
        except Lost as lost:
            if spare is not None:
                return await self._in_their_place(request, spare, body, name)
            code, error = LOST[lost.reason]
            return self._own(code, error, where="service", allowed="a retry", request_id=name)
        if spare is not None and found.answer.status == UNAVAILABLE:  # it starts, or ends
            self.metrics.retried(str(UNAVAILABLE))
            found.answer.discard()
            return await self._in_their_place(request, spare, body, name)
        return await self._give(request, routed, found, name)

    async def _in_their_place(
        self, request: web.BaseRequest, spare: PopularDocument, body: bytes, name: str
    ) -> web.Response:
        """Answer while no door does; the arm that failed has been counted."""
        made = await self._spare.answer(spare, request.headers, body, request_id=name)
        if made.status == OK:
            self.metrics.popular_answered(spare.release)
        else:
            self.metrics.own.labels(str(made.status)).inc()
        given = {"Server": headers.SERVER, REQUEST_ID: name} | made.headers
        return web.Response(body=made.body, status=made.status, content_type="application/json", headers=given)

    async def _give(
        self, request: web.BaseRequest, routed: RoutedRequest, found: Answered, name: str
    ) -> web.StreamResponse:
        """Pass an answer on, and hand its request to the mirror."""
        answer = found.answer
        if found.arm == STABLE:
            self._popular.saw(answer.headers.get(CATALOGUE))
        given = headers.answered(answer.headers.items(), request_id=name, release=found.release)
        if answer.response is not None:
            return await self._stream(request, answer, web.StreamResponse(status=answer.status, headers=given))
        if request.method == "HEAD" and "Content-Length" in answer.headers:
            given["Content-Length"] = answer.headers["Content-Length"]
        self._hand_to_mirror(routed, found)
        return web.Response(body=answer.body or None, status=answer.status, headers=given)

    async def _stream(self, request: web.BaseRequest, answer: Answer, given: web.StreamResponse) -> web.StreamResponse:
        """Pass pieces on as they come; a door that breaks off is seen as a broken answer, not as a short one."""
        if self.draining:
            given.force_close()
        await given.prepare(request)
        try:
            async with contextlib.aclosing(answer.pieces()) as pieces:
                async for piece in pieces:
                    await given.write(piece)
        except ConnectionError:
            raise
        except Exception as error:  # what aiohttp's client raises has no end; the client must see a break
            raise ConnectionResetError(f"the door broke off: {error}") from error
        await given.write_eof()
        return given

    def _hand_to_mirror(self, routed: RoutedRequest, found: Answered) -> None:
        routes, status = routed.routes, found.answer.status
        if routes.candidate is None:
            return
        if routed.endpoint in WRITES:
            if status < 300 and not routes.shared:
                self._mirror.copy(routed, found.arm)
            return
        shown = routes.mode == "shadow" and routed.endpoint in READS and found.arm == STABLE
        if shown and self._draw() < routes.mirror:
            self._mirror.mirror(routed, status, found.answer.body)

    def _local(self, request: web.BaseRequest, *, inside: bool) -> web.Response:
        """Answer what is the router's own; `inside`: the asker may see what it counts."""
        path = request.path
        if request.method not in ("GET", "HEAD"):
            return self._own(WRONG_METHOD, f"no {request.method} {path}", where="path", allowed=f"GET {path}")
        if path == "/livez":
            return web.Response(text="alive\n")
        if path == "/readyz":
            problem = self._unready()
            return web.Response(text=f"{problem or 'ready'}\n", status=UNAVAILABLE if problem else 200)
        if not inside:
            allowed = "the admin port" if self.settings.admin_port else "this machine"
            return self._own(NOT_FOUND, f"nothing at {path} here", where="path", allowed=allowed)
        if path == OBSERVATIONS:
            seen = self.counts.observations(self.boot).model_dump_json()
            return web.Response(text=seen, content_type="application/json")
        text = generate_latest(self.metrics.registry)
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})

    def _unready(self) -> str:
        """Say why no request should come here, '' if they may."""
        if self.draining:
            return "draining"
        return self.file.problem or "no routes" if self.file.routes is None else ""

    def _own(self, code: int, error: str, *, where: str, allowed: str, request_id: str = "") -> web.Response:
        """Answer in the doors' words."""
        self.metrics.own.labels(str(code)).inc()
        problem = Problem(error=error, where=where, allowed=allowed).model_dump_json()
        more = {"Retry-After": "1"} if code in (UNAVAILABLE, BAD_GATEWAY, TIMEOUT) else {}
        more |= {"Server": headers.SERVER} | ({REQUEST_ID: request_id} if request_id else {})
        return web.Response(text=problem, status=code, content_type="application/json", headers=more)

    def _changed(self, routes: Routes) -> None:
        self._popular.wake()
        if routes.rollout != self.counts.rollout:
            self.counts = Counts(routes.rollout)

    async def _watch(self) -> None:
        while True:
            self.metrics.broken.set(bool(self.file.problem))
            await asyncio.sleep(self.settings.check_s)
            self.file.check()


_LOCAL = frozenset({"/livez", "/readyz", "/metrics", OBSERVATIONS})
_MOST = f"at most {MAX_BODY_BYTES} bytes"

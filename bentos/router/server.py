"""The router's HTTP side: probes, metrics and observations are its own, every other path goes to a door.

It keeps no state: a second router with the same routes.json decides the same. Every request passes it, so its HTTP is
as small as it can be: client_connection.py reads requests, door_connection.py sends them.
"""

import asyncio
import functools
import logging
import random
import time
import uuid
from collections.abc import Coroutine, Mapping

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from bentos.endpoints.popular import PopularDocument
from bentos.http.client_address import client_of, vouched
from bentos.http.headers import CATALOGUE, CLIENT, PATIENCE, REQUEST_ID
from bentos.http.problems import FAULT, OVERLOADED, TIMEOUT, UNAVAILABLE, Problem
from bentos.router import headers, messages
from bentos.router.counts import UNPROVEN, Counts, Metrics
from bentos.router.door_connection import Lost
from bentos.router.listen import Give, Site
from bentos.router.messages import OK, Request, Response
from bentos.router.mirror import Mirror
from bentos.router.observations import PATH as OBSERVATIONS
from bentos.router.popular import Popular
from bentos.router.proxy import Answered, Proxy, RoutedRequest, settled
from bentos.router.requests import READS, RECOMMEND, WRITES, arm_for, endpoint_of, owner_of
from bentos.router.routes import STABLE, Routes
from bentos.router.routes_file import RoutesFile
from bentos.router.settings import Settings
from bentos.router.spare import READS_OF, Spare
from bentos.router.upstreams import Doors, Sent
from feature_repo.endpoints import POPULAR

NOT_FOUND, WRONG_METHOD, BAD_GATEWAY = 404, 405, 502
PEERS = 4096  # addresses whose header is kept
GRACE_S = 1.0  # beyond the door's own deadline, for an answer to come
ANSWERS = {
    "refused": (UNAVAILABLE, "no door takes requests"),
    "reset": (BAD_GATEWAY, "the door broke off"),
    "late": (TIMEOUT, "the door did not answer in time"),
}
log = logging.getLogger("intentflow.router")


class _Passing(msgspec.Struct, frozen=True):
    """A request that is passed on, and what its answer needs."""

    request: Request
    give: Give
    routed: RoutedRequest
    name: str  # its id
    spare: PopularDocument | None
    spare_s: float | None


class Router:
    """One router: make it, `start` it in a running loop, `stop` it."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.boot, self.draining = settings, uuid.uuid4().hex, False
        self.metrics, self.counts = Metrics(), Counts()
        self.metrics.in_flight.set_function(lambda: self.in_flight)
        self.file = RoutesFile(settings.routes, on_change=self._changed, first=settings.first_routes)
        self._draw = random.Random().random
        self._sites: list[Site] = []
        self._vouched: dict[str, bytes] = {}  # the header of a client that no proxy names, by its address
        self._tasks: set[asyncio.Task[None]] = set()  # of requests whose first attempt brought no answer

    @property
    def in_flight(self) -> int:
        """How many requests are being answered, but those of the admin port."""
        return self._sites[0].in_flight if self._sites else 0

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
        self._sites = [Site(self.handle, self._own, draining=lambda: self.draining)]
        await self._sites[0].open(self.settings.host, self.settings.port)
        if self.settings.admin_port is not None:
            self._sites.append(Site(self.handle_admin, self._own, draining=lambda: self.draining))
            await self._sites[1].open(self.settings.host, self.settings.admin_port)

    async def stop(self) -> None:
        """Take no more connections, let what is in flight finish, send the copies that wait, close."""
        self.draining = True  # from here on /readyz says 503, and answers close their connections
        deadline = time.monotonic() + self.settings.drain_s
        self._sites[0].refuse_new()
        await asyncio.sleep(min(self.settings.linger_s, self.settings.drain_s))
        while self.in_flight and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        await self._mirror.stop(max(deadline - time.monotonic(), 0.1))
        await self._popular.stop()
        self._watching.cancel()
        for site in self._sites:
            await site.close()
        await self._doors.close()
        log.info("stopped with %d requests in flight", self.in_flight)

    def handle(self, request: Request, give: Give) -> None:
        """Answer a request, whatever happens: now, or when a door has."""
        try:
            passing = self._pass_on(request, give)
        except Exception:
            passing = self._fault(request)
        if isinstance(passing, Response):
            give(passing)
            return
        self._proxy.first(passing.routed, functools.partial(self._answered, passing), spare_s=passing.spare_s)

    def handle_admin(self, request: Request, give: Give) -> None:
        """Answer on the port of its own for probes and for those who watch."""
        if request.path in _LOCAL:
            give(self._local(request, inside=True))
            return
        allowed = f"GET /livez /readyz /metrics {OBSERVATIONS}"
        give(self._own(NOT_FOUND, f"nothing at {request.path}", where="path", allowed=allowed))

    def _fault(self, request: Request) -> Response:
        """Write the traceback that is being handled into our log: it does not belong in the answer."""
        log.exception("%s %s failed", request.method, request.path)
        return self._own(FAULT, "a fault of the router; its log says more", where="service", allowed="a retry")

    def _pass_on(self, request: Request, give: Give) -> _Passing | Response:
        """Say where a request goes, or answer it."""
        path, body = request.path, request.body
        if path in _LOCAL:
            return self._local(request, inside=self.settings.admin_port is None and request.from_here)
        if path == POPULAR:  # the doors' answer to the router alone
            return self._own(NOT_FOUND, f"nothing at {POPULAR} here", where="path", allowed="the doors' endpoints")
        if (preflight := self._spare.preflight(request.method, path, request.header)) is not None:
            self.metrics.own.labels(str(preflight.status)).inc()
            return _json(preflight.status, preflight.body, preflight.headers)
        routes, counts = self.file.routes, self.counts
        if routes is None:
            return self._own(UNAVAILABLE, "no release is routed yet", where="service", allowed="a retry")
        name = headers.request_id(request.header(REQUEST_ID))
        passed = headers.passed_on(request.headers, request_id=name, peer=request.peer) + self._client(request)
        endpoint = endpoint_of(request.method, path)
        owner = owner_of(endpoint, body) if routes.spread else 0
        sent = Sent(request.method, request.target, passed, body, owner)
        hurried = _hurried(request.header(PATIENCE), least_s=self.settings.patience_s)
        routed = RoutedRequest(endpoint, sent, arm_for(endpoint, body, routes), routes, counts, hurried)
        spare = self._popular.document(routes) if endpoint == RECOMMEND else None
        spare_s = None if spare is None else max(self.settings.patience_s, spare.timeout_s + GRACE_S)
        return _Passing(request, give, routed, name, spare, spare_s)

    def _answered(self, passing: _Passing, first: Answered | Lost) -> None:
        """Give the first attempt's answer, or look for another one in a task."""
        if isinstance(first, Lost) or not settled(passing.routed, first) or _in_vain(passing, first):
            self._spawn(self._go_on(passing, first))
            return
        try:
            response = self._given(passing, first)
        except Exception:
            response = self._fault(passing.request)
        passing.give(response)
        self._hand_to_mirror(passing.routed, first)

    async def _go_on(self, passing: _Passing, first: Answered | Lost) -> None:
        found: Answered | None = None
        try:
            try:
                found = await self._proxy.answer(passing.routed, first, spare_s=passing.spare_s)
            except Lost as lost:
                response = await self._without_doors(passing, lost)
            else:
                response = await self._found(passing, found)
        except Exception:
            response = self._fault(passing.request)
        passing.give(response)
        if found is not None and not _in_vain(passing, found):
            self._hand_to_mirror(passing.routed, found)

    async def _found(self, passing: _Passing, found: Answered) -> Response:
        if passing.spare is not None and _in_vain(passing, found):
            self.metrics.retried(str(UNAVAILABLE))
            found.answer.discard()
            return await self._in_their_place(passing.request, passing.spare, passing.request.body, passing.name)
        return self._given(passing, found)

    async def _without_doors(self, passing: _Passing, lost: Lost) -> Response:
        if passing.spare is not None:
            return await self._in_their_place(passing.request, passing.spare, passing.request.body, passing.name)
        code, error = ANSWERS[lost.reason]
        return self._own(code, error, where="service", allowed="a retry", request_id=passing.name)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)  # the loop holds it weakly
        task.add_done_callback(self._tasks.discard)

    def _client(self, request: Request) -> bytes:
        """Vouch for the address that a request came from: doors count callers by it."""
        named = headers.key(headers.FORWARDED)  # all its lines: the first may be the client's own, before a proxy's
        forwarded = ", ".join(value.decode("latin-1") for name, value in request.headers if name == named)
        if not forwarded and (line := self._vouched.get(request.peer)) is not None:
            return line
        client = client_of(request.peer, forwarded, self.settings.trusted)
        line = headers.lines([(CLIENT, vouched(client, self.settings.token))])
        if not forwarded:
            if len(self._vouched) >= PEERS:
                self._vouched.clear()
            self._vouched[request.peer] = line
        return line

    async def _in_their_place(self, request: Request, spare: PopularDocument, body: bytes, name: str) -> Response:
        """Answer while no door does; the arm that failed has been counted."""
        given = {header: value for header in READS_OF if (value := request.header(header)) is not None}
        made = await self._spare.answer(spare, given, body, request_id=name)
        if made.status == OK:
            self.metrics.popular_answered(spare.release)
        else:
            self.metrics.own.labels(str(made.status)).inc()
        return _json(made.status, made.body, {REQUEST_ID: name} | made.headers)

    def _given(self, passing: _Passing, found: Answered) -> Response:
        """Return a door's answer as the client gets it."""
        answer = found.answer
        if found.arm == STABLE:
            self._popular.saw(answer.header(CATALOGUE))
        given = headers.answered(answer.headers, request_id=passing.name, release=found.release)
        if answer.rest is not None:
            return Response(answer.status, given, pieces=answer.rest.pieces(), length=answer.length)
        return Response(answer.status, given, answer.body, length=answer.length)

    def _hand_to_mirror(self, routed: RoutedRequest, found: Answered) -> None:
        """Have the other arm asked, too: after the client has its answer."""
        routes, status = routed.routes, found.answer.status
        if (routes.candidate is None and not routes.arms) or found.answer.rest is not None:
            return
        if routed.endpoint in WRITES:
            if status < 300 and not routes.shared:
                self._mirror.copy(routed, found.arm)
            return
        if routed.hurried or status == OVERLOADED or status in UNPROVEN:
            return  # the copy passes the candidate's checks of callers: it would differ by what the caller did
        shown = routes.mode == "shadow" and routed.endpoint in READS and found.arm == STABLE
        if shown and self._draw() < routes.mirror:
            self._mirror.mirror(routed, status, found.answer.body)

    def _local(self, request: Request, *, inside: bool) -> Response:
        """Answer what is the router's own; `inside`: the asker may see what it counts."""
        path = request.path
        if request.method not in ("GET", "HEAD"):
            return self._own(WRONG_METHOD, f"no {request.method} {path}", where="path", allowed=f"GET {path}")
        if path == "/livez":
            return _text(OK, "alive")
        if path == "/readyz":
            problem = self._unready()
            return _text(UNAVAILABLE, problem) if problem else _text(OK, "ready")
        if not inside:
            allowed = "the admin port" if self.settings.admin_port else "this machine"
            return self._own(NOT_FOUND, f"nothing at {path} here", where="path", allowed=allowed)
        if path == OBSERVATIONS:
            return _json(OK, self.counts.observations(self.boot).model_dump_json().encode(), {})
        return _own(OK, generate_latest(self.metrics.registry), CONTENT_TYPE_LATEST, {})

    def _unready(self) -> str:
        """Say why no request should come here, '' if they may."""
        if self.draining:
            return "draining"
        return self.file.problem or "no routes" if self.file.routes is None else ""

    def _own(self, code: int, error: str, *, where: str, allowed: str, request_id: str = "") -> Response:
        """Answer in the doors' words."""
        self.metrics.own.labels(str(code)).inc()
        problem = Problem(error=error, where=where, allowed=allowed).model_dump_json()
        more = {"Retry-After": "1"} if code in (UNAVAILABLE, BAD_GATEWAY, TIMEOUT) else {}
        return _json(code, problem.encode(), more | ({REQUEST_ID: request_id} if request_id else {}))

    def _changed(self, routes: Routes) -> None:
        self._popular.wake()
        if routes.rollout != self.counts.rollout:
            self.counts = Counts(routes.rollout)

    async def _watch(self) -> None:
        while True:
            self.metrics.broken.set(bool(self.file.problem))
            await asyncio.sleep(self.settings.check_s)
            self.file.check()


def _text(status: int, text: str) -> Response:
    return _own(status, f"{text}\n".encode(), "text/plain; charset=utf-8", {})


def _json(status: int, body: bytes, more: Mapping[str, str]) -> Response:
    return _own(status, body, "application/json", more)


def _own(status: int, body: bytes, kind: str, more: Mapping[str, str]) -> Response:
    named = {"Content-Type": kind, "Server": headers.SERVER, "Date": messages.date(), **more}
    return Response(status, headers.lines(named.items()), body, length=len(body))


def _in_vain(passing: _Passing, found: Answered) -> bool:
    """Say whether a door starts or ends, and the router has an answer of its own."""
    return passing.spare is not None and found.answer.status == UNAVAILABLE


_LOCAL = frozenset({"/livez", "/readyz", "/metrics", OBSERVATIONS})


def _hurried(patience_ms: str | None, *, least_s: float) -> bool:
    """Say whether a caller waits for less than this router would: then a failure may be the caller's choice.

    >>> [_hurried(ms, least_s=3) for ms in (None, "5000", "3000", "2999", "soon")]
    [False, False, False, True, True]
    """
    if patience_ms is None:
        return False
    return not patience_ms.isdecimal() or int(patience_ms[:9]) < 1000 * least_s

"""Sends one request to the arm that it belongs to, and to the other arm where that one fails.

A read may be asked twice. Stable answers every read that fails at the candidate, so a bad candidate costs no user an
answer; its failure is counted all the same. Nothing here talks to clients.
"""

import time
from collections.abc import Callable

import msgspec

from bentos.http.headers import ROOM
from bentos.http.no_room import no_room
from bentos.http.problems import FAULT, OVERLOADED, UNAVAILABLE
from bentos.router.counts import LOST, Counts, Metrics, count
from bentos.router.door_connection import Answer, Lost, Outcome
from bentos.router.headers import first_values, key
from bentos.router.requests import PERSONAL, READS, WRITES, degraded, repeatable
from bentos.router.room import Room
from bentos.router.routes import STABLE, Arm, Backend, Routes
from bentos.router.settings import Settings
from bentos.router.slow_start import SlowStart
from bentos.router.upstreams import Doors, Sent


class RoutedRequest(msgspec.Struct, frozen=True):
    """A request, and the routes and counts that held when it came."""

    endpoint: str
    sent: Sent
    arm: Arm
    routes: Routes
    counts: Counts
    hurried: bool = False  # its caller says how long it waits: its failures are the caller's choice, and no evidence


class Answered(msgspec.Struct, frozen=True):
    """An answer and where it came from."""

    arm: Arm
    release: str
    answer: Answer


class _Attempt(msgspec.Struct, frozen=True):
    """One request to one door; `room` is that of the process that the user has, which counts reads alone."""

    routed: RoutedRequest
    arm: Arm
    backend: Backend
    patience_s: float
    trial: SlowStart | None
    room: Room | None
    started: float


class _Full(Exception):
    """A door's process has no room for one more read."""

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self._most = most

    def answer(self) -> Answer:
        """Return what the process would answer."""
        refusal = no_room(self._most, self._most)
        headers = {**refusal.headers, "content-type": "application/json"}
        pairs = [(key(name), value.encode()) for name, value in headers.items()]
        return Answer(refusal.status, pairs, first_values(pairs), refusal.problem.model_dump_json().encode())


class Proxy:
    """Asks the doors."""

    def __init__(self, doors: Doors, metrics: Metrics, settings: Settings) -> None:
        self._doors, self._metrics, self._settings = doors, metrics, settings
        self._trials: dict[str, SlowStart] = {}  # by the door's URL
        self._rooms: dict[str, Room] = {}  # by the URL of a door's process

    def first(self, routed: RoutedRequest, done: Callable[[Answered | Lost], None], *, spare_s: float | None) -> None:
        """Make the first attempt and call `done`: most requests need no other, and so no task.

        `spare_s` is the patience with each door where the router has an answer of its own to fall back on: then a door
        that is away is tried by few requests at once.
        """
        try:
            attempt = self._attempt(routed, routed.arm, second(routed), spare_s)
        except Lost as held:
            done(held)
            return
        except _Full as full:
            done(self._refused(routed, routed.arm, full))
            return
        self._doors.ask(
            attempt.backend,
            routed.sent,
            lambda outcome: done(self._ended(attempt, outcome)),
            patience_s=attempt.patience_s,
        )

    async def answer(self, routed: RoutedRequest, first: Answered | Lost, *, spare_s: float | None = None) -> Answered:
        """Return the first answer that is fit to be given, behind the first attempt; raise Lost where none comes."""
        order = attempts(routed)
        for place, arm in enumerate(order):
            after = order[place + 1] if place + 1 < len(order) else None
            found = first if place == 0 else await self._next(routed, arm, after, spare_s)
            if isinstance(found, Lost):
                if after is None or not _again(routed, found, arm, after):
                    raise found
                self._metrics.retried(found.reason)
                continue
            if after is not None and _unfit(routed, found, after):
                self._metrics.retried(str(found.answer.status))
                found.answer.discard()
                continue
            return found
        raise Lost("refused")  # not reached: there is always an arm

    async def _next(self, routed: RoutedRequest, arm: Arm, after: Arm | None, spare_s: float | None) -> Answered | Lost:
        try:
            attempt = self._attempt(routed, arm, after, spare_s)
        except Lost as held:
            return held
        except _Full as full:
            return self._refused(routed, arm, full)
        outcome: Outcome = Lost("reset")
        try:
            outcome = await self._doors.send(attempt.backend, routed.sent, patience_s=attempt.patience_s)
        except Lost as lost:
            outcome = lost
        finally:
            found = self._ended(attempt, outcome)
        return found

    def _attempt(self, routed: RoutedRequest, arm: Arm, after: Arm | None, spare_s: float | None) -> _Attempt:
        backend = routed.routes.backend(arm)
        assert backend is not None
        elsewhere = after is not None and after != arm and routed.endpoint in READS
        patience_s = self._settings.patience_s if elsewhere else spare_s or self._settings.timeout_s
        room = self._room(backend, routed) if routed.endpoint in PERSONAL else None
        trial = self._trial(backend.url) if spare_s is not None else None
        if room is not None:
            room.enter()
        return _Attempt(routed, arm, backend, patience_s, trial, room, time.perf_counter())

    def _ended(self, attempt: _Attempt, outcome: Outcome) -> Answered | Lost:
        """Count an attempt."""
        routed, arm, release = attempt.routed, attempt.arm, attempt.backend.release
        seconds = time.perf_counter() - attempt.started
        code, low = LOST, False
        if not isinstance(outcome, Lost):
            code, low = outcome.status, routed.endpoint in READS and degraded(outcome.body)
        if attempt.room is not None:
            attempt.room.leave()
            if code == OVERLOADED and not isinstance(outcome, Lost):
                self._no_room(attempt.room, outcome.header(ROOM))
        if attempt.trial is not None:
            attempt.trial.leave(answered=code not in (LOST, UNAVAILABLE))
        self._metrics.attempt(arm, release, code, endpoint=routed.endpoint, seconds=seconds)
        if not routed.hurried:
            count(routed.counts, arm, routed.endpoint, code=code, seconds=seconds, degraded=low)
        return outcome if isinstance(outcome, Lost) else Answered(arm, release, outcome)

    def _room(self, backend: Backend, routed: RoutedRequest) -> Room:
        """Return the room of the process that the user has; raise _Full where there is none."""
        url = backend.processes(routed.sent.owner)[0]
        if (room := self._rooms.get(url)) is None:
            room = self._rooms[url] = Room()
        if room.full(time.monotonic()):
            raise _Full(room.most)
        return room

    def _no_room(self, room: Room, most: str | None) -> None:
        """Take in a process's refusal: one that names no number is of something else, such as a caller's rate."""
        if most is not None and most.isdecimal():
            room.refused(int(most[:9]), now=time.monotonic())

    def _refused(self, routed: RoutedRequest, arm: Arm, full: "_Full") -> Answered:
        """Refuse in the words of a door that has no room.

        Where callers are recognised the loop is not told: nobody knows whether this one may ask.
        """
        backend = routed.routes.backend(arm)
        assert backend is not None
        self._metrics.own.labels(str(OVERLOADED)).inc()
        if self._settings.access.auth == "none" and not routed.hurried:
            count(routed.counts, arm, routed.endpoint, code=OVERLOADED, seconds=0.0, degraded=False)
        return Answered(arm, backend.release, full.answer())

    def _trial(self, url: str) -> SlowStart:
        """Let one more request try a door, if the door is not away or few do."""
        trial = self._trials.setdefault(url, SlowStart())
        if not trial.admits:
            raise Lost("held")
        trial.enter()
        return trial


def attempts(routed: RoutedRequest) -> list[Arm]:
    """Return the arms to try, in order: writes stay with their arm as long as its door takes them."""
    other = routed.routes.other(routed.arm)
    if routed.endpoint in PERSONAL:
        return [routed.arm, second(routed)]
    return [routed.arm, second(routed), *([other] if other and routed.endpoint in WRITES else [])]


def second(routed: RoutedRequest) -> Arm:
    """Return the arm to try after the first one."""
    return (routed.routes.other(routed.arm) or routed.arm) if routed.endpoint in PERSONAL else routed.arm


def settled(routed: RoutedRequest, first: Answered | Lost) -> bool:
    """Say whether the first attempt brought an answer that is fit to be given."""
    return isinstance(first, Answered) and not _unfit(routed, first, second(routed))


def _again(routed: RoutedRequest, lost: Lost, arm: Arm, after: Arm) -> bool:
    """Say whether a request that got no answer is sent again: not if that could do its work twice."""
    if lost.reason == "late":
        return routed.endpoint in READS and after != arm
    return lost.reason in ("refused", "held") or repeatable(routed.sent.method, routed.endpoint, routed.sent.body)


def _unfit(routed: RoutedRequest, found: Answered, after: Arm) -> bool:
    """Say whether the other door should answer a read: whatever a candidate fails at, and what stable cannot take."""
    if routed.endpoint not in PERSONAL or after == found.arm:
        return False
    status = found.answer.status
    return status == UNAVAILABLE if found.arm == STABLE else status >= FAULT

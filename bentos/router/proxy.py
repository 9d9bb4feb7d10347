"""Sends one request to the arm that it belongs to, and to the other arm where that one fails.

A read may be asked twice. Stable answers every read that fails at the candidate, so a bad candidate costs no user an
answer; its failure is counted all the same. Nothing here talks to clients.
"""

import time
from dataclasses import dataclass

from bentos.http.problems import FAULT, UNAVAILABLE
from bentos.router.counts import LOST, Counts, Metrics, count
from bentos.router.door_connection import Answer, Lost
from bentos.router.requests import PERSONAL, READS, WRITES, degraded, repeatable
from bentos.router.routes import CANDIDATE, Arm, Routes
from bentos.router.settings import Settings
from bentos.router.slow_start import SlowStart
from bentos.router.upstreams import Doors, Sent


@dataclass(frozen=True)
class RoutedRequest:
    """A request, and the routes and counts that held when it came."""

    endpoint: str
    sent: Sent
    arm: Arm
    routes: Routes
    counts: Counts
    hurried: bool = False  # its caller says how long it waits: its failures are the caller's choice, and no evidence


@dataclass(frozen=True)
class Answered:
    """An answer and where it came from."""

    arm: Arm
    release: str
    answer: Answer


class Proxy:
    """Asks the doors."""

    def __init__(self, doors: Doors, metrics: Metrics, settings: Settings) -> None:
        self._doors, self._metrics, self._settings = doors, metrics, settings
        self._trials: dict[str, SlowStart] = {}  # by the door's URL

    async def answer(self, routed: RoutedRequest, *, spare_s: float | None = None) -> Answered:
        """Return the first answer that is fit to be given; raise Lost where none comes.

        `spare_s` is the patience with each door where the router has an answer of its own to fall back on: then a door
        that is away is tried by few requests at once.
        """
        order = attempts(routed)
        for place, arm in enumerate(order):
            after = order[place + 1] if place + 1 < len(order) else None
            try:
                found = await self._attempt(routed, arm, after, spare_s)
            except Lost as lost:
                if after is None or not _again(routed, lost, arm, after):
                    raise
                self._metrics.retried(lost.reason)
                continue
            if after is not None and _unfit(routed, found, after):
                self._metrics.retried(str(found.answer.status))
                found.answer.discard()
                continue
            return found
        raise Lost("refused")  # not reached: there is always an arm

    async def _attempt(self, routed: RoutedRequest, arm: Arm, after: Arm | None, spare_s: float | None) -> Answered:
        backend = routed.routes.backend(arm)
        assert backend is not None
        elsewhere = routed.endpoint in READS and after is not None and after != arm
        patience_s = self._settings.patience_s if elsewhere else spare_s or self._settings.timeout_s
        trial = self._trial(backend.url) if spare_s is not None else None
        started, code, low = time.perf_counter(), LOST, False
        try:
            answer = await self._doors.send(backend, routed.sent, patience_s=patience_s)
            code, low = answer.status, routed.endpoint in READS and degraded(answer.body)
        finally:
            seconds = time.perf_counter() - started
            if trial is not None:
                trial.leave(answered=code not in (LOST, UNAVAILABLE))
            self._metrics.attempt(arm, backend.release, code, endpoint=routed.endpoint, seconds=seconds)
            if not routed.hurried:
                count(routed.counts, arm, routed.endpoint, code=code, seconds=seconds, degraded=low)
        return Answered(arm, backend.release, answer)

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
        return [routed.arm, other or routed.arm]
    return [routed.arm, routed.arm, *([other] if other and routed.endpoint in WRITES else [])]


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
    return status >= FAULT if found.arm == CANDIDATE else status == UNAVAILABLE

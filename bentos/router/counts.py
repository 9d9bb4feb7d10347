"""The router's counts: for the rollout's loop (observations.py) and for Prometheus, in one place.

Each rollout has a Counts of its own, and a request keeps the one that held when it came: one that began before the
routes changed is not counted with the next rollout.
"""

import bisect
from collections.abc import Iterator
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from bentos.http.problems import FAULT, FORBIDDEN, HEADERS_TOO_LARGE, MALFORMED, OVERLOADED, UNAUTHENTICATED
from bentos.router.observations import BUCKETS_MS, ENDLESS, LABELS, ArmSeen, CopiesSeen, Observations, ShadowSeen
from bentos.router.requests import READS, WRITES
from bentos.router.routes import CANDIDATE, STABLE, Arm

LOST = 0  # the code of an attempt that no answer came to
# What a door may answer before it knows its caller: a stranger could fill a rollout's evidence with them.
UNPROVEN = frozenset((MALFORMED, UNAUTHENTICATED, FORBIDDEN, HEADERS_TOO_LARGE))


@dataclass
class Times:
    """Durations in buckets."""

    slots: list[int] = field(default_factory=lambda: [0] * len(LABELS))
    seconds: float = 0.0

    def add(self, seconds: float) -> None:
        """Take one in; a bound belongs to its bucket."""
        self.slots[bisect.bisect_left(BUCKETS_MS, seconds * 1000)] += 1
        self.seconds += seconds

    def cumulative(self) -> dict[str, int]:
        """Return counts by upper bound."""
        total, found = 0, {}
        for label, count in zip(LABELS, self.slots, strict=True):
            total += count
            found[label] = total
        return found


@dataclass
class ArmCount:
    """Counts of one arm."""

    requests: int = 0
    errors: int = 0
    degraded: int = 0
    shed: int = 0
    events: int = 0
    event_errors: int = 0
    times: Times = field(default_factory=Times)

    def read(self, code: int, seconds: float, *, degraded: bool) -> None:
        """Count a read: times are those of answers, errors have none."""
        self.requests += 1
        if code == LOST or code >= FAULT:
            self.errors += 1
            return
        self.degraded += degraded
        self.shed += code == OVERLOADED
        self.times.add(seconds)

    def event(self, code: int) -> None:
        """Count a write, original or copy."""
        self.events += 1
        self.event_errors += code == LOST or code >= FAULT

    def seen(self) -> ArmSeen:
        """Return them for the loop."""
        return ArmSeen(
            requests=self.requests,
            errors=self.errors,
            degraded=self.degraded,
            shed=self.shed,
            buckets_ms=self.times.cumulative(),
            seconds_sum=self.times.seconds,
            events=self.events,
            event_errors=self.event_errors,
        )


@dataclass
class Counts:
    """All counts of one rollout."""

    rollout: str = ""
    arms: dict[Arm, ArmCount] = field(default_factory=lambda: {STABLE: ArmCount(), CANDIDATE: ArmCount()})
    mirrored: int = 0
    mirror_errors: int = 0
    mirror_dropped: int = 0
    differing: int = 0
    mirror_times: Times = field(default_factory=Times)
    overlap_sum: float = 0.0
    compared: int = 0
    copies: dict[str, int] = field(default_factory=lambda: {"sent": 0, "failed": 0, "dropped": 0})

    def arm(self, name: Arm) -> ArmCount:
        """Return the counts of an arm; an experiment's are made when it first answers."""
        return self.arms.setdefault(name, ArmCount())

    def observations(self, boot: str) -> Observations:
        """Return the document for the loop."""
        shadow = ShadowSeen(
            mirrored=self.mirrored,
            errors=self.mirror_errors,
            dropped=self.mirror_dropped,
            differing=self.differing,
            buckets_ms=self.mirror_times.cumulative(),
            seconds_sum=self.mirror_times.seconds,
            overlap_sum=self.overlap_sum,
            compared=self.compared,
        )
        arms = {arm: count.seen() for arm, count in self.arms.items()}
        return Observations(boot=boot, rollout=self.rollout, arms=arms, shadow=shadow, copies=CopiesSeen(**self.copies))


class Attempts(Collector):
    """Attempts at doors, in plain numbers until somebody asks: one thread counts, so no number needs a lock."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, int, str], int] = {}  # by arm, release, code and endpoint
        self._times: dict[tuple[str, str], Times] = {}  # by arm and endpoint

    def add(self, key: tuple[str, str, int, str], seconds: float) -> None:
        """Count one."""
        self._counts[key] = self._counts.get(key, 0) + 1
        if (times := self._times.get((key[0], key[3]))) is None:
            times = self._times[key[0], key[3]] = Times()
        times.add(seconds)

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        requests = CounterMetricFamily(
            "intentflow_router_requests",
            "Attempts at the doors; code 0: no answer came",
            labels=["arm", "release", "code", "endpoint"],
        )
        for (arm, release, code, endpoint), total in self._counts.items():
            requests.add_metric([arm, release, str(code), endpoint], total)
        seconds = HistogramMetricFamily(
            "intentflow_router_door_seconds", "Seconds until a door had answered", labels=["arm", "endpoint"]
        )
        bounds = [*(str(ms / 1000) for ms in BUCKETS_MS), ENDLESS]
        for (arm, endpoint), times in self._times.items():
            buckets = list(zip(bounds, map(float, times.cumulative().values()), strict=True))
            seconds.add_metric([arm, endpoint], buckets, times.seconds)
        yield from (requests, seconds)


class Metrics:
    """The same for Prometheus, by release, over the router's whole life."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.attempts = Attempts()
        self.registry.register(self.attempts)
        self._outcomes = Counter(
            "intentflow_router_side",
            "Copies of requests by kind and outcome",
            ["kind", "outcome"],
            registry=self.registry,
        )
        self._retries = Counter(
            "intentflow_router_retries", "Second attempts, by what failed first", ["reason"], registry=self.registry
        )
        self.own = Counter(
            "intentflow_router_own", "Answers of the router's own, by code", ["code"], registry=self.registry
        )
        self._popular = Counter(
            "intentflow_router_popular_answers",
            "Recommendations of what is popular, in place of doors that were away",
            ["release"],
            registry=self.registry,
        )
        self._asked = Counter(
            "intentflow_router_popular_documents",
            "Questions to the stable door for what is popular",
            ["outcome"],
            registry=self.registry,
        )
        self.broken = Gauge("intentflow_router_routes_broken", "1 while routes.json is no good", registry=self.registry)
        self.in_flight = Gauge(
            "intentflow_router_in_flight", "Requests that are being answered", registry=self.registry
        )
        self._sides: dict[tuple[str, str], Counter] = {}  # labels() costs more than inc()

    def attempt(self, arm: Arm, release: str, code: int, *, endpoint: str, seconds: float) -> None:
        """Count one attempt at a door."""
        self.attempts.add((arm, release, code, endpoint), seconds)

    def retried(self, reason: str) -> None:
        """Count a second attempt."""
        self._retries.labels(reason).inc()

    def popular_answered(self, release: str) -> None:
        """Count an answer in the doors' place."""
        self._popular.labels(release).inc()

    def popular_asked(self, outcome: str) -> None:
        """Count a document: confirmed, refused or away."""
        self._asked.labels(outcome).inc()

    def side(self, kind: str, outcome: str) -> None:
        """Count a mirrored request or a copy of events."""
        if (counter := self._sides.get((kind, outcome))) is None:
            counter = self._sides[kind, outcome] = self._outcomes.labels(kind, outcome)
        counter.inc()


def count(counts: Counts, arm: Arm, endpoint: str, *, code: int, seconds: float, degraded: bool) -> None:
    """Count an attempt for the loop, unless its answer is one that strangers get."""
    if code in UNPROVEN:
        return
    if endpoint in READS:
        counts.arm(arm).read(code, seconds, degraded=degraded)
    elif endpoint in WRITES:
        counts.arm(arm).event(code)

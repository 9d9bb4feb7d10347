"""The door's own Prometheus metrics. Registered in the default registry they show on BentoML's /metrics."""

import functools
from collections.abc import Mapping
from pathlib import Path

import psutil
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, multiprocess

from bentos.endpoints.events import Accepted
from bentos.endpoints.schemas import Profile
from bentos.recommender.logs.eventlog import EventLog
from bentos.recommender.logs.shipping import ShippingStatus
from bentos.release import Release
from components.content.llm.store import Cost
from components.content.llm.writer import Written

BUCKETS_S = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
BUCKETS_DAYS = (0.01, 0.04, 0.25, 1, 2, 4, 7, 14, 28, 60, 120, 365)

REASONS = {401: "unauthenticated", 403: "forbidden", 429: "rate_limited", 503: "provider_away"}


def forget_the_dead(environment: Mapping[str, str]) -> None:
    """Take what processes of this door that are gone said last of themselves out of the sums; their counts stay."""
    folder = environment.get("PROMETHEUS_MULTIPROC_DIR")
    for path in Path(folder).glob("gauge_live*_*.db") if folder else ():
        number = path.stem.rpartition("_")[2]
        if number.isdecimal() and not psutil.pid_exists(int(number)):
            multiprocess.mark_process_dead(int(number), folder)  # type: ignore[no-untyped-call]


class Metrics:
    """Counts answers by endpoint and code, their seconds, the ladder's rungs, profiles' ages, and what was lost."""

    def __init__(self, release: Release, *, registry: CollectorRegistry = REGISTRY) -> None:
        self._release = release.id
        self.requests = Counter(
            "intentflow_requests", "Answers of the door", ["endpoint", "code", "release"], registry=registry
        )
        self.seconds = Histogram(
            "intentflow_request_seconds", "Seconds to an answer", ["endpoint"], buckets=BUCKETS_S, registry=registry
        )
        self.rungs = Counter(
            "intentflow_profile_rung", "Answers by the rung of the ladder", ["rung", "release"], registry=registry
        )
        self.ages = Histogram(
            "intentflow_profile_age_days", "Age of the profiles asked about", buckets=BUCKETS_DAYS, registry=registry
        )
        self.degraded = Counter(
            "intentflow_degraded", "Answers from a lower rung since something failed", ["reason"], registry=registry
        )
        self.events = Counter("intentflow_events", "Events by outcome", ["outcome"], registry=registry)
        self.bounded = Counter(
            "intentflow_events_bounded",
            "Events refused since a bound of their caller was reached",
            ["bound"],
            registry=registry,
        )
        self.noted = Counter(
            "intentflow_events_noted", "Events that break a rule of severity info", ["rule"], registry=registry
        )
        self.unlogged = Counter("intentflow_unlogged", "Answers that the request log could not take", registry=registry)
        self.in_flight = Gauge(
            "intentflow_in_flight",
            "Requests that run or wait",
            ["lane"],
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.shed = Counter("intentflow_shed", "Requests refused since a lane was full", ["lane"], registry=registry)
        self.refused = Counter("intentflow_refused", "Requests refused at the door", ["reason"], registry=registry)
        self.texts = Counter(
            "intentflow_texts",
            "Texts of /describe and titles of /shelves by who wrote them, and whether that is as wished or why not",
            ["source", "outcome"],
            registry=registry,
        )
        self.text_tokens = Counter("intentflow_text_tokens", "Tokens of texts that a model wrote", registry=registry)
        self.lists = Counter(
            "intentflow_reranked",
            "Lists that a language model was to order: ordered, or why the ranker's order stands",
            ["outcome"],
            registry=registry,
        )
        self.first_word = Histogram(
            "intentflow_text_first_word_seconds",
            "Seconds to the first word of a model's text",
            buckets=BUCKETS_S,
            registry=registry,
        )
        self._logs = _Logs(registry)
        info = Gauge(
            "intentflow_release_info",
            "The release that is served",
            ["recommender", "release"],
            registry=registry,
            multiprocess_mode="livemax",
        )
        info.labels(release.name, release.id).set(1)
        # What every answer counts, found once: endpoints, codes and rungs are few, and looking labels up is not free.
        self._of_answers = functools.cache(
            lambda endpoint, code: (
                self.requests.labels(endpoint, str(code), self._release),
                self.seconds.labels(endpoint),
            )
        )
        self._of_rung = functools.cache(lambda rung: self.rungs.labels(rung, self._release))
        self.running = functools.cache(self.in_flight.labels)

    def answered(self, endpoint: str, code: int, *, seconds: float) -> None:
        """Count one answer."""
        counts, times = self._of_answers(endpoint, code)
        counts.inc()
        times.observe(seconds)

    def refused_at_door(self, endpoint: str, code: int) -> None:
        """Count a request that no endpoint saw."""
        self.requests.labels(endpoint, str(code), self._release).inc()
        self.refused.labels(REASONS.get(code, "malformed")).inc()

    def text(self, source: str, outcome: str) -> None:
        """Count a text where a language model is asked: served, cached, or why fixed sentences stand in its place."""
        self.texts.labels(source, outcome).inc()

    def words_took(self, made: Written) -> None:
        """Count what a model's text took; one from the cache took nothing."""
        self.text_tokens.inc(made.cost.tokens)
        if made.first_ms is not None:
            self.first_word.observe(made.first_ms / 1000)

    def ordered(self, outcome: str, cost: Cost) -> None:
        """Count a list that a language model was asked to order, and what that took."""
        self.lists.labels(outcome).inc()
        self.text_tokens.inc(cost.tokens)

    def beyond(self, bound: str, events: int) -> None:
        """Count events of a request that went beyond a bound."""
        self.bounded.labels(bound).inc(events)

    def unstored(self, events: int) -> None:
        """Count events that the log could not take; their senders were told so."""
        self.events.labels("unstored").inc(events)

    def logs_seen(self, requests: ShippingStatus, events: EventLog) -> None:
        """Show the size of the logs and what of them waits."""
        self._logs.seen(requests, events)

    def counted(self, answer: object) -> None:
        """Count an answer by its profile's rung, or by the outcomes of its events."""
        if isinstance(answer, Accepted):
            self.events.labels("accepted").inc(answer.accepted)
            self.events.labels("duplicate").inc(answer.duplicates)
            self.events.labels("ignored").inc(answer.ignored)
            self.events.labels("set_aside").inc(len(answer.set_aside))  # a page is not told of its own
            for rule, events in answer.noted.items():
                self.noted.labels(rule).inc(events)
        elif isinstance(profile := getattr(answer, "profile", None), Profile):
            self._of_rung(profile.rung).inc()
            if profile.age_days is not None:
                self.ages.observe(profile.age_days)
            if profile.reason is not None:
                self.degraded.labels(profile.reason).inc()


class _Logs:
    """The logs on disk: what they hold, and what of the request log a store does not have yet."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, about: str, *labels: str) -> Gauge:
            return Gauge(f"intentflow_{name}", about, labels, registry=registry, multiprocess_mode="livemax")

        self._bytes = gauge("log_bytes", "Bytes of a log on this disk", "log")
        self._unfolded = gauge("events_unfolded", "Events that were logged and are in no profile yet")
        self._waiting = gauge("requestlog_waiting_files", "Closed files that the store does not have")
        self._since = gauge("requestlog_waiting_since_timestamp_seconds", "When the oldest was closed; 0: none waits")
        self._turns = Counter("intentflow_requestlog_turns", "Looks at the request log", ["outcome"], registry=registry)
        self._sent = Counter("intentflow_requestlog_sent", "Files copied to the store", registry=registry)

    def seen(self, requests: ShippingStatus, events: EventLog) -> None:
        self._bytes.labels("requests").set(requests.size_bytes)
        self._bytes.labels("events").set(events.size_bytes)
        self._unfolded.set(events.unfolded)
        self._waiting.set(requests.waiting)
        self._since.set(requests.waiting_since)
        self._turns.labels("failed" if requests.failed else "done").inc()
        self._sent.inc(requests.sent)

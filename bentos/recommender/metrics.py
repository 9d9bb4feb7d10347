"""The door's own Prometheus metrics. Registered in the default registry they show on BentoML's /metrics."""

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from bentos.recommender import schemas
from bentos.release import Release

BUCKETS_S = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Metrics:
    """Counts answers by endpoint and code, their seconds, the rungs of the ladder, and what was lost."""

    def __init__(self, release: Release, *, registry: CollectorRegistry = REGISTRY) -> None:
        self._release = release.id
        self.requests = Counter(
            "intentflow_requests", "Answers of the door", ["endpoint", "code", "release"], registry=registry
        )
        self.seconds = Histogram(
            "intentflow_request_seconds", "Seconds to an answer", ["endpoint"], buckets=BUCKETS_S, registry=registry
        )
        self.rungs = Counter("intentflow_profile_rung", "Answers by the profile's rung", ["rung"], registry=registry)
        self.events = Counter("intentflow_events", "Events by outcome", ["outcome"], registry=registry)
        self.unlogged = Counter("intentflow_unlogged", "Answers that the request log could not take", registry=registry)
        info = Gauge(
            "intentflow_release_info",
            "The release that is served",
            ["recommender", "release"],
            registry=registry,
            multiprocess_mode="livemax",
        )
        info.labels(release.name, release.id).set(1)

    def answered(self, endpoint: str, code: int, *, seconds: float) -> None:
        """Count one answer."""
        self.requests.labels(endpoint, str(code), self._release).inc()
        self.seconds.labels(endpoint).observe(seconds)

    def counted(self, answer: object) -> None:
        """Count what an answer says of itself: the profile's rung, or the events' outcomes."""
        if isinstance(answer, schemas.Accepted):
            self.events.labels("accepted").inc(answer.accepted)
            self.events.labels("duplicate").inc(answer.duplicates)
        elif isinstance(profile := getattr(answer, "profile", None), schemas.Profile):
            self.rungs.labels(profile.rung).inc()

"""Every metric that alerts and dashboards may use: its name, type and labels, and which process exports it.

Tests compare it with the exports of running processes, and hold every query of alerts.py, recording_rules.py and
panels.py to it: a query of a metric or a label that does not exist fails them. A new metric of a process needs its line
here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]
Source = Literal["door", "router", "loop", "models", "kubernetes", "prometheus"]
JOBS = {  # the value of Prometheus' label `job`: app.kubernetes.io/name of the pods that a monitor names
    "door": "recommender",
    "router": "router",
    "loop": "reconciler",
}
# What Prometheus adds to every series of ours when it scrapes a pod (k8s/components/monitoring/monitors.yaml).
TARGET = ("namespace", "pod", "job", "instance", "container")


@dataclass(frozen=True)
class Metric:
    """One metric, under the name that its process gives it; `series` are the names that queries use."""

    name: str
    kind: Kind
    source: Source
    about: str
    labels: tuple[str, ...] = ()

    @property
    def series(self) -> tuple[str, ...]:
        """Return the names of its series.

        >>> Metric("a_seconds", "histogram", "door", "").series
        ('a_seconds_bucket', 'a_seconds_sum', 'a_seconds_count')
        """
        if self.kind == "counter":
            return (f"{self.name}_total",)
        return tuple(f"{self.name}_{end}" for end in _ENDS) if self.kind == "histogram" else (self.name,)


_ENDS = ("bucket", "sum", "count")


def _of(source: Source, *lines: tuple[str, Kind, str, str]) -> tuple[Metric, ...]:
    return tuple(Metric(name, kind, source, about, tuple(labels.split())) for name, kind, labels, about in lines)


DOOR = _of(
    "door",
    ("intentflow_requests", "counter", "endpoint code release", "Answers of the door, router's copies too"),
    ("intentflow_request_seconds", "histogram", "endpoint", "Seconds to an answer"),
    ("intentflow_profile_rung", "counter", "rung release", "Answers by the rung of the ladder"),
    ("intentflow_profile_age_days", "histogram", "", "Age of the profiles asked about"),
    ("intentflow_degraded", "counter", "reason", "Answers from a lower rung, since something failed"),
    (
        "intentflow_events",
        "counter",
        "outcome",
        "Events by outcome: accepted, duplicate, ignored, set_aside (no item of the catalogue), unstored (refused: the "
        "log could not take them)",
    ),
    (
        "intentflow_events_bounded",
        "counter",
        "bound",
        "Events refused by a bound of their caller: kind, key, caller, user, item_share, server",
    ),
    ("intentflow_events_noted", "counter", "rule", "Events that break a rule of severity info"),
    ("intentflow_events_unfolded", "gauge", "", "Events that were logged and are in no profile yet"),
    (
        "intentflow_texts",
        "counter",
        "source outcome",
        "Texts by who wrote them, and whether a language model's was served, or why not",
    ),
    ("intentflow_text_tokens", "counter", "", "Tokens of texts that a model wrote"),
    (
        "intentflow_reranked",
        "counter",
        "outcome",
        "Lists that a language model was to order: ordered, or why the ranker's order stands",
    ),
    ("intentflow_text_first_word_seconds", "histogram", "", "Seconds to the first word of a model's text"),
    ("intentflow_unlogged", "counter", "", "Answers that the request log could not take"),
    ("intentflow_log_bytes", "gauge", "log", "Bytes of a log on the pod's disk: requests, events"),
    ("intentflow_requestlog_turns", "counter", "outcome", "Looks of the thread that compacts and copies the log"),
    ("intentflow_requestlog_sent", "counter", "", "Files of the request log copied to the store"),
    ("intentflow_requestlog_waiting_files", "gauge", "", "Closed files that the store does not have"),
    ("intentflow_requestlog_waiting_since_timestamp_seconds", "gauge", "", "When the oldest was closed; 0: none"),
    ("intentflow_in_flight", "gauge", "lane", "Requests that run or wait"),
    ("intentflow_shed", "counter", "lane", "Requests refused since a lane was full"),
    ("intentflow_refused", "counter", "reason", "Requests refused at the door: keys, limits, malformed"),
    ("intentflow_release_info", "gauge", "recommender release", "1: the release that is served"),
)
ROUTER = _of(
    "router",
    ("intentflow_router_requests", "counter", "arm release code endpoint", "Attempts at the doors; code 0: no answer"),
    ("intentflow_router_door_seconds", "histogram", "arm endpoint", "Seconds until a door had answered"),
    ("intentflow_router_side", "counter", "kind outcome", "Copies of requests: mirror, events"),
    ("intentflow_router_retries", "counter", "reason", "Second attempts, by what failed first"),
    ("intentflow_router_own", "counter", "code", "Answers of the router's own: no door could"),
    ("intentflow_router_popular_answers", "counter", "release", "Recommendations in place of doors that were away"),
    ("intentflow_router_popular_documents", "counter", "outcome", "Documents for them: confirmed, refused, away"),
    ("intentflow_router_routes_broken", "gauge", "", "1 while routes.json is no good"),
    ("intentflow_router_in_flight", "gauge", "", "Requests that are being answered"),
)
LOOP = _of(
    "loop",
    ("intentflow_rollout_phase", "gauge", "recommender phase", "1 for the phase that the rollout is in"),
    ("intentflow_rollout_phase_since_timestamp_seconds", "gauge", "recommender", "When phase or step began; 0: idle"),
    ("intentflow_rollout_step", "gauge", "recommender", "The canary's step, from 1; 0: no canary"),
    ("intentflow_rollout_release_info", "gauge", "recommender role release version", "1: stable, candidate"),
    ("intentflow_rollout_seen", "gauge", "recommender arm what", "What an arm did in this phase"),
    ("intentflow_rollout_turn_timestamp_seconds", "gauge", "recommender", "When the loop last looked and could act"),
    ("intentflow_rollout_turns", "counter", "recommender outcome", "Turns of the loop: done, waiting"),
    ("intentflow_rollout_ended", "counter", "recommender result", "Rollouts: promoted, rolled_back, abandoned"),
    ("intentflow_drift_verdict", "gauge", "recommender verdict", "1 for the verdict of the last drift check"),
    (
        "intentflow_drift_lost",
        "gauge",
        "recommender column",
        "1 for each column that had lost its values at that check",
    ),
    (
        "intentflow_drift_class",
        "gauge",
        "recommender reason",
        "1 for the class of the last check: data_fault, world, performance, none, undecided",
    ),
    ("intentflow_drift_signal", "gauge", "recommender signal", "1 for each signal that the last check alarms of"),
    ("intentflow_drift_untold", "gauge", "recommender", "1 while the last verdict did not reach monitoring.notify"),
    ("intentflow_signal_value", "gauge", "recommender signal", "A signal's value in the newest period"),
    ("intentflow_signal_users", "gauge", "recommender signal", "Users behind that value"),
    ("intentflow_quality_fell", "gauge", "recommender", "1 while realised quality lies below what is usual"),
    ("intentflow_retraining_stopped", "gauge", "recommender", "1 while retraining has stopped itself"),
    ("intentflow_drift_share", "gauge", "recommender", "Share of columns that had drifted"),
    ("intentflow_drift_columns", "gauge", "recommender state", "Columns of the last check: drifted, compared"),
    ("intentflow_drift_checked_timestamp_seconds", "gauge", "recommender", "When drift was last checked"),
    ("intentflow_job_succeeded_timestamp_seconds", "gauge", "recommender task", "When a job last succeeded"),
    ("intentflow_job_failed_timestamp_seconds", "gauge", "recommender task", "When a job last failed"),
    ("intentflow_job_seconds", "gauge", "recommender task", "How long the job's last success took"),
)
_BENTO = "endpoint service_name service_version runner_name"
MODELS = _of(  # BentoML's own, of the door too; of the split services `intent` and `ranking` there are no others
    "models",
    ("bentoml_service_request", "counter", f"{_BENTO} http_response_code", "Answers of a BentoML service"),
    ("bentoml_service_request_duration_seconds", "histogram", f"{_BENTO} http_response_code", "Seconds to them"),
    ("bentoml_service_request_in_progress", "gauge", _BENTO, "Requests under way"),
)
OUTSIDE = (  # as kube-state-metrics and Prometheus document them: no test of ours runs those on a cluster
    *_of(
        "kubernetes",
        ("kube_deployment_spec_replicas", "gauge", "namespace deployment", "Pods that a Deployment wants"),
        ("kube_deployment_status_replicas_available", "gauge", "namespace deployment", "Pods that are available"),
        ("kube_pod_container_status_restarts", "counter", "namespace pod container", "Restarts"),
        ("kube_job_status_failed", "gauge", "namespace job_name", "Failed pods of a Job"),
    ),
    *_of("prometheus", ("up", "gauge", "job", "1: the last scrape worked")),
)
ALL = (*DOOR, *ROUTER, *LOOP, *MODELS, *OUTSIDE)


def find(series: str) -> Metric | None:
    """Return the metric that a series belongs to."""
    return _SERIES.get(series)


def of(source: Source) -> Iterator[Metric]:
    """Yield what a process exports."""
    return (metric for metric in ALL if metric.source == source)


def labels(series: str) -> frozenset[str]:
    """Return the labels that a series may be asked about: its own, its target's, and a bucket's bound."""
    metric = _SERIES[series]
    own = {*metric.labels, *(("le",) if series.endswith("_bucket") else ())}
    return frozenset(own | set(TARGET))


_SERIES = {series: metric for metric in ALL for series in metric.series}

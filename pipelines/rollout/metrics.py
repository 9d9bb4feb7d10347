"""What the reconciliation loop exports for Prometheus: the rollout, and the registry's records of jobs and drift.

The loop is the one process of a recommender that always runs and reads the registry, so it also exports what ended
long ago: jobs leave heartbeats there (components/registry/heartbeats.py). It listens at `INTENTFLOW_METRICS=host:port`;
without that variable nothing listens. Alerts and dashboards live in monitoring/observability.
"""

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from components.registry import heartbeats
from feature_repo import env_names
from feature_repo.errors import ServerError, SpecError
from monitoring import drift_verdicts
from monitoring.reason_classes import PERFORMANCE
from pipelines.environment import Installation
from pipelines.rollout.state import Phase, State

ADDRESS = env_names.METRICS
MARKS_EVERY_S = 15.0
SEEN = ("requests", "errors", "slow", "degraded")
ARMS = ("stable", "candidate", "shadow")


class LoopMetrics:
    """The loop's metrics, of one recommender."""

    def __init__(self, name: str) -> None:
        self.registry, self._name, self._read_at = CollectorRegistry(), name, float("-inf")
        self._last: dict[str, Any] | None = None
        self._phase = self._gauge("rollout_phase", "1 for the phase that the rollout is in", "phase")
        self._since = self._gauge(
            "rollout_phase_since_timestamp_seconds", "When the phase, or its step, began; 0: idle"
        )
        self._step = self._gauge("rollout_step", "The canary's step, from 1; 0: no canary")
        self._releases: list[tuple[str, str, str]] = []  # role, release, version
        self.registry.register(self)
        self._seen = self._gauge("rollout_seen", "What an arm was seen to do in this phase", "arm", "what")
        self._reconciled_at = self._gauge("rollout_turn_timestamp_seconds", "When the loop last looked and could act")
        self._reconciliations = self._counter("rollout_turns", "Turns of the loop", "outcome")
        self._ended = self._counter("rollout_ended", "Rollouts that ended while this loop ran", "result")
        self._drift = self._gauge("drift_verdict", "1 for the verdict of the last drift check", "verdict")
        self._lost = self._gauge("drift_lost", "1 for each column that had lost its values", "column")
        self._share = self._gauge("drift_share", "Share of columns that had drifted, 0..1")
        self._columns = self._gauge("drift_columns", "Columns of the last drift check", "state")
        self._checked_at = self._gauge("drift_checked_timestamp_seconds", "When drift was last checked")
        self._class = self._gauge("drift_class", "1 for the reason class of the last drift check", "reason")
        self._alarm = self._gauge("drift_signal", "1 for each signal that the last drift check alarms of", "signal")
        self._untold = self._gauge("drift_untold", "1 while the last verdict did not reach monitoring.notify")
        self._value = self._gauge("signal_value", "A signal's value in the newest period", "signal")
        self._users = self._gauge("signal_users", "Users behind that value", "signal")
        self._fell = self._gauge("quality_fell", "1 while realised quality lies below what is usual")
        self._stopped = self._gauge("retraining_stopped", "1 while retraining has stopped itself")
        self._good_at = self._gauge("job_succeeded_timestamp_seconds", "When a job last succeeded", "task")
        self._bad_at = self._gauge("job_failed_timestamp_seconds", "When a job last failed", "task")
        self._took = self._gauge("job_seconds", "How long the job's last success took", "task")

    def reconciled(self, state: State) -> None:
        """Export the state after a reconciliation."""
        now = time.time()
        self._reconciliations.labels(self._name, "done").inc()
        self._reconciled_at.labels(self._name).set(now)
        for phase in get_args(Phase):
            self._phase.labels(self._name, phase).set(phase == state.phase)
        self._since.labels(self._name).set(state.since if state.candidate is not None else 0)
        self._step.labels(self._name).set(state.step + 1 if state.phase == "canary" else 0)
        both = (("stable", state.stable), ("candidate", state.candidate))
        self._releases = [(role, served.release, served.version) for role, served in both if served is not None]
        for arm in ARMS:
            for what in SEEN:
                self._seen.labels(self._name, arm, what).set(state.seen.total(f"{arm}.{what}"))
        if self._last is not None and state.last and dict(state.last) != self._last:
            self._ended.labels(self._name, str(state.last.get("result", "unknown"))).inc()
        self._last = dict(state.last)

    def collect(self) -> Iterator[Metric]:
        """Yield the releases of the present rollout; a gauge would keep those of earlier ones."""
        found = GaugeMetricFamily(
            "intentflow_rollout_release_info",
            "Releases of the rollout",
            labels=["recommender", "role", "release", "version"],
        )
        for labels in self._releases:
            found.add_metric([self._name, *labels], 1)
        yield found

    def waited(self) -> None:
        """Count a reconciliation that could not be done."""
        self._reconciliations.labels(self._name, "waiting").inc()

    def marked(self) -> None:
        """Export what jobs left in the registry, if it was not looked at just now."""
        if time.monotonic() - self._read_at < MARKS_EVERY_S:
            return
        self._read_at = time.monotonic()
        self.show(heartbeats.read(self._name))

    def show(self, found: Mapping[str, Mapping[str, Any]]) -> None:
        """Export marks."""
        silent = [found.get(tag, {}).get("figures", {}) for tag in (heartbeats.SIGNALS, heartbeats.QUALITY)]
        self._valued({signal: figures for part in silent for signal, figures in part.items()})
        for tag, said in found.items():
            if tag == heartbeats.DRIFT:
                self._drifted(said)
            if tag == heartbeats.NOTICE:
                self._untold.labels(self._name).set(bool(said.get("problem")))
            if tag == heartbeats.QUALITY:
                self._fell.labels(self._name).set(said.get("reason") == PERFORMANCE)
            if tag == heartbeats.RETRAINING:
                self._stopped.labels(self._name).set(bool(said.get("stopped")))
            if not tag.startswith(heartbeats.JOB):
                continue
            job = tag.removeprefix(heartbeats.JOB)
            for key, gauge in (("succeeded", self._good_at), ("failed", self._bad_at), ("seconds", self._took)):
                if key in said:
                    gauge.labels(self._name, job).set(said[key])

    def _drifted(self, said: Mapping[str, Any]) -> None:
        word = drift_verdicts.read(said["verdict"])
        for verdict in get_args(drift_verdicts.Verdict):
            self._drift.labels(self._name, verdict).set(verdict == word)
        self._lost.clear()  # a column that has its values again is no label any more
        for column in said.get("lost", []):
            self._lost.labels(self._name, column).set(1)
        found = drift_verdicts.class_of(said)
        for reason in drift_verdicts.CLASSES:
            self._class.labels(self._name, reason).set(reason == found)
        self._alarm.clear()
        for signal in said.get("alarms", []):
            self._alarm.labels(self._name, signal).set(1)
        self._share.labels(self._name).set(said["share"])
        for state in ("drifted", "compared"):
            self._columns.labels(self._name, state).set(said[state])
        self._checked_at.labels(self._name).set(said["at"])

    def _valued(self, figures: Mapping[str, tuple[float, float]]) -> None:
        for gauge in (self._value, self._users):
            gauge.clear()  # a signal that the newest period lacks says nothing any more
        for signal, (value, users) in figures.items():
            self._value.labels(self._name, signal).set(value)
            self._users.labels(self._name, signal).set(users)

    def _gauge(self, name: str, about: str, *labels: str) -> Gauge:
        return Gauge(f"intentflow_{name}", about, ["recommender", *labels], registry=self.registry)

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(f"intentflow_{name}", about, ["recommender", *labels], registry=self.registry)


@contextlib.contextmanager
def exported(place: Installation) -> Iterator[LoopMetrics]:
    """Yield the metrics, listening where the environment says so."""
    metrics, address = LoopMetrics(place.spec.name), place.outside.get(ADDRESS, "")
    if not address:
        yield metrics
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise SpecError(f"{ADDRESS}: '{address}' is no host:port; give one, such as 127.0.0.1:8086")
    try:
        server, thread = start_http_server(int(port), host, registry=metrics.registry)
    except OSError as error:
        raise ServerError(f"{ADDRESS}: cannot listen on {address}: {error.strerror}; give another port") from error
    try:
        yield metrics
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

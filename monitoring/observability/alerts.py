"""Alerts: `critical` wakes a person, `warning` is for working hours, `info` is good to know.

Each has a section of its own in docs/observability.md that says what it means, where to look first and what mends it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from feature_repo.endpoints import EVENTS
from monitoring import reason_classes
from monitoring.observability.objectives import BURNS, DAYS, DEFAULT, FEWEST, READS, Burn, Objective, Promises
from monitoring.observability.recording_rules import INSTEAD, SENT, answers, bad, sent

DOCS = "docs/observability.md"
SECONDS = {"m": 60, "h": 3600, "d": 86400}
STALE = 0.3  # of the answers from a profile: materialisation has missed several of its days
LOG_BEHIND_S = 3600
EVENTS_REFUSED = 0.01
SHED = 0.01
EVENTS_UNWELCOME = 0.05  # of the calls of /events: 4xx
FEWEST_CALLS = 20  # of /events in five minutes, below which a share says little
QUIET = 0.1  # of the events a read that are usual
LABELS_FEW = 0.5  # labels that came, of those that were predicted
FEWEST_USERS = 100  # behind a signal, below which it says little
EVENT_LOG_BYTES = 400 << 20  # the pod's volume has 1 GiB, of which the request log keeps 512 MiB (k8s/base)
CHECK_S = 8 * 86400  # a weekly drift check that did not come
MATERIALISE_S = 2 * 86400  # a daily job that did not come
OURS = "recommender.*|router|reconciler|intent|ranking|mlflow|redis|postgres"


@dataclass(frozen=True)
class Alert:
    """An alerting rule; `wait` is how long it must hold."""

    name: str
    expr: str
    severity: str
    wait: str
    summary: str
    description: str
    anchor: str = ""  # of its runbook; its own name where it is not shared
    labels: tuple[tuple[str, str], ...] = ()

    @property
    def runbook(self) -> str:
        """Return the anchor of its section, as Markdown renderers make it of a heading."""
        return self.anchor or self.name.lower()


def alerts(promises: Promises = DEFAULT) -> list[Alert]:
    """Return every alert."""
    burns = [_burn(objective, burn) for objective in promises.objectives for burn in BURNS]
    served = (*_serving(promises.degraded), *_silence(), *_logs(), *_rollout(promises.stuck_s))
    return [*burns, *served, *_drift(), *_learning(), *_pods()]


def seconds(window: str) -> int:
    """Return a window's length.

    >>> seconds("30m")
    1800
    """
    return int(window[:-1]) * SECONDS[window[-1]]


def _burn(objective: Objective, burn: Burn) -> Alert:
    limit = f"{round(burn.rate * objective.budget, 6):g}"
    fewest = f"{answers(objective, burn.long)} * {seconds(burn.long)} >= {FEWEST}"
    name = f"IntentFlow{objective.name.capitalize()}Burn"
    share = f"{{{{ $value | humanizePercentage }}}} of the last {burn.long}"
    return Alert(
        name,
        f"{bad(objective, burn.long)} > {limit} and {bad(objective, burn.short)} > {limit} and {fewest}",
        burn.severity,
        "0m",
        f"{objective.name.capitalize()} budget is spent {burn.rate:g} times too fast",
        f"{share} were not {objective.about}; at this speed the {objective.budget:.1%} that {DAYS} days allow are gone "
        f"early ({burn.spent} is spent).",
        labels=(("long", burn.long), ("short", burn.short)),
    )


def _serving(degraded: float) -> Iterator[Alert]:
    yield Alert(
        "IntentFlowDown", "absent(intentflow_release_info)", "critical", "2m",
        "No door serves a release", "Prometheus sees no door at all: nobody answers, or nobody is scraped.",
    )  # fmt: skip
    yield Alert(
        "IntentFlowDoorsAway", f"sum by (namespace) (rate({INSTEAD}[5m])) > 0", "critical", "2m",
        "The router answers in place of the doors",
        "{{ $value | humanize }} answers a second are what is popular; events and all other reads fail.",
    )  # fmt: skip
    yield Alert(
        "IntentFlowDegraded", f"intentflow:degraded:ratio_rate5m > {degraded:g}", "warning", "10m",
        "Answers come from a lower rung since something failed",
        "{{ $value | humanizePercentage }} of the answers are degraded: the profile store, a model or time failed.",
    )  # fmt: skip
    yield Alert(
        "IntentFlowShedding", f"intentflow:shed:ratio_rate5m > {SHED:g}", "warning", "5m",
        "Requests are turned away since a lane is full",
        "{{ $value | humanizePercentage }} of the requests got 429 from a full lane: more pods, or less traffic.",
    )  # fmt: skip
    yield Alert(
        "IntentFlowEventsRefused", f"intentflow:events_refused:ratio_rate5m > {EVENTS_REFUSED:g}", "critical", "5m",
        "/events is refused",
        "{{ $value | humanizePercentage }} of the calls of /events fail; what callers do not send again is lost.",
    )  # fmt: skip
    yield Alert(
        "IntentFlowStaleProfiles", f"intentflow:stale_profiles:ratio_rate5m > {STALE:g}", "warning", "1h",
        "Profiles are stale",
        "{{ $value | humanizePercentage }} of the answers from a profile used a stale one.",
    )  # fmt: skip
    yield Alert(
        "IntentFlowRoutesBroken", "max by (namespace, pod) (intentflow_router_routes_broken) == 1", "warning", "1m",
        "A router cannot read its routes", "It goes on with the routes before; a rollout does not reach it.",
    )  # fmt: skip


def _signal(names: str) -> str:
    """Name the values of signals whose names match, in the newest period."""
    return f'max by (namespace, recommender, signal) (intentflow_signal_value{{signal=~"{names}"}})'


def _silence() -> Iterator[Alert]:
    """Yield the alerts about what does not come: a feed that ends breaks nothing that would say so.

    Signals of the request log and of a champion are there on a laptop; on a cluster realised quality says the same.
    """
    now, usual = (sent(window) for window in SENT)
    reads = f'sum by (namespace) (increase(intentflow_requests_total{{endpoint=~"{READS}",code="200"}}[1h]))'
    calls = f'sum by (namespace) (increase(intentflow_requests_total{{endpoint="/{EVENTS}"}}[5m]))'
    behind = f"max by (namespace, recommender, signal) (intentflow_signal_users) >= {FEWEST_USERS}"
    yield Alert(
        "IntentFlowEventsQuiet", f"{now} < {QUIET:g} * {usual} and {reads} >= {FEWEST}", "critical", "10m",
        "Events stay away while people are being answered",
        f"{{{{ $value | humanize }}}} new events come for each read, less than {QUIET:.0%} of the last week's: a "
        "sender ended, or its events are set aside.",
    )  # fmt: skip
    yield Alert(
        "IntentFlowEventsUnwelcome",
        f"intentflow:events_unwelcome:ratio_rate5m > {EVENTS_UNWELCOME:g} and {calls} >= {FEWEST_CALLS}", "warning",
        "10m", "/events turns its senders away",
        "{{ $value | humanizePercentage }} of the calls of /events get 4xx: a key, a limit, a body that breaks rules.",
    )  # fmt: skip
    yield Alert(
        "IntentFlowRewardZero", f"{_signal('rewards[.]rate|quality[.]ctr')} == 0 and {behind}",
        "warning", "0m", "Nobody acted on anything that was recommended",
        "Of the newest period's answers of {{ $labels.recommender }} none was acted on: more often a lost link between "
        "answers and events than a taste.",
    )  # fmt: skip
    yield Alert(
        "IntentFlowLabelsFew",
        f"{_signal('labels[.]ratio.*|quality[.]came')} < {LABELS_FEW:g} and {behind}",
        "critical", "0m", "Labels stay away",
        "`{{ $labels.signal }}` of {{ $labels.recommender }} is {{ $value | humanize }}: that share of what was "
        "predicted came: more often labels that did not arrive than people who changed.",
    )  # fmt: skip


def _logs() -> Iterator[Alert]:
    yield Alert(
        "IntentFlowAnswersUnlogged", "sum by (namespace) (increase(intentflow_unlogged_total[15m])) > 0", "warning",
        "0m", "Answers are missing in the request log",
        "{{ $value | humanize }} answers of the last 15 minutes could not be written: the disk is full or broken.",
    )  # fmt: skip
    yield Alert(
        "IntentFlowRequestLogBehind",
        "max by (namespace, pod) ((time() - intentflow_requestlog_waiting_since_timestamp_seconds) "
        f"* (intentflow_requestlog_waiting_since_timestamp_seconds > bool 0)) > {LOG_BEHIND_S}",
        "warning", "10m", "The request log does not reach its store",
        "The oldest file waits for {{ $value | humanizeDuration }}; beyond 512 MiB the oldest are deleted unsent.",
    )  # fmt: skip
    yield Alert(
        "IntentFlowEventLogLarge",
        f'max by (namespace, pod) (intentflow_log_bytes{{log="events"}}) > {EVENT_LOG_BYTES}', "warning", "10m",
        "The event log fills its volume",
        "{{ $value | humanize1024 }}B of events lie on the pod's volume; a full one refuses events and ends the pod.",
    )  # fmt: skip
    yield Alert(
        "IntentFlowEventsUnfolded", "max by (namespace, pod) (intentflow_events_unfolded) > 1000", "warning", "15m",
        "Events are logged that reach no profile",
        "{{ $value | humanize }} events wait for their senders to repeat them: the profile store was away.",
    )  # fmt: skip


def _rollout(stuck_s: float) -> Iterator[Alert]:
    since = "intentflow_rollout_phase_since_timestamp_seconds"
    yield Alert(
        "IntentFlowRolloutStuck", f"(time() - {since}) * ({since} > bool 0) > {stuck_s:g}", "warning", "5m",
        "A rollout does not move",
        "It has been in its phase for {{ $value | humanizeDuration }}; a step waits half of that bound for answers.",
    )  # fmt: skip
    yield Alert(
        "IntentFlowLoopStopped", "time() - intentflow_rollout_turn_timestamp_seconds > 120", "warning", "3m",
        "The rollout loop decides nothing",
        "Its last turn is {{ $value | humanizeDuration }} ago: the registry is away, or another loop holds the lease.",
    )  # fmt: skip
    yield Alert(
        "IntentFlowRolledBack",
        'sum by (namespace, recommender) (increase(intentflow_rollout_ended_total{result="rolled_back"}[1h])) > 0',
        "info", "0m", "A release was taken back",
        "Its reason is on the version in MLflow (tag `rolled_back`) and in `intentflow status`.",
    )  # fmt: skip


def _drift() -> Iterator[Alert]:
    """Yield the alerts of a drift check, one a class, since what mends them differs."""

    def of(reason: str) -> str:
        return f'max by (namespace, recommender) (intentflow_drift_class{{reason="{reason}"}}) == 1'

    yield Alert(
        "IntentFlowDataFault",
        f"{of(reason_classes.DATA_FAULT)} unless max by (namespace, recommender) (intentflow_drift_lost) == 1",
        "critical", "0m", "The data is broken at its source",
        "The last drift check of {{ $labels.recommender }} found a fault of the data; nothing is trained meanwhile.",
    )  # fmt: skip
    yield Alert(
        "IntentFlowDrift",
        'max by (namespace, recommender) (intentflow_drift_verdict{verdict="drifted"}) == 1 unless '
        f"{of(reason_classes.PERFORMANCE)}",
        "warning", "0m", "The world has moved since training",
        "The last drift check says `drifted`; the Evidently report names the columns.",
    )  # fmt: skip
    yield Alert(
        "IntentFlowPerformance",
        f"{of(reason_classes.PERFORMANCE)} or max by (namespace, recommender) (intentflow_quality_fell) == 1",
        "warning", "0m",
        "What is served does less well than it did",
        "The figures of {{ $labels.recommender }} on labels that came since lie below their usual interval.",
    )  # fmt: skip
    yield Alert(
        "IntentFlowDriftUntold", "max by (namespace, recommender) (intentflow_drift_untold) == 1", "warning", "0m",
        "A verdict did not reach whom it is for",
        "The address of `monitoring.notify` of {{ $labels.recommender }} did not take the last verdict.",
    )  # fmt: skip
    yield Alert(
        "IntentFlowRetrainingStopped", "max by (namespace, recommender) (intentflow_retraining_stopped) == 1",
        "critical", "0m", "Retraining has stopped itself",
        "Trainings of {{ $labels.recommender }} brought no gain; a person decides what comes next.",
    )  # fmt: skip
    yield Alert(
        "IntentFlowColumnLost", "max by (namespace, recommender, column) (intentflow_drift_lost) == 1",
        "critical", "0m", "A column lost its values",
        "`{{ $labels.column }}` of {{ $labels.recommender }} lacks half of its values or more; `retrain` is held back.",
    )  # fmt: skip
    yield Alert(
        "IntentFlowDriftUnchecked",
        f"max by (namespace, recommender) (time() - intentflow_drift_checked_timestamp_seconds) > {CHECK_S}",
        "warning", "10m", "Drift was not checked", "The last check is {{ $value | humanizeDuration }} ago.",
    )  # fmt: skip


def _learning() -> Iterator[Alert]:
    yield Alert(
        "IntentFlowJobFailed",
        "max by (namespace, recommender, task) (intentflow_job_failed_timestamp_seconds) > "
        "(max by (namespace, recommender, task) (intentflow_job_succeeded_timestamp_seconds) "
        "or max by (namespace, recommender, task) (intentflow_job_failed_timestamp_seconds * 0))",
        "warning", "1m", "A job failed, and has not succeeded since",
        "`{{ $labels.task }}` of {{ $labels.recommender }} failed; a pipeline leaves its reason in `last_failure`.",
    )  # fmt: skip
    yield Alert(
        "IntentFlowProfilesNotMaterialised",
        "max by (namespace, recommender) "
        '(time() - intentflow_job_succeeded_timestamp_seconds{task="materialise"}) '
        f"> {MATERIALISE_S}",
        "warning", "10m", "Profiles were not materialised",
        "The last success is {{ $value | humanizeDuration }} ago; users' profiles go stale.",
    )  # fmt: skip


def _pods() -> Iterator[Alert]:
    yield Alert(
        "IntentFlowTargetDown", 'up{job=~"recommender|router|reconciler|intent|ranking"} == 0', "warning", "5m",
        "A pod is not scraped", "{{ $labels.job }} on {{ $labels.instance }} does not answer on /metrics.",
    )  # fmt: skip
    yield Alert(
        "IntentFlowPodsNotReady",
        f'kube_deployment_spec_replicas{{deployment=~"{OURS}"}} '
        f'- kube_deployment_status_replicas_available{{deployment=~"{OURS}"}} > 0',
        "warning", "10m", "Pods are not ready",
        "{{ $labels.deployment }} lacks {{ $value }} pods.",
    )  # fmt: skip
    yield Alert(
        "IntentFlowPodsRestart",
        f'increase(kube_pod_container_status_restarts_total{{container=~"{OURS}"}}[1h]) > 3', "warning", "0m",
        "A container starts again and again", "{{ $labels.container }} of {{ $labels.pod }} restarted.",
    )  # fmt: skip

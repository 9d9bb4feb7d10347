"""What the dashboards show: rows of panels, each with its queries. Data; dashboards.py makes Grafana's JSON of it.

`$namespace` is the recommender's namespace, chosen at the top of a dashboard. One set of dashboards serves every
recommender, so the lines that they draw are those of the spec's defaults; the alerts are those of each spec.
"""

from dataclasses import dataclass
from typing import Literal

from monitoring.observability import alerts
from monitoring.observability.objectives import BURNS, DEFAULT, READS
from monitoring.observability.recording_rules import SENT, sent
from monitoring.spec import Monitoring

NS = 'namespace="$namespace"'
RATE = "$__rate_interval"


@dataclass(frozen=True)
class Query:
    """A query and how its series are called."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """One panel. `unit` is Grafana's; a line stands at `limit`, bad above, or at `floor`, bad below."""

    title: str
    about: str
    queries: tuple[Query, ...]
    unit: str = "short"
    kind: Literal["lines", "number", "table"] = "lines"
    limit: float | None = None
    floor: float | None = None
    width: int = 8  # of 24


@dataclass(frozen=True)
class Row:
    """Panels that belong together."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Board:
    """A dashboard. It opens on the time since `since`, which covers several of what it shows."""

    uid: str
    title: str
    about: str
    rows: tuple[Row, ...]
    since: str = "now-6h"
    refresh: str = "30s"


def _by(labels: str, metric: str, matchers: str = "") -> str:
    """Return the rate of a counter by labels."""
    inner = f"rate({metric}{{{NS}{',' if matchers else ''}{matchers}}}[{RATE}])"
    return f"sum by ({labels}) ({inner})"


def _quantiles(metric: str, by: str, matchers: str = "") -> tuple[Query, ...]:
    """Return the percentiles of a histogram."""
    shown = f"{{{{{by}}}}} " if by else ""
    grouped = f"le, {by}" if by else "le"
    return tuple(
        Query(f"histogram_quantile({q:g}, {_by(grouped, f'{metric}_bucket', matchers)})", f"{shown}p{100 * q:g}")
        for q in (0.5, 0.95, 0.99)
    )


def _slo(prefix: str, window: str, name: str) -> str:
    return f'intentflow:{prefix}{window}{{{NS},slo="{name}"}}'


_PROMISES = Row(
    "Promises (docs/observability.md)",
    (
        *(
            Panel(
                f"{objective.name.capitalize()}: budget spent, times its speed",
                f"1 spends exactly what 30 days allow; alerts begin at {BURNS[-1].rate:g} over three days. "
                f"Bad is what was not {objective.about}.",
                tuple(
                    Query(f"{_slo('slo_bad:ratio_rate', window, objective.name)} / {objective.budget:g}", window)
                    for window in ("5m", "1h", "6h", "3d")
                ),
                limit=BURNS[0].rate,
                width=12,
            )
            for objective in DEFAULT.objectives
        ),
        Panel(
            "Degraded answers", "From a lower rung, since something failed.",
            (Query(f"intentflow:degraded:ratio_rate5m{{{NS}}}", "degraded"),), "percentunit", limit=DEFAULT.degraded,
        ),
        Panel(
            "Events refused", "Calls of /events that failed.",
            (Query(f"intentflow:events_refused:ratio_rate5m{{{NS}}}", "refused"),), "percentunit",
            limit=alerts.EVENTS_REFUSED,
        ),
        Panel(
            "Turned away", "429 from a full lane.",
            (Query(f"intentflow:shed:ratio_rate5m{{{NS}}}", "shed"),), "percentunit", limit=alerts.SHED,
        ),
    ),
)  # fmt: skip
SERVICE = Board(
    "intentflow-service",
    "IntentFlow: service",
    "What users get: rate, errors, duration, rungs of the ladder, saturation.",
    (
        _PROMISES,
        Row(
            "Rate, errors, duration",
            (
                Panel("Requests", "At the doors, the router's copies too.",
                      (Query(_by("endpoint", "intentflow_requests_total"), "{{endpoint}}"),), "reqps"),
                Panel("Faults", "5xx of the doors, by code.",
                      (Query(_by("endpoint, code", "intentflow_requests_total", 'code=~"5.."'),
                             "{{endpoint}} {{code}}"),), "reqps"),
                Panel("Refusals", "Keys, limits and malformed requests.",
                      (Query(_by("reason", "intentflow_refused_total"), "{{reason}}"),), "reqps"),
                Panel("Seconds to an answer", "Of reads, at the doors.",
                      _quantiles("intentflow_request_seconds", "", f'endpoint=~"{READS}"'), "s", limit=DEFAULT.slow_s),
                Panel("p99 by endpoint", "At the doors.",
                      (Query("histogram_quantile(0.99, "
                             f"{_by('le, endpoint', 'intentflow_request_seconds_bucket')})", "{{endpoint}}"),), "s"),
                Panel("Releases", "Answers by the release that gave them.",
                      (Query(_by("release", "intentflow_requests_total"), "{{release}}"),), "reqps"),
            ),
        ),
        Row(
            "The ladder",
            (
                Panel("Rungs", "Fresh profile, stale one, segment, popular.",
                      (Query(_by("rung", "intentflow_profile_rung_total"), "{{rung}}"),), "reqps"),
                Panel("Degraded, by reason", "Answers from a lower rung since something failed.",
                      (Query(_by("reason", "intentflow_degraded_total"), "{{reason}}"),), "reqps"),
                Panel("Events", "Taken, known already, of people who were forgotten, of items that are not there.",
                      (Query(_by("outcome", "intentflow_events_total"), "{{outcome}}"),), "short"),
                Panel("Events a read, of what is usual", "New events for each read of the last hour, against the last "
                      "week's: 1 is as always.",
                      (Query(f"{sent(SENT[0])}{{{NS}}} / {sent(SENT[1])}{{{NS}}}", "of the usual"),), "percentunit",
                      floor=alerts.QUIET),
                Panel("Calls of /events that were turned away", "4xx: keys, limits, bodies that cannot be taken.",
                      (Query(f"intentflow:events_unwelcome:ratio_rate5m{{{NS}}}", "4xx"),), "percentunit",
                      limit=alerts.EVENTS_UNWELCOME),
            ),
        ),
        Row(
            "Saturation and logs",
            (
                Panel("In flight", "Requests that run or wait, by lane.",
                      (Query(f"sum by (lane) (intentflow_in_flight{{{NS}}})", "{{lane}}"),
                       Query(f"sum (intentflow_router_in_flight{{{NS}}})", "router"))),
                Panel("Logs on disk", "The request log keeps 512 MiB; the event log keeps everything.",
                      (Query(f"max by (pod, log) (intentflow_log_bytes{{{NS}}})", "{{pod}} {{log}}"),), "bytes"),
                Panel("Request log: waiting for its store", "Closed files that were not copied yet.",
                      (Query(f"max by (pod) (intentflow_requestlog_waiting_files{{{NS}}})", "{{pod}}"),)),
                Panel("Answers that were not logged", "A disk that is full costs log lines.",
                      (Query(f"sum (increase(intentflow_unlogged_total{{{NS}}}[{RATE}]))", "unlogged"),)),
                Panel("Copied to the store", "Files, and turns that failed.",
                      (Query(f"sum (increase(intentflow_requestlog_sent_total{{{NS}}}[{RATE}]))", "files"),
                       Query(f'sum (increase(intentflow_requestlog_turns_total{{{NS},outcome="failed"}}[{RATE}]))',
                             "failed turns"))),
                Panel("Models as services", "Seconds of the split services, p99 (with components/split only).",
                      (Query("histogram_quantile(0.99, "
                             + _by("le, service_name", "bentoml_service_request_duration_seconds_bucket",
                                   'service_name=~"intent|ranking"') + ")", "{{service_name}}"),), "s"),
            ),
        ),
    ),
)  # fmt: skip
ROLLOUT = Board(
    "intentflow-rollout",
    "IntentFlow: rollout",
    "The two arms side by side, the phase, and what became of releases.",
    (
        Row(
            "Where it stands",
            (
                Panel("Phase", "1 where the rollout is.",
                      (Query(f"max by (phase) (intentflow_rollout_phase{{{NS}}})", "{{phase}}"),), width=12),
                Panel("In this phase for", "0 while no rollout is under way.",
                      (Query(f"max ((time() - intentflow_rollout_phase_since_timestamp_seconds{{{NS}}}) "
                             f"* (intentflow_rollout_phase_since_timestamp_seconds{{{NS}}} > bool 0))"),),
                      "s", "number", width=4),
                Panel("Step", "Of the canary; 0: none.",
                      (Query(f"max (intentflow_rollout_step{{{NS}}})"),), "short", "number", width=4),
                Panel("Last turn of the loop", "Seconds ago.",
                      (Query(f"max (time() - intentflow_rollout_turn_timestamp_seconds{{{NS}}})"),), "s", "number",
                      width=4),
                Panel("Releases", "Stable and candidate.",
                      (Query(f"intentflow_rollout_release_info{{{NS}}}"),), "short", "table", width=12),
                Panel("Rollouts that ended", "By result, over the time shown.",
                      (Query(f"sum by (result) (increase(intentflow_rollout_ended_total{{{NS}}}[$__range]))",
                             "{{result}}"),), "short", "number", width=12),
            ),
        ),
        Row(
            "Arms side by side, at the router",
            (
                Panel("Requests", "Attempts by arm.",
                      (Query(_by("arm, release", "intentflow_router_requests_total"), "{{arm}} {{release}}"),),
                      "reqps"),
                Panel("Errors", "5xx and attempts without an answer, by arm.",
                      (Query(_by("arm, code", "intentflow_router_requests_total", 'code=~"0|5.."'),
                             "{{arm}} {{code}}"),), "reqps"),
                Panel("Seconds", "Until a door had answered a read.",
                      _quantiles("intentflow_router_door_seconds", "arm", f'endpoint=~"{READS}"'), "s",
                      limit=DEFAULT.slow_s),
                Panel("Seen in this phase", "What the loop judges by.",
                      (Query(f"max by (arm, what) (intentflow_rollout_seen{{{NS}}})", "{{arm}} {{what}}"),)),
                Panel("Copies", "Mirrored reads and copies of events.",
                      (Query(_by("kind, outcome", "intentflow_router_side_total"), "{{kind}} {{outcome}}"),), "reqps"),
                Panel("Second attempts, and answers of its own", "By what failed first; by code.",
                      (Query(_by("reason", "intentflow_router_retries_total"), "retry: {{reason}}"),
                       Query(_by("code", "intentflow_router_own_total"), "own: {{code}}"),
                       Query(_by("release", "intentflow_router_popular_answers_total"), "popular: {{release}}")),
                      "reqps"),
                Panel("Routes that cannot be read", "1 while routes.json is no good.",
                      (Query(f"max by (pod) (intentflow_router_routes_broken{{{NS}}})", "{{pod}}"),)),
            ),
        ),
    ),
)  # fmt: skip
DRIFT = Board(
    "intentflow-drift",
    "IntentFlow: drift and profiles",
    "Whether the world has moved since training, and how old profiles are.",
    (
        Row(
            "Drift",
            (
                Panel("Verdict", "Of the last check.",
                      (Query(f"max by (verdict) (intentflow_drift_verdict{{{NS}}})", "{{verdict}}"),)),
                Panel("Class", "What would mend it: the source, a training, or nothing.",
                      (Query(f"max by (reason) (intentflow_drift_class{{{NS}}})", "{{reason}}"),)),
                Panel("Last check", "Seconds ago.",
                      (Query(f"max (time() - intentflow_drift_checked_timestamp_seconds{{{NS}}})"),), "s", "number",
                      limit=alerts.CHECK_S),
                Panel("Signals that alarm", "Of the last check.",
                      (Query(f"max by (signal) (intentflow_drift_signal{{{NS}}})", "{{signal}}"),), width=12),
                Panel("Share of drifted columns", "The spec's `monitoring.share` makes a verdict of it.",
                      (Query(f"max (intentflow_drift_share{{{NS}}})", "share"),), "percentunit",
                      limit=Monitoring().share, width=6),
                Panel("Columns", "Drifted, and compared at all.",
                      (Query(f"max by (state) (intentflow_drift_columns{{{NS}}})", "{{state}}"),), width=6),
            ),
        ),
        Row(
            "Labels and rewards of the newest period",
            (
                Panel("Labels that came, of those predicted", "1: as predicted.",
                      (Query(f'max by (signal) (intentflow_signal_value{{{NS},signal=~"labels[.]ratio.*"}})',
                             "{{signal}}"),), "percentunit", floor=alerts.LABELS_FEW),
                Panel("Answers that were acted on", "Of those whose time to act has passed.",
                      (Query(f'max by (signal) (intentflow_signal_value{{{NS},signal=~"rewards[.].*"}})',
                             "{{signal}}"),), "percentunit"),
                Panel("Retraining stopped, or a verdict untold", "1: somebody has to look.",
                      (Query(f"max (intentflow_retraining_stopped{{{NS}}})", "retraining stopped"),
                       Query(f"max (intentflow_drift_untold{{{NS}}})", "untold")), limit=1),
            ),
        ),
        Row(
            "Profiles",
            (
                Panel("Age of the profiles asked about", "Days since their state.",
                      _quantiles("intentflow_profile_age_days", ""), "d"),
                Panel("Stale share", "Of answers from a profile.",
                      (Query(f"intentflow:stale_profiles:ratio_rate5m{{{NS}}}", "stale"),), "percentunit",
                      limit=alerts.STALE),
                Panel("Events that reach no profile", "Logged, and not folded yet.",
                      (Query(f"max by (pod) (intentflow_events_unfolded{{{NS}}})", "{{pod}}"),)),
                Panel("Events that break a rule", "Of severity info: they are taken all the same.",
                      (Query(_by("rule", "intentflow_events_noted_total"), "{{rule}}"),)),
                Panel("Events beyond a bound", "Of pages' and users' credentials: refused, and nothing of them stored.",
                      (Query(_by("bound", "intentflow_events_bounded_total"), "{{bound}}"),)),
            ),
        ),
    ),
    since="now-90d",
    refresh="5m",
)  # fmt: skip
JOBS = Board(
    "intentflow-jobs",
    "IntentFlow: jobs",
    "Training, materialisation, scoring, monitoring: when they last worked.",
    (
        Row(
            "Jobs",
            (
                Panel("Since the last success", "By job.",
                      (Query("max by (task) (time() - intentflow_job_succeeded_timestamp_seconds"
                             f"{{{NS}}})", "{{task}}"),), "s", width=12),
                Panel("Since the last failure", "By job.",
                      (Query(f"max by (task) (time() - intentflow_job_failed_timestamp_seconds{{{NS}}})",
                             "{{task}}"),), "s", width=12),
                Panel("How long they take", "The last success of each.",
                      (Query(f"max by (task) (intentflow_job_seconds{{{NS}}})", "{{task}}"),), "s", width=12),
                Panel("Turns of the loop", "Waiting: the registry or a door did not let it act.",
                      (Query(_by("outcome", "intentflow_rollout_turns_total"), "{{outcome}}"),), "short", width=12),
            ),
        ),
        Row(
            "Kubernetes (kube-state-metrics)",
            (
                Panel("Failed pods of Jobs", "",
                      (Query(f"sum by (job_name) (kube_job_status_failed{{{NS}}})", "{{job_name}}"),), width=12),
                Panel("Restarts", "In the last hour.",
                      (Query("sum by (pod, container) (increase(kube_pod_container_status_restarts_total"
                             f"{{{NS}}}[1h]))", "{{pod}} {{container}}"),), width=12),
            ),
        ),
    ),
    since="now-14d",
    refresh="5m",
)  # fmt: skip
BOARDS = (SERVICE, ROLLOUT, DRIFT, JOBS)

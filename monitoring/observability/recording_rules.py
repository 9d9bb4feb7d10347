"""Recording rules: the queries that alerts and dashboards share, computed once, by namespace.

A namespace holds one recommender. Where a router runs, its counts are what users got: the doors also answer its copies,
and requests that it sends a second time. Without a router the doors' own counts are what users got.
"""

from dataclasses import dataclass

from feature_repo.endpoints import EVENTS, paths
from monitoring.observability.objectives import DEFAULT, READS, WINDOWS, Objective, Promises

QUICK = ("5m", "30m", "1h")  # evaluated often; the longer windows move slowly and cost more
INSTEAD = "intentflow_router_popular_answers_total"  # by the router, while every door is away
SENT = ("1h", "7d")  # events a read: now, and what is usual
MORE = "5m"  # the window of what has one window only
_NONE = "or 0 * intentflow_release_info"  # a counter that was never counted has no series: 0, not nothing
_WRITES = paths("write")
NO_WRITE = f'endpoint!="{_WRITES[0]}"' if len(_WRITES) == 1 else f'endpoint!~"{"|".join(_WRITES)}"'


@dataclass(frozen=True)
class RecordingRule:
    """A recording rule."""

    record: str
    expr: str
    labels: tuple[tuple[str, str], ...] = ()
    every: str = "30s"


def bad(objective: Objective, window: str) -> str:
    """Name the share of an objective's answers that were bad in a window."""
    return f'intentflow:slo_bad:ratio_rate{window}{{slo="{objective.name}"}}'


def answers(objective: Objective, window: str) -> str:
    """Name the answers a second that an objective counted in a window."""
    return f'intentflow:slo_answers:rate{window}{{slo="{objective.name}"}}'


def recorded(promises: Promises = DEFAULT) -> list[RecordingRule]:
    """Return every recording rule."""
    found = (rule for window in WINDOWS for rule in _objectives(promises, window))
    return [*found, *_shares(), *(_sent(window) for window in SENT)]


def _objectives(promises: Promises, window: str) -> list[RecordingRule]:
    every = "30s" if window in QUICK else "5m"
    asked = {
        promises.availability: (_answered(window), _failed(window)),
        promises.latency: (_timed(window), _slow(window, promises.slow_s)),
    }
    found = []
    for objective, (all_of_them, bad_ones) in asked.items():
        labels = (("slo", objective.name),)
        found.append(RecordingRule(f"intentflow:slo_answers:rate{window}", all_of_them, labels, every))
        ratio = f"({bad_ones}) / ({all_of_them})"
        found.append(RecordingRule(f"intentflow:slo_bad:ratio_rate{window}", ratio, labels, every))
    return found


def _either(router: str, door: str) -> str:
    """Take the router's figure of a namespace, the doors' where there is no router."""
    return f"{router} or on (namespace) {door}"


def _answered(window: str) -> str:
    """Count answers to users: attempts that brought one, less those that were given up for another, and its own.

    Its own are refusals and what is popular while every door is away, which counts as degraded, not as failed.
    """
    router = (
        "sum by (namespace) ("
        f'rate(intentflow_router_requests_total{{{NO_WRITE},code!="0"}}[{window}]) '
        f"or rate(intentflow_router_own_total[{window}]) or rate({INSTEAD}[{window}]) "
        f'or 0 - rate(intentflow_router_retries_total{{reason=~"5.."}}[{window}]))'
    )
    return _either(router, f'sum by (namespace) (rate(intentflow_requests_total{{endpoint=~"{READS}"}}[{window}]))')


def _failed(window: str) -> str:
    """Count those of them that were a fault of ours; 0 where none was."""
    router = (
        "sum by (namespace) ("
        f'rate(intentflow_router_requests_total{{{NO_WRITE},code=~"5.."}}[{window}]) '
        f'or rate(intentflow_router_own_total{{code=~"5.."}}[{window}]) '
        f'or 0 - rate(intentflow_router_retries_total{{reason=~"5.."}}[{window}]) '
        "or 0 * intentflow_router_routes_broken)"
    )
    door = (
        "sum by (namespace) ("
        f'rate(intentflow_requests_total{{endpoint=~"{READS}",code=~"5.."}}[{window}]) '
        "or 0 * intentflow_release_info)"
    )
    return _either(router, door)


def _timed(window: str) -> str:
    return _either(
        f'sum by (namespace) (rate(intentflow_router_door_seconds_count{{endpoint=~"{READS}"}}[{window}]))',
        f'sum by (namespace) (rate(intentflow_request_seconds_count{{endpoint=~"{READS}"}}[{window}]))',
    )


def _slow(window: str, slow_s: float) -> str:
    def beyond(metric: str) -> str:
        asked = f'endpoint=~"{READS}"'
        return (
            f"sum by (namespace) (rate({metric}_count{{{asked}}}[{window}])) "
            f'- sum by (namespace) (rate({metric}_bucket{{{asked},le="{slow_s:g}"}}[{window}]))'
        )

    return _either(beyond("intentflow_router_door_seconds"), f"({beyond('intentflow_request_seconds')})")


def sent(window: str) -> str:
    """Name the new events that were taken for each read that was answered, in a window."""
    return f"intentflow:events_per_read:ratio_rate{window}"


def _sent(window: str) -> RecordingRule:
    """Count events by reads: at night both are few, so that a quiet hour of the shop is no silence of its events."""
    taken = f'sum by (namespace) (rate(intentflow_events_total{{outcome="accepted"}}[{window}]) {_NONE})'
    reads = f'sum by (namespace) (rate(intentflow_requests_total{{endpoint=~"{READS}",code="200"}}[{window}]))'
    return RecordingRule(sent(window), f"{taken} / {reads}", every="5m")


def _shares() -> list[RecordingRule]:
    """Return shares of the doors' answers and events; degraded are the router's own answers too."""
    instead = f"rate({INSTEAD}[{MORE}])"
    answered = f"sum by (namespace) (rate(intentflow_profile_rung_total[{MORE}]) or {instead})"

    def share(name: str, part: str, whole: str) -> RecordingRule:
        return RecordingRule(f"intentflow:{name}:ratio_rate{MORE}", f"sum by (namespace) ({part} {_NONE}) / {whole}")

    events = f'intentflow_requests_total{{endpoint="/{EVENTS}"'
    return [
        share("degraded", f"rate(intentflow_degraded_total[{MORE}]) or {instead}", answered),
        share(
            "stale_profiles",
            f'rate(intentflow_profile_rung_total{{rung="stale"}}[{MORE}])',
            f'sum by (namespace) (rate(intentflow_profile_rung_total{{rung=~"fresh|stale"}}[{MORE}]))',
        ),
        share(
            "events_refused",
            f'rate({events},code=~"5.."}}[{MORE}])',
            f"sum by (namespace) (rate({events}}}[{MORE}]))",
        ),
        share(
            "events_unwelcome",
            f'rate({events},code=~"4.."}}[{MORE}])',
            f"sum by (namespace) (rate({events}}}[{MORE}]))",
        ),
        share(
            "shed",
            f"rate(intentflow_shed_total[{MORE}])",
            f"sum by (namespace) (rate(intentflow_requests_total[{MORE}]))",
        ),
    ]

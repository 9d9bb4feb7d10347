"""The metrics that a gate may judge, by name, and what a gate must know of each.

An evaluation's metrics.json and served.json hold most of them already, under the name behind the dot. One that follows
from others has a function here. A new gate metric is its entry in `METRICS`, and a function where it is derived:
the spec's choices, the report's sections and the verdicts follow.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["quality", "budget", "variant"]
Derive = Callable[[Mapping[str, float]], float | None]


@dataclass(frozen=True)
class GateMetric:
    """A number of a candidate, as `<part>.<name in metrics.json>` or `<group of served.json>.<name>`."""

    name: str
    kind: Kind = "quality"  # budget: what serving one row costs; variant: one row at a time against the batch
    lower_is_better: bool = False
    cohorts: Literal["", "measured", "with_baseline"] = ""  # by cohort, and whether a baseline is measured there too
    derive: Derive | None = None  # from the measured numbers of the same rows; None where they do not tell
    lead: bool = False  # over a baseline already, so only a limit can be asked of it


def _lower(name: str, kind: Kind) -> GateMetric:
    return GateMetric(name, kind, lower_is_better=True)


METRICS = (
    GateMetric("intent.map", cohorts="with_baseline"),
    GateMetric("intent.macro_auroc", cohorts="measured"),
    GateMetric("intent.micro_auroc"),
    GateMetric("intent.bce", lower_is_better=True, cohorts="measured"),
    GateMetric("intent.ece", lower_is_better=True, cohorts="measured"),
    GateMetric("ranking.ndcg_at_10", cohorts="with_baseline"),
    GateMetric("ranking.recall_at_10", cohorts="measured"),
    GateMetric("ranking.phr_at_10", cohorts="measured"),
    GateMetric("ranking.explore_ndcg_at_10"),  # ranks and counts only items that the user has not had
    # Within a visit: whether the rest of it holds what the intents with horizon: session ask for.
    GateMetric("session.auroc"),
    GateMetric("session.ap"),
    GateMetric("session.bce", lower_is_better=True),
    # Of one intent of kind regression or multiclass, which the gate names.
    _lower("forecast.rmse", "quality"),
    _lower("forecast.mae", "quality"),
    _lower("forecast.pinball", "quality"),
    _lower("forecast.coverage_gap", "quality"),  # of loss: quantile, how far the interval's coverage is off its own
    GateMetric("forecast.accuracy"),
    GateMetric("forecast.top3"),
    GateMetric("forecast.macro_f1"),
    _lower("forecast.log_loss", "quality"),
    # Of one intent of kind uplift: what its effect misses, and what speaks against it.
    _lower("forecast.dr_loss", "quality"),
    _lower("forecast.placebo", "quality"),  # how far from nothing the placebo may be, in the outcome's unit
    _lower("forecast.uncompared", "quality"),  # share of rows that nobody can be compared with
    # Mean average precision above the decayed rate's, in the cohort of enough users where that is least.
    GateMetric("intent.cohorts.worst", lead=True),
    # Milliseconds are a thread's own, so other work on the machine does not count.
    _lower("latency.predict_ms_p50", "budget"),
    _lower("latency.predict_ms_p95", "budget"),
    _lower("latency.recommend_ms_p50", "budget"),
    _lower("latency.recommend_ms_p95", "budget"),
    _lower("memory.model_mib", "budget"),
    _lower("memory.rss_mib", "budget"),
    _lower("variant.probability_gap", "variant"),
    _lower("variant.score_gap", "variant"),
    _lower("variant.map_loss", "variant"),
    _lower("variant.ndcg_loss", "variant"),
)

FORECAST = "forecast"  # the group of what is measured of forecasts
OF_KINDS = {  # what forecasts are measured by
    "regression": ("rmse", "mae"),
    "multiclass": ("accuracy", "top3", "macro_f1", "log_loss"),
    "uplift": ("dr_loss", "placebo", "uncompared"),
}
OF_LOSSES = {"quantile": ("pinball", "coverage_gap")}  # what they are measured by beside, of the losses that are named
NAMES = tuple(metric.name for metric in METRICS)
BY_NAME = {metric.name: metric for metric in METRICS}


def lower_is_better(name: str) -> bool:
    """Tell of a number of any name, also of those that no gate may judge; `:<intent>` at the end says of which."""
    plain = name.partition(":")[0]
    return plain in BY_NAME and BY_NAME[plain].lower_is_better


def of_kind(kind: Kind) -> tuple[str, ...]:
    """Name the metrics of a kind."""
    return tuple(metric.name for metric in METRICS if metric.kind == kind)


def with_derived(measured: Mapping[str, float]) -> dict[str, float]:
    """Add to the numbers of some rows what follows from them."""
    derived = {m.name: m.derive(measured) for m in METRICS if m.derive is not None and m.name not in measured}
    return {**measured, **{name: value for name, value in derived.items() if value is not None}}

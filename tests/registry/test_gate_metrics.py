"""The contract of every gate metric: what the evaluations measure has a gate, and a gate can pass and refuse."""

from itertools import chain

import pytest

from components.registry import gate_metrics
from components.registry.gate_inputs import Champion, Group, Measurements, measured
from components.registry.gate_metrics import METRICS, GateMetric
from components.registry.gates import evaluate
from components.registry.report import markdown
from components.registry.spec import Gate

EVERY = pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
PER_ROW = {"predict_ms_p50": 1.0, "predict_ms_p95": 2.0, "recommend_ms_p50": 3.0, "recommend_ms_p95": 4.0}
INTENT = {
    "macro_auroc": 0.7,
    "micro_auroc": 0.8,
    "map": 0.3,
    "bce": 0.2,
    "ece": 0.02,
    "cohorts.worst": 0.01,
    "rows": 900,
}
RANKING = {
    "ndcg_at_10": 0.2, "recall_at_10": 0.1, "phr_at_10": 0.6, "explore_ndcg_at_10": 0.1, "candidate_recall": 0.75,
    "rows": 800,
}  # fmt: skip
SESSION = {"auroc": 0.7, "ap": 0.4, "bce": 0.5, "rows": 700}
FORECAST = {f"{name}:spend": 0.5 for name in chain(*gate_metrics.OF_KINDS.values(), *gate_metrics.OF_LOSSES.values())}
SERVED = {
    "latency": PER_ROW,
    "memory": {"model_mib": 2.0, "rss_mib": 9.0},
    "variant": {"probability_gap": 0.0, "score_gap": 0.0, "map_loss": 0.0, "ndcg_loss": 0.0},
}


def named(metric: GateMetric) -> dict[str, str]:
    """Name the intent where a metric is of one."""
    return {"intent": "spend"} if metric.name.startswith("forecast.") else {}


@EVERY
def test_the_evaluations_tell_it(metric: GateMetric) -> None:
    parts = {"intent": INTENT, "ranking": RANKING, "session": SESSION, "forecast": FORECAST}
    found = measured({part: {"test": numbers} for part, numbers in parts.items()}, {"ranking": SERVED})
    assert Gate(metric=metric.name, limit=0.5, **named(metric)).measured in found.overall.values
    if metric.derive is not None:
        assert metric.derive({}) is None


@EVERY
def test_a_gate_passes_and_refuses_on_its_side(metric: GateMetric) -> None:
    gate = Gate(metric=metric.name, limit=0.5, **named(metric))
    for value, passes in ((0.4, metric.lower_is_better), (0.5, True), (0.6, not metric.lower_is_better)):
        verdict = evaluate([gate], Measurements(Group({gate.measured: value})), champion=Champion({}))
        assert verdict.passed is passes
        assert metric.name in markdown(verdict, title="Gates")


@EVERY
def test_a_gate_by_cohort_is_taken_where_it_is_measured(metric: GateMetric) -> None:
    if metric.cohorts:
        assert Gate(metric=metric.name, limit=0.5, cohort="segment").cohort == "segment"
    else:
        with pytest.raises(ValueError, match=f"{metric.name} is not measured by cohort; have intent.map, "):
            Gate(metric=metric.name, limit=0.5, cohort="segment", **named(metric))


def test_a_metric_that_follows_from_others_is_there_for_rows_baselines_and_cohorts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def miss(values):  # the share of user-weeks without any hit
        hit = values.get("ranking.phr_at_10")
        return None if hit is None else 1 - hit

    added = (*METRICS, GateMetric("ranking.miss_at_10", lower_is_better=True, derive=miss))
    monkeypatch.setattr(gate_metrics, "METRICS", added)
    monkeypatch.setattr(gate_metrics, "BY_NAME", {metric.name: metric for metric in added})
    document = {
        "test": {"phr_at_10": 0.75},
        "baselines": {"popular": {"phr_at_10": 0.25}, "personal": {"phr_at_10": 0.5}},
        "cohorts": {"segment 1": {"rows": 200, "phr_at_10": 0.5}},
    }
    found = measured({"ranking": document})
    assert found.overall.values["ranking.miss_at_10"] == 0.25
    assert found.overall.baseline["ranking.miss_at_10"] == 0.5  # the best one: lower is better
    assert found.cohorts["segment 1"].values["ranking.miss_at_10"] == 0.5


def test_a_spec_of_before_has_the_same_choices() -> None:
    assert gate_metrics.NAMES[:8] == (
        "intent.map", "intent.macro_auroc", "intent.micro_auroc", "intent.bce", "intent.ece",
        "ranking.ndcg_at_10", "ranking.recall_at_10", "ranking.phr_at_10",
    )  # fmt: skip
    assert [m.name for m in METRICS if m.kind == "quality" and m.lower_is_better][:2] == ["intent.bce", "intent.ece"]
    assert all(m.lower_is_better for m in METRICS if m.kind != "quality")

"""Gates in a spec: what is measured, which fields go together, and what is asked by default."""

import re
from typing import Any

import pytest
from pydantic import ValidationError

from components.registry import gate_metrics
from components.registry.spec import Gate, Promotion
from components.verdicts import Least


def test_the_default_gates_ask_for_better_than_the_baseline_and_no_worse_than_the_champion() -> None:
    like = {"against": "champion", "tolerance": 0.02, "repeats": 3}
    assert Promotion().gates == [
        Gate(metric="intent.map", against="baseline"),
        Gate(metric="ranking.ndcg_at_10", against="baseline"),
        Gate(metric="intent.map", **like),
        Gate(metric="ranking.ndcg_at_10", **like),
        Gate(metric="variant.probability_gap", limit=0.001),
        Gate(metric="variant.ndcg_loss", limit=0.001),
    ]


LATENCY = tuple(f"latency.{what}_ms_p{share}" for what in ("predict", "recommend") for share in (50, 95))


LOSSES = ("variant.probability_gap", "variant.score_gap", "variant.map_loss", "variant.ndcg_loss")


RANKING = ("ranking.ndcg_at_10", "ranking.recall_at_10", "ranking.phr_at_10")


def test_a_gate_knows_what_is_measured_and_where_lower_is_better() -> None:
    budgets = {*LATENCY, "memory.model_mib", "memory.rss_mib"}
    intents = {"intent.macro_auroc", "intent.micro_auroc", "intent.map", "intent.bce", "intent.ece"}
    sessions = {"session.auroc", "session.ap", "session.bce"}
    losses = {f"forecast.{name}" for name in ("rmse", "mae", "pinball", "coverage_gap", "log_loss")}
    losses |= {f"forecast.{name}" for name in ("dr_loss", "placebo", "uncompared")}
    forecasts = losses | {f"forecast.{name}" for name in ("accuracy", "top3", "macro_f1")}
    others = sessions | forecasts | {"ranking.explore_ndcg_at_10", "intent.cohorts.worst"}
    assert set(gate_metrics.of_kind("quality")) == intents | set(RANKING) | others
    assert set(gate_metrics.of_kind("budget")) == budgets
    assert set(gate_metrics.of_kind("variant")) == set(LOSSES)
    lower = {name for name in gate_metrics.NAMES if gate_metrics.lower_is_better(name)}
    assert lower == {"intent.bce", "intent.ece", "session.bce", *losses, *budgets, *LOSSES}
    assert not gate_metrics.lower_is_better("intent.unknown")
    by_cohort = {one.name: one.cohorts for one in gate_metrics.METRICS if one.cohorts}
    measured = {*intents, *RANKING} - {"intent.micro_auroc"}
    assert by_cohort == dict.fromkeys(measured, "measured") | {
        "intent.map": "with_baseline", "ranking.ndcg_at_10": "with_baseline"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"metric": "intent.map", "limit": 0.1, "against": "champion"}, "limit goes with `against: value`, and only"),
        ({"metric": "intent.map", "against": "value", "limit": None}, "limit goes with `against: value`, and only"),
        ({"metric": "intent.map", "against": "champion", "repeats": 1}, "repeats counts uses of a tolerance"),
        ({"metric": "intent.map", "tolerance": 0.1, "repeats": 1}, "goes with `against: champion` and a `tolerance`"),
        ({"metric": "memory.rss_mib"}, "memory.rss_mib has no baseline; give a `limit`, or `against: champion`"),
        ({"metric": LOSSES[0]}, "variant.probability_gap is a loss against the batch already; give a `limit`"),
        ({"metric": LOSSES[1], "against": "champion"}, "variant.score_gap is a loss against the batch already"),
        (
            {"metric": "intent.micro_auroc", "against": "champion", "cohort": "segment"},
            "intent.micro_auroc is not measured by cohort; have intent.map, intent.macro_auroc, intent.bce, intent.ece,"
            " ranking.ndcg_at_10, ranking.recall_at_10, ranking.phr_at_10",
        ),
        ({"metric": RANKING[0], "cohort": "tenure"}, "tenure is measured of the intents only; have segment, activity"),
        (
            {"metric": RANKING[0], "cohort": "attribute"},
            "attribute is measured of the intents only; have segment, activ",
        ),
        ({"metric": "intent.cohorts.worst"}, "is a lead over the decayed rate already; give a `limit`, such as 0"),
        (
            {"metric": "intent.bce", "cohort": "activity"},
            "intent.bce has no baseline by cohort; have intent.map, ranking.ndcg_at_10, or another `against`",
        ),
        (
            {"metric": "intent.map", "when_empty": "allow"},
            "error, when_empty is of groups of users, so it goes with `cohort`",
        ),
        ({"metric": "ranking.explore_ndcg_at_10", "cohort": "segment"}, "explore_ndcg_at_10 is not measured by cohort"),
    ],
)
def test_fields_of_a_gate_that_do_not_go_together(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(told)):
        Gate.model_validate(given)


@pytest.mark.parametrize(
    "given",
    [
        {"metric": "intent.map", "cohort": "tenure"},
        {"metric": "intent.map", "cohort": "attribute"},
        {"metric": "intent.cohorts.worst", "limit": -0.01},
        {"metric": "ranking.ndcg_at_10", "cohort": "activity"},
        {"metric": "intent.bce", "cohort": "segment", "against": "champion"},
        {"metric": "intent.bce", "cohort": "segment", "limit": 0.4},
        {"metric": "latency.predict_ms_p95", "against": "champion", "tolerance": 0.2, "repeats": 1},
        {"metric": "variant.map_loss", "limit": 0.0},
        {"metric": "intent.map", "cohort": "segment", "when_empty": "allow"},
        {"metric": "intent.map", "when_empty": "hold"},
    ],
)
def test_fields_of_a_gate_that_go_together(given: dict[str, Any]) -> None:
    assert Gate.model_validate(given).model_dump(exclude_unset=True).items() >= given.items()


def test_the_least_that_a_gate_judges_on() -> None:
    assert Gate(metric="intent.map").least == Least(rows=40, users=20)
    assert Gate(metric="intent.map", cohort="segment").least == Least(rows=100, users=20)
    assert Gate(metric="intent.map", min_rows=3, min_users=2).least == Least(rows=3, users=2)
    assert Gate(metric="memory.rss_mib", limit=1, min_rows=3).least == Least(rows=0, users=0)
    assert Gate(metric=LOSSES[0], limit=1).least == Least(rows=0, users=0)


def test_a_limit_alone_is_against_a_value() -> None:
    assert Gate(metric="intent.map", limit=0.0).against == "value"
    assert Gate.model_validate({"metric": "intent.map", "limit": None}).against == "baseline"
    with pytest.raises(ValidationError, match="dictionary"):
        Gate.model_validate(["intent.map"])

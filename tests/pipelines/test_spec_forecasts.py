"""Intents of kind regression and multiclass in a spec: what is taken, which slices follow, what is refused."""

import json
from typing import Any

import pytest

from feature_repo.errors import SpecError
from pipelines import spec
from pipelines.graphs import index, parameters

VISIT = {"name": "visit"}
SPEND = {"name": "spend", "kind": "regression", "event": "purchase", "value": "value", "unit": "EUR", "horizon": "28d"}
NEXT = {"name": "next", "kind": "multiclass", "level": "category", "top": 20}
LIFT = {"name": "lift", "kind": "uplift", "offer": "coupon", "event": "purchase", "value": "value", "unit": "EUR"}
STEPS = ["train_forecasts", "refit_forecasts"]
TAKERS = ("register", "register_refit", "register_baseline")


def document(*intents: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "apiVersion": "intentflow/v1",
        "kind": "Recommender",
        "name": "shop",
        "data": {"source": {"type": "csv", "events": {"path": "e.csv"}}},
        "intents": list(intents),
    } | more


def refused(text: dict[str, Any]) -> str:
    with pytest.raises(SpecError) as caught:
        spec.parse(text, place="shop.yaml")
    return str(caught.value).removeprefix("shop.yaml: ")


def test_they_are_of_the_forecasts_alone_and_their_horizon_purges_the_split() -> None:
    found = spec.parse(document(VISIT, SPEND, NEXT), place="test")
    slices = parameters.spec_slices(found)
    for name in ("intents", "vocabulary", "serving"):
        held = json.loads(slices[name])
        assert [one["name"] for one in (held if name == "intents" else held["intents"])] == ["visit"]
    assert json.loads(slices["split"])["horizon"] == 4
    spend, after = json.loads(slices["forecast"])["intents"]
    assert {key: spend[key] for key in ("kind", "event", "steps", "value", "aggregate", "unit", "quantiles")} == {
        "kind": "regression", "event": "purchase", "steps": 4, "value": "value", "aggregate": "sum", "unit": "EUR",
        "quantiles": [],
    }  # fmt: skip
    assert (after["kind"], after["column"], after["top"], after["steps"]) == ("multiclass", "category", 20, 1)


def test_an_uplift_looks_one_step_further_and_says_its_offer() -> None:
    found = spec.parse(document(VISIT, LIFT | {"horizon": "28d"}), place="test")
    slices = parameters.spec_slices(found)
    (lift,) = json.loads(slices["forecast"])["intents"]
    assert (lift["kind"], lift["offer"], lift["event"], lift["steps"]) == ("uplift", "coupon", "purchase", 5)
    assert json.loads(slices["split"])["horizon"] == 5
    dumped = found.model_dump(mode="json")["intents"][1]
    assert dumped == LIFT | {"horizon": "28d", "level": None}


def test_a_slice_without_an_uplift_is_what_it_was() -> None:
    slices = parameters.spec_slices(spec.parse(document(VISIT, SPEND), place="test"))
    assert "offer" not in slices["forecast"]


def test_quantiles_are_usual_ones_where_only_the_loss_is_said() -> None:
    rule = spec.parse(document(VISIT, SPEND | {"loss": "quantile"}), place="test").forecast_rule()
    assert rule is not None
    assert rule.intents[0].quantiles == (0.1, 0.5, 0.9)


def test_a_spec_without_them_is_dumped_as_before_and_has_no_such_slice() -> None:
    found = spec.parse(document(VISIT, {"name": "buy", "level": "category"}), place="test")
    dumped = found.model_dump(mode="json")
    new = {"kind", "value", "aggregate", "unit", "loss", "quantiles"}
    assert not any(new & set(one) for one in dumped["intents"])
    assert "forecast" not in dumped["models"]
    assert not any("intent" in gate for gate in dumped["promotion"]["gates"])
    assert parameters.spec_slices(found)["forecast"] == ""


def test_a_dump_reads_as_it_was_meant() -> None:
    gates = [{"metric": "forecast.rmse", "intent": "spend"}]
    text = document(VISIT, SPEND, NEXT, models={"forecast": {"width": 16}}, promotion={"gates": gates})
    first = spec.parse(text, place="test")
    for dumped in (first.model_dump(mode="json"), parameters.form(first)["spec"]):
        again = spec.parse(dumped, place="test")
        assert again.digest == first.digest
        assert again.forecast_rule() == first.forecast_rule()


@pytest.mark.parametrize("metric", ["forecast.rmse", "forecast.pinball", "forecast.coverage_gap"])
def test_a_gate_may_judge_what_a_loss_of_quantiles_is_measured_by(metric: str) -> None:
    gates = [{"metric": metric, "intent": "spend", "limit": 5.0}]
    found = spec.parse(document(VISIT, SPEND | {"loss": "quantile"}, promotion={"gates": gates}), place="test")
    assert found.promotion.gates[0].measured == f"{metric}:spend"


@pytest.mark.parametrize("pipeline", ["train", "retrain"])
def test_the_steps_hang_where_a_spec_asks_and_nowhere_else(pipeline: str) -> None:
    nodes = {
        n.step.name: n for n in index.pipeline(pipeline).graph(spec.parse(document(VISIT, SPEND), place="t")).nodes
    }
    assert [name for name in nodes if "forecasts" in name] == STEPS
    takes = {name: nodes[name].inputs["forecasts"].node.step.name for name in TAKERS}
    assert takes == dict.fromkeys(TAKERS, "train_forecasts") | {"register_refit": "refit_forecasts"}
    assert nodes["admit"].inputs["forecasts"] is True
    none = {n.step.name: n for n in index.pipeline(pipeline).graph(spec.parse(document(VISIT), place="t")).nodes}
    assert not [name for name in none if "forecasts" in name]
    assert not any("forecasts" in none[name].inputs for name in (*TAKERS, "admit"))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            document(SPEND),
            "intents: none is of kind: binary with a horizon on the clock, and the ranker learns from those; add one, "
            "such as {name: visit}",
        ),
        (
            document(VISIT, {"name": "buy", "value": "value"}),
            "intents[1]: value is of kind: regression, not of kind: binary; drop value, or say that",
        ),
        (
            document(VISIT, {"name": "spend", "kind": "regression"}),
            "intents[1]: kind: regression needs to know of what; add value, such as value: value or value: count",
        ),
        (
            document(VISIT, SPEND | {"level": "category"}),
            "intents[1]: level and kind: regression do not go together: it is one amount a user; drop level",
        ),
        (
            document(VISIT, SPEND | {"horizon": "session"}),
            "intents[1]: kind: regression looks ahead on the clock; use a horizon in hours or days, such as 7d",
        ),
        (
            document(VISIT, SPEND | {"value": "count", "aggregate": "mean"}),
            "intents[1]: aggregate: mean of a count is always 1; use value: with a column, or aggregate: sum",
        ),
        (
            document(VISIT, SPEND | {"quantiles": [0.1, 0.5, 0.9]}),
            "intents[1]: quantiles go with loss: quantile, not with loss: squared; say that, or drop them",
        ),
        (
            document(VISIT, SPEND | {"loss": "quantile", "quantiles": [0.9, 0.5, 0.1]}),
            "intents[1]: quantiles: 0.9, 0.5, 0.1 must ascend within 0 and 1; use such as [.1, .5, .9]",
        ),
        (
            document(VISIT, SPEND | {"loss": "quantile", "quantiles": [0.1, 0.4, 0.9]}),
            "intents[1]: quantiles: 0.1, 0.4, 0.9 have no median between the outer ones; add .5",
        ),
        (
            document(VISIT, {"name": "next", "kind": "multiclass"}),
            "intents[1]: kind: multiclass is about values of a level; add one, such as level: category",
        ),
        (
            document(VISIT, NEXT | {"unit": "EUR"}),
            "intents[1]: unit is of kind: regression, not of kind: multiclass; drop unit, or say that",
        ),
        (
            document(VISIT, SPEND | {"value": "strength"}),
            "intents[1].value: strength is no column of these events; map it as `data.source.events.columns: "
            "{strength: <column>}`, or use value, quantity or count",
        ),
        (
            document(VISIT, SPEND | {"value": "price"}),
            "intents[1].value: 'price' is not allowed; use 'value', 'quantity', 'discount', 'strength' or 'count'",
        ),
        (
            document(VISIT, models={"forecast": {"width": 16}}),
            "models.forecast: is for an intent of kind: regression or multiclass, and there is none; add one, such as "
            "{name: spend, kind: regression, value: value}, or drop it",
        ),
        (
            document(VISIT, SPEND, promotion={"gates": [{"metric": "forecast.rmse"}]}),
            "promotion.gates[0]: forecast.rmse is of one intent; name it, such as `intent: spend`",
        ),
        (
            document(VISIT, SPEND, promotion={"gates": [{"metric": "intent.map", "intent": "spend"}]}),
            "promotion.gates[0]: intent.map is not of one intent; drop intent: spend",
        ),
        (
            document(VISIT, SPEND, promotion={"gates": [{"metric": "forecast.rmse", "intent": "spent"}]}),
            "promotion.gates[0].intent: 'spent' is no intent of kind: regression, multiclass or uplift; "
            "have spend; did you "
            "mean 'spend'?",
        ),
        (
            document(VISIT, NEXT, promotion={"gates": [{"metric": "forecast.rmse", "intent": "next"}]}),
            "promotion.gates[0]: forecast.rmse is not measured of 'next', which is of kind: multiclass; use "
            "forecast.accuracy, forecast.top3, forecast.macro_f1, forecast.log_loss",
        ),
        (
            document(VISIT, SPEND, promotion={"gates": [{"metric": "forecast.pinball", "intent": "spend"}]}),
            "promotion.gates[0]: forecast.pinball is not measured of 'spend', which is of loss: squared; use "
            "forecast.rmse, forecast.mae, or give the intent loss: quantile",
        ),
        (
            document(
                VISIT,
                SPEND | {"loss": "huber"},
                promotion={"gates": [{"metric": "forecast.coverage_gap", "intent": "spend", "limit": 0.1}]},
            ),
            "promotion.gates[0]: forecast.coverage_gap is not measured of 'spend', which is of loss: huber; use "
            "forecast.rmse, forecast.mae, or give the intent loss: quantile",
        ),
        (
            document(
                VISIT,
                SPEND,
                promotion={"gates": [{"metric": "forecast.rmse", "intent": "spend", "against": "champion"}]},
            ),
            "promotion.gates[0]: forecast.rmse: the champion's forecasts are not judged on the same rows; use `against"
            ": baseline`, or a `limit`",
        ),
        (
            document(VISIT, {"name": "lift", "kind": "uplift", "value": "value", "event": "purchase"}),
            "intents[1]: kind: uplift needs to know of which offer; add offer, the kind of event that it is",
        ),
        (
            document(VISIT, {key: value for key, value in LIFT.items() if key != "event"}),
            "intents[1]: kind: uplift counts what follows the offer, and 'coupon' is an event itself; add event",
        ),
        (
            document(VISIT, LIFT | {"event": "coupon"}),
            "intents[1]: kind: uplift counts what follows the offer, and 'coupon' is an event itself; add event",
        ),
        (
            document(VISIT, LIFT | {"aggregate": "mean"}),
            "intents[1]: aggregate is of kind: regression, not of kind: uplift; drop aggregate, or say that",
        ),
        (
            document(VISIT, SPEND | {"offer": "coupon"}),
            "intents[1]: offer is of kind: uplift, not of kind: regression; drop offer, or say that",
        ),
        (
            document(VISIT, LIFT, promotion={"gates": [{"metric": "forecast.rmse", "intent": "lift", "limit": 3}]}),
            "promotion.gates[0]: forecast.rmse is not measured of 'lift', which is of kind: uplift; use "
            "forecast.dr_loss, forecast.placebo, forecast.uncompared",
        ),
        (
            document(VISIT, SPEND | {"horizon": "10d"}),
            "intents.spend: horizon 10d is no whole number of weeks; use 7d or a multiple, or a finer data.step",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_one_line(text: dict[str, Any], line: str) -> None:
    assert refused(text).startswith(line)


def test_an_item_that_is_a_person_is_no_value() -> None:
    people = {"source": {"type": "csv", "events": {"path": "e.csv"}, "items": {"from": "users"}}}
    text = document(VISIT, NEXT | {"level": "items.item_id"}, data=people)
    assert refused(text).startswith("intents[1].level: items.item_id would name people one by one")

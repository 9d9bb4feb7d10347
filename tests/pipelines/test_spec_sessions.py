"""Sessions in a spec: what is taken, which slices follow, and what is refused with one line."""

import json
from typing import Any

import pytest

from components.content import words
from feature_repo.errors import SpecError
from pipelines import spec
from pipelines.graphs import parameters

VISIT = {"name": "visit"}
NOW = {"name": "buy_now", "event": "purchase", "horizon": "session"}
LEAVE = {"name": "leave", "ends": True, "horizon": "session"}


def document(*intents: dict[str, Any], data: Any = None, **more: Any) -> dict[str, Any]:
    return {
        "apiVersion": "intentflow/v1",
        "kind": "Recommender",
        "name": "shop",
        "data": {"source": {"type": "csv", "events": {"path": "e.csv"}}} | (data or {}),
        "intents": list(intents),
    } | more


def refused(text: dict[str, Any]) -> str:
    with pytest.raises(SpecError) as caught:
        spec.parse(text, place="shop.yaml")
    return str(caught.value).removeprefix("shop.yaml: ")


def test_intents_of_a_visit_are_the_session_models_alone() -> None:
    found = spec.parse(document(VISIT, NOW, LEAVE, data={"session_gap": "20m"}), place="test")
    slices = parameters.spec_slices(found)
    assert [one["name"] for one in json.loads(slices["intents"])] == ["visit"]
    assert [one["name"] for one in json.loads(slices["serving"])["intents"]] == ["visit"]
    assert [one["name"] for one in json.loads(slices["vocabulary"])["intents"]] == ["visit"]
    rule = json.loads(slices["session"])
    assert rule["intents"] == [
        {"name": "buy_now", "event": "purchase", "ends": False},
        {"name": "leave", "event": None, "ends": True},
    ]
    assert (rule["gap"], rule["model"]["positions"]) == ("20m", 64)


def test_reports_and_the_door_name_what_users_do_alike() -> None:
    listen = {"name": "listen", "event": "listen", "level": "category"}
    found = spec.parse(document(VISIT, listen, NOW), place="test")
    kept = json.loads(parameters.spec_slices(found)["serving"])["intents"]  # what a release keeps of intents
    assert found.verb == words.verb(None, (one["event"] for one in kept), {}) == "listened to"


def test_a_changed_gap_trains_the_session_model_and_reads_nothing_anew() -> None:
    one, other = (
        parameters.spec_slices(spec.parse(document(VISIT, NOW, data=data), place="test"))
        for data in ({}, {"session_gap": "20m"})
    )
    assert {name for name in one if one[name] != other[name]} == {"session", "data"}


def test_a_spec_without_sessions_has_no_such_slice_and_is_dumped_as_before() -> None:
    found = spec.parse(document(VISIT), place="test")
    assert parameters.spec_slices(found)["session"] == ""
    dumped = found.model_dump(mode="json")
    assert "session" not in dumped["models"]
    assert "session_gap" not in dumped["data"]
    assert "ends" not in dumped["intents"][0]


@pytest.mark.parametrize("intents", [(VISIT, NOW), (VISIT, LEAVE), (VISIT, NOW, LEAVE)])
def test_a_dump_reads_as_it_was_meant(intents: tuple[dict[str, Any], ...]) -> None:
    first = spec.parse(document(*intents, models={"session": {"width": 16}}), place="test")
    for dumped in (first.model_dump(mode="json"), parameters.form(first)["spec"]):
        again = spec.parse(dumped, place="test")
        assert again.digest == first.digest
        assert again.session_rule() == first.session_rule()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            document(VISIT, NOW | {"level": "category"}),
            "intents[1]: level and horizon: session do not go together: a visit is asked for one event in all; drop "
            "level, or use a horizon in hours or days",
        ),
        (
            document(VISIT, NOW | {"top": 5}),
            "intents[1]: top and horizon: session do not go together: a visit is asked for one event in all; drop top, "
            "or use a horizon in hours or days",
        ),
        (
            document(VISIT, NOW | {"ends": True}),
            "intents[1]: ends says that no event follows; drop ends, or event: purchase",
        ),
        (
            document(VISIT | {"ends": True}),
            "intents[0]: ends is of a visit, so it goes with `horizon: session`; drop it, or say that",
        ),
        (
            document(NOW),
            "intents: each has horizon: session, and the ranker learns from what users are about to do on the clock; "
            "add one, such as {name: visit}",
        ),
        (
            document(VISIT, data={"session_gap": "30m"}),
            "data.session_gap: is for an intent with horizon: session, and there is none; add one, such as {name: "
            "buy_now, event: purchase, horizon: session}, or drop it",
        ),
        (
            document(VISIT, models={"session": {"width": 16}}),
            "models.session: is for an intent with horizon: session, and there is none; add one, such as {name: "
            "buy_now, event: purchase, horizon: session}, or drop it",
        ),
        (
            document(VISIT, promotion={"gates": [{"metric": "session.auroc"}]}),
            "promotion.gates[0]: session.auroc is measured of an intent with horizon: session, and there is none; add "
            "one, such as {name: buy_now, event: purchase, horizon: session}",
        ),
        (
            document(VISIT, NOW, promotion={"gates": [{"metric": "session.auroc", "against": "champion"}]}),
            "promotion.gates[0]: session.auroc: the champion is not judged on the same visits; use `against: "
            "baseline`, or a `limit`",
        ),
        (
            document(VISIT, NOW, data={"session_gap": "200h"}),
            "data.session_gap: 200h is more than a week; a visit ends after minutes or hours of silence, such as 30m",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_one_line(text: dict[str, Any], line: str) -> None:
    assert refused(text) == line


def test_a_gap_in_days_is_refused() -> None:
    assert refused(document(VISIT, NOW, data={"session_gap": "1d"})).startswith("data.session_gap: '1d' is wrong")


def test_a_gate_on_sessions_is_taken_against_the_baseline_and_a_limit() -> None:
    gates = [{"metric": "session.auroc", "against": "baseline"}, {"metric": "session.bce", "limit": 0.5}]
    assert len(spec.parse(document(VISIT, NOW, promotion={"gates": gates}), place="test").promotion.gates) == 2

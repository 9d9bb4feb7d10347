"""The data contract's rules at the door: what is refused, in which words, and what is only counted."""

import subprocess
import sys
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from pydantic import TypeAdapter
from starlette.testclient import TestClient

from bentos.http.bounded_pool import BoundedPool
from bentos.recommender.app import DoorContext, create_app
from bentos.recommender.logs.event_rules import EventRules
from bentos.recommender.metrics import Metrics
from bentos.release import Release
from components.data.row_rules import RowRule
from feature_repo import files

EVENT = {"user_id": "ann", "item_id": "i1", "event": "purchase", "quantity": 1, "value": 3, "discount": 0}
RULES: list[dict[str, Any]] = [
    {"expect": "one_of", "column": "event", "values": ["purchase", "view"]},
    {"expect": "between", "column": "quantity", "min": 0, "max": 100, "mostly": 0.98, "severity": "warning"},
    {"expect": "matches", "column": "item_id", "pattern": "i\\d+", "severity": "warning"},
    {"expect": "compare", "column": "discount", "op": "<=", "other": "value", "severity": "warning"},
    {"expect": "not_null", "column": "value", "severity": "warning"},
    {"expect": "between", "column": "value", "max": 50, "severity": "info"},
]


def opened(world: Any, rules: list[dict[str, Any]] | None) -> DoorContext:
    """Open the tiny door with these rules in its release."""
    door = world.door()
    path = world.folder / "release.json"
    document = files.read_json(path)
    if rules is not None:
        document["serving"]["event_rules"] = rules
    rest = {k: v for k, v in document.items() if k != "id"}
    files.write_json(path, {"id": files.digest(rest), **rest})
    door.release = Release.load(world.folder)
    door.rules = EventRules(door.release.event_rules)
    pools = [BoundedPool(timeout_s=5, max_concurrency=2, threads=1) for _ in range(2)]
    return DoorContext(
        door, *pools, Metrics(door.release, registry=CollectorRegistry()), {"openapi": "3.0.2", "paths": {}}
    )


def client(found: DoorContext) -> TestClient:
    app = create_app()
    app.state.opened = found
    return TestClient(app)


@pytest.mark.parametrize(
    ("change", "where", "what", "allowed"),
    [
        ({"event": "rate"}, "event", "'rate' breaks the rule one_of(event)", "event is one of purchase, view"),
        (
            {"quantity": 250},
            "quantity",
            "250 breaks the rule between(quantity)",
            "quantity is at least 0 and at most 100",
        ),
        ({"item_id": "x"}, "item_id", "'x' breaks the rule matches(item_id)", "item_id matches i\\d+"),
        (
            {"discount": 3.5},
            "discount",
            "3.5 beside 3 breaks the rule compare(discount <= value)",
            "discount is at most value",
        ),
        ({"value": None}, "value", "None breaks the rule not_null(value)", "value is given"),
    ],
)
def test_an_event_that_breaks_a_rule_is_refused_with_rule_value_and_what_is_allowed(
    world: Any, change: dict[str, Any], where: str, what: str, allowed: str
) -> None:
    reply = client(opened(world, RULES)).post("/events", json={"events": [EVENT, EVENT | change]})
    place = f"events[1].{where}"
    assert reply.status_code == 422
    assert reply.json() == {"error": f"{place}: {what}; allowed: {allowed}", "where": place, "allowed": allowed}
    assert world.profiles.bought == {}, "all events of a request are taken, or none"


def test_a_rule_of_severity_info_only_counts(world: Any) -> None:
    found = opened(world, RULES)
    reply = client(found).post("/events", json={"events": [EVENT, EVENT | {"value": 99}]})
    assert reply.status_code == 200
    assert (reply.json()["accepted"], reply.json()["noted"]) == (2, {"between(value)": 1})
    assert found.metrics.noted.labels("between(value)")._value.get() == 1


def test_a_release_without_rules_keeps_to_those_of_every_recommender(world: Any) -> None:
    found = client(opened(world, None))
    assert found.post("/events", json={"events": [EVENT | {"quantity": 250, "item_id": "i5"}]}).status_code == 200
    reply = found.post("/events", json={"events": [EVENT | {"value": -1}]})
    assert reply.json()["error"].startswith("events[0].value: -1 breaks the rule between(value); allowed: value is at")


def test_a_contract_that_allows_returns_lets_them_in(world: Any) -> None:
    rules = [{"expect": "between", "column": "quantity", "min": -5}]
    reply = client(opened(world, rules)).post("/events", json={"events": [EVENT | {"quantity": -2}]})
    assert (reply.status_code, reply.json()["accepted"]) == (200, 1)


def test_the_openapi_document_says_what_the_contract_asks(world: Any) -> None:
    schemas = client(opened(world, RULES)).get("/docs.json").json()["components"]["schemas"]
    assert "The data contract asks: event is one of purchase, view; quantity is" in schemas["Event"]["description"]
    assert schemas["EventsRequest"]["properties"]["events"]["maxItems"] == 1000


def test_unknown_fields_are_still_named(world: Any) -> None:
    reply = client(opened(world, RULES)).post("/events", json={"events": [EVENT | {"valeu": 1}]})
    assert "events[0].valeu: no such field; did you mean 'value'?" in reply.json()["error"]


def test_rules_of_one_kind_on_one_column_have_names_of_their_own() -> None:
    limits = [{"expect": "between", "column": "value", "min": 0}, {"expect": "between", "column": "value", "max": 9}]
    rules = EventRules(TypeAdapter(list[RowRule]).validate_python(limits))
    with pytest.raises(ValueError, match="breaks the rule between\\(value\\) #2"):
        rules.request.model_validate_json('{"events": [{"user_id": "a", "item_id": "i", "event": "e", "value": 10}]}')


@pytest.mark.process
def test_the_rules_bring_no_engine_into_the_service() -> None:
    heavy = "{'duckdb', 'great_expectations', 'pandas'}"
    code = f"import sys, bentos.recommender.logs.event_rules, bentos.release; print(sorted({heavy} & {{*sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"

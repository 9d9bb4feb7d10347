"""The data contract's rules at the door: what is refused, in which words, and what is only counted."""

import json
import subprocess
import sys
from dataclasses import replace
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
from components.data.derived import rules_at_the_door, with_kinds
from components.data.row_rules import RowRule
from feature_repo import files
from feature_repo.vocabulary import hashed

EVENT = {"user_id": "ann", "item_id": "i1", "event": "purchase", "quantity": 1, "value": 3, "discount": 0}
RULES: list[dict[str, Any]] = [
    {"expect": "one_of", "column": "event", "values": ["purchase", "view"]},
    {"expect": "between", "column": "quantity", "min": 0, "max": 100, "mostly": 0.98, "severity": "warning"},
    {"expect": "matches", "column": "item_id", "pattern": "i\\d+", "severity": "warning"},
    {"expect": "compare", "column": "discount", "op": "<=", "other": "value", "severity": "warning"},
    {"expect": "not_null", "column": "value", "severity": "warning"},
    {"expect": "between", "column": "value", "max": 50, "severity": "info"},
]


def opened(world: Any, rules: list[dict[str, Any]] | None, *, unknown: str | None = None) -> DoorContext:
    """Open the tiny door with these rules in its release."""
    door = world.door()
    path = world.folder / "release.json"
    document = files.read_json(path)
    if rules is not None:
        document["serving"]["event_rules"] = rules
    document["serving"]["unknown_items"] = unknown
    rest = {k: v for k, v in document.items() if k != "id"}
    files.write_json(path, {"id": files.digest(rest), **rest})
    door.release = Release.load(world.folder)
    release = door.release
    door.rules = EventRules(release.event_rules, known=door.vocabulary.knows, unknown=release.unknown_items)
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


@pytest.mark.parametrize("known", [["i0", "i1", "i5", "rare"], None])
def test_an_event_with_an_item_outside_the_catalogue_is_set_aside_and_moves_no_profile(
    world: Any, known: list[str] | None
) -> None:
    known_items = None if known is None else hashed(known)
    world.ranker.vocabulary = replace(world.ranker.vocabulary, known_items=known_items)
    found = opened(world, RULES, unknown="warning")
    events = [EVENT, EVENT | {"item_id": "i99"}, EVENT | {"item_id": "i5", "timestamp": "2018-01-01T09:00:00Z"}]
    reply = client(found).post("/events", json={"events": events})
    assert reply.status_code == 200
    if known is None:  # a release that was made before catalogues were on record
        assert (reply.json()["accepted"], reply.json()["set_aside"]) == (3, [])
        return
    assert reply.json()["set_aside"] == [
        {"event": 1, "rule": "known(item_id)", "reason": "'i99' is not among the items"}
    ]
    assert (reply.json()["accepted"], len(world.profiles.sessions)) == (2, 2)
    only = client(found).post("/events", json={"events": [EVENT | {"item_id": "i98"}]})
    assert (only.status_code, only.json()["accepted"], len(only.json()["set_aside"])) == (200, 0, 1)
    assert found.metrics.events.labels("set_aside")._value.get() == 2, "a page that sends them is told nothing"


def test_where_the_contract_only_counts_unknown_items_their_events_are_taken_and_noted(world: Any) -> None:
    world.ranker.vocabulary = replace(world.ranker.vocabulary, known_items=hashed(["i1"]))
    reply = client(opened(world, RULES, unknown="info")).post(
        "/events", json={"events": [EVENT, EVENT | {"item_id": "i99"}]}
    )
    assert (reply.json()["accepted"], reply.json()["noted"]) == (2, {"known(item_id)": 1})


def test_a_kind_in_other_case_is_refused_with_the_kinds_as_they_are_spelled(world: Any) -> None:
    rules = [rule.model_dump(mode="json") for rule in rules_at_the_door(with_kinds({}, ["purchase"]))]
    door = client(opened(world, rules))
    reply = door.post("/events", json={"events": [EVENT | {"event": "Purchase"}]})
    assert reply.status_code == 422
    told = "events[0].event: 'Purchase' breaks the rule spelled(event); allowed: event is spelled as declared: purchase"
    assert reply.json()["error"] == told
    assert door.post("/events", json={"events": [EVENT | {"event": "rate"}]}).json()["accepted"] == 1


@pytest.mark.parametrize("body", ['{"value": 1e39}', '{"quantity": -1.1e12}', '{"discount": 1e400}', '{"value": NaN}'])
def test_an_amount_that_is_none_is_refused_in_one_line_and_moves_no_profile(world: Any, body: str) -> None:
    event = json.dumps(EVENT)[:-1] + ", " + body[1:]
    reply = client(opened(world, None)).post("/events", content='{"events": [' + event + "]}")
    assert reply.status_code in (400, 422)
    assert len(reply.json()["error"].splitlines()) == 1
    assert world.profiles.bought == {}


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

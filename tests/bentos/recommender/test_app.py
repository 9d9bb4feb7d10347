"""The HTTP side of the door, over tiny models: status codes, lines of refusal, limits, metrics, documents."""

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from starlette.testclient import TestClient

from bentos.endpoints.operations import OPERATIONS
from bentos.http.bounded_pool import BoundedPool
from bentos.recommender.app import DoorContext, create_app
from bentos.recommender.logs import requestlog
from bentos.recommender.metrics import Metrics

BASE = {"openapi": "3.0.2", "paths": {"/livez": {"get": {}}}, "components": {"schemas": {"Theirs": {}}}}


@pytest.fixture
def opened(world: Any) -> Iterator[DoorContext]:
    world.documents = world.log()
    door = world.door()
    reads, writes = (
        BoundedPool(timeout_s=0.3, max_concurrency=2),
        BoundedPool(timeout_s=5, max_concurrency=2, threads=1),
    )
    yield DoorContext(door, reads, writes, Metrics(door.release, registry=CollectorRegistry()), BASE)
    reads.close()
    writes.close()
    door.close()


@pytest.fixture
def client(opened: DoorContext) -> TestClient:
    app = create_app()
    app.state.opened = opened
    return TestClient(app)


def counted(opened: DoorContext, name: str, **labels: str) -> float:
    return opened.metrics.requests.labels(**labels)._value.get() if name == "requests" else 0.0


def test_recommend_answers_in_json(client: TestClient, world: Any) -> None:
    world.knows("ann", 3)
    reply = client.post("/recommend", json={"user_id": "ann", "k": 1})
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "application/json"
    answer = reply.json()
    fields = {"items", "rules", "algorithm", "intents", "set_aside", "profile"}
    assert set(answer) == fields | {"catalogue_version", "release", "request_id"}
    assert answer["catalogue_version"] == 0, "nobody changed an item yet"
    assert answer["items"] == [
        {
            "item_id": "i3",
            "title": "pea soup",
            "score": 1.0,
            "source": "history",
            "propensity": 1.0,
            "reasons": {"intent": 0.5},
        }
    ]
    assert answer["profile"] == {
        "rung": "fresh",
        "state_at": "2017-12-30T00:00:00Z",
        "age_days": 1.0,
        "segment": None,
        "degraded": False,
        "reason": None,
    }


def test_every_endpoint_answers(client: TestClient) -> None:
    asks = {
        "/recommend": {"user_id": "ann", "context": {"page": "home", "n": 1}, "at": "2018-01-01T00:00:00+01:00"},
        "/intents": {"user_id": "ann"},
        "/rank": {"user_id": "ann", "item_ids": ["i1"]},
        "/events": {"events": [{"user_id": "ann", "item_id": "i1", "event": "purchase", "value": 2}]},
        "/similar": {"item_id": "i1"},
        "/values": {"user_id": "ann", "attribute": "kind"},
        "/explain": {"user_id": "ann", "item_id": "i1"},
        "/describe": {"user_id": "ann", "item_ids": ["i1"]},
        "/shelves": {"user_id": "ann"},
        "/items": {"items": [{"item_id": "i1", "available": False}]},
        "/rules": {"rules": [{"kind": "filter", "name": "no soup", "where": "title = 'pea soup'"}]},
    }
    methods = {one.path: one.endpoint.method for one in OPERATIONS}
    assert set(asks) == set(methods)
    codes = {path: client.request(methods[path], path, json=ask).status_code for path, ask in asks.items()}
    assert codes == dict.fromkeys(asks, 200)


TIME = "an ISO 8601 time with its offset, such as 2017-12-25T10:00:00Z"
OLD, TIMES = "0001-01-01T00:00:00+12:00", "1970-01-01T00:00:00+00:00 to 9998-12-31T00:00:00+00:00"
FIELDS = "user_id, k, context, exclude, at, placement, interests, events"
EVENT = {"user_id": "a", "item_id": "i1", "event": "buy"}
EVENT_FIELDS = "user_id, item_id, event, timestamp, session_id, quantity, value, discount, text, request_id, event_id"
REFUSED: list[tuple[str, Any, str, str, str]] = [
    ("/recommend", [], "body", "[] is not allowed", "an object"),
    ("/recommend", {}, "user_id", "is missing", "a user, or the events or interests of somebody who is none"),
    ("/recommend", {"user_id": 1}, "user_id", "1 is not allowed", "a string"),
    ("/recommend", {"user_id": ""}, "user_id", "'' is not allowed", "1 or more characters"),
    ("/recommend", {"user_id": "a", "k": 0}, "k", "0 is not allowed", "1 or more"),
    ("/recommend", {"user_id": "a", "k": -5}, "k", "-5 is not allowed", "1 or more"),
    ("/recommend", {"user_id": "a", "k": 51}, "k", "51 is too many", "1 to 50"),
    ("/recommend", {"user_id": "a", "k": 2.5}, "k", "2.5 is not allowed", "an integer"),
    ("/recommend", {"user_id": "a", "k": "3"}, "k", "'3' is not allowed", "an integer"),
    ("/recommend", {"user_id": "a", "K": 3}, "K", "no such field", FIELDS),
    ("/recommend", {"user_id": "a", "exlude": []}, "exlude", "no such field; did you mean 'exclude'?", FIELDS),
    ("/recommend", {"user_id": "a", "exclude": "i1"}, "exclude", "'i1' is not allowed", "a list"),
    ("/recommend", {"user_id": "a", "at": "yesterday"}, "at", "'yesterday' is not allowed", TIME),
    ("/recommend", {"user_id": "a", "at": "2017-12-25T10:00"}, "at", "'2017-12-25T10:00' is not allowed", TIME),
    ("/recommend", {"user_id": "a", "at": "0"}, "at", "'0' is not allowed", TIME),
    ("/recommend", {"user_id": "a", "at": "2017-02-30T10:00:00Z"}, "at", "'2017-02-30T10:00:00Z' is not allowed", TIME),
    ("/recommend", {"user_id": "a", "at": OLD}, "at", f"'{OLD}' is not allowed", TIMES),
    ("/rank", {"user_id": "a", "item_ids": []}, "item_ids", "[] is not allowed", "at least 1"),
    ("/rank", {"user_id": "a", "item_ids": ["i1", 2]}, "item_ids[1]", "2 is not allowed", "a string"),
    ("/events", {"events": [EVENT | {"price": 1}]}, "events[0].price", "no such field", EVENT_FIELDS),
    (
        "/events",
        {"events": [EVENT, EVENT | {"quantity": -1}]},
        "events[1].quantity",
        "-1 breaks the rule between(quantity)",
        "quantity is at least 0",
    ),
    ("/events", {"events": [{"user_id": "a", "item_id": "i1"}]}, "events[0].event", "is missing", "a value"),
]


@pytest.mark.parametrize(("path", "ask", "where", "what", "allowed"), REFUSED)
def test_a_wrong_request_gets_one_line_with_place_value_and_what_is_allowed(
    client: TestClient, path: str, ask: Any, where: str, what: str, allowed: str
) -> None:
    reply = client.post(path, json=ask)
    assert reply.status_code == 422
    assert reply.json() == {"error": f"{where}: {what}; allowed: {allowed}", "where": where, "allowed": allowed}


def test_a_body_that_is_no_json_is_malformed(client: TestClient) -> None:
    reply = client.post("/recommend", content="{")
    assert (reply.status_code, reply.json()["where"]) == (400, "body")
    assert reply.json()["error"].startswith("body: no JSON: EOF while parsing an object at line 1")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_numbers_that_are_none_are_refused(client: TestClient, number: str) -> None:
    event = f'{{"user_id": "a", "item_id": "i1", "event": "buy", "value": {number}}}'
    reply = client.post("/events", content=f'{{"events": [{event}]}}')
    assert reply.status_code in (400, 422)
    assert "\n" not in reply.json()["error"]


def test_a_user_id_of_any_characters_is_only_a_name(client: TestClient) -> None:
    for name in ("ann'; drop table", "ü€😀", " ", "../../etc", "\x00"):
        assert client.post("/recommend", json={"user_id": name}).status_code == 200
    assert client.post("/recommend", content='{"user_id": "\\ud800"}').status_code == 400


def test_a_huge_body_is_refused(client: TestClient) -> None:
    reply = client.post("/events", content=b" " * (2 << 20) + b"{}")
    assert (reply.status_code, reply.json()["where"]) == (413, "body")


def test_an_unknown_path_and_a_wrong_method_name_the_endpoints(client: TestClient) -> None:
    nowhere, wrong = client.post("/recomend", json={}), client.get("/recommend")
    assert (nowhere.status_code, wrong.status_code) == (404, 405)
    assert nowhere.json()["error"].startswith("no endpoint POST /recomend; have POST /recommend, POST /intents")
    assert wrong.json()["where"] == "path"


def test_a_fault_of_ours_shows_no_trace(client: TestClient, world: Any, caplog: pytest.LogCaptureFixture) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("a page of the store is broken")

    world.profiles.push_all = broken
    reply = client.post("/events", json={"events": [{"user_id": "a", "item_id": "i1", "event": "buy"}]})
    assert reply.status_code == 500
    assert reply.json() == {
        "error": "a fault of the service; its log says more",
        "where": "service",
        "allowed": "a retry",
    }
    assert "a page of the store is broken" in caplog.text, "the log has the traceback"


def test_events_for_a_store_that_is_away_are_to_be_sent_again(client: TestClient, world: Any) -> None:
    world.profiles.down = True
    ask = {"events": [{"user_id": "a", "item_id": "i1", "event": "buy", "event_id": "e"}]}
    reply = client.post("/events", json=ask)
    assert (reply.status_code, reply.json()["where"], reply.json()["allowed"]) == (503, "events", "a retry")
    world.profiles.down = False
    assert client.post("/events", json=ask).json()["accepted"] == 1


def test_a_slow_store_is_given_up_and_its_place_stays_taken_until_it_ends(
    client: TestClient, world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, read = threading.Event(), world.profiles.read

    def slow(users: list[str], *, now: int) -> Any:
        go.wait(5)
        return read(users, now=now)

    monkeypatch.setattr(world.profiles, "read", slow)
    with client:  # one event loop for all requests
        replies = [client.post("/recommend", json={"user_id": "ann"}) for _ in range(3)]
        assert [reply.status_code for reply in replies] == [200, 200, 429], "two places, both still taken"
        profile = replies[0].json()["profile"]
        assert (profile["rung"], profile["degraded"], profile["reason"]) == ("popular", True, "timeout")
        go.set()
        for _ in range(100):
            time.sleep(0.02)
            if (code := client.post("/recommend", json={"user_id": "ann"}).status_code) == 200:
                break
        assert code == 200


def test_a_slow_model_leaves_the_answer_to_the_users_segment_and_one_line_in_the_log(
    client: TestClient, opened: DoorContext, world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.knows("ann", 1, segment=0)
    go, predict, ended = threading.Event(), world.scorer.predict, threading.Event()

    def slow(rows: Any) -> Any:
        go.wait(5)
        ended.set()
        return predict(rows)

    monkeypatch.setattr(world.scorer, "predict", slow)
    with client:
        answer = client.post("/recommend", json={"user_id": "ann", "k": 2}).json()
        go.set()
        ended.wait(5)
        client.post("/intents", json={"user_id": "ann"})  # by then the late call has ended
    assert (answer["profile"]["rung"], answer["profile"]["reason"]) == ("segment", "timeout")
    assert [item["item_id"] for item in answer["items"]] == ["i3", "i2"]
    opened.door.close()
    lines = list(requestlog.read(world.folder / "requests"))
    assert [(line["endpoint"], line["rung"], line["degraded"]) for line in lines] == [
        ("recommend", "segment", "timeout"),
        ("intents", "fresh", None),
    ]
    assert opened.metrics.degraded.labels("timeout")._value.get() == 1


def test_metrics_count_answers_rungs_and_events(client: TestClient, opened: DoorContext, world: Any) -> None:
    world.knows("ann", 1)
    for user in ("ann", "ann", "nobody"):
        client.post("/recommend", json={"user_id": user})
    client.post("/recommend", json={"user_id": "ann", "k": 0})
    client.post("/events", json={"events": [{"user_id": "a", "item_id": "i1", "event": "buy", "event_id": "e"}] * 2})
    metrics, release = opened.metrics, opened.door.release.id

    def value(metric: Any, *labels: str) -> float:
        return float(metric.labels(*labels)._value.get())

    assert value(metrics.requests, "/recommend", "200", release) == 3
    assert value(metrics.requests, "/recommend", "422", release) == 1
    assert (value(metrics.rungs, "fresh", release), value(metrics.rungs, "popular", release)) == (2, 1)
    assert metrics.ages._sum.get() == 2.0, "two answers from a profile of one day"
    assert (value(metrics.events, "accepted"), value(metrics.events, "duplicate")) == (1, 1)


def test_every_endpoint_is_in_the_openapi_document_beside_bentomls_own(client: TestClient) -> None:
    document = client.get("/docs.json").json()
    assert set(document["paths"]) == {"/livez", *(endpoint.path for endpoint in OPERATIONS)}
    names = {"Theirs", "Problem"} | {m.__name__ for e in OPERATIONS for m in (e.contract.asks, e.contract.answers)}
    assert names <= set(document["components"]["schemas"])
    text = json.dumps(document)
    references = {part.split('"')[0] for part in text.split('"$ref": "#/components/schemas/')[1:]}
    assert references <= set(document["components"]["schemas"]), "no reference leads nowhere"
    asked = document["components"]["schemas"]["RecommendRequest"]
    assert (asked["additionalProperties"], "required" in asked) == (False, False), "a user, or a session's events"

"""POST /describe: texts that rest on the catalogue, the ranking and the intents, as JSON and as events."""

import json
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from starlette.testclient import TestClient

from bentos.endpoints.examples import SIGNED
from bentos.http.bounded_pool import BoundedPool
from bentos.recommender.app import DoorContext, create_app
from bentos.recommender.logs import requestlog
from bentos.recommender.metrics import Metrics


@pytest.fixture
def client(world: Any) -> Any:
    door = world.door()
    reads, writes = BoundedPool(timeout_s=5, max_concurrency=4), BoundedPool(timeout_s=5, max_concurrency=2, threads=1)
    app = create_app()
    app.state.opened = DoorContext(door, reads, writes, Metrics(door.release, registry=CollectorRegistry()), {})
    yield TestClient(app)
    reads.close()
    writes.close()
    door.close()


def test_a_text_names_the_item_and_the_intent_that_it_fits(client: TestClient, world: Any) -> None:
    world.knows("ann", 1)
    answer = client.post("/describe", json={"user_id": "ann", "item_ids": ["i1", "i5"]}).json()
    assert answer["items"] == [
        {
            "item_id": "i1",
            "title": "pear",
            "text": "pear. Kind: fruit. It fits what you may do next: buy FRUIT (50%).",
            "source": "template@1",
            "attributes": ["title", "kind", "intent:buy:FRUIT"],
        },
        {
            "item_id": "i5",
            "title": "i5",
            "text": "Item i5.",
            "source": "template@1",
            "attributes": ["item_id"],
        },
    ]
    assert (answer["profile"]["rung"], set(answer)) == ("fresh", {"items", "profile", *SIGNED})


def test_without_models_nothing_is_said_of_intents(client: TestClient, world: Any) -> None:
    world.knows("ann", 1, segment=0)
    world.scorer.predict = None  # calling it fails
    answer = client.post("/describe", json={"user_id": "ann", "item_ids": ["i3", "i0"]}).json()
    assert answer["profile"]["degraded"] is True
    assert [item["text"] for item in answer["items"]] == [
        "pea soup. Kind: soup. Chosen lately by 50% of users like you. Chosen lately by 20% of all active users.",
        "apple. Kind: fruit. Chosen lately by 10% of users like you. Chosen lately by 40% of all active users.",
    ]


def test_who_asks_for_events_gets_one_an_item_and_then_done(client: TestClient) -> None:
    ask = {"user_id": "ann", "item_ids": ["i0", "i1", "i2"]}
    reply = client.post("/describe", json=ask, headers={"Accept": "text/event-stream"})
    assert reply.headers["content-type"].startswith("text/event-stream")
    blocks = [dict(line.split(": ", 1) for line in block.split("\n")) for block in reply.text.strip().split("\n\n")]
    assert [block["event"] for block in blocks] == ["item", "item", "item", "done"]
    plain = client.post("/describe", json=ask).json()
    assert [json.loads(block["data"]) for block in blocks[:3]] == plain["items"]
    assert set(json.loads(blocks[3]["data"])) == {"profile", *SIGNED}


def test_an_error_is_json_also_for_who_asks_for_events(client: TestClient) -> None:
    reply = client.post("/describe", json={"user_id": "a", "item_ids": ["x"]}, headers={"Accept": "text/event-stream"})
    assert (reply.status_code, reply.headers["content-type"]) == (422, "application/json")
    assert reply.json()["error"].startswith("item_ids[0]: 'x' is no item")


def test_more_items_than_the_spec_allows_are_refused(client: TestClient) -> None:
    reply = client.post("/describe", json={"user_id": "a", "item_ids": ["i0"] * 11})
    assert reply.json()["error"] == "item_ids: 11 are too many; allowed: 1 to 10"


def test_the_log_says_what_was_described_and_with_which_prompt(client: TestClient, world: Any) -> None:
    client.post("/describe", json={"user_id": "ann", "item_ids": ["i1"]})
    (line,) = requestlog.read(world.folder / "requests")
    assert (line["endpoint"], line["asked"]["item_ids"], line["asked"]["prompt"]) == ("describe", ["i1"], "template@1")

"""A shop whose items change: the tiny world's items with more columns, and doors over one document log."""

from typing import Any

import pyarrow as pa
from prometheus_client import CollectorRegistry
from starlette.testclient import TestClient

from bentos.http.bounded_pool import BoundedPool
from bentos.recommender.app import DoorContext, create_app
from bentos.recommender.metrics import Metrics
from feature_repo.vocabulary import Vocabulary, hashed
from tests.bentos import conftest
from tests.bentos.conftest import World

BASE = {"openapi": "3.1.0", "paths": {}, "components": {"schemas": {}}}


def shop() -> Vocabulary:
    """Return the tiny vocabulary with more columns."""
    items = pa.table(
        {
            "item_index": range(6),
            "item_id": conftest.IDS,
            "title": [*conftest.ITEMS[:5], None],
            "category": ["FRUIT", "FRUIT", "SOUP", "SOUP", "BREAD", None],
            "brand": ["own", "own", "own", "Best", "Best", None],
            "price": [0.5, 0.6, 2.0, 2.1, 1.2, None],
            "stock": pa.array([1, 2, 3, 4, 5, None], pa.int32()),
            "tags": pa.array([["fresh"], [], [], ["hot"], [], None], pa.list_(pa.string())),
        }
    )
    plain = conftest.vocabulary()
    return Vocabulary(plain.targets, items, plain.item_targets, known_items=hashed(conftest.IDS))


def client(world: World) -> TestClient:
    """Open a door of its own over the world's log."""
    door = world.door()
    world.opened.append(door)  # type: ignore[attr-defined]
    app = create_app()
    pools = [BoundedPool(timeout_s=5, max_concurrency=4) for _ in range(2)]
    app.state.opened = DoorContext(door, *pools, Metrics(door.release, registry=CollectorRegistry()), BASE)
    return TestClient(app)


def put(door: TestClient, *items: dict[str, Any], **more: Any) -> Any:
    reply = door.put("/items", json={"items": list(items)} | more)
    assert reply.status_code == 200, reply.text
    return reply.json()


def recommended(door: TestClient, user: str = "ann", k: int = 50) -> list[str]:
    return [item["item_id"] for item in door.post("/recommend", json={"user_id": user, "k": k}).json()["items"]]

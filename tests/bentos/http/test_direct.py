"""Endpoints are answered past BentoML's middleware, and everything says what it said with it."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from bentoml._internal.context import server_context
from bentoml._internal.server.http.instruments import RunnerTrafficMetricsMiddleware
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount
from starlette.testclient import TestClient

from bentos.http import direct
from bentos.http.bodies import received
from bentos.http.bounded_pool import BoundedPool
from bentos.http.guard import Guard
from bentos.http.known_paths import KnownPaths
from bentos.http.problems import Rejected
from bentos.recommender.app import DoorContext, create_app, scopes
from bentos.recommender.metrics import Metrics

LABELS = ["service_name", "service_version", "runner_name"]
ANSWERED = ["endpoint", "service_name", "service_version", "http_response_code", "runner_name"]


class Counting(RunnerTrafficMetricsMiddleware):  # type: ignore[misc]
    """BentoML's middleware, which counts in a registry of a test's own."""

    def __init__(self, app: Any, registry: CollectorRegistry) -> None:
        super().__init__(app, namespace="bentoml_service")
        self.metrics_request_duration = Histogram("request_duration_seconds", "", ANSWERED, registry=registry)
        self.metrics_request_total = Counter("request_total", "", ANSWERED, registry=registry)
        self.metrics_request_in_progress = Gauge("request_in_progress", "", ["endpoint", *LABELS], registry=registry)
        self.metrics_last_request_timestamp = Gauge("last_request_timestamp", "", LABELS, registry=registry)
        self._is_setup = True


def counts(registry: CollectorRegistry) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return what was counted, without times and durations."""
    return {
        (one.name, tuple(sorted(one.labels.items()))): one.value
        for family in registry.collect()
        for one in family.samples
        if not one.name.endswith(("_bucket", "_sum", "_created", "_timestamp"))
    }


@pytest.fixture
def opened(world: Any) -> Iterator[DoorContext]:
    door = world.door()
    pools = BoundedPool(timeout_s=5, max_concurrency=4), BoundedPool(timeout_s=5, max_concurrency=2, threads=1)
    yield DoorContext(door, *pools, Metrics(door.release, registry=CollectorRegistry()), {})
    for pool in pools:
        pool.close()
    door.close()


class Passed:
    """Middleware that notes what passes it."""

    def __init__(self, app: Any, paths: list[str]) -> None:
        self._app, self._paths = app, paths

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self._paths.append(scope.get("path", ""))
        await self._app(scope, receive, send)


def served(
    opened: DoorContext, *, short: bool, counting: bool = True
) -> tuple[TestClient, CollectorRegistry, list[str]]:
    """Put the door's routes behind BentoML's middleware, and have endpoints go the short way, or not.

    Returns the paths that pass the middleware, too.
    """
    app, registry, passed = create_app(), CollectorRegistry(), list[str]()
    app.state.opened, known = opened, frozenset((*scopes(), "/livez"))
    guard: dict[str, Any] = {"state": app.state, "scopes": scopes()}
    endpoints = app.state.endpoints if short else {}
    theirs = [Middleware(Counting, registry=registry)] if counting else []
    ours = Middleware(KnownPaths, known=known, guard=lambda inner: Guard(inner, **guard), endpoints=endpoints)
    middleware = [*theirs, Middleware(Passed, paths=passed), ours, Middleware(Guard, **guard)]
    return TestClient(Starlette(routes=[Mount("/", app)], middleware=middleware)), registry, passed


def test_an_answer_a_refusal_and_a_streaming_endpoint_are_the_same_and_counted_alike(
    opened: DoorContext, world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("bento_name", "bento_version", "service_name"):
        monkeypatch.setattr(server_context, name, f"the {name}")
    world.knows("ann", 3)
    asks = [
        ("POST", "/recommend", b'{"user_id": "ann"}'),
        ("POST", "/intents", b'{"user_id": "ann"}'),
        ("POST", "/recommend", b'{"user": "ann"}'),
        ("POST", "/recommend", b'{"user_id": "ann", "at": "1999-01-01T00:00:00Z"}'),
        ("POST", "/recommend", b"{"),
        ("POST", "/recommend", b" " * (3 << 20)),
        ("GET", "/recommend", b""),
        ("PUT", "/rules", b"{}"),
        ("POST", "/describe", b'{"user_id": "ann", "item_ids": ["i3"]}'),
        ("POST", "/made-up", b"{}"),
    ]
    found = []
    for short in (False, True):
        client, registry, _ = served(opened, short=short)
        with client:
            told = [
                client.request(method, path, content=body, headers={"X-Request-Id": f"r{number}"})
                for number, (method, path, body) in enumerate(asks)
            ]
        answers = [(one.status_code, dict(one.headers), one.json()) for one in told]
        found.append((answers, counts(registry)))
    (theirs, counted), (ours, counted_short) = found
    for want, got in zip(theirs, ours, strict=True):
        assert got == want
    assert [code for code, _, _ in ours] == [200, 200, 422, 422, 400, 413, 405, 422, 200, 404]
    assert counted_short == counted
    assert any(dict(labels).get("http_response_code") == "413" for _, labels in counted)


def test_endpoints_go_past_the_middleware_and_streams_and_other_methods_through_it(opened: DoorContext) -> None:
    client, _, passed = served(opened, short=True)
    with client:
        passed.clear()
        for method, path in (("POST", "/recommend"), ("PUT", "/rules"), ("GET", "/recommend"), ("POST", "/describe")):
            client.request(method, path, json={})
    assert passed == ["/recommend", "/describe"]


def test_where_bentoml_counts_nothing_endpoints_answer_uncounted(opened: DoorContext) -> None:
    client, registry, _ = served(opened, short=True, counting=False)
    with client:
        assert client.post("/recommend", json={"user_id": "ann"}).status_code == 200
    assert counts(registry) == {}


def test_a_request_whose_caller_fails_in_the_middle_is_no_longer_in_progress() -> None:
    registry = CollectorRegistry()
    stack = Counting(None, registry)

    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise ConnectionError

    short: Any = direct._counted("/recommend", broken, direct.BentoCounts.of(stack))
    with pytest.raises(ConnectionError):
        asyncio.run(short({"type": "http"}, None, None))
    assert [value for (name, _), value in counts(registry).items() if name == "request_in_progress"] == [0.0]


def test_a_body_that_does_not_come_in_time_is_refused() -> None:
    async def slow() -> dict[str, Any]:
        await asyncio.sleep(0.05)
        return {"type": "http.request", "body": b"x", "more_body": True}

    with pytest.raises(Rejected, match=r"body: did not come in time; allowed: 0\.2 s") as found:
        asyncio.run(received(slow, within_s=0.2))
    assert found.value.status == 504
    assert len(asyncio.run(received(slow_then_whole(), within_s=5))) == 3


def slow_then_whole() -> Any:
    parts = iter([b"a", b"b", b"c"])

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"type": "http.request", "body": (part := next(parts)), "more_body": part != b"c"}

    return receive

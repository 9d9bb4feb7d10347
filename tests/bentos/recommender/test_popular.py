"""The door's document of what is popular: the router answers of it as the door's own lowest rung does."""

import datetime as dt
import json
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from starlette.testclient import TestClient

from bentos.endpoints import popular
from bentos.endpoints.recommend import Recommendations, RecommendRequest
from bentos.http.bounded_pool import BoundedPool
from bentos.http.guard import Guard
from bentos.http.problems import Rejected
from bentos.recommender.app import DoorContext, create_app, scopes
from bentos.recommender.metrics import Metrics
from feature_repo import files
from feature_repo.endpoints import POPULAR
from feature_repo.errors import DataError
from tests.bentos.conftest import asked

AT = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
TOKEN = "t" * 32


def sealed(content: Any) -> bytes:
    return json.dumps(content | {"digest": files.digest(content)}).encode()


@pytest.mark.parametrize(
    ("k", "exclude"),
    [(None, []), (1, []), (2, ["i0"]), (50, []), (50, ["i1", "i4", "no item"]), (3, ["i0", "i1", "i2", "i3", "i4"])],
)
def test_an_answer_of_the_document_is_that_of_the_door_without_its_store(
    world: Any, k: int | None, exclude: list[str]
) -> None:
    door, world.profiles.down = world.door(), True
    ask = RecommendRequest(user_id="ann", k=k, exclude=exclude)
    theirs = asked(door, ask).model_dump(mode="json")
    found = popular.unsealed(json.dumps(popular.sealed(popular.document(door, auth="none", made_at=AT))).encode())
    ours = popular.answer(found, ask, theirs["request_id"]).model_dump(mode="json")
    theirs["profile"]["reason"] = "door_away"
    assert ours == theirs
    assert Recommendations.model_validate(ours).profile.degraded


def test_a_k_above_the_releases_most_is_refused_in_the_doors_words(world: Any) -> None:
    door = world.door()
    found = popular.document(door, auth="none", made_at=AT)
    ask = RecommendRequest(user_id="ann", k=51)
    with pytest.raises(Rejected) as ours:
        popular.answer(found, ask, "r1")
    with pytest.raises(Rejected) as theirs:
        asked(door, ask)
    assert ours.value.problem == theirs.value.problem


def test_the_document_names_no_user_and_no_segment(world: Any) -> None:
    world.knows("ann", 4, segment=0)
    text = json.dumps(popular.sealed(popular.document(world.door(), auth="none", made_at=AT)))
    assert all(word not in text for word in ("ann", world.hidden("ann"), "segment", "soup, bread"))


GOOD: dict[str, Any] = {
    "format": 1, "release": "aaa", "made_at": "2026-11-01T00:00:00Z", "auth": "none", "k": 3, "max_k": 50,
    "timeout_s": 2.0, "intents": [],
    "items": [{"item_id": "p", "title": "t", "score": 1.0, "source": "popular", "propensity": 1.0, "reasons": {}}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "no JSON, 0 bytes"),
        (sealed(GOOD)[:-9], "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[]", "no object, but list"),
        (json.dumps(GOOD).encode(), "digest: None"),
        (sealed(GOOD).replace(b'"item_id": "p"', b'"item_id": "q"'), "it is damaged"),
        (sealed(GOOD).replace(b'"score": 1.0', b'"score": NaN'), "Out of range float"),
        (sealed(GOOD | {"items": []}), "items: "),
        (sealed(GOOD | {"format": 2}), "format: "),
        (sealed(GOOD | {"release": ""}), "release: "),
        (sealed(GOOD | {"auth": "maybe"}), "auth: "),
        (b" " * (popular.LARGEST_BYTES + 1), "too large: 2097153 bytes; allowed: at most 2097152"),
    ],
)
def test_a_bad_document_is_refused_in_one_line(text: bytes, said: str) -> None:
    assert popular.unsealed(sealed(GOOD)).release == "aaa"
    with pytest.raises(DataError, match=said) as caught:
        popular.unsealed(text)
    assert "\n" not in str(caught.value)


def test_a_newer_doors_further_fields_are_left_out() -> None:
    assert popular.unsealed(sealed(GOOD | {"since": 3})).k == 3


def test_only_the_routers_token_opens_the_endpoint(world: Any) -> None:
    door = world.door()
    reads = BoundedPool(timeout_s=1, max_concurrency=2)
    app = create_app()
    metrics = Metrics(door.release, registry=CollectorRegistry())
    app.state.opened = DoorContext(door, reads, reads, metrics, {}, shadow_token=TOKEN, auth="none")
    client = TestClient(Guard(app, state=app.state, scopes=scopes()))
    for given in ({}, {"X-IntentFlow-Shadow": "x" * 32}, {"Authorization": f"Bearer {TOKEN}"}):
        reply = client.get(POPULAR, headers=given)
        assert (reply.status_code, "items" in reply.json()) == (404, False)
    reply = client.get(POPULAR, headers={"X-IntentFlow-Shadow": TOKEN})
    assert reply.status_code == 200
    found = popular.unsealed(reply.content)
    assert (found.release, found.k, [item.item_id for item in found.items]) == (
        door.release.id,
        3,
        ["i0", "i1", "i2", "i3", "i4", "i5"],
    )
    assert client.get(POPULAR, headers={"X-IntentFlow-Shadow": TOKEN}).content == reply.content
    reads.close()

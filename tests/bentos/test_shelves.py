"""POST /shelves at the door: by intent, by rules, without a model, as events, and with a language model's titles."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from starlette.testclient import TestClient

from bentos.endpoints.rules import RulesRequest
from bentos.endpoints.shelves import ShelvesRequest
from bentos.http.bounded_pool import BoundedPool
from bentos.http.problems import Rejected
from bentos.recommender.app import DoorContext, create_app
from bentos.recommender.logs import requestlog
from bentos.recommender.metrics import Metrics
from bentos.recommender.words import Words
from components.content import shelves
from components.content.llm import prompts
from components.content.llm.client import Client
from components.content.llm.settings import Endpoint
from components.content.llm.spec import Model
from components.content.llm.store import Store
from components.content.llm.writer import ModelWriter
from tests.bentos.conftest import asked
from tests.bentos.sockets import listening
from tests.content.openai_server import KEY, MODEL, Behaviour, running
from tests.patience import patient


def shown(answer: Any) -> list[tuple[str, list[str]]]:
    return [(one.title, [item.title for item in one.items]) for one in answer.shelves]


def test_shelves_go_by_the_users_intents_the_likeliest_first(world: Any) -> None:
    world.knows("ann", 3)
    answer = asked(world.door(), ShelvesRequest(user_id="ann"))
    assert shown(answer) == [("Fruit", ["apple", "pear"]), ("Soup", ["pea soup", "leek soup"])]
    first = answer.shelves[0]
    assert (first.attribute, first.value, first.intent, first.probability) == ("category", "FRUIT", "buy:FRUIT", 0.5)
    assert (first.source, first.model, first.fallback, answer.profile.rung) == ("shelf@1", None, None, "fresh")


def test_a_frame_and_a_language_make_the_title(world: Any) -> None:
    world.knows("ann", 3)
    door = world.door()
    named = asked(door, ShelvesRequest(user_id="ann", most=1, frame="cook_tonight"))
    assert [(one.title, one.frame) for one in named.shelves] == [("For your fruit night", "cook_tonight")]
    chinese = asked(door, ShelvesRequest(user_id="ann", most=1, frame="cook_tonight", language="zh"))
    assert [(one.title, one.source) for one in chinese.shelves] == [("今晚做饭: fruit", "shelf@1.zh")]


def test_where_no_model_answers_items_stand_by_category_and_no_intent_is_claimed(world: Any) -> None:
    world.knows("ann", 3)
    world.scorer.predict = None  # calling it fails
    answer = asked(world.door(), ShelvesRequest(user_id="ann"))
    assert answer.profile.degraded
    assert all(one.intent is None and one.probability is None for one in answer.shelves)


def test_what_is_excluded_or_withheld_by_a_rule_is_on_no_shelf(world: Any) -> None:
    world.knows("ann", 3)
    world.documents = world.log()
    door = world.door()
    door.ruled(
        RulesRequest.model_validate({"rules": [{"kind": "filter", "name": "no soup", "where": "title = 'pea soup'"}]}),
        who="test",
    )
    answer = asked(door, ShelvesRequest(user_id="ann"))
    assert shown(answer) == [("Fruit", ["apple", "pear"])], "one soup is no shelf"
    assert answer.rules.names == ["no soup"]
    assert shown(asked(door, ShelvesRequest(user_id="ann", k=1, exclude=["i0"]))) == [
        ("Fruit", ["pear"]),
        ("Soup", ["leek soup"]),
    ]
    door.close()


def test_one_item_stands_on_one_shelf_and_the_answer_is_logged_as_no_impression(world: Any) -> None:
    world.knows("ann", 3)
    door = world.door()
    answer = asked(door, ShelvesRequest(user_id="ann", k=1, most=1))
    door.close()
    (line,) = requestlog.read(world.folder / "requests")
    said = line["asked"] if isinstance(line["asked"], dict) else json.loads(line["asked"])
    assert (line["endpoint"], len(answer.shelves), said["k"]) == ("shelves", 1, 1)
    assert said["shelves"] == [{"attribute": "category", "value": "FRUIT", "intent": "buy:FRUIT", "items": ["i0"]}]
    assert not line["items"], "no propensity is known of a shelf"


@pytest.mark.parametrize(
    ("ask", "error"),
    [
        ({"k": 51}, "k: 51 is too many; allowed: 1 to 50"),
        ({"placement": "cart"}, "placement: 'cart' is no placement"),
    ],
)
def test_what_cannot_be_answered_is_one_line(world: Any, ask: dict[str, Any], error: str) -> None:
    with pytest.raises(Rejected) as refusal:
        asked(world.door(), ShelvesRequest(user_id="ann", **ask))
    assert refusal.value.problem.error.startswith(error)


def context_of(door: Any, words: Words | None = None, metrics: Metrics | None = None) -> DoorContext:
    reads, writes = BoundedPool(timeout_s=5, max_concurrency=4), BoundedPool(timeout_s=5, max_concurrency=2, threads=1)
    found = metrics or Metrics(door.release, registry=CollectorRegistry())
    return DoorContext(door, reads, writes, found, {}, words=words)


def test_who_asks_for_events_gets_one_a_shelf_and_then_done(world: Any) -> None:
    world.knows("ann", 3)
    door, app = world.door(), create_app()
    app.state.opened = context_of(door)
    client = TestClient(app)
    reply = client.post("/shelves", json={"user_id": "ann"}, headers={"Accept": "text/event-stream"})
    blocks = [dict(line.split(": ", 1) for line in block.split("\n")) for block in reply.text.strip().split("\n\n")]
    assert [block["event"] for block in blocks] == ["shelf", "shelf", "done"]
    plain = client.post("/shelves", json={"user_id": "ann"}).json()
    assert [json.loads(block["data"]) for block in blocks[:2]] == plain["shelves"]
    assert client.post("/shelves", json={"user_id": "ann", "most": 21}).status_code == 422
    door.close()


@pytest.fixture
def titled(world: Any, tmp_path: Path) -> Iterator[tuple[Behaviour, str, CollectorRegistry]]:
    """Run a door whose shelves a model names, both over HTTP."""
    behaviour, registry = Behaviour(), CollectorRegistry()
    world.knows("ann", 3)
    door, app = world.door(), create_app()
    metrics = Metrics(door.release, registry=registry)
    with running(behaviour) as url:
        spec = Model(deadline_ms=int(patient(5) * 1000))
        writer = ModelWriter(
            Client(Endpoint(url=url, model=MODEL), KEY), spec, prompts.texts("blurb@1"), Store(tmp_path)
        )
        names = writer.titles(prompts.texts("title@1"), longest=shelves.LONGEST)
        app.state.opened = context_of(door, Words(writer, metrics, names), metrics)
        with listening(app) as at:
            yield behaviour, at.url, registry
    door.close()


def ask(url: str, **more: Any) -> list[dict[str, Any]]:
    reply = httpx.post(f"{url}/shelves", json={"user_id": "ann"} | more, timeout=patient(10))
    assert reply.status_code == 200, reply.text
    found: list[dict[str, Any]] = reply.json()["shelves"]
    return found


def test_a_models_title_is_checked_and_labelled_and_the_fixed_one_stands_behind_it(titled: Any) -> None:
    behaviour, url, registry = titled
    behaviour.says = lambda prompt: "For your fruit basket." if "fruit" in prompt else "The best soup of Italy"
    fruit, soup = ask(url)
    assert (fruit["title"], fruit["source"], fruit["model"], "fallback" in fruit) == (
        "For your fruit basket", "llm@1", MODEL, False,
    )  # fmt: skip
    assert (soup["title"], soup["source"], soup["fallback"], "model" in soup) == (
        "Soup", "shelf@1", "ungrounded", False,
    )  # fmt: skip
    counts = generate_latest(registry).decode()
    assert 'intentflow_texts_total{outcome="served",source="llm@1"} 1.0' in counts
    assert 'intentflow_texts_total{outcome="ungrounded",source="shelf@1"} 1.0' in counts
    assert "ann" not in json.dumps(behaviour.asked)


def test_a_title_too_long_for_a_shelf_and_two_alike_are_not_served(titled: Any) -> None:
    behaviour, url, _ = titled
    behaviour.says = lambda prompt: "Try some of this for your kitchen table at home and for the dinner of this week"
    assert {one["fallback"] for one in ask(url)} == {"ungrounded"}
    behaviour.says = lambda prompt: "For your dinner table"
    assert [(one["title"], one["fallback"]) for one in ask(url, frame="treat")] == [
        ("A treat: fruit", "alike"),
        ("A treat: soup", "alike"),
    ]

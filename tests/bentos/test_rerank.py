"""/recommend where a language model orders the lists of who had little yet: asked, logged, and left alone."""

import asyncio
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from bentos.endpoints.recommend import RecommendRequest
from bentos.endpoints.rules import RulesRequest
from bentos.http.bounded_pool import BoundedPool
from bentos.http.request_context import RequestContext
from bentos.recommender import words
from bentos.recommender.app import DoorContext, create_app
from bentos.recommender.logs import requestlog
from bentos.recommender.metrics import Metrics
from bentos.release import _rerank_prompts
from components.content.llm import prompts
from components.content.spec import Content
from feature_repo.errors import DataError, SpecError
from pipelines.graphs.parameters import spec_slices
from tests.bentos.conftest import OPERATION_OF
from tests.bentos.sockets import listening
from tests.content.openai_server import KEY, MODEL, Behaviour, running
from tests.content.test_prompts import spec
from tests.patience import patient


@dataclasses.dataclass
class Served:
    """A door with a model behind it, both over HTTP."""

    behaviour: Behaviour
    url: str
    door: Any
    world: Any
    registry: CollectorRegistry

    def ask(self, **more: Any) -> dict[str, Any]:
        reply = httpx.post(f"{self.url}/recommend", json={"user_id": "ann", "k": 4} | more, timeout=patient(10))
        assert reply.status_code == 200, reply.text
        found: dict[str, Any] = reply.json()
        return found

    def logged(self) -> dict[str, Any]:
        self.door.close()
        *_, line = requestlog.read(self.world.folder / "requests")
        said = line["asked"] if isinstance(line["asked"], dict) else json.loads(line["asked"])
        return {"asked": said, "items": [(one["position"], one["item_id"]) for one in line["items"]]}


def made(
    world: Any, monkeypatch: pytest.MonkeyPatch, url: str, *, deadline_ms: int = int(min(patient(5), 30) * 1000),
    **endpoint: Any,
) -> tuple[Any, CollectorRegistry, Any]:  # fmt: skip
    known = {"url": url, "model": MODEL, "person_facts": True} | endpoint
    monkeypatch.setenv("INTENTFLOW_LLM", json.dumps(known))
    monkeypatch.setenv("INTENTFLOW_LLM_KEY", KEY)
    rerank = {"first": 2, "most_history": 3, "deadline_ms": deadline_ms}
    door, registry = world.door(), CollectorRegistry()
    door.release = dataclasses.replace(
        door.release,
        content=Content.model_validate({"model": {"rerank": rerank}}),
        prompts=prompts.texts("blurb@1"),
        rerank_prompts=prompts.texts("rerank@1"),
    )
    metrics = Metrics(door.release, registry=registry)
    reads, writes = BoundedPool(timeout_s=5, max_concurrency=4), BoundedPool(timeout_s=5, max_concurrency=2, threads=1)
    app = create_app()
    app.state.opened = DoorContext(
        door, reads, writes, metrics, {}, words=words.opened(door.release, world.folder, metrics)
    )
    return door, registry, app


@pytest.fixture
def served(world: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    behaviour = Behaviour(says=lambda prompt: '{"first": [4, 3]}')
    world.knows("ann", 1, 2)
    with running(behaviour) as url:
        door, registry, app = made(world, monkeypatch, url)
        with listening(app) as at:
            yield Served(behaviour, at.url, door, world, registry)
    door.close()


RANKED, MODELS = ["i2", "i1", "i0", "i3"], ["i3", "i0", "i2", "i1"]


def ids(answer: dict[str, Any]) -> list[str]:
    return [one["item_id"] for one in answer["items"]]


def test_a_short_history_is_ordered_by_the_model_and_logged_as_it_was_shown(served: Served) -> None:
    answer = served.ask()
    assert ids(answer) == MODELS
    assert answer["reranked"] == {"source": "llm@1", "model": MODEL}
    (prompt,) = served.behaviour.prompts
    assert [line for line in prompt.splitlines() if line[:2] in ("- ", "1.", "2.", "3.", "4.")] == [
        "- pear", "- leek soup", "1. leek soup", "2. pear", "3. apple", "4. pea soup",
    ]  # fmt: skip
    assert not any(one in json.dumps(served.behaviour.asked) for one in ("ann", "i1", served.world.hidden("ann")))
    assert 'intentflow_reranked_total{outcome="ordered"} 1.0' in generate_latest(served.registry).decode()
    logged = served.logged()
    assert logged["items"] == list(enumerate(MODELS, 1))
    assert logged["asked"]["reranked"] == "llm@1"


@pytest.mark.parametrize("items", [(), (0, 1, 2, 3)])
def test_who_had_nothing_or_more_than_the_spec_says_is_ranked_as_ever(served: Served, items: tuple[int, ...]) -> None:
    if items:
        served.world.knows("ben", *items)
    answer = served.ask(user_id="ben")
    assert "reranked" not in answer
    assert served.behaviour.asked == []
    assert "reranked" not in served.logged()["asked"]


def test_an_answer_that_takes_liberties_leaves_the_rankers_order_and_says_so(served: Served) -> None:
    served.behaviour.says = lambda prompt: '{"first": [9, 1]}'
    answer = served.ask()
    assert (ids(answer), answer["reranked"]) == (RANKED, {"source": "ranker", "fallback": "rubbish"})
    logged = served.logged()
    assert (logged["items"], logged["asked"]["reranked"]) == (list(enumerate(RANKED, 1)), "rubbish")


def test_a_slow_model_leaves_the_rankers_order_at_the_deadline(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    behaviour = Behaviour(says=lambda prompt: '{"first": [4, 3]}', pause_s=20.0)
    world.knows("ann", 1, 2)
    with running(behaviour) as url:
        door, registry, app = made(world, monkeypatch, url, deadline_ms=150)
        with listening(app) as at:
            answer = Served(behaviour, at.url, door, world, registry).ask()
    assert (ids(answer), answer["reranked"]) == (RANKED, {"source": "ranker", "fallback": "late"})
    door.close()


def test_the_callers_own_patience_shortens_the_wait(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    world.knows("ann", 1, 2)
    with running(Behaviour(says=lambda prompt: '{"first": [4, 3]}', pause_s=20.0)) as url:
        door, _, app = made(world, monkeypatch, url, deadline_ms=30_000)
        context = RequestContext()
        context.reranks, context.patience_ms = True, 200
        answer = OPERATION_OF[RecommendRequest].answer(door, RecommendRequest(user_id="ann", k=4), context)
        assert answer.reranked is None
        ordered = asyncio.run(app.state.opened.words.ordered(answer, context))
    assert (ordered.reranked.fallback, context.latency_ms < 15_000) == ("late", True)
    door.close()


def test_where_rules_hold_they_decide(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    behaviour = Behaviour(says=lambda prompt: '{"first": [4, 3]}')
    world.knows("ann", 1, 2)
    world.documents = world.log()
    with running(behaviour) as url:
        door, registry, app = made(world, monkeypatch, url)
        rule = {"kind": "filter", "name": "no tea", "where": "title = 'tea'"}
        door.ruled(RulesRequest.model_validate({"rules": [rule]}), who="test")
        with listening(app) as at:
            answer = Served(behaviour, at.url, door, world, registry).ask()
    assert (ids(answer), answer["reranked"]) == (RANKED, {"source": "ranker", "fallback": "rules"})
    assert behaviour.asked == []
    door.close()


def test_what_a_person_had_stays_here_where_the_environment_does_not_allow_it(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    behaviour = Behaviour(says=lambda prompt: '{"first": [4, 3]}')
    world.knows("ann", 1, 2)
    with running(behaviour) as url:
        door, registry, app = made(world, monkeypatch, url, person_facts=False)
        with listening(app) as at:
            answer = Served(behaviour, at.url, door, world, registry).ask()
    assert (ids(answer), answer["reranked"]) == (RANKED, {"source": "ranker", "fallback": "private"})
    assert behaviour.asked == []
    door.close()


def test_a_release_carries_the_prompt_where_the_spec_asks_for_it() -> None:
    serving = json.loads(spec_slices(spec(model={"rerank": {}}))["serving"])
    assert serving["rerank_prompts"] == prompts.texts("rerank@1")
    assert _rerank_prompts(serving) == prompts.texts("rerank@1")
    with pytest.raises(DataError, match=r"prompt rerank@1\.en: no such field 'user'; allowed: history, items, most"):
        _rerank_prompts(serving | {"rerank_prompts": {"en": "{{ user }}", "zh": "{{ items }}"}})
    without = json.loads(spec_slices(spec(model={}))["serving"])
    assert "rerank_prompts" not in without
    assert "rerank" not in without["content"]["model"]
    assert _rerank_prompts(without) is None


def test_a_policy_that_draws_lists_and_a_model_that_orders_them_do_not_go_together() -> None:
    from pipelines import spec as specs
    from pipelines import spec_yaml

    document = spec_yaml.read_yaml(Path("pipelines/specs/grocery.yaml"))
    document |= {"content": {"model": {"rerank": {}}}, "policy": {"name": "epsilon"}}
    with pytest.raises(SpecError, match=r"content\.model\.rerank: policy draws the lists"):
        specs.parse(document, place="grocery.yaml")
    with pytest.raises(SpecError, match="most_history"):
        spec(model={"rerank": {"most_history": 0}})

"""/describe where a language model writes: seen word by word over HTTP, labelled and counted."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from prometheus_client import CollectorRegistry, generate_latest

from bentos.http.bounded_pool import BoundedPool
from bentos.recommender import words
from bentos.recommender.app import DoorContext, create_app
from bentos.recommender.metrics import Metrics
from bentos.recommender.words import Words
from components.content.llm import prompts, settings
from components.content.llm.client import Client
from components.content.llm.settings import Endpoint
from components.content.llm.spec import Model
from components.content.llm.store import Store
from components.content.llm.writer import ModelWriter
from feature_repo.errors import SpecError
from tests.content.openai_server import KEY, MODEL, Behaviour, running
from tests.patience import patient

TRUE = "Try pear, an item for your kitchen table at home this week."


@pytest.fixture
def served(world: Any, tmp_path: Path) -> Iterator[tuple[Behaviour, str, CollectorRegistry]]:
    """Run a door with a model behind it, both over HTTP."""
    behaviour, registry = Behaviour(says=lambda prompt: TRUE), CollectorRegistry()
    door = world.door()
    metrics = Metrics(door.release, registry=registry)
    reads, writes = BoundedPool(timeout_s=5, max_concurrency=4), BoundedPool(timeout_s=5, max_concurrency=2, threads=1)
    with running(behaviour) as url:
        client = Client(Endpoint(url=url, model=MODEL), KEY)
        spec = Model(deadline_ms=int(patient(5) * 1000))
        writer = ModelWriter(client, spec, prompts.texts("blurb@1"), Store(tmp_path))
        app = create_app()
        app.state.opened = DoorContext(door, reads, writes, metrics, {}, words=Words(writer, metrics))
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield behaviour, f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", registry
        server.should_exit = True
        thread.join()
    reads.close()
    writes.close()
    door.close()


def events(url: str, ask: dict[str, Any]) -> list[tuple[float, str, dict[str, Any]]]:
    """Ask for events; return each with when it came."""
    found, name = [], ""
    headers = {"Accept": "text/event-stream"}
    with httpx.stream("POST", f"{url}/describe", json=ask, headers=headers, timeout=patient(10)) as reply:
        assert reply.status_code == 200
        for line in reply.iter_lines():
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: "):
                found.append((time.monotonic(), name, json.loads(line[6:])))
    return found


def test_words_are_seen_over_http_before_the_model_has_written_the_last(served: Any) -> None:
    behaviour, url, _ = served
    behaviour.pause_s = 0.03
    found = events(url, {"user_id": "ann", "item_ids": ["i1"]})
    names = [name for _, name, _ in found]
    assert names[-2:] == ["item", "done"]
    assert names.count("token") >= 5
    assert found[0][0] < behaviour.sent[-1]
    assert "".join(data["text"] for _, name, data in found if name == "token") == TRUE
    item = found[-2][2]
    assert (item["text"], item["source"], item["model"], "fallback" in item) == (TRUE, "llm@1", MODEL, False)


def test_a_text_of_the_model_is_labelled_so_and_one_of_the_template_never_is(served: Any) -> None:
    behaviour, url, registry = served
    behaviour.says = lambda prompt: TRUE if "pear" in prompt else "The best apple."
    ask = {"user_id": "ann", "item_ids": ["i1", "i0"]}
    mine, fixed = httpx.post(f"{url}/describe", json=ask, timeout=patient(10)).json()["items"]
    assert (mine["source"], mine["model"], mine["attributes"]) == ("llm@1", MODEL, ["title"])
    assert fixed["source"] == "template@1"
    assert (fixed["fallback"], "model" in fixed, fixed["text"].startswith("apple.")) == ("ungrounded", False, True)
    counts = generate_latest(registry).decode()
    assert 'intentflow_texts_total{outcome="served",source="llm@1"} 1.0' in counts
    assert 'intentflow_texts_total{outcome="ungrounded",source="template@1"} 1.0' in counts


def test_what_was_shown_and_is_refused_is_taken_back(served: Any) -> None:
    behaviour, url, _ = served
    behaviour.says = lambda prompt: "Try pear, an item for your kitchen table at home, the best from Acme of Italy."
    found = events(url, {"user_id": "ann", "item_ids": ["i1"]})
    names = [name for _, name, _ in found]
    assert "retract" in names
    assert "best" not in "".join(data["text"] for _, name, data in found if name == "token")
    assert found[-2][2]["source"] == "template@1"


def test_nothing_of_the_person_reaches_the_model(served: Any, world: Any) -> None:
    behaviour, url, _ = served
    world.knows("ann", 1)
    httpx.post(f"{url}/describe", json={"user_id": "ann", "item_ids": ["i1"]}, timeout=patient(10))
    sent = json.dumps(behaviour.asked)
    assert "pear" in sent
    assert not any(word in sent for word in ("ann", "FRUIT", "bought", "weeks"))


def test_a_caller_names_frame_and_language(served: Any) -> None:
    behaviour, url, _ = served
    ask = {"user_id": "ann", "item_ids": ["i1"], "frame": "treat"}
    httpx.post(f"{url}/describe", json=ask, timeout=patient(10))
    assert "suggest a small treat" in behaviour.prompts[-1]
    (text,) = httpx.post(f"{url}/describe", json=ask | {"language": "zh"}, timeout=patient(10)).json()["items"]
    assert "请用" in behaviour.prompts[-1]
    assert (text["source"], text["fallback"]) == ("template@2.zh", "ungrounded")
    assert text["text"] == "pear。30%的所有活跃用户近来选过。"
    assert httpx.post(f"{url}/describe", json=ask | {"frame": "party"}).status_code == 422


def test_without_an_endpoint_or_a_spec_that_asks_there_is_no_model(
    world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = world.door()
    metrics = Metrics(door.release, registry=CollectorRegistry())
    assert words.opened(door.release, tmp_path, metrics) is None
    monkeypatch.setenv(settings.LLM, '{"url": "http://127.0.0.1:9/v1", "model": "x"}')
    assert words.opened(door.release, tmp_path, metrics) is None
    monkeypatch.setenv(settings.LLM, '{"url": "127.0.0.1:9", "model": "x"}')
    with pytest.raises(SpecError, match="INTENTFLOW_LLM: url: String should match"):
        words.opened(door.release, tmp_path, metrics)
    door.close()

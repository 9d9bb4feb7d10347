"""The small model beside a laptop's doors: when it runs, and how a door learns where it is."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components.content.llm import local, settings
from components.content.llm.spec import Model
from pipelines.releases import processes, serving, words
from tests.patience import patient

ASKED = Model()
SERVER = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Health(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
HTTPServer(("127.0.0.1", int(sys.argv[1])), Health).serve_forever()
"""


def place(home: Path, *, model: Model | None = ASKED, **variables: str) -> Any:
    return SimpleNamespace(home=home, variables=variables, spec=SimpleNamespace(content=SimpleNamespace(model=model)))


@pytest.fixture(autouse=True)
def carried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have a package carry a model, and no endpoint named."""
    file = tmp_path / "tiny.gguf"
    file.write_bytes(b"GGUF")
    monkeypatch.setattr(local, "packaged", lambda: file)
    monkeypatch.setattr(local, "installed", lambda: True)
    monkeypatch.delenv(settings.LLM, raising=False)
    return file


def test_it_runs_where_the_spec_asks_and_nothing_else_is_named(tmp_path: Path, carried: Path) -> None:
    found = words.small_model(place(tmp_path))
    assert found is not None
    assert found.command[1:4] == ("-m", "components.content.llm.local", str(carried))
    assert found.ready_url == f"{found.url.removesuffix('/v1')}/health"
    assert words.variables(place(tmp_path)) == {}, "none runs yet"


def test_it_does_not_run_beside_another_endpoint_or_for_a_spec_that_asks_for_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert words.small_model(place(tmp_path, model=None)) is None
    assert words.small_model(place(tmp_path, **{settings.LLM: "{}"})) is None
    monkeypatch.setenv(settings.LLM, "{}")
    assert words.small_model(place(tmp_path)) is None


def test_verbs_ask_what_the_environment_names_else_the_packaged_model_run_here(
    tmp_path: Path, carried: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []

    def start(model: Path) -> tuple[object, settings.Endpoint]:
        started.append(model)
        return object(), local.endpoint("http://127.0.0.1:1/v1", model)

    monkeypatch.setattr(local, "start", start)
    with words.at_hand(place(tmp_path)) as found:
        assert found is not None
        assert (found[0].endpoint.model, found[1], started) == ("tiny", "here", [carried])
    named = json.dumps({"url": "http://h:8000/v1", "model": "ours"})
    with words.at_hand(place(tmp_path, **{settings.LLM: named, settings.KEY: "k"})) as found:
        assert found is not None
        assert (found[0].endpoint.person_facts, found[0].key, found[1]) == (False, "k", "http://h:8000/v1")
    monkeypatch.setenv(settings.LLM, json.dumps({"url": "http://other/v1", "model": "theirs"}))
    with words.at_hand(place(tmp_path, **{settings.LLM: named})) as found:
        assert found is not None
        assert (found[0].endpoint.model, len(started)) == ("theirs", 1)
    monkeypatch.delenv(settings.LLM)
    monkeypatch.setattr(local, "packaged", lambda: None)
    with words.at_hand(place(tmp_path)) as found:
        assert found is None


@pytest.mark.parametrize("missing", ["packaged", "installed"])
def test_without_the_extra_or_the_package_fixed_sentences_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setattr(local, missing, lambda: None)
    assert words.small_model(place(tmp_path)) is None


@pytest.mark.process
def test_a_door_learns_where_it_runs(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{processes.free_port(0)}"
    command = (sys.executable, "-c", SERVER, url.rpartition(":")[2])
    try:
        (state,) = processes.up(
            tmp_path, [processes.Process(words.NAME, command, f"{url}/v1", f"{url}/health")], wait_s=patient(20)
        )
        assert state.state == "started", state
        told = words.variables(place(tmp_path))
        found = settings.read(told)
        assert found is not None
        assert (found[0].url, found[0].model, found[0].person_facts, found[0].grammar) == (
            f"{url}/v1", "tiny", True, "llama.cpp",
        )  # fmt: skip
        door = serving.door(place(tmp_path), "abc", "bento", port=1)
        assert json.loads(door.env[settings.LLM]) == json.loads(told[settings.LLM])
        again = words.small_model(place(tmp_path))
        assert again is not None
        assert again.url == f"{url}/v1", "it keeps its port"
    finally:
        processes.down(tmp_path, grace_s=2)

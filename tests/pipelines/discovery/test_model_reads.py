"""The verbs that a language model reads for, from the last run's items to what they print, against a real server."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.content.llm import local
from feature_repo import files
from feature_repo.calendar import Calendar
from pipelines import cli
from pipelines.discovery import discover, labels
from pipelines.environment import Installation, place
from pipelines.runs.local import RUN_FILE, Run
from tests.content.openai_server import KEY, MODEL, Behaviour, running
from tests.worlds import FIRST_DAY, World, event, item

SPEC: dict[str, Any] = yaml.safe_load(Path("pipelines/specs/synthetic.yaml").read_text()) | {
    "name": "reads",
    "vectors": {"text": {"encoder": "hashing", "columns": ["title", "category"]}},
    "content": {"model": {"at_once": 1}},  # so that the order in which they are asked is seen
}
TITLES = {
    "1": ("Leek soup", "SOUP"),
    "2": ("Rye bread", "BAKERY"),
    "3": ("Bath towel", "HOME"),
    "4": ("Rye rolls", "X"),
}


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installation:
    monkeypatch.setattr(local, "packaged", lambda: None)
    monkeypatch.delenv("INTENTFLOW_LLM", raising=False)
    monkeypatch.setenv("INTENTFLOW_STATE", str(tmp_path / "state"))
    (tmp_path / "reads.yaml").write_text(yaml.safe_dump(SPEC))
    found = place(tmp_path / "reads.yaml", "local", variables={"INTENTFLOW_STATE": str(tmp_path / "state")})
    items = [item(name, category) | {"title": title} for name, (title, category) in TITLES.items()]
    events = [event("ann", name, Calendar(FIRST_DAY).start(1), session="s") for name in ("2", "2", "3")]
    World(events, items, ["ann"], 1).write(tmp_path / "clean")
    found.home.mkdir(parents=True)
    run = Run({"clean": tmp_path / "clean", "rows": tmp_path}, "1", True, [], 1.0, {})
    files.write_json(found.home / RUN_FILE, run.document())
    return found


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Behaviour]:
    behaviour = Behaviour()
    with running(behaviour) as url:
        monkeypatch.setenv("INTENTFLOW_LLM", json.dumps({"url": url, "model": MODEL}))
        monkeypatch.setenv("INTENTFLOW_LLM_KEY", KEY)
        yield behaviour


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = 0
    try:
        cli.main(list(arguments))
    except SystemExit as end:
        code = int(end.code or 0)
    said = capsys.readouterr()
    return code, said.out, said.err


def test_words_find_items_by_their_texts(installed: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "find", str(installed.spec_path), "rye", "--k", "2", "--json")
    assert code == 0
    found = json.loads(out)
    assert {one["item_id"] for one in found["items"]} == {"2", "4"}
    assert all(0 < one["cosine"] <= 1 for one in found["items"])
    assert "expansion" not in found


def test_a_search_is_widened_by_the_model_and_says_by_what(
    installed: Installation, server: Behaviour, capsys: pytest.CaptureFixture[str]
) -> None:
    server.says = lambda prompt: '{"words": ["towel", "sauna"]}'
    spec = str(installed.spec_path)
    code, out, err = run(capsys, "find", spec, "wellness", "--expand", "--k", "1")
    assert (code, out.splitlines()[0]) == (0, "searched also by towel")
    assert "Bath towel" in out.splitlines()[1]
    assert f"more words by {MODEL}" in err
    server.broken = "down"
    code, out, _ = run(capsys, "find", spec, "rye", "--expand")
    assert (code, out.splitlines()[0]) == (0, "no words were added: refused")
    assert "Rye" in out.splitlines()[1]


def test_summaries_are_written_for_the_spec_to_name_and_change_what_is_found(
    installed: Installation, server: Behaviour, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    server.says = lambda prompt: "This is rye bread from the bakery." if "Rye bread" in prompt else "The best of all."
    spec, output = str(installed.spec_path), str(tmp_path / "said.csv")
    code, out, _ = run(capsys, "summaries", spec, "--output", output)
    assert (code, out.strip().endswith("1 of 4 texts summed up, 1 of them now; 3 refused, 0 wait")) == (0, True)
    assert "title: Rye bread" in server.prompts[0], "what most people had goes first"
    assert "ann" not in " ".join(server.prompts)
    before = json.loads(run(capsys, "find", spec, "rye bread from the bakery", "--k", "1", "--json")[1])
    document = SPEC | {"vectors": {"text": SPEC["vectors"]["text"] | {"summaries": "said.csv"}}}
    installed.spec_path.write_text(yaml.safe_dump(document))
    after = json.loads(run(capsys, "find", spec, "rye bread from the bakery", "--k", "1", "--json")[1])
    assert after["items"][0]["item_id"] == before["items"][0]["item_id"] == "2"
    assert after["items"][0]["cosine"] > before["items"][0]["cosine"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("find", "  "), "find: no words to look for"),
        (("find", "rye", "--expand"), "INTENTFLOW_LLM names no endpoint"),
        (("summaries", "--output", "x.csv"), "INTENTFLOW_LLM: names no endpoint"),
    ],
)
def test_what_is_missing_is_one_line(
    installed: Installation, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], told: str
) -> None:
    code, out, err = run(capsys, arguments[0], str(installed.spec_path), *arguments[1:])
    assert (code, out) == (2, "")
    assert told in err.splitlines()[-1]


def test_an_endpoint_that_is_away_leaves_no_file(
    installed: Installation, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("INTENTFLOW_LLM", json.dumps({"url": "http://127.0.0.1:9/v1", "model": "m"}))
    code, _, err = run(capsys, "summaries", str(installed.spec_path), "--output", str(tmp_path / "said.csv"))
    assert (code, err.splitlines()[-1]) == (1, "intentflow: http://127.0.0.1:9/v1: away; nothing was written")
    assert not (tmp_path / "said.csv").exists()


GROUPS = [
    {"name": "flour-yeast", "words": ["flour", "yeast"], "values": {"category": {"BAKING": 1.0}}},
    {"name": "spade-hose", "words": ["spade", "hose"], "values": {}},
]


def test_discovered_groups_get_the_models_names_where_one_is_declared(
    installed: Installation, server: Behaviour, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.says = lambda prompt: "Time for baking" if "flour" in prompt else "Great tools"
    document = {"behaviours": 1, "users": 1, "groups": [dict(one) for one in GROUPS], "segments": []}
    monkeypatch.setattr(discover, "_require", lambda *_: None)
    monkeypatch.setattr(discover, "_read", lambda *_: None)
    monkeypatch.setattr(discover, "proposed", lambda *_, **__: (document, {}))
    found, text = discover.discover(installed, discover.Asked())
    assert [one["name"] for one in found["groups"]] == ["flour-yeast", "spade-hose"], "what --themes writes"
    first, second = (one["label"] for one in yaml.safe_load(text)["groups"])
    assert first == {"text": "Time for baking", "source": "llm@1", "model": MODEL}
    assert second == {"text": "spade-hose", "source": "words", "fallback": "ungrounded"}


def test_without_an_endpoint_groups_keep_their_words_and_a_line_says_why(installed: Installation) -> None:
    groups, said = [dict(one) for one in GROUPS], list[str]()
    labels.put(installed, [groups], said.append)
    assert groups == GROUPS
    assert said == ["groups keep their words as names: content.model is declared, and INTENTFLOW_LLM names no endpoint"]

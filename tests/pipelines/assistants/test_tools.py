"""The tools of assistants without the protocol: what they say where there is nothing, and who may change what."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from bentos import keys
from feature_repo import env_names
from feature_repo.errors import SpecError
from pipelines.assistants import people, tools
from pipelines.assistants.rights import rights
from pipelines.assistants.tools import Reads, Writes
from pipelines.environment import Installation, place
from tests.pipelines.conftest import ROOT

READS = ["status", "plan", "people", "person", "why", "drift", "experiments", "items", "rules", "preview_rules"]
WRITES = ["put_items", "withdraw_items", "undo_items", "put_rules", "remove_rules", "undo_rules"]
PAGE = keys.Page(events=("view",), origins=("https://shop.example",))


@pytest.fixture
def here(tmp_path: Path) -> Installation:
    """A recommender of which nothing was made yet."""
    spec = ROOT / "pipelines" / "specs" / "grocery.yaml"
    return place(spec, "local", variables={env_names.STATE: str(tmp_path / "state")})


def keyed(here: Installation, file: Path) -> Installation:
    serving = here.environment.serving.model_copy(update={"auth": "keys", "keys_file": str(file)})
    return dataclasses.replace(here, environment=here.environment.model_copy(update={"serving": serving}))


def test_the_docs_name_every_tool(here: Installation) -> None:
    offered = [*Reads(lambda: here).tools(), *Writes(lambda: here, rights(here, {})).tools()]
    assert [one.name for one in offered if not one.writes] == READS
    assert [one.name for one in offered if one.writes] == WRITES
    assert all(one.about.endswith(".") for one in offered)
    page = (ROOT / "docs" / "clients.md").read_text()
    assert [one.name for one in offered if f"`{one.name}`" not in page] == []


def test_where_nothing_was_made_the_reads_say_so_and_make_nothing(here: Installation) -> None:
    reads = Reads(lambda: here)
    assert "no state in" in reads.status()
    assert reads.people() == "nobody was answered yet: the request log holds no recommendations"
    assert reads.experiments() == "none declared (docs/experiments.md)"
    with pytest.raises(SpecError, match=r"drift: nothing was compared yet in .*; `intentflow monitor` or a run does"):
        reads.drift()
    with pytest.raises(SpecError, match="person: no logged answer of that pseudonym") as refusal:
        reads.person("raw-user-4711")
    assert "4711" not in str(refusal.value)
    assert not here.home.exists()


def answer(who: str, at: str, **more: Any) -> dict[str, Any]:
    return {"user_id": who, "logged_at": at, "endpoint": "recommend", "rung": "fresh", "request_id": at} | more


def test_people_are_listed_newest_first_without_copies(here: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    log = [
        answer("ann", "2026-01-03"),
        answer("bob", "2026-01-02", mirrored=True),
        answer("bob", "2026-01-02", endpoint="rank"),
        answer("cat", "2026-01-02", rung="popular"),
        answer("ann", "2026-01-01"),
    ]
    monkeypatch.setattr(people.request_log, "read", lambda folder, newest_first: iter(log))
    found = people.listed(here)
    assert found == [
        {"person": "ann", "at": "2026-01-03", "rung": "fresh", "answers": 2},
        {"person": "cat", "at": "2026-01-02", "rung": "popular", "answers": 1},
    ]
    assert people.listed(here, 1) == found[:1]


def verdict(folder: Path, **more: Any) -> None:
    column = {"score": 0.5, "method": "psi", "threshold": 0.1, "noise": 0.01, "drifted": True, "interval": [0.4, 0.6]}
    signal = {
        "signal": "events.volume", "value": 120.0, "reference": 300.5, "direction": "down",
        "since_starts": "2026-01-05", "reason": "data_fault", "explained_by": "",
    }  # fmt: skip
    document = {
        "verdict": "drifted", "at": "2026-01-12", "reason": "1 of 9 columns drifted", "drifted": ["spend"],
        "columns": {"spend": column}, "class": "data_fault", "signals": {"verdicts": [signal]},
    }  # fmt: skip
    folder.mkdir(parents=True)
    (folder / "drift.json").write_text(json.dumps(document | more))


def test_drift_is_told_in_words(here: Installation) -> None:
    verdict(here.home / "monitoring" / "verdict")
    assert tools.drift_text(here).splitlines() == [
        "drifted as of 2026-01-12: 1 of 9 columns drifted",
        "Class      data_fault",
        "  spend psi 0.500 (0.400 to 0.600) of 0.1",
        "  events.volume: 120, usually 300.5; down since 2026-01-05 (data_fault)",
    ]


def test_without_a_key_an_assistant_is_told_what_it_would_need(here: Installation) -> None:
    held = rights(here, {})
    assert not held.changes
    with pytest.raises(SpecError, match=f"{env_names.ASSISTANT_KEY} is not set, so this assistant only reads"):
        held.require()


def test_a_key_needs_a_file_to_be_looked_up_in(here: Installation) -> None:
    with pytest.raises(SpecError, match=r"the environment 'local' names no serving\.keys_file"):
        rights(here, {env_names.ASSISTANT_KEY: "if_1_a"})


@pytest.mark.parametrize("whose", ["server", "page", "user"])
def test_only_a_server_s_key_with_the_scope_changes_things(here: Installation, tmp_path: Path, whose: str) -> None:
    file = tmp_path / "keys.json"
    told: dict[str, Any] = {"server": {"server": True}, "page": {"page": PAGE}, "user": {"user": "ann"}}[whose]
    key = keys.make(file, name=whose, scopes=("events",), **told)
    held = rights(keyed(here, file), {env_names.ASSISTANT_KEY: key})
    assert not held.changes
    with pytest.raises(SpecError, match="authorization: admin is not among its scopes"):
        held.require()
    admin = keys.make(file, name="owner", scopes=("admin",), server=True)
    owner = rights(keyed(here, file), {env_names.ASSISTANT_KEY: admin})
    assert owner.changes
    assert owner.require() == f"key {admin.split('_')[1]}, assistant"


def test_a_wrong_change_is_the_endpoint_s_own_line(here: Installation, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    admin = keys.make(file, name="owner", scopes=("admin",), server=True)
    writes = Writes(lambda: here, rights(keyed(here, file), {env_names.ASSISTANT_KEY: admin}))
    with pytest.raises(SpecError, match=r"^items\[0\].item_id: is missing; allowed: a value$"):
        writes.put_items([{"title": "a"}])
    with pytest.raises(SpecError, match="no such field"):
        writes.put_items([{"item_id": "a", "titel": "b"}])
    with pytest.raises(SpecError, match="rules to put or to remove, or a version to undo, one of the two"):
        writes.put_rules([])
    with pytest.raises(SpecError, match=r"^rules\[0\]"):
        Reads(lambda: here).preview_rules([{"kind": "no such kind", "name": "a"}])
    assert not here.home.exists()

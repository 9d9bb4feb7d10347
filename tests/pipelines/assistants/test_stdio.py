"""`intentflow mcp` asked by the protocol's own client: what it reads, what a key changes, refusals.

Over stdio where the process is the point; else in this process, which has imported what the tools take.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from bentos import keys
from feature_repo import env_names
from pipelines import environment
from pipelines.assistants import server
from tests.patience import patient
from tests.pipelines.assistants.test_tools import READS, WRITES
from tests.pipelines.conftest import ROOT, USER, Shop

mcp = pytest.importorskip("mcp", reason="the protocol's library is not installed: pip install 'intentflow[mcp]'")
from mcp.client.client import Client  # noqa: E402
from mcp.client.stdio import StdioServerParameters, stdio_client  # noqa: E402

pytestmark = pytest.mark.process
Scene = Callable[[Client], Awaitable[Any]]


@pytest.fixture(scope="module")
def keyed(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An environment like the local one, with a file of keys of its own."""
    folder = tmp_path_factory.mktemp("keyed")
    document = yaml.safe_load((ROOT / "pipelines" / "environments" / "local.yaml").read_text())
    document["serving"] = {"auth": "keys", "keys_file": str(folder / "keys.json")}
    (folder / "keyed.yaml").write_text(yaml.safe_dump(document))
    keys.make(folder / "keys.json", name="first", scopes=("recommend",), server=True)
    return folder / "keyed.yaml", folder / "keys.json"


def asked(shop: Shop, scene: Scene, *, env: Path | str = "local", key: str = "", log: Path) -> Any:
    """Start the server as an assistant's program does, and play a scene with it."""
    variables = shop.environment() | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    variables |= {env_names.ASSISTANT_KEY: key} if key else {}
    command = ["-m", "pipelines.cli", "mcp", str(shop.spec), "--env", str(env)]
    started = StdioServerParameters(command=sys.executable, args=command, env=variables)

    async def play() -> Any:
        with log.open("w") as errors:
            async with asyncio.timeout(patient(120)), Client(stdio_client(started, errlog=errors)) as client:
                return await scene(client)

    return asyncio.run(play())


def asked_here(shop: Shop, scene: Scene, *, env: Path | str = "local", key: str = "") -> Any:
    """Play a scene with the server in this process; only stdin and stdout are missing."""
    variables = shop.environment() | ({env_names.ASSISTANT_KEY: key} if key else {})

    async def play() -> Any:
        async with asyncio.timeout(patient(120)), Client(server.made(shop.spec, str(env), variables)[0]) as client:
            return await scene(client)

    with environment.exported(variables):
        return asyncio.run(play())


async def said(client: Client, name: str, **arguments: Any) -> tuple[bool, str]:
    """Call a tool; return whether it refused, and its words."""
    result = await client.call_tool(name, arguments)
    return bool(result.is_error), "".join(part.text for part in result.content)


def test_it_reads_what_the_verbs_say_by_pseudonym(shop: Shop, capfd: pytest.CaptureFixture[str]) -> None:
    async def scene(client: Client) -> Any:
        tools = (await client.list_tools()).tools
        answers = {
            name: await said(client, name)
            for name in ("status", "plan", "people", "drift", "experiments", "items", "rules")
        }
        who = answers["people"][1].split()[0]
        answers["person"] = await said(client, "person", person=who)
        request = answers["person"][1].partition("(request ")[2].partition(")")[0]
        answers["why"] = await said(client, "why", request_id=request)
        return tools, answers, who

    tools, answers, who = asked_here(shop, scene)
    assert [one.name for one in tools] == READS
    assert all(one.annotations.read_only_hint and one.description for one in tools)
    assert not any(refused for refused, _ in answers.values()), answers
    assert answers["status"][1] == shop.here("status", str(shop.spec)).stdout.rstrip("\n")
    assert answers["plan"][1] == shop.here("plan", str(shop.spec)).stdout.rstrip("\n")
    assert len(who) == 16
    assert "\nIntents    " in answers["person"][1]
    assert "  1. " in answers["person"][1]
    assert "Causes" in answers["why"][1]
    assert answers["experiments"][1] == "none declared (docs/experiments.md)"
    assert answers["drift"][1].split()[0] in ("stable", "drifted", "undecided", "lost")
    everything = "".join(text for _, text in answers.values()) + "".join(capfd.readouterr())
    assert USER not in everything
    assert "raw-user" not in everything


def test_a_raw_id_finds_nobody_and_is_repeated_nowhere(shop: Shop, capfd: pytest.CaptureFixture[str]) -> None:
    async def scene(client: Client) -> Any:
        return await said(client, "person", person=USER), await said(client, "why", request_id="none")

    (refused, line), (unknown, why) = asked_here(shop, scene)
    assert refused
    assert "person: no logged answer of that pseudonym" in line
    assert unknown
    assert "--request: no answer 'none'" in why
    assert USER not in line + "".join(capfd.readouterr())


def test_without_a_key_nothing_can_be_changed(shop: Shop, tmp_path: Path) -> None:
    async def scene(client: Client) -> Any:
        return await said(client, "withdraw_items", item_ids=["i1"])

    refused, line = asked(shop, scene, log=tmp_path / "log")
    assert refused
    assert "withdraw_items" in line
    assert "reads only" in (tmp_path / "log").read_text()


def test_a_key_without_the_scope_only_reads(shop: Shop, keyed: tuple[Path, Path]) -> None:
    env, file = keyed
    key = keys.make(file, name="reader", scopes=("recommend", "events"), server=True)

    async def scene(client: Client) -> Any:
        return [one.name for one in (await client.list_tools()).tools]

    assert asked_here(shop, scene, env=env, key=key) == READS


def test_a_key_with_the_scope_changes_items_in_its_name_until_it_is_revoked(
    shop: Shop, keyed: tuple[Path, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    env, file = keyed
    key = keys.make(file, name="assistant", scopes=("admin",), server=True)
    name = key.split("_")[1]
    before = shop.json("items", str(shop.spec), "list")["catalogue_version"] or 0

    async def scene(client: Client) -> Any:
        names = [one.name for one in (await client.list_tools()).tools]
        item = {"item_id": "asked-for", "title": "Something asked for", "category": "C0"}
        steps = [await said(client, "put_items", items=[item], change_id="m1") for _ in range(2)]
        steps.append(await said(client, "put_items", items=[{"item_id": "x", "price": "dear"}]))
        steps.append(await said(client, "items"))
        steps.append(await said(client, "undo_items", version=before + 1))
        rule = {"kind": "filter", "name": "no c0", "where": "category = 'C0'"}
        steps.append(await said(client, "preview_rules", rules=[rule]))
        steps.append(await said(client, "put_rules", rules=[rule]))
        steps.append(await said(client, "put_rules", rules=[rule | {"where": "colour = 'red'"}]))
        steps.append(await said(client, "undo_rules", version=before + 3))
        keys.revoke(file, name)
        time.sleep(1.1)  # it looks at the keys each second
        steps.append(await said(client, "withdraw_items", item_ids=["asked-for"]))
        return names, steps

    names, steps = asked_here(shop, scene, env=env, key=key)
    put, again, wrong, listed, undone, preview, ruled, clash, unruled, revoked = steps
    assert names == [*READS, *WRITES]
    assert not any(one[0] for one in (put, again, undone, preview, ruled, unruled)), steps
    assert "nothing written" in preview[1]
    assert "no c0: added" in ruled[1]
    assert clash[0]
    assert "colour" in clash[1]
    assert "as before: this change_id was there" in again[1]
    assert wrong[0]
    assert "items[0].price: 'dear' is not allowed; allowed: a number" in wrong[1]
    assert f"key {name}, assistant" in listed[1]
    assert revoked[0]
    assert f"{env_names.ASSISTANT_KEY}: authorization: no such key" in revoked[1]
    changes = shop.json("items", str(shop.spec), "list")["changes"]
    assert [one["who"] for one in changes[:4]] == [f"key {name}, assistant"] * 4
    assert key not in json.dumps(steps) + "".join(capfd.readouterr())


def test_a_key_that_has_ended_is_one_line_before_it_begins(shop: Shop, keyed: tuple[Path, Path]) -> None:
    env, file = keyed
    ended = keys.make(file, name="old", scopes=("admin",), server=True, until=time.time() - 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(env_names.ASSISTANT_KEY, ended)
        done = shop.here("mcp", str(shop.spec), "--env", str(env))
        unnamed = shop.here("mcp", str(shop.spec))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"intentflow: {env_names.ASSISTANT_KEY}: authorization: the key has ended")
    assert len(done.stderr.splitlines()) == 1
    assert unnamed.returncode == 2
    assert "names no serving.keys_file" in unnamed.stderr


def test_what_a_tool_prints_does_not_reach_the_protocol(shop: Shop, tmp_path: Path) -> None:
    """A library that prints would end the session: stdout is the protocol's while it serves."""
    (tmp_path / "sitecustomize.py").write_text(
        "from pipelines.assistants import people\nwas = people.listed_text\n"
        "people.listed_text = lambda found: (print('printed by a library', flush=True), was(found))[1]\n"
    )

    async def scene(client: Client) -> Any:
        return await said(client, "people"), await said(client, "people")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(tmp_path), *sys.path])
        (refused, text), again = asked(shop, scene, log=tmp_path / "log")
    assert not refused
    assert "last answered" in text
    assert again == (refused, text)
    assert "printed by a library" in (tmp_path / "log").read_text()

"""A page's key may stand in the address of what writes, where a closing tab can set no header; no other key may."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from bentos import keys
from bentos.access import access_of
from bentos.router import start
from bentos.router.routes import Backend, Routes
from tests.bentos.conftest import World
from tests.bentos.http.test_auth import ASK
from tests.bentos.router.conftest import running
from tests.bentos.sockets import listening
from tests.security.test_page_keys import OTHER, SHOP, door, made, view

TEXT = "text/plain;charset=UTF-8"  # as sendBeacon says it: no question first


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "secrets" / "keys.json"


def beacon(client: TestClient, key: str, *, path: str = "/events", origin: str = SHOP, **more: str) -> Any:
    """Send as a closing tab does."""
    headers = {"Content-Type": TEXT} | ({"Origin": origin} if origin else {}) | more
    return client.post(f"{path}?key={key}", content=json.dumps({"events": [view()]}), headers=headers)


def test_a_closing_tab_sends_with_the_key_in_the_address(world: World, file: Path) -> None:
    key = made(file, rate="2/minute")
    client, opened = door(world, file)
    reply = beacon(client, key)
    assert (reply.status_code, reply.json()["accepted"]) == (200, 1)
    assert reply.headers["Access-Control-Allow-Origin"] == SHOP
    assert beacon(client, key).status_code == 200
    assert beacon(client, key).status_code == 429, "it counts as in a header"
    assert opened.metrics.events.labels("accepted")._value.get() == 2


@pytest.fixture(autouse=True)
def _some_key(file: Path) -> None:
    made(file, origins=("https://first.example",))  # so that the file is there


@pytest.mark.parametrize("origin", [OTHER, "", "null"])
def test_the_origin_is_asked_for_as_ever(world: World, file: Path, origin: str) -> None:
    key = made(file)
    client, _ = door(world, file)
    reply = beacon(client, key, origin=origin)
    assert (reply.status_code, reply.json()["where"]) == (403, "origin")
    assert world.profiles.bought == {}


@pytest.mark.parametrize("whose", ["server", "user"])
def test_another_s_key_opens_nothing_there(world: World, file: Path, whose: str) -> None:
    told = {"server": True} if whose == "server" else {"user": "ann"}
    key = keys.make(file, name=whose, scopes=("recommend", "events"), **told)  # type: ignore[arg-type]
    client, _ = door(world, file)
    reply = beacon(client, key)
    assert (reply.status_code, reply.json()["where"]) == (401, "key")
    assert "revoke this one" in reply.json()["error"]
    assert key not in reply.text
    assert world.profiles.bought == {}
    assert client.post("/events", json={"events": [view()]}, headers={"X-API-Key": key}).status_code == 200


def test_it_opens_no_other_path(world: World, file: Path) -> None:
    key = made(file)
    client, _ = door(world, file)
    for path in ("/recommend", "/items"):
        reply = beacon(client, key, path=path)
        assert (reply.status_code, reply.json()["error"][:25]) == (401, "authorization: is missing"), path
    assert client.get(f"/docs.json?key={key}").status_code == 401


def test_a_header_comes_first(world: World, file: Path) -> None:
    key = made(file)
    client, _ = door(world, file)
    assert beacon(client, key, **{"X-API-Key": "if_none_none"}).status_code == 401


def test_a_page_reads_why_its_key_is_refused(world: World, file: Path) -> None:
    """Without the header the browser keeps the sentence from the page, which would go on trying."""
    page = keys.Page(events=("view",), origins=(SHOP,))
    ended = keys.make(file, name="old", scopes=keys.PAGE_SCOPES, page=page, until=time.time() - 1)
    client, _ = door(world, file)
    for key, said in ((ended, "the key has ended"), ("if_none_none", "no such key")):
        reply = beacon(client, key)
        assert (reply.status_code, reply.headers["Access-Control-Allow-Origin"]) == (401, SHOP)
        assert said in reply.json()["error"]
    assert "Access-Control-Allow-Origin" not in beacon(client, ended, origin="").headers


def test_the_router_passes_it_on(world: World, file: Path) -> None:
    key = made(file)
    client, _ = door(world, file)
    access = access_of(json.dumps({"auth": "keys", "keys_file": str(file)}))

    async def scene(url: str) -> None:
        async with running(world.folder / "router", access=access) as place:
            stable = Backend(release="aaa", url=url)
            start.write(place.router.settings.routes, Routes(rollout="r2", mode="stable", stable=stable))
            place.router.file.check()
            headers = {"Content-Type": TEXT, "Origin": SHOP}
            body = json.dumps({"events": [view()]})
            async with place.client.post(f"{place.url}/events?key={key}", data=body, headers=headers) as reply:
                assert (reply.status, (await reply.json())["accepted"]) == (200, 1)
                assert reply.headers["Access-Control-Allow-Origin"] == SHOP
            async with place.client.post(f"{place.url}/recommend?key={key}", json=ASK, headers=headers) as reply:
                assert reply.status == 401

    (world.folder / "router").mkdir(parents=True)
    with listening(client.app) as place:
        asyncio.run(scene(place.url))

"""A key that stands in a page is everybody's: it sends events of its kinds, from its origins, and reads nothing."""

import asyncio
import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from bentos import keys
from bentos.access import Access, access_of
from bentos.client import Recommender, Unanswered
from bentos.endpoints.operations import OPERATIONS
from bentos.endpoints.schemas import Event
from bentos.http.event_bounds import EventBounds
from bentos.keys import Page
from bentos.router.routes import Backend, Routes
from feature_repo.errors import SpecError
from feature_repo.privacy.tombstones import Tombstones
from tests.bentos.conftest import KEY, World
from tests.bentos.http.test_auth import ASK, opened_by
from tests.bentos.router.conftest import running
from tests.bentos.sockets import listening

SHOP, OTHER = "https://shop.example", "https://evil.example"


def made(
    file: Path, *, origins: tuple[str, ...] = (SHOP,), rate: str = "600/minute", kinds: tuple[str, ...] = ("view",)
) -> str:
    page = Page(events=kinds, origins=origins, rate=rate)
    return keys.make(file, name="shop's page", scopes=("events",), page=page)


def view(user: str = "ann", item: str = "i1", **more: Any) -> dict[str, Any]:
    return {"user_id": user, "item_id": item, "event": "view"} | more


def sent(key: str, origin: str = SHOP) -> dict[str, str]:
    return {"X-API-Key": key} | ({"Origin": origin} if origin else {})


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "secrets" / "keys.json"


def door(world: World, file: Path, **more: Any) -> tuple[TestClient, Any]:
    access = Access.model_validate({"auth": "keys", "keys_file": str(file)} | more)
    client, opened = opened_by(world, access)
    bounds = EventBounds(access.bounds, refused=opened.metrics.beyond)
    client.app._state.opened = opened = dataclasses.replace(opened, bounds=bounds)  # type: ignore[attr-defined]
    return client, opened


def test_a_page_sends_its_kinds_of_events(world: World, file: Path) -> None:
    key = made(file)
    client, opened = door(world, file)
    reply = client.post("/events", json={"events": [view()]}, headers=sent(key))
    assert (reply.status_code, reply.json()["accepted"]) == (200, 1)
    assert reply.headers["Access-Control-Allow-Origin"] == SHOP
    assert "Origin" in reply.headers["Vary"]
    bought = {"events": [view(), view(event="purchase")]}
    refused = client.post("/events", json=bought, headers=sent(key))
    assert (refused.status_code, refused.json()["where"]) == (403, "events[1].event")
    assert refused.json()["allowed"] == "view"
    assert refused.headers["Access-Control-Allow-Origin"] == SHOP, "the page may read why"
    assert opened.metrics.bounded.labels("kind")._value.get() == 2


@pytest.mark.parametrize(
    "path", [o.path for o in OPERATIONS if o.path != "/events"] + ["/metrics", "/", "/docs.json", "/x"]
)
def test_a_page_reads_nothing(world: World, file: Path, path: str) -> None:
    key = made(file)
    client, _ = door(world, file)
    method = next((o.endpoint.method for o in OPERATIONS if o.path == path), "GET")
    reply = client.request(method, path, json=ASK | {"item_id": "i1"}, headers=sent(key))
    assert (reply.status_code, reply.json()["where"]) == (403, "authorization")


def test_a_page_learns_nothing_of_people_from_what_it_sends(world: World, file: Path) -> None:
    """Whether a person was forgotten, or had been here before, is not a page's to read."""
    key, server = made(file), keys.make(file, name="shop", scopes=("events",), server=True)
    world.tombstones = Tombstones(world.folder, (KEY,))
    world.tombstones.write("gone", {})
    client, opened = door(world, file)
    batch = {"events": [view("gone"), view(event_id="e1"), view(event_id="e1")]}
    for _ in range(2):
        told = client.post("/events", json=batch, headers=sent(key)).json()
        counts = {name: told[name] for name in ("accepted", "duplicates", "ignored", "noted", "set_aside")}
        assert counts == {"accepted": 3, "duplicates": 0, "ignored": 0, "noted": {}, "set_aside": []}
    told = client.post("/events", json=batch, headers={"X-API-Key": server}).json()
    assert (told["accepted"], told["duplicates"], told["ignored"]) == (0, 2, 1)
    assert opened.metrics.events.labels("accepted")._value.get() == 1, "ours are counted as they were"


@pytest.mark.parametrize("origin", [OTHER, "", "null", SHOP + ".evil.example", "http://shop.example", SHOP + ":8443"])
def test_another_page_s_origin_is_refused(world: World, file: Path, origin: str) -> None:
    key = made(file)
    client, _ = door(world, file)
    reply = client.post("/events", json={"events": [view()]}, headers=sent(key, origin))
    assert (reply.status_code, reply.json()["where"]) == (403, "origin")
    assert "Access-Control-Allow-Origin" not in reply.headers
    assert world.profiles.bought == {}


def asks_first(origin: str, method: str = "POST") -> dict[str, str]:
    return {"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": "x-api-key"}


def test_a_browser_that_asks_first_is_told_of_declared_pages_alone(world: World, file: Path) -> None:
    made(file)
    client, _ = door(world, file)
    reply = client.options("/events", headers=asks_first(SHOP))
    assert (reply.status_code, reply.content) == (204, b"")
    assert reply.headers["Access-Control-Allow-Origin"] == SHOP
    assert reply.headers["Access-Control-Allow-Methods"] == "POST"
    assert "X-API-Key" in reply.headers["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Credentials" not in reply.headers
    for headers in (asks_first(OTHER), asks_first("null"), asks_first(SHOP, "DELETE")):
        refused = client.options("/events", headers=headers)
        assert refused.status_code == 403
        assert "Access-Control-Allow-Origin" not in refused.headers
    assert client.options("/recommend", headers=asks_first(SHOP)).status_code == 401, "no page reads"


def test_an_origin_is_its_own_key_s(world: World, file: Path) -> None:
    made(file)
    other = made(file, origins=(OTHER,))
    client, _ = door(world, file)
    assert client.post("/events", json={"events": [view()]}, headers=sent(other, SHOP)).status_code == 403


def test_all_who_use_a_page_s_key_have_one_rate_counted_by_event(world: World, file: Path) -> None:
    key = made(file, rate="5/minute")
    client, opened = door(world, file)
    batch = {"events": [view(f"u{n}", f"i{n}") for n in range(3)]}
    codes = [client.post("/events", json=batch, headers=sent(key)).status_code for _ in range(2)]
    assert codes == [200, 429]
    assert opened.metrics.bounded.labels("key")._value.get() == 3


def test_a_key_that_has_ended_opens_nothing_and_its_origin_goes_with_it(world: World, file: Path) -> None:
    key = made(file)
    client, _ = door(world, file)
    new = keys.rotate(file, key.split("_")[1], keep_s=3600)
    client.app._state.opened.check._look()  # type: ignore[attr-defined]  # it looks each second
    body = {"events": [view()]}
    assert [client.post("/events", json=body, headers=sent(one)).status_code for one in (key, new)] == [200, 200]
    held = json.loads(file.read_text())
    for one in held["keys"]:
        one["until"] = time.time() - 1
    file.write_text(json.dumps(held))
    client.app._state.opened.check._look()  # type: ignore[attr-defined]
    assert [client.post("/events", json=body, headers=sent(one)).status_code for one in (key, new)] == [401, 401]
    assert client.options("/events", headers=asks_first(SHOP)).status_code == 403


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ({"origins": ["*"]}, "as browsers write it"),
        ({"origins": ["https://*.shop.example"]}, "as browsers write it"),
        ({"origins": ["null"]}, "as browsers write it"),
        ({"origins": [SHOP + "/"]}, "as browsers write it"),
        ({"origins": [SHOP + ":443"]}, "as browsers write it"),
        ({"origins": ["https://Shop.example"]}, "as browsers write it"),
        ({"origins": ["https://me@shop.example"]}, "as browsers write it"),
        ({"origins": ["https://[::1"]}, "as browsers write it"),
        ({"origins": ["https://shop .example"]}, "as browsers write it"),
        ({"origins": ["https://shop.example\n"]}, "as browsers write it"),
        ({"origins": ["ftp://shop.example"]}, "as browsers write it"),
        ({"origins": ["http://shop.example"]}, "is not https://"),
        ({"origins": ["http://localhost.shop.example"]}, "is not https://"),
        ({"rate": "often"}, "no rate"),
    ],
)
def test_a_page_that_is_declared_wrong_is_one_line(page: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Page.model_validate({"events": ["view"], "origins": [SHOP]} | page)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"scopes": ["recommend", "events"]}, "a page's key has the scope events alone"),
        ({"page": {"events": ["view"], "origins": []}}, "is no file of keys"),
        ({"page": {"events": [], "origins": [SHOP]}}, "is no file of keys"),
        ({"page": {"events": ["view"], "origins": ["*"]}}, "as browsers write it"),
        ({"user": "ab" * 32}, "one of them"),
        ({"server": True}, "one of them"),
        ({"until": "soon"}, "is no file of keys"),
        ({"until": 1e300}, "is no file of keys"),
        ({"until": float("nan")}, "is no file of keys"),
    ],
)
def test_a_file_that_gives_a_page_more_opens_nothing(file: Path, change: dict[str, Any], said: str) -> None:
    made(file)
    held = json.loads(file.read_text())
    held["keys"][0] |= change
    file.write_text(json.dumps(held))
    with pytest.raises(SpecError, match=said) as error:
        keys.load(file)
    assert "\n" not in str(error.value)
    assert held["keys"][0]["hash"] not in str(error.value)


def test_events_of_a_page_come_through_the_router_which_answers_preflights_itself(world: World, file: Path) -> None:
    key = made(file)
    client, _ = door(world, file)
    access = access_of(json.dumps({"auth": "keys", "keys_file": str(file)}))

    async def scene(url: str) -> None:
        async with running(world.folder / "router", access=access) as place:
            stable = Backend(release="aaa", url=url)
            from bentos.router import start

            start.write(place.router.settings.routes, Routes(rollout="r2", mode="stable", stable=stable))
            place.router.file.check()
            status, told, headers = await place.post("/events", {"events": [view()]}, **sent(key))
            assert (status, told["accepted"], headers["Access-Control-Allow-Origin"]) == (200, 1, SHOP)
            status, told, headers = await place.post("/events", {"events": [view()]}, **sent(key, OTHER))
            assert (status, "Access-Control-Allow-Origin" in headers) == (403, False)
            status, _, _ = await place.post("/recommend", ASK, **sent(key))
            assert status == 403
            gone = Backend(release="aaa", url="http://127.0.0.1:1")
            start.write(place.router.settings.routes, Routes(rollout="r3", mode="stable", stable=gone))
            place.router.file.check()
            for origin, expected in ((SHOP, 204), (OTHER, 403)):
                async with place.client.options(f"{place.url}/events", headers=asks_first(origin)) as reply:
                    assert reply.status == expected, "the router's own: no door is there"
                    assert (reply.headers.get("Access-Control-Allow-Origin") == SHOP) == (expected == 204)

    (world.folder / "router").mkdir(parents=True)
    with listening(client.app) as place:
        asyncio.run(scene(place.url))


def test_the_client_sends_as_a_page_does(world: World, file: Path) -> None:
    key = made(file)
    client, _ = door(world, file)
    with listening(client.app) as place:
        with Recommender(place.url, api_key=key, origin=SHOP) as page:
            assert page.events([Event(user_id="ann", item_id="i1", event="view")]).accepted == 1
            with pytest.raises(Unanswered) as refusal:
                page.recommend("ann")
            assert refusal.value.status == 403
        with Recommender(place.url, api_key=key) as server, pytest.raises(Unanswered) as refusal:
            server.events([Event(user_id="ann", item_id="i1", event="view")])
        assert (refusal.value.status, refusal.value.problem.where) == (403, "origin")

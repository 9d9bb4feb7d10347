"""The real door behind a real router: a page sends and reads nothing, a user's key asks for its user alone."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from bentos import keys
from bentos.build import build
from bentos.client import Recommender, Unanswered
from bentos.endpoints.schemas import Event
from bentos.http import headers
from bentos.router import start
from bentos.router.routes import Backend, Routes
from bentos.serve import Serving, serve
from feature_repo import env_names
from pipelines.releases.processes import free_port
from tests.bentos import toy
from tests.bentos.router.conftest import running

# A door of its own; http/test_auth.py has its keys, security/test_page_keys.py has pages, test_service.py a door.
pytestmark = [pytest.mark.process, pytest.mark.slow]
SHOP = "https://shop.example"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rights") / "keys.json"


@pytest.fixture(scope="module")
def given(file: Path) -> dict[str, str]:
    """Return a key of each kind."""
    page = keys.Page(events=("purchase",), origins=(SHOP,), rate="50/minute")
    return {
        "page": keys.make(file, name="page", scopes=("events",), page=page),
        "user": keys.make(file, name="user", scopes=("recommend", "events"), user="paul"),
        "server": keys.make(file, name="shop", scopes=("recommend", "events", "admin"), server=True),
    }


@pytest.fixture(scope="module")
def access(file: Path) -> dict[str, Any]:
    return {"auth": "keys", "keys_file": str(file), "bounds": {"item_events": 3}}


@pytest.fixture(scope="module")
def door(trained_toy: toy.Toy, given: dict[str, str], access: dict[str, Any]) -> Iterator[Serving]:
    assert given
    with pytest.MonkeyPatch.context() as patch:
        for name, value in trained_toy.variables.items():
            patch.setenv(name, value)
        tag = build(trained_toy.release, home=trained_toy.home)
        variables = trained_toy.variables | {env_names.SERVING: json.dumps(access)}
        served = serve(tag, port=free_port(0), env=variables)
        yield served
        served.stop()


def test_the_door_holds_keys_to_their_rights(door: Serving, given: dict[str, str]) -> None:
    event = Event(user_id="paul", item_id="i1", event="purchase")
    with Recommender(door.url, api_key=given["page"], origin=SHOP) as page:
        assert page.events([event]).accepted == 1
        with pytest.raises(Unanswered, match="recommend is not among its scopes"):
            page.explain("paul", "i1")
    with Recommender(door.url, api_key=given["user"]) as user:
        assert user.recommend("paul").items
        with pytest.raises(Unanswered, match="another user"):
            user.recommend("u04")
        with pytest.raises(Unanswered, match="another user"):
            user.events([event, event.model_copy(update={"user_id": "u04"})])
        flood = [Event(user_id="paul", item_id="i2", event="purchase") for _ in range(4)]
        with pytest.raises(Unanswered, match="too large a share"):
            user.events(flood)
    metrics = requests.get(f"{door.url}/metrics", headers={"X-API-Key": given["server"]}, timeout=30).text
    counted = [line for line in metrics.splitlines() if line.startswith("intentflow_events_bounded_total{")]
    assert any('bound="item_share"' in line and line.endswith(" 4.0") for line in counted), counted


def test_events_of_a_page_come_through_the_router_and_no_read_does(
    door: Serving, given: dict[str, str], access: dict[str, Any], tmp_path: Path
) -> None:
    from bentos.access import access_of

    sent = {"X-API-Key": given["page"], "Origin": SHOP}
    events = {"events": [{"user_id": "petra", "item_id": "i3", "event": "purchase", "event_id": "e1"}]}

    async def scene() -> None:
        async with running(tmp_path, access=access_of(json.dumps(access))) as place:
            stable = Backend(release="aaa", url=door.url)
            start.write(place.router.settings.routes, Routes(rollout="r2", mode="stable", stable=stable))
            place.router.file.check()
            status, told, answered = await place.post("/events", events, **sent)
            assert (status, told["accepted"]) == (200, 1)
            assert (answered["Access-Control-Allow-Origin"], headers.REQUEST_ID in answered) == (SHOP, True)
            for path, body in (
                ("/recommend", {"user_id": "petra"}),
                ("/explain", {"user_id": "petra", "item_id": "x"}),
            ):
                status, _, _ = await place.post(path, body, **sent)
                assert status == 403
            asks = {"Origin": SHOP, "Access-Control-Request-Method": "POST"}
            for url in (place.url, door.url):
                async with place.client.options(f"{url}/events", headers=asks) as reply:
                    assert (reply.status, reply.headers["Access-Control-Allow-Origin"]) == (204, SHOP)

    asyncio.run(scene())

"""The page of forty lines: recommendations that change after a click, by the snippet and the TypeScript client."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from bentos import keys
from bentos.clients.shop.server import Shop, create_app
from feature_repo.errors import SpecError
from tests.browser.page import Page
from tests.browser.pages import Place, opened
from tests.clients import typescript
from tests.patience import patient

FIRST = "document.querySelector('#items li')?.textContent"


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return typescript.built(tmp_path_factory.mktemp("typescript"))


@pytest.fixture
def shop(tmp_path: Path, dist: Path) -> Iterator[tuple[Place, str]]:
    """The shop's server and a door; the page's key is the page's own."""
    (tmp_path / "door").mkdir()
    with ExitStack() as stack:
        app = create_app(Shop("", "ann", built=dist))
        place = stack.enter_context(opened(tmp_path / "door", app))
        server = keys.make(tmp_path / "door" / "keys.json", name="shop", scopes=("recommend",), server=True)
        time.sleep(1.1)  # the door looks at its keys each second
        yield place, server


def first_is(page: Page, title: str) -> None:
    """Wait until an item stands first on the page."""
    deadline = time.monotonic() + patient(20)
    while page.run(FIRST) != title:
        assert time.monotonic() < deadline, page.text()
        time.sleep(0.1)


def test_recommendations_change_after_a_click(
    shop: tuple[Place, str], dist: Path, browse: AbstractContextManager[Page]
) -> None:
    place, server = shop
    place.page.server.config.app.state.shop = Shop(place.door.url, "ann", place.key, server, dist)
    with browse as page:
        page.open(place.page.url)
        page.shows("May we note")
        first_is(page, "leek soup")
        page.click("#items li:last-child button")
        page.shows("intentflow: view is not sent: no consent yet")
        page.click("dialog button")
        page.click("#items li:last-child button")  # pear
        first_is(page, "pear")
        assert page.run("[...document.querySelectorAll('#items li')].map(one => one.textContent).join()") == (
            "pear,leek soup,apple"
        )
        assert "lost" not in page.run("document.getElementById('said').textContent")
        assert server not in page.run("document.documentElement.outerHTML")
    ((event,),) = place.heard.events
    assert (event["user_id"], event["item_id"], event["event"]) == ("ann", "i1", "view")
    assert event["request_id"]


def test_a_refusal_is_a_sentence_on_the_page(
    shop: tuple[Place, str], dist: Path, browse: AbstractContextManager[Page]
) -> None:
    place, _ = shop
    state = place.page.server.config.app.state
    state.shop = Shop(place.door.url, "ann", place.key, "if_no_such", dist)
    with browse as page:
        page.open(place.page.url)
        page.shows("authorization: no such key; allowed:")
        state.shop = replace(state.shop, recommender="http://127.0.0.1:1")
        page.open("about:blank")
        page.open(place.page.url)
        page.shows("recommender: does not answer; allowed: a retry")


def test_the_shop_answers_about_who_is_signed_in_alone(shop: tuple[Place, str], dist: Path) -> None:
    place, server = shop
    place.page.server.config.app.state.shop = Shop(place.door.url, "ann", place.key, server, dist)
    for body in (b'{"user_id": "bob"}', b"{}", b"[]", b"no JSON"):
        reply = requests.post(f"{place.page.url}/recommend", data=body, timeout=patient(10))
        assert (reply.status_code, reply.json()["where"]) == (403, "user_id"), body
    assert requests.get(f"{place.page.url}/shop.json", timeout=patient(10)).json().keys() == {
        "recommender",
        "user",
        "key",
    }


def test_without_the_compiled_client_the_server_says_what_makes_it(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"no client.js, methods.js; `make client` makes them"):
        create_app(Shop("http://localhost:3000", "1", built=tmp_path))

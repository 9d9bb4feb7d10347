"""The snippet in a real browser, beside a real door of another origin: batches, closed tabs, consent, refusals."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.browser.page import Page
from tests.browser.pages import Place, opened, page_key
from tests.patience import patient

ASK = ["May we?", "Yes", "No"]
STORED = "JSON.stringify(localStorage)"
NOTHING = "{}"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "door").mkdir()
    with opened(tmp_path / "door") as found:
        yield found


def until(holds: Callable[[], Any], what: str) -> Any:
    """Wait for what the door hears in its own time."""
    deadline = time.monotonic() + patient(20)
    while not (found := holds()):
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
    return found


def visit(page: Page, address: str) -> None:
    """Open the page; its snippet has run."""
    page.open(address)
    until(lambda: page.run("!!window.shop"), "the snippet did not run")


def track(page: Page, *items: str) -> None:
    page.run("".join(f"shop.track('view', '{item}');" for item in items) + "0")


def test_events_go_in_one_request_without_a_question_first(place: Place, browse: AbstractContextManager[Page]) -> None:
    with browse as page:
        visit(page, place.address(consent=True, user="ann"))
        track(page, "i1", "i3", "i4")
        until(lambda: place.heard.events, "no event came")
        track(page, *["i5"] * 20)  # a full batch does not wait
        until(lambda: len(place.heard.events) == 2, "the batch did not come")
        assert page.text() == "Page"
    first, second = place.heard.events
    assert [one["item_id"] for one in first] == ["i1", "i3", "i4"]
    assert len(second) == 20
    assert len({one["event_id"] for one in first + second}) == 23
    assert {one["user_id"] for one in first} == {"ann"}
    assert not any("timestamp" in one for one in first), "the service's clock dates them"
    assert {one["method"] for one in place.heard.asked} == {"POST"}, "no preflight"
    assert place.world.profiles.bought[place.world.hidden("ann")][1][:5] == [0, 2, 1, 3, 4]


def test_a_closed_tab_loses_nothing(place: Place, browse: AbstractContextManager[Page]) -> None:
    with browse as page:
        visit(page, place.address(consent=True, user="ann", every=600_000))
        opening = f"window.tab = window.open({json.dumps(place.address(consent=True, user='ann', every=600_000))}); 0"
        page.call("Runtime.evaluate", expression=opening, userGesture=True)
        until(lambda: page.run("!!(window.tab && tab.shop)"), "the second tab did not open")
        page.run("tab.shop.track('view', 'i1'); tab.shop.track('view', 'i4'); tab.close(); 0")
        until(lambda: place.heard.events, "nothing came of the closed tab")
    assert [[one["item_id"] for one in some] for some in place.heard.events] == [["i1", "i4"]]


def test_without_consent_nothing_is_stored_or_sent(place: Place, browse: AbstractContextManager[Page]) -> None:
    with browse as page:
        visit(page, place.address(ask=ASK))
        page.shows("May we?")
        track(page, "i1")
        assert "intentflow: view is not sent: no consent yet" in page.shows("not sent")
        assert page.run(STORED) == NOTHING
        page.click("dialog button:last-child")
        until(lambda: "May we?" not in page.text(), "the question stays")
        track(page, "i1")
        page.open("about:blank")
        time.sleep(0.5)
        visit(page, place.address(ask=ASK))
        page.shows("May we?")  # a refusal is not stored either
        assert page.run(STORED) == NOTHING
    assert place.heard.asked == []


def test_consent_is_remembered_and_can_be_taken_back(place: Place, browse: AbstractContextManager[Page]) -> None:
    with browse as page:
        visit(page, place.address(ask=ASK))
        page.shows("May we?")
        assert (
            page.run("document.querySelector('dialog').open && document.querySelectorAll('dialog button').length") == 2
        )
        page.click("dialog button")
        until(lambda: page.run(STORED) != NOTHING, "consent was not kept")
        track(page, "i1")
        ((first,),) = until(lambda: place.heard.events, "no event came")
        page.open("about:blank")
        visit(page, place.address(ask=ASK))
        track(page, "i2")
        until(lambda: len(place.heard.events) == 2, "consent was forgotten")
        assert "May we?" not in page.text()
        assert place.heard.events[1][0]["user_id"] == first["user_id"], "one visitor"
        page.run("shop.consent(false); 0")
        assert page.run(STORED) == NOTHING
        track(page, "i3")
        page.shows("no consent yet")
    assert len(place.heard.events) == 2


@pytest.mark.parametrize("signal", ["doNotTrack: '1'", "globalPrivacyControl: true"])
def test_a_browser_that_asks_not_to_be_tracked_is_heard(
    place: Place, browse: AbstractContextManager[Page], signal: str
) -> None:
    name, value = signal.split(": ")
    with browse as page:
        visit(page, place.address(consent=True))
        until(lambda: page.run(STORED) != NOTHING, "consent was not kept")
        page.call("Page.enable")
        says = f"Object.defineProperty(Navigator.prototype, '{name}', {{ get: () => {value} }})"
        page.call("Page.addScriptToEvaluateOnNewDocument", source=says)
        page.open("about:blank")
        visit(page, place.address(consent=True, ask=ASK))
        track(page, "i1")
        shown = page.shows("the browser asks not to track")
        assert "May we?" not in shown
        assert page.run(STORED) == NOTHING, "what was kept before is gone"
        page.run("shop.consent(true); 0")
        track(page, "i1")
        assert page.run(STORED) == NOTHING
    assert place.heard.asked == []


def test_a_key_that_has_ended_is_a_sentence_and_no_endless_loop(
    place: Place, browse: AbstractContextManager[Page], tmp_path: Path
) -> None:
    ended = page_key(tmp_path / "door" / "keys.json", place.page.url, until=time.time() - 1)
    time.sleep(1.1)  # the door looks at its keys each second
    with browse as page:
        visit(page, place.address(consent=True, key=ended))
        track(page, "i1")
        page.shows("intentflow: authorization: the key has ended;")
        assert "these are lost" in page.text()
        time.sleep(1)
    assert [one["status"] for one in place.heard.asked] == [401]


def test_events_wait_for_a_service_that_is_away_and_come_with_the_next_page(
    place: Place, browse: AbstractContextManager[Page]
) -> None:
    with browse as page:
        visit(page, place.address(consent=True, url="http://127.0.0.1:1", user="ann"))
        track(page, "i1")
        page.shows(f"no answer, or no key for {place.page.url}; tries again")
        page.run("Date.now = () => Date.parse('2030-01-02T03:04:05Z'); 0")  # so that it waited long
        track(page, "i3")
        page.open("about:blank")
        visit(page, place.address(consent=True, user="ann"))
        (events,) = until(lambda: place.heard.events, "what was kept did not come")
        assert [one["item_id"] for one in events] == ["i1", "i3"]
        until(lambda: "ann" not in page.run(STORED), "what was sent stays stored")


def test_an_event_that_waited_a_minute_carries_its_own_time(place: Place, browse: AbstractContextManager[Page]) -> None:
    with browse as page:
        visit(page, place.address(consent=True, user="ann", every=600_000))
        page.run("Date.now = () => 1514764800000; 0")
        track(page, "i1")
        page.run("Date.now = () => 1514764800000 + 61000; 0")
        track(page, "i3")
        page.run("shop.send(); 0")
        ((first, second),) = until(lambda: place.heard.events, "no event came")
    assert first["timestamp"] == "2018-01-01T00:00:00.000Z"
    assert "timestamp" not in second

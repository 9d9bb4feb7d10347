"""Every page of the console in a real browser: nothing is cut or scrolls sideways, and axe finds nothing grave.

Over doubles that are long, many and hostile; `test_console_tasks.py` looks at the pages of a real service.
"""

from collections.abc import Iterator

import pytest

from bentos.console import app, words
from bentos.console.doorman import Doorman
from bentos.console.settings import Settings
from tests.bentos.sockets import Listening, listening
from tests.browser import axe, console_doubles, measured
from tests.browser.conftest import QUIET, chromium
from tests.browser.page import Page, browsed
from tests.browser.visitor import Visitor
from tests.console.visits import ANN, RAW

WIDTHS = (390, 820, 1440)
# What a browser refuses by the page's own policy, and scripts that fail, are seen by nobody else.
HEARD = """window.heard = [];
addEventListener('securitypolicyviolation', (e) => heard.push(`${e.violatedDirective} ${e.blockedURI} ${e.sample}`));
addEventListener('error', (e) => heard.push(e.message || `${e.target.tagName} was not loaded`), true);"""
PAGES = (
    "", "/start", "/people", f"/people/{ANN}", "/rules", "/rules/new?kind=filter", "/rules/new?kind=price",
    "/rules/edit?name=no+beer", "/rules/remove?name=no+beer", "/experiments", "/releases", "/releases/rollback",
    "/drift", "/changes", "/nothing-here",
)  # fmt: skip


@pytest.fixture(scope="module")
def door() -> Iterator[Listening]:
    settings = Settings(name="shop")
    with listening(app.application(console_doubles.full(), Doorman(None, session_s=60.0), settings)) as found:
        yield found


@pytest.fixture(scope="module")
def visitor(door: Listening, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visitor]:
    with browsed(chromium(), tmp_path_factory.mktemp("looks") / "profile", QUIET) as page:
        page.call("Page.enable")
        page.call("Page.addScriptToEvaluateOnNewDocument", source=HEARD)
        yield Visitor(page)


def faults(page: Page, *, widths: tuple[int, ...] = WIDTHS) -> list[str]:
    """Return what is wrong with a page in each width, and to axe in light and dark."""
    shown = page.text()
    found = [f"a fault: {shown}" for language in words.LANGUAGES if words.text(language, "frame.fault_about") in shown]
    found += [f"the browser says: {one}" for one in page.run("window.heard")]
    for width in widths:
        page.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        found += [f"{width} px: {one}" for one in measured.faults(page)]
    for scheme in ("light", "dark"):
        page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        found += [f"{scheme}: {one}" for one in axe.grave(page)]
    return found


@pytest.mark.parametrize("path", PAGES)
def test_every_page_fits_and_can_be_read_by_everybody(visitor: Visitor, door: Listening, path: str) -> None:
    visitor.open(f"{door.url}/console{path}?lang=en" if "?" not in path else f"{door.url}/console{path}")
    assert faults(visitor.page) == []


def test_what_a_preview_and_a_found_person_show_fits_too(visitor: Visitor, door: Listening) -> None:
    visitor.open(f"{door.url}/console/rules/new?kind=pin")
    visitor.fill(words.text("en", "rules.field_item"), "i1")
    visitor.fill(words.text("en", "rules.field_place"), "1")
    visitor.enter()
    visitor.sees(words.text("en", "rules.cost"))
    assert faults(visitor.page) == []
    visitor.open(f"{door.url}/console/people")
    visitor.fill(words.text("en", "people.user"), RAW)
    visitor.enter()
    shown = visitor.sees(words.text("en", "people.live"))
    assert console_doubles.MARKUP in shown, "markup in a title is text"
    assert visitor.page.run("document.querySelectorAll('ol.items img').length") == 0
    assert faults(visitor.page) == []


def test_in_chinese_every_page_fits(visitor: Visitor, door: Listening) -> None:
    visitor.open(f"{door.url}/console?lang=zh")
    wrong = []
    for path in PAGES:
        visitor.open(f"{door.url}/console{path}")
        assert visitor.page.run("document.documentElement.lang").startswith("zh"), path
        visitor.page.call(
            "Emulation.setDeviceMetricsOverride", width=390, height=900, deviceScaleFactor=1, mobile=False
        )
        wrong += [f"{path} {one}" for one in measured.faults(visitor.page)]
    wrong += axe.grave(visitor.page)
    visitor.open(f"{door.url}/console?lang=en")
    assert wrong == []


def test_a_page_that_is_made_four_times_larger_is_still_whole(visitor: Visitor, door: Listening) -> None:
    """As a browser shows it to somebody with weak sight: a window of 1280 px has room for 320."""
    wrong = []
    for path in ("", f"/people/{ANN}", "/rules", "/releases"):
        visitor.open(f"{door.url}/console{path}", width=320)
        wrong += [f"{path}: {one}" for one in measured.faults(visitor.page)]
    assert wrong == []

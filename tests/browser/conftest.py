"""A headless Chromium, for tests that look at pages as people do."""

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.browser import console_world
from tests.browser.console_world import Console
from tests.browser.page import Page, browsed
from tests.browser.visitor import Visitor

NAMES = ("chromium", "chromium-browser", "google-chrome")
# Without these it looks for its maker's hosts at every start.
QUIET = ("--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update")


def chromium() -> str:
    """Return the browser's program, or skip."""
    browser = next((path for name in NAMES if (path := shutil.which(name))), None)
    if browser is None:
        pytest.skip("no Chromium on PATH; on Debian: apt-get install chromium")
    return browser


@pytest.fixture
def browse(tmp_path: Path) -> AbstractContextManager[Page]:
    """Return a page that a test can click in."""
    return browsed(chromium(), tmp_path / "profile", QUIET)


@pytest.fixture(scope="session")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """A console over a real service with a past; minutes, so only slow tests may ask for it."""
    chromium()
    shop = console_world.released(tmp_path_factory.mktemp("shop"))
    with console_world.opened(shop, tmp_path_factory.mktemp("console")) as found:
        console_world.lived_in(found)
        yield found


@pytest.fixture
def unruled(console: Console) -> Iterator[None]:
    """Leave no rule of a test to the next."""
    yield
    console.without_rules()


@pytest.fixture(scope="module")
def owner(console: Console, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visitor]:
    """The shop's owner, signed in."""
    with browsed(chromium(), tmp_path_factory.mktemp("owner") / "profile", QUIET) as page:
        visitor = Visitor(page)
        console_world.sign_in(visitor, console)
        yield visitor


@pytest.fixture(scope="session")
def look(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Return a function that opens a page and returns the text it shows, scripts and styles left out."""
    browser = chromium()

    def shown(url: str) -> str:
        profile: Path = tmp_path_factory.mktemp("profile")
        flags = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-sync", *QUIET)
        command = [browser, *flags, f"--user-data-dir={profile}", "--virtual-time-budget=20000", "--dump-dom", url]
        page = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
        page = re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.S)
        return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))

    return shown

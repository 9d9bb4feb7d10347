"""Walk through a console that runs and keep the pictures of docs/tour.md: `python -m tests.browser.tour --help`.

It clicks as the tour says, sends one event and saves no rule; it shows the way back and does not take it. Users of the
pictures are those of the open data set.
"""

import argparse
import tempfile
import time
from pathlib import Path

from bentos.console import words
from feature_repo.checkout import ROOT
from tests.browser import measured
from tests.browser.conftest import QUIET, chromium
from tests.browser.page import browsed
from tests.browser.visitor import Visitor

WIDE, PHONE, HEIGHT = 1000, 390, 720
MOST_BYTES = 150_000


def main() -> None:
    """Read what is asked for and walk."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--console", default="http://127.0.0.1:7080/console", help="address of its first page")
    parser.add_argument("--key-file", type=Path, help="file with a key to sign in by; none where none is asked for")
    parser.add_argument("--user", default="1", help="id of somebody in the data")
    parser.add_argument("--rule", nargs=2, default=("department", "GROCERY"), metavar=("COLUMN", "VALUE"))
    parser.add_argument("--pictures", type=Path, default=ROOT / "docs" / "pictures")
    asked = parser.parse_args()
    key = asked.key_file.read_text().strip() if asked.key_file else ""
    with tempfile.TemporaryDirectory() as folder, browsed(chromium(), Path(folder) / "profile", QUIET) as page:
        Tour(Visitor(page), asked.console, asked.pictures).walk(key, asked.user, tuple(asked.rule))


class Tour:
    """The way, in the order of the page."""

    def __init__(self, visitor: Visitor, console: str, pictures: Path) -> None:
        self.visitor, self.console, self.pictures = visitor, console, pictures

    def walk(self, key: str, user: str, rule: tuple[str, str]) -> None:
        """Take every picture."""
        visitor = self.visitor
        visitor.page.call("Emulation.setScrollbarsHidden", hidden=True)
        visitor.open(f"{self.console}?lang=en", width=WIDE)
        if key:
            visitor.fill(said("frame.key"), key)
            visitor.enter()
            visitor.sees(said("frame.sign_out"))
            visitor.loaded()
        self.take("home", height=900)
        visitor.click(said("frame.people"))
        visitor.fill(said("people.user"), user)
        visitor.enter()
        visitor.sees(said("people.live"))
        self.take("person", height=900)
        self.take("why", at="#items-title")
        self.take("phone", width=PHONE, dark=True)
        last = visitor.page.run("[...document.querySelectorAll('ol.items .quick button')].pop().ariaLabel")
        visitor.click(last)
        visitor.sees(said("people.sent", event="", item="").split()[1])
        self.take("event", at="#items-title")
        visitor.click(said("frame.rules"))
        visitor.click(said("rules.kind_filter"))
        visitor.choose(said("rules.condition_column", n=1), rule[0])
        visitor.fill(said("rules.condition_value", n=1), rule[1])
        visitor.fill(said("rules.field_user"), user)
        visitor.enter()
        visitor.sees(said("rules.previewed_about"))
        self.take("rule", at="#previewed", height=900)
        visitor.click(said("frame.experiments"))
        visitor.sees(said("frame.experiments"))
        self.take("experiment")
        visitor.click(said("frame.releases"))
        visitor.click(said("releases.back_to", to="").strip())
        visitor.sees(said("releases.confirm"))
        self.take("rollback")
        visitor.click(said("frame.drift"))
        visitor.sees(said("frame.drift"))
        self.take("drift")

    def take(self, name: str, *, width: int = WIDE, height: int = HEIGHT, dark: bool = False, at: str = "") -> None:
        """Keep what a window of this size shows, from an element on; refuse a page that does not fit into it."""
        page = self.visitor.page
        self.visitor.loaded()
        page.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        page.call("Emulation.setEmulatedMedia", features=[scheme])
        place = f"document.querySelector('{at}').scrollIntoView(), scrollBy(0, -16)" if at else "scrollTo(0, 0)"
        page.run(f"document.activeElement.blur(); {place}; 0")
        time.sleep(0.3)  # marks of what changed fade
        wrong = measured.faults(page)
        assert not wrong, wrong
        path = self.pictures / f"{name}.png"
        self.visitor.picture(path, width=width, whole=False)
        assert path.stat().st_size <= MOST_BYTES, f"{path} is larger than {MOST_BYTES} bytes"
        page.call("Emulation.setDeviceMetricsOverride", width=WIDE, height=HEIGHT, deviceScaleFactor=1, mobile=False)


def said(key: str, **values: object) -> str:
    """Return the console's words."""
    return words.text("en", key, **values)


if __name__ == "__main__":
    main()

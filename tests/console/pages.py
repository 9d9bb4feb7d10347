"""A visitor of the console without a browser: opens pages, finds forms by their button, fills and sends them."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from starlette.testclient import TestClient

from bentos.console import app
from bentos.console.doorman import Doorman
from bentos.console.ports import Ports
from bentos.console.settings import Settings
from bentos.http.auth import KeyFile

SITE = "http://127.0.0.1:7080"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def visitor(*, keys: Path | None = None, **ports: Any) -> TestClient:
    """Return a browser without scripts; with a file of keys one has to sign in."""
    settings = Settings(name="shop")
    doorman = Doorman(None if keys is None else KeyFile(keys), session_s=settings.session_s)
    return TestClient(app.application(Ports(**ports), doorman, settings), base_url=SITE)


@dataclass
class Sheet:
    """A form as the page has it."""

    action: str
    fields: list[tuple[str, str]] = field(default_factory=list)
    buttons: list[tuple[str, str]] = field(default_factory=list)  # label, and where it sends to

    def filled(self, **values: str | list[str]) -> list[tuple[str, str]]:
        """Return its fields with some of them filled in; __ stands for a dot."""
        given = {name.replace("__", "."): value for name, value in values.items()}
        kept = [(name, value) for name, value in self.fields if name not in given]
        for name, value in given.items():
            kept += [(name, one) for one in ([value] if isinstance(value, str) else value)]
        return kept


class Page(HTMLParser):
    """Forms and text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.forms: list[Sheet] = []
        self.words: list[str] = []
        self._form: Sheet | None = None
        self._select = ""
        self._button: str | None = None
        self.feed(html)

    @property
    def text(self) -> str:
        """Return what a person reads, blanks made one."""
        return " ".join(" ".join(self.words).split())

    def form(self, button: str) -> Sheet:
        """Return the first form with a button of this label."""
        return next(one for one in self.forms if any(label == button for label, _ in one.buttons))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Gather forms and their fields, as a browser would send them."""
        about = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._form = Sheet(about["action"])
            self.forms.append(self._form)
        if self._form is None:
            return
        if tag == "input" and about.get("name"):
            ticked = about.get("type") != "checkbox" or "checked" in about
            if ticked:
                self._form.fields.append((about["name"], about.get("value", "")))
        elif tag == "select":
            self._select = about["name"]
            self._form.fields.append((self._select, ""))
        elif tag == "option" and self._select and "selected" in about:
            self._form.fields = [pair for pair in self._form.fields if pair[0] != self._select]
            self._form.fields.append((self._select, about.get("value", "\0")))
        elif tag == "button":
            self._button = about.get("formaction", self._form.action)

    def handle_endtag(self, tag: str) -> None:
        """End a form, a choice, a button."""
        if tag == "form":
            self._form = None
        elif tag == "select":
            self._select = ""
        elif tag == "button":
            self._button = None

    def handle_data(self, data: str) -> None:
        """Gather text; an option without a value is its text."""
        self.words.append(data)
        if self._form is not None and self._select and self._form.fields[-1] == (self._select, "\0"):
            self._form.fields[-1] = (self._select, data)
        if self._form is not None and self._button is not None and data.strip():
            self._form.buttons.append((data.strip(), self._button))


def opened(browser: TestClient, path: str) -> Page:
    """Open a page that must be there."""
    reply = browser.get(path)
    assert reply.status_code == 200, reply.text
    return Page(reply.text)


def pressed(browser: TestClient, page: Page, button: str, *, status: int = 200, **values: Any) -> Page:
    """Fill the form with this button, press it, and follow to the page that comes."""
    form = page.form(button)
    to = next(action for label, action in form.buttons if label == button)
    reply = browser.post(to, content=urlencode(form.filled(**values)), headers=FORM)
    assert reply.status_code == status, f"{reply.status_code}: {Page(reply.text).text}"
    return Page(reply.text)

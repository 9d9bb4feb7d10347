"""Visits to a console over fakes of its ports: a client of its own for each visitor, forms as a browser sends them."""

import re
from dataclasses import dataclass, field, replace
from html import unescape
from pathlib import Path
from typing import Any

import httpx
from starlette.testclient import TestClient

from bentos.console.app import application
from bentos.console.doorman import Doorman
from bentos.console.ports import Ports
from bentos.console.ports.people import Fact, Intent, Item, Past, Person, Seen, Sent
from bentos.console.settings import Settings
from bentos.http.auth import KeyFile
from feature_repo.errors import SpecError

LAPTOP = "http://localhost:7080"
SITE = "https://console.shop.example"
RAW = "raw-user-4711"
ANN, BOB = "a" * 16, "b" * 16


def client(
    ports: Ports | None = None, *, keys: Path | None = None, clock: Any = None, url: str = "", **settings: Any
) -> TestClient:
    """Return a visitor's client; with `keys`, a file, one has to sign in."""
    told = Settings(name="shop", **settings)
    ticking = {} if clock is None else {"clock": clock}
    doorman = Doorman(None if keys is None else KeyFile(keys), session_s=told.session_s, **ticking)
    app = application(Ports() if ports is None else ports, doorman, told)
    return TestClient(app, base_url=url or (LAPTOP if keys is None else SITE), follow_redirects=False)


def csrf(page: httpx.Response) -> str:
    """Return the token of a page's forms."""
    found = re.search(r'name="csrf" value="([0-9a-f]{64})"', page.text)
    assert found, page.text
    return found[1]


def send(visitor: TestClient, path: str, *, on: str = "", htmx: bool = False, **fields: Any) -> httpx.Response:
    """Open the page that a form stands on, and send the form with the page's token."""
    page = visitor.get(on or path, follow_redirects=True)
    token = re.search(r'"X-CSRF-Token": "([0-9a-f]{64})"', page.text)
    assert token, page.text
    headers = {"HX-Request": "true"} if htmx else {}
    return visitor.post(path, data={"csrf": token[1], **fields}, headers=headers)


def sign_in(visitor: TestClient, key: str, **more: Any) -> httpx.Response:
    """Give a key."""
    return send(visitor, "/console/sign-in", key=key, **more)


def text(page: httpx.Response) -> str:
    """Return what a page says, without its markup."""
    body = re.sub(r"<head>.*?</head>", "", page.text, flags=re.S)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", body)))


PERSON = Person(
    pseudonym=ANN,
    live=True,
    at="2026-01-31T12:03:00+00:00",
    release="39d0a928afd0",
    request_id="r-1",
    segment="bakers",
    rung="fresh",
    age_days=0.5,
    degraded="",
    intents=(Intent("buy:BREAD", 0.66), Intent("visit", 0.8)),
    items=(
        Item(1, "i1", "Bananas", "history", ("bought in 24 weeks",), 1.5, "", "Ripe.", "template@2",
             (Fact("title", "Bananas"),)),
        Item(2, "i2", "Rolls", "popular", ()),
    ),
    events=(Past("2026-01-30T09:00:00+00:00", "purchase", "i1", "Bananas", "data"),),
)  # fmt: skip


@dataclass
class FakePeople:
    """Knows ann, whose raw id is RAW; an event puts its item first."""

    person: Person = PERSON
    sent: list[tuple[str, ...]] = field(default_factory=list)
    once: list[str] = field(default_factory=list)
    error: Exception | None = None

    def seen(self) -> tuple[Seen, ...]:
        """Return ann."""
        return (Seen(ANN, "2026-01-31T12:03:00+00:00", "fresh", 3),)

    def pseudonym(self, raw_id: str) -> str:
        """Return ann's for RAW, bob's for every other id."""
        if not raw_id:
            raise SpecError("user id: blanks; give an id as in your data")
        return ANN if raw_id == RAW else BOB

    def logged(self, pseudonym: str, language: str) -> Person:
        """Return ann as she was answered last."""
        if pseudonym != ANN:
            raise SpecError("person: no logged answer of that pseudonym")
        return replace(self.person, live=False)

    def asked(self, raw_id: str, language: str) -> Person:
        """Return ann, or the error."""
        if self.error is not None:
            raise self.error
        return self.person

    def event_types(self) -> tuple[str, ...]:
        """Return two."""
        return ("view", "purchase")

    def send(self, raw_id: str, event: str, item_id: str, *, who: str, once: str = "") -> Sent:
        """Remember an event; what it is about comes first from now on."""
        known = {item.item_id: item for item in self.person.items}
        if item_id not in known:
            raise SpecError(f"item: '{item_id}' is no item of the catalogue; nothing was sent")
        if once and once in self.once:
            return Sent(0, 1, 0, event, item_id)
        self.once.append(once)
        self.sent.append((raw_id, event, item_id, who))
        rest = [item for item in self.person.items if item.item_id != item_id]
        items = tuple(replace(item, position=n) for n, item in enumerate([known[item_id], *rest], 1))
        self.person = replace(self.person, items=items)
        return Sent(1, 0, 0, event, item_id)

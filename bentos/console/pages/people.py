"""People: whom the service answered, what it says of somebody and why, and an event sent in somebody's name.

A raw id is typed into a form and stays in the session's memory; addresses have pseudonyms.
"""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from bentos.console import elsewhere, words
from bentos.console.doorman import Visitor
from bentos.console.gate import PSEUDONYM
from bentos.console.ports.people import People, Person
from bentos.console.render import REFUSALS, done, refused, render
from bentos.console.settings import ROOT
from bentos.http.problems import refused as refusal_of
from feature_repo.errors import SpecError

LIST, PERSON = "people.html.jinja", "person.html.jinja"
BLOCK = "person"  # of PERSON
ONCE = re.compile(r"[0-9a-f]{32}[0-9]{1,4}")  # of a form of a page: what is sent twice is one event
SOURCE = "people.source_"
QUICK = 2  # kinds of events that each item has a button for


@dataclass(frozen=True)
class Moved:
    """How a person's page differs from the one before an event."""

    since: str  # ISO 8601
    items: Mapping[str, int | None]  # places that an item went up; None: it was not there
    intents: Mapping[str, float]  # by how much a probability grew
    gone: tuple[str, ...]  # titles


def show(request: Request) -> Response:
    """Show whom the service answered last, and the form that finds somebody."""
    port: People | None = request.app.state.ports.people
    try:
        return render(request, LIST, people=port, seen=port.seen() if port else (), typed="")
    except REFUSALS as error:
        return refused(request, LIST, error, people=port, seen=(), typed="")


def find(request: Request) -> Response:
    """Go to the page of whose id was typed; the address has the pseudonym."""
    port, raw_id = _port(request), request.state.form.get("user")
    try:
        pseudonym = port.pseudonym(raw_id)
    except REFUSALS as error:
        return refused(request, LIST, error, people=port, seen=port.seen(), typed=raw_id)
    visitor: Visitor = request.state.visitor
    visitor.remember(pseudonym, raw_id)
    return RedirectResponse(_address(pseudonym), 303)


def person(request: Request) -> Response:
    """Show somebody: as asked just now where the id was typed in this session, else as last answered."""
    port, pseudonym = _port(request), _pseudonym(request)
    visitor: Visitor = request.state.visitor
    raw_id = visitor.raw_id(pseudonym)
    try:
        if raw_id is None:
            return _page(request, port.logged(pseudonym, request.state.language))
        found = port.asked(raw_id, request.state.language)
    except REFUSALS as error:
        return refused(request, PERSON, error, **_about(request, None), typed=_typed(request))
    visitor.keep(f"shown {pseudonym}", found)
    return _page(request, found)


def send(request: Request) -> Response:
    """Send an event in somebody's name, then show how the list changed."""
    port, pseudonym, form = _port(request), _pseudonym(request), request.state.form
    visitor: Visitor = request.state.visitor
    raw_id = form.get("user") or visitor.raw_id(pseudonym) or ""
    shown: Person | None = visitor.kept(f"shown {pseudonym}")
    try:
        if not raw_id:  # a session that began after the page was opened, as after a key's end
            raise SpecError(words.text(request.state.language, "people.id_again"))
        if port.pseudonym(raw_id) != pseudonym:
            raise refusal_of("user id", "is another person's", "the id of whose page this is")
        before = shown or port.asked(raw_id, request.state.language)
        once = form.get("once") if ONCE.fullmatch(form.get("once")) else ""
        sent = port.send(raw_id, form.get("event"), form.get("item"), who=request.state.who, once=once)
    except REFUSALS as error:
        return refused(request, PERSON, error, block=BLOCK, **_about(request, shown), typed=_typed(request))
    visitor.remember(pseudonym, raw_id)
    visitor.keep(f"before {pseudonym}", before)
    key = "people.ignored" if sent.ignored else "people.sent_before" if sent.duplicates else "people.sent"
    if request.headers.get("hx-request") != "true":
        return done(request, _address(pseudonym), key, event=sent.event, item=sent.item_id)
    done(request, _address(pseudonym), key, event=sent.event, item=sent.item_id)
    return person(request)


def moved(before: Person, now: Person) -> Moved:
    """Say how a page changed since an event."""
    places = {item.item_id: item.position for item in before.items}
    chances = {intent.name: intent.probability for intent in before.intents}
    there = {item.item_id for item in now.items}
    return Moved(
        since=before.at,
        items={
            item.item_id: places[item.item_id] - item.position if item.item_id in places else None for item in now.items
        },
        intents={one.name: one.probability - chances[one.name] for one in now.intents if one.name in chances},
        gone=tuple(item.title for item in before.items if item.item_id not in there),
    )


def _page(request: Request, found: Person) -> Response:
    return render(request, PERSON, block=BLOCK, **_about(request, found), typed={"event": "", "item": ""})


def _about(request: Request, found: Person | None) -> dict[str, Any]:
    visitor: Visitor = request.state.visitor
    pseudonym, port = _pseudonym(request), _port(request)
    before: Person | None = visitor.kept(f"before {pseudonym}")
    return {
        "person": found,
        "pseudonym": pseudonym,
        "known": visitor.raw_id(pseudonym) is not None,
        "kinds": port.event_types(),
        "quick": QUICK,
        "moved": moved(before, found) if before and found and found.live else None,
        "address": _address(pseudonym),
        "once": secrets.token_hex(16),
        "sources": _sources(request.state.language),
        "links": elsewhere.links(request, lambda links: links.versions()) if found else (),
    }


def _sources(language: str) -> dict[str, str]:
    """Return the sources of candidates that have words; others keep their names."""
    return {key.removeprefix(SOURCE): said for key, said in words.WORDS[language].items() if key.startswith(SOURCE)}


def _typed(request: Request) -> dict[str, str]:
    return {name: request.state.form.get(name) for name in ("event", "item")}


def _port(request: Request) -> People:
    port: People | None = request.app.state.ports.people
    if port is None:
        raise refusal_of("people", "nothing is known of people here", "an installation that serves", status=404)
    return port


def _pseudonym(request: Request) -> str:
    """Return whose page an address names; a raw id in one is refused, and not repeated."""
    name = str(request.path_params["pseudonym"])
    if not PSEUDONYM.fullmatch(name):
        raise refusal_of("address", "it names no pseudonym", "16 hex digits; type an id into the form", status=404)
    return name


def _address(pseudonym: str) -> str:
    return f"{ROOT}/people/{pseudonym}"


ROUTES = [
    Route(f"{ROOT}/people", show, methods=["GET"]),
    Route(f"{ROOT}/people", find, methods=["POST"]),
    Route(f"{ROOT}/people/{{pseudonym}}", person, methods=["GET"]),
    Route(f"{ROOT}/people/{{pseudonym}}", send, methods=["POST"]),
]

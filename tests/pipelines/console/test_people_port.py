"""What the console asks the service about people, by which way and under which key; a door that gives its examples."""

import dataclasses
import datetime as dt
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from bentos.client import Unanswered
from bentos.endpoints import describe, events, intents, recommend
from bentos.router import start
from bentos.router.routes import Backend, Routes
from feature_repo import env_names, files
from feature_repo.errors import ServerError, SpecError
from pipelines.console import catalogue, changes, people, service
from pipelines.console import sent as noted
from pipelines.console.catalogue import Catalogue
from pipelines.environment import Installation, place
from pipelines.environment_spec import Console
from pipelines.releases import serving
from tests import worlds
from tests.bentos.conftest import vocabulary
from tests.bentos.sockets import listening
from tests.pipelines.conftest import ROOT

RAW, TOKEN, KEY = "raw-user-4711", "t" * 32, "if_1_secret"
CONTRACTS = {"/recommend": recommend, "/intents": intents, "/describe": describe, "/events": events}


@dataclass
class Door:
    """Answers with each endpoint's example, or what a test puts in its place; keeps what it was asked."""

    url: str = ""
    asked: list[tuple[str, dict[str, Any], str, str]] = field(default_factory=list)  # path, body, token, key
    instead: dict[str, tuple[int, dict[str, Any]]] = field(default_factory=dict)

    async def answer(self, request: Request) -> JSONResponse:
        """Answer."""
        path, given = request.url.path, request.headers
        token, key = given.get("x-intentflow-shadow", ""), given.get("x-api-key", "")
        self.asked.append((path, await request.json(), token, key))
        status, body = self.instead.get(path, (200, CONTRACTS[path].CONTRACT.example.answer))
        return JSONResponse(body, status)

    def ways(self) -> list[tuple[str, str, str]]:
        """Return by path which token and which key came."""
        return [(path, token, key) for path, _, token, key in self.asked]


@pytest.fixture
def door() -> Iterator[Door]:
    made = Door()
    app = Starlette(routes=[Route(path, made.answer, methods=["POST"]) for path in CONTRACTS])
    with listening(app) as found:
        made.url = found.url
        yield made


@pytest.fixture
def here(tmp_path: Path, door: Door, monkeypatch: pytest.MonkeyPatch) -> Installation:
    """A grocery whose service runs, as far as the console sees, and whose registry is empty."""
    monkeypatch.setattr(serving, "running", lambda _: door.url)
    monkeypatch.setattr(catalogue, "of", absent)
    variables = {env_names.STATE: str(tmp_path / "state"), env_names.SHADOW_TOKEN: TOKEN, "CONSOLE_KEY": KEY}
    found = place(ROOT / "pipelines" / "specs" / "grocery.yaml", "local", variables=variables)
    return settled(found, Console(key_env="CONSOLE_KEY"))


def absent(*_: object) -> Catalogue:
    raise SpecError("no champion yet")


def settled(here: Installation, console: Console, **serves: str) -> Installation:
    served = here.environment.serving.model_copy(update=serves)
    changed = here.environment.model_copy(update={"console": console, "serving": served})
    return dataclasses.replace(here, environment=changed)


def routed(here: Installation, door: Door) -> None:
    start.write(start.routes_file(here.home), Routes(stable=Backend(release="aaa", url=door.url)))


def test_a_look_counts_as_nothing_shown_and_texts_come_as_customers_read_them(here: Installation, door: Door) -> None:
    routed(here, door)
    found = people.port(lambda: here).asked(RAW, "zh")
    assert door.ways() == [("/recommend", TOKEN, ""), ("/intents", TOKEN, ""), ("/describe", "", KEY)]
    assert door.asked[2][1]["language"] == "zh"
    (item,) = found.items
    assert (item.title, item.source) == ("Tropical fruit: bananas · 40 lb", "history")
    assert item.reasons == ("在24周里买过", "最近一次是2周前", "意图概率 0.482")
    assert item.text.startswith("Tropical fruit: bananas")
    assert {fact.name: fact.value for fact in item.facts}["reason:weeks_bought"] == "在24周里买过"
    assert [one.name for one in found.intents] == ["visit", "buy:TROPICAL FRUIT"]
    assert (found.live, found.segment, found.rung) == (True, "tropical fruit, vegetables", "fresh")
    assert (found.note, found.untold, found.counts) == ("", "", False)
    assert RAW not in str(found)


def test_where_no_routes_are_known_a_look_counts_and_the_page_says_so(here: Installation, door: Door) -> None:
    found = people.port(lambda: here).asked(RAW, "en")
    assert [way[1:] for way in door.ways()] == [("", KEY)] * 3
    assert found.counts
    assert found.items[0].reasons == ("bought in 24 weeks", "last 2 weeks ago", "intent 0.482")


def test_a_look_asks_the_door_that_answers_the_person(here: Installation, door: Door) -> None:
    other = Backend(release="bbb", url="http://127.0.0.1:9")
    stable = Backend(release="aaa", url=door.url)
    routes = Routes(stable=stable, candidate=other, mode="canary", share=0.5, rollout="r")
    start.write(start.routes_file(here.home), routes)
    by_user = {str(user): service.release_of(here, str(user)) for user in range(40)}
    assert set(by_user.values()) == {"aaa", "bbb"}
    for user, release in by_user.items():
        assert service.door(here, user) == (door.url if release == "aaa" else other.url)


def test_texts_that_cannot_be_had_are_left_out_and_said(here: Installation, door: Door) -> None:
    routed(here, door)
    door.instead["/describe"] = (403, {"error": "events is not among its scopes", "where": "a", "allowed": "b"})
    found = people.port(lambda: here).asked(RAW, "en")
    assert (found.items[0].text, found.untold) == ("", "events is not among its scopes")


def test_an_event_goes_the_way_of_customers_and_the_log_says_who_without_the_id(
    here: Installation, door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    routed(here, door)
    port = people.port(lambda: here)
    with caplog.at_level(logging.INFO, logger="intentflow.console"):
        sent = port.send(RAW, "purchase", "1082185", who="key 1f0c, console")
    assert sent.accepted == 1
    path, body, token, key = door.asked[0]
    assert (path, token, key) == ("/events", "", KEY)
    (event,) = body["events"]
    assert (event["user_id"], event["item_id"], event["event"]) == (RAW, "1082185", "purchase")
    assert len(event["event_id"]) == 32
    port.send(RAW, "purchase", "1082185", who="key 1f0c, console", once="f" * 33)
    assert door.asked[1][1]["events"][0]["event_id"] == "f" * 33
    kept, _ = noted.read(here)
    assert (kept.who, kept.event, kept.item_id, kept.answered) == ("key 1f0c, console", "purchase", "1082185", True)
    written = (here.home / noted.FILE).read_text()
    assert RAW not in written
    assert port.pseudonym(RAW) not in written
    told = f"event purchase of item 1082185 sent in the name of {port.pseudonym(RAW)} by key 1f0c, console"
    assert told in caplog.text
    assert RAW not in caplog.text


def test_an_item_that_is_none_is_refused_before_anything_is_sent(
    here: Installation, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = dataclasses.replace(vocabulary(), known_items=np.zeros(0, "uint64"))
    monkeypatch.setattr(catalogue, "of", lambda *_: Catalogue(known))
    with pytest.raises(SpecError, match=r"^item: 'i00' is no item of the catalogue; did you mean 'i0'\?; nothing was"):
        people.port(lambda: here).send(RAW, "purchase", "i00", who="console")
    assert door.asked == []


def test_an_item_that_the_service_sets_aside_is_a_sentence(here: Installation, door: Door) -> None:
    aside = {"event": 0, "rule": "known(item_id)", "reason": "'i9' is not among the items"}
    body = events.CONTRACT.example.answer | {"accepted": 0, "set_aside": [aside]}
    door.instead["/events"] = (200, body)
    with pytest.raises(SpecError, match=r"^item: 'i9' is not among the items \(known\(item_id\)\); nothing was stored"):
        people.port(lambda: here).send(RAW, "purchase", "i9", who="console")
    assert noted.read(here) == []


def test_what_the_service_refuses_is_its_own_sentence(here: Installation, door: Door) -> None:
    door.instead["/events"] = (422, {"error": "events[0].value: -1 breaks the rule", "where": "e", "allowed": "0"})
    with pytest.raises(Unanswered, match="breaks the rule"):
        people.port(lambda: here).send(RAW, "purchase", "1", who="console")
    assert noted.read(here) == []


def test_an_event_that_nobody_answered_stays_noted_as_such(here: Installation) -> None:
    gone = settled(here, Console(url="http://127.0.0.1:9", key_env="CONSOLE_KEY"))
    with pytest.raises(ServerError):
        people.port(lambda: gone).send(RAW, "purchase", "1", who="ann")
    (kept,) = noted.read(here)
    assert (kept.who, kept.answered) == ("ann", False)
    with (here.home / noted.FILE).open("a") as stream:
        stream.write('{"id": "cut o')
    assert noted.read(here) == [kept]
    found = changes.port(lambda: gone).audit(what="event")
    assert [(one.who, one.did, one.ids, one.said) for one in found.entries] == [
        ("ann", "sent, unanswered", ("1",), "purchase")
    ]


def test_a_service_that_failed_at_an_event_may_have_stored_it(here: Installation, door: Door) -> None:
    door.instead["/events"] = (500, {"error": "a fault of the service", "where": "service", "allowed": "a retry"})
    with pytest.raises(Unanswered):
        people.port(lambda: here).send(RAW, "purchase", "1", who="ann")
    assert [one.answered for one in noted.read(here)] == [False]


def test_what_cannot_be_noted_is_not_sent(here: Installation, door: Door) -> None:
    here.home.mkdir(parents=True)
    (here.home / "console").write_text("no folder")
    with pytest.raises(ServerError, match="the event could not be noted, so it was not sent"):
        people.port(lambda: here).send(RAW, "purchase", "1", who="ann")
    assert door.asked == []


@pytest.mark.parametrize(
    ("event", "item", "said"),
    [
        ("stroll", "1", "event: 'stroll' is none that the spec speaks of; have purchase"),
        ("purchase", "", r"event: item_id: '' is not allowed; allowed: 1 or more characters"),
        ("purchase", "x" * 300, r"event: item_id: .* is not allowed; allowed: at most 256 characters"),
    ],
)
def test_a_wrong_event_is_one_line(here: Installation, door: Door, event: str, item: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        people.port(lambda: here).send(RAW, event, item, who="console")
    assert door.asked == []


@pytest.mark.parametrize("raw_id", ["", "  ", "x" * 257])
def test_an_id_that_is_none_is_one_line_that_does_not_repeat_it(here: Installation, raw_id: str) -> None:
    with pytest.raises(SpecError, match=r"^user id: blanks, or more than 256 characters"):
        people.port(lambda: here).pseudonym(raw_id)


def test_a_service_that_is_away_is_one_line_without_the_id(here: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "running", lambda _: None)
    with pytest.raises(ServerError, match="the service of grocery does not run here; `intentflow up"):
        people.port(lambda: here).asked(RAW, "en")
    gone = settled(here, Console(url="http://127.0.0.1:9", key_env="CONSOLE_KEY"))
    with pytest.raises(ServerError, match=r"the service at http://127.0.0.1:9 does not answer") as refusal:
        people.port(lambda: gone).asked(RAW, "en")
    assert RAW not in str(refusal.value)


def test_a_key_that_is_referred_to_and_not_set_is_one_line(here: Installation) -> None:
    with (
        pytest.raises(SpecError, match=r"console\.key_env: NOWHERE is not set"),
        service.customer(settled(here, Console(key_env="NOWHERE"))),
    ):
        pass
    keyed = settled(here, Console(), auth="keys", keys_file="k.json")
    with (
        pytest.raises(SpecError, match="the environment names no variable with the console's key"),
        service.customer(keyed),
    ):
        pass
    with service.customer(settled(here, Console())) as client:
        assert "X-API-Key" not in client._session.headers


def test_kinds_of_events_are_the_contract_s_or_those_that_the_spec_counts(here: Installation) -> None:
    def of(name: str) -> tuple[str, ...]:
        told = place(ROOT / "pipelines" / "specs" / name, "local", variables={env_names.STATE: str(here.home.parent)})
        return people.port(lambda: told).event_types()

    assert of("synthetic.yaml") == ("purchase",)
    assert set(of("shop-events.yaml")) >= {"view", "purchase"}


def test_kinds_of_events_that_no_spec_names_are_those_of_the_data(here: Installation) -> None:
    """As of a shop whose spec `init` wrote from a file of purchases alone."""
    events = [worlds.event("ann", "i1", dt.datetime(2024, 1, 2, tzinfo=dt.UTC), session="s", event=kind)
              for kind in ("rent", "purchase", "rent")]  # fmt: skip
    clean = worlds.World(events, [worlds.item("i1", "C1")], ["ann"], 1).write(here.home / "clean")
    intents = tuple(one.model_copy(update={"event": None}) for one in here.spec.intents)
    data = here.spec.data.model_copy(update={"contract": {}})
    unnamed = dataclasses.replace(here, spec=here.spec.model_copy(update={"intents": intents, "data": data}))
    assert people.port(lambda: unnamed).event_types() == (), "no run yet"
    files.write_json(here.home / "run.json", {"folders": {"clean": str(clean)}, "release_version": "1", "passed": True,
                                              "steps": [], "seconds": 1.0, "parameters": {}})  # fmt: skip
    assert people.port(lambda: unnamed).event_types() == ("purchase", "rent")


def test_whom_nobody_answered_is_said(here: Installation) -> None:
    port = people.port(lambda: here)
    assert port.seen() == ()
    with pytest.raises(SpecError, match="person: no logged answer of that pseudonym"):
        port.logged("a" * 16, "en")

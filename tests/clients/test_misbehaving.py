"""Both clients beside a server that loses answers, is busy or is none of ours: the same patience, the same words."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.bentos.test_client import ACCEPTED, INTENTS, PROBLEM, Scripted, scripted
from tests.clients.conftest import Client

pytestmark = pytest.mark.process
BUSY = (503, json.dumps(PROBLEM))
EVENT = {"user_id": "ann", "item_id": "i1", "event": "purchase"}


@dataclass(frozen=True)
class Script:
    """What a server answers in turn, and what a client makes of it."""

    about: str
    answers: list[tuple[int, str] | None]
    asked: int  # times
    outcome: dict[str, Any]
    method: str = "intents"
    headers: dict[str, str] = field(default_factory=dict)


SCRIPTS = (
    Script(
        "events whose answer was lost are sent again under the same ids",
        [None, (504, json.dumps(PROBLEM)), (200, json.dumps(ACCEPTED))],
        3,
        {"accepted": 1},
        method="events",
    ),
    Script("a refusal is not repeated", [(422, json.dumps(PROBLEM))], 1, {"status": 422, "error": PROBLEM["error"]}),
    Script(
        "a proxy's page is told by its status",
        [(502, "<html>bad gateway</html>")],
        1,
        {"status": 502, "error": "502 Bad Gateway"},
    ),
    Script(
        "JSON that is no problem of ours is told by its status",
        [(404, '{"detail": 1}')],
        1,
        {"status": 404, "error": "404 Not Found"},
    ),
    Script("a busy service is asked again", [BUSY, BUSY, (200, json.dumps(INTENTS))], 3, {"release": "r"}),
    Script("a service that stays busy is an error", [BUSY] * 3, 3, {"status": 503, "error": PROBLEM["error"]}),
    Script(
        "a service that asks for much patience is an error at once",
        [(429, json.dumps(PROBLEM))],
        1,
        {"status": 429, "error": PROBLEM["error"]},
        headers={"Retry-After": "3600"},
    ),
)


@pytest.fixture
def server() -> Iterator[Scripted]:
    with scripted() as made:
        yield made


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.about)
def test_a_client_is_as_patient_as_the_table_says(client: Client, server: Scripted, script: Script) -> None:
    server.script, server.more = list(script.answers), script.headers
    ask = {"events": [EVENT]} if script.method == "events" else {"user_id": "ann"}
    url = f"http://127.0.0.1:{server.server_port}"
    (outcome,) = client(url, [{"method": script.method, "ask": ask, "options": {}}])
    said = outcome.get("answer") or {"status": outcome["status"], "error": outcome["problem"]["error"]}
    assert {name: said[name] for name in script.outcome} == script.outcome
    assert len(server.asked) == script.asked
    assert all(one == server.asked[0] for one in server.asked)
    if script.method == "events":
        (sent,) = server.asked[0]["events"]  # type: ignore[misc]
        assert sent["event_id"]


def test_keys_tokens_and_the_origin_travel_along(client: Client, server: Scripted) -> None:
    server.script = [(200, json.dumps(INTENTS))]
    options = {"apiKey": "k", "token": "t", "origin": "https://shop.example"}
    client(
        f"http://127.0.0.1:{server.server_port}", [{"method": "intents", "ask": {"user_id": "a"}, "options": options}]
    )
    (headers,) = ({name.lower(): value for name, value in one.items()} for one in server.headers)
    assert (headers["x-api-key"], headers["authorization"]) == ("k", "Bearer t")
    assert headers["origin"] == "https://shop.example"


def test_a_service_that_is_away_is_no_answer(client: Client) -> None:
    away = [{"method": "intents", "ask": {"user_id": "ann"}, "options": {"retries": 0}}]
    assert client("http://127.0.0.1:1", away)[0]["lost"]

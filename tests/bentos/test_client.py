"""The client beside a server that misbehaves; tests/bentos/test_service.py asks the real one."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import requests

from bentos.client import Recommender, Unanswered
from bentos.endpoints.schemas import Event

ACCEPTED = {"accepted": 1, "duplicates": 0, "release": "r", "request_id": "q"}
PROBLEM = {"error": "service: no answer in time; allowed: 2 s", "where": "service", "allowed": "2 s"}


class Scripted(HTTPServer):
    """Answers in turn: None drops the connection, else a status and a body. Keeps what it was asked."""

    script: list[tuple[int, str] | None]
    asked: list[dict[str, object]]
    headers: list[dict[str, str]]  # of the requests that were answered
    more: dict[str, str]  # headers of the answers


class Handler(BaseHTTPRequestHandler):
    server: Scripted

    def do_POST(self) -> None:
        self.server.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        answer = self.server.script.pop(0)
        if answer is None:
            self.close_connection = True
            return
        status, body = answer
        self.server.headers.append(dict(self.headers))
        self.send_response(status)
        for name, value in self.server.more.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def scripted() -> Iterator[Scripted]:
    """A server whose answers a test writes."""
    made = Scripted(("127.0.0.1", 0), Handler)
    made.asked, made.headers, made.more = [], [], {}
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture
def server() -> Iterator[Scripted]:
    with scripted() as made:
        yield made


def client(server: Scripted) -> Recommender:
    return Recommender(f"http://127.0.0.1:{server.server_port}")


def test_events_whose_answer_was_lost_are_sent_again_under_the_same_ids(server: Scripted) -> None:
    server.script = [None, (504, json.dumps(PROBLEM)), (200, json.dumps(ACCEPTED))]
    answer = client(server).events([Event(user_id="ann", item_id="i1", event="purchase")])
    assert answer.accepted == 1
    assert len(server.asked) == 3
    assert server.asked[0] == server.asked[1] == server.asked[2]
    assert server.asked[0]["events"][0]["event_id"]


def test_a_refusal_is_not_repeated(server: Scripted) -> None:
    server.script = [(422, json.dumps(PROBLEM))]
    with pytest.raises(Unanswered, match="no answer in time"):
        client(server).events([Event(user_id="ann", item_id="i1", event="purchase")])


def test_a_proxys_page_is_told_by_its_status(server: Scripted) -> None:
    server.script = [(502, "<html>bad gateway</html>")]
    with pytest.raises(Unanswered, match="502 Bad Gateway"):
        client(server).recommend("ann")


def test_a_wrong_question_is_refused_before_it_is_sent(server: Scripted) -> None:
    with pytest.raises(Unanswered, match="k: 0 is not allowed; allowed: 1 or more") as refusal:
        client(server).recommend("ann", k=0)
    assert (refusal.value.status, server.asked) == (422, [])


def test_a_service_that_is_away_is_not_ready() -> None:
    away = Recommender("http://127.0.0.1:1")
    assert not away.ready()
    with pytest.raises(requests.ConnectionError):
        away.recommend("ann")


INTENTS = {
    "intents": [],
    "profile": {
        "rung": "popular", "state_at": None, "age_days": None, "segment": None, "degraded": False, "reason": None,
    },
    "release": "r",
    "request_id": "q",
}  # fmt: skip


def test_a_busy_service_is_asked_again_when_it_says(server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", pauses.append)
    server.more = {"Retry-After": "1"}
    server.script = [(429, json.dumps(PROBLEM)), (503, json.dumps(PROBLEM)), (200, json.dumps(INTENTS))]
    assert client(server).intents("ann").release == "r"
    assert pauses == [1.0, 1.0]


def test_a_service_that_asks_for_much_patience_is_an_error_at_once(server: Scripted) -> None:
    server.more = {"Retry-After": "3600"}
    server.script = [(429, json.dumps(PROBLEM))]
    with pytest.raises(Unanswered) as refusal:
        client(server).intents("ann")
    assert (refusal.value.status, len(server.asked)) == (429, 1)


def test_a_service_that_stays_busy_is_an_error_in_the_end(server: Scripted) -> None:
    server.script = [(429, json.dumps(PROBLEM))] * 3
    with pytest.raises(Unanswered, match="no answer in time"):
        client(server).intents("ann")
    assert len(server.asked) == 3


def test_keys_tokens_and_the_trace_travel_along(server: Scripted) -> None:
    server.script = [(200, json.dumps(INTENTS))]
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    url = f"http://127.0.0.1:{server.server_port}"
    Recommender(url, api_key="k", token="t", traceparent=lambda: trace).intents("ann")
    (headers,) = server.headers
    assert (headers["X-API-Key"], headers["Authorization"], headers["traceparent"]) == ("k", "Bearer t", trace)

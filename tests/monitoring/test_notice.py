"""Who is told of a verdict, once: on a change, until it arrives, with a signature that the receiver can hold it to."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from feature_repo import signed_calls
from feature_repo.errors import SpecError
from feature_repo.signed_calls import STANDARD, Verifier
from monitoring import notice
from monitoring.notice import Told
from monitoring.spec import Notify
from tests.monitoring.records import moved

SPEC = Notify(url_env="SHOP_URL", secret_env="SHOP_SECRET")
HAVE = {"SHOP_URL": "https://example.org/hook", "SHOP_SECRET": "s3cret"}


def told(reason: str = "data_fault", *alarms: str) -> Told:
    return Told("shop", "faulty", reason, "nulls rose", "2017-10-09T00:00:00+00:00", "3", [moved(a) for a in alarms])


class Box:
    """Keeps what was sent, and answers as it is told to."""

    def __init__(self, *problems: str) -> None:
        self.problems, self.sent = list(problems), []

    def __call__(self, url: str, body: bytes, *, secret: str, delivery: str) -> str:
        self.sent.append((url, json.loads(body), secret, delivery))
        return self.problems.pop(0) if self.problems else ""


def run(box: Box, *checks: Told, spec: Notify = SPEC, variables: dict[str, str] = HAVE) -> dict:
    """Run checks one after the other; return the last mark."""
    mark: dict = {}
    for check in checks:
        mark = dict(notice.tell(check, spec, variables=variables, before=mark, send=box) or mark)
    return mark


def test_a_verdict_is_told_once_and_its_end_too() -> None:
    box, bad = Box(), told("data_fault", "events.null.value")
    run(box, told("none"), bad, bad, told("undecided"), bad, told("none"), told("none"))
    assert [sent[1]["type"] for sent in box.sent] == ["drift.data_fault", "drift.passed"]


def test_another_signal_is_another_verdict() -> None:
    box = Box()
    run(box, told("world", "events.volume"), told("world", "events.volume", "events.users"))
    assert [[a["signal"] for a in sent[1]["alarms"]] for sent in box.sent] == [
        ["events.volume"],
        ["events.volume", "events.users"],
    ]


def test_a_class_that_nobody_asked_for_is_not_told() -> None:
    box = Box()
    run(box, told("world", "events.volume"), told("none"), spec=Notify(url_env="SHOP_URL", classes=["data_fault"]))
    assert box.sent == []


def test_a_fault_that_turned_into_something_else_is_over_and_all_is_not_as_usual() -> None:
    box = Box()
    spec = Notify(url_env="SHOP_URL", classes=["data_fault"])
    run(box, told("data_fault", "events.null.value"), told("world", "events.volume"), spec=spec)
    assert [(sent[1]["type"], sent[1]["class"]) for sent in box.sent][1] == ("drift.passed", "world")
    assert "Your customers or your goods have changed" in box.sent[1][1]["text"]
    assert "as usual" not in box.sent[1][1]["text"]


def test_what_did_not_arrive_is_sent_again_under_the_same_id() -> None:
    box, bad = Box("HTTP 503"), told("data_fault", "events.null.value")
    first = run(box, bad)
    assert (first["problem"], first["told"]) == ("HTTP 503", ["none", []])
    again = notice.tell(bad, SPEC, variables=HAVE, before=first, send=box)
    assert again is not None
    assert again["problem"] == ""
    assert box.sent[0][3] == box.sent[1][3]


def test_a_fault_that_passed_untold_leaves_no_problem() -> None:
    box = Box("HTTP 503")
    mark = run(box, told("data_fault", "events.null.value"), told("none"))
    assert (mark["problem"], len(box.sent)) == ("", 1)


def test_a_name_without_a_value_is_a_problem_and_not_silence() -> None:
    box = Box()
    mark = run(box, told("data_fault", "events.null.value"), variables={"SHOP_URL": "https://example.org"})
    assert mark["problem"] == (
        "monitoring.notify.secret_env: SHOP_SECRET is not set; export the secret that both sides share, "
        "or leave the field out"
    )
    assert box.sent == []


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "monitoring.notify.url_env: SHOP_URL is not set; export the address"),
        (HAVE | {"SHOP_URL": "file:///etc/passwd"}, "SHOP_URL holds no address"),
    ],
)
def test_an_address_that_is_none_is_one_line_without_it(variables: dict[str, str], said: str) -> None:
    with pytest.raises(SpecError, match=said) as refused:
        notice.addressed(SPEC, variables)
    assert "passwd" not in str(refused.value)


def test_a_document_says_it_in_both_languages() -> None:
    found = notice.document(told("data_fault", "events.null.value"))
    assert found["text"].startswith("shop: Something is wrong with the data. The share of actions without “value” rose")
    assert found["text_zh"].startswith("shop：数据出了问题。缺少“value”的行为占比上升了")
    assert (found["class"], found["since"], found["release"]) == ("data_fault", "2017-10-02T00:00:00+00:00", "3")
    assert len(notice.document(told("world", *[f"events.share.{n}" for n in range(40)]))["alarms"]) == 20


class Receiver(BaseHTTPRequestHandler):
    """Takes signed calls; the first is answered with 500, one to /moved with a redirect."""

    verifier: Verifier
    codes: list[int]
    said: list[str]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        code = self.codes.pop(0) if self.codes else 200
        if code == 200:
            self.said.append(self.verifier.refusal(dict(self.headers.items()), body))
        self.send_response(code)
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


@pytest.fixture
def receiver() -> Iterator[tuple[str, type[Receiver]]]:
    made = type("Made", (Receiver,), {"verifier": Verifier("s3cret", names=STANDARD), "codes": [], "said": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), made)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/hook", made
    server.shutdown()
    thread.join()
    server.server_close()


def send(url: str, *, secret: str = "s3cret") -> str:
    return signed_calls.send(url, b"{}", secret=secret, delivery="shop-1", wait=lambda _: None)


def test_a_receiver_with_the_secret_takes_a_call_after_a_fault_of_its_own(receiver) -> None:
    url, made = receiver
    made.codes = [500]
    assert send(url) == ""
    assert made.said == [""], "signed, young, and delivered once"


def test_another_secret_is_told_from_ours(receiver) -> None:
    url, made = receiver
    send(url, secret="another")
    assert made.said == ["wrong signature"]


@pytest.mark.parametrize(("codes", "problem", "left"), [([404, 200], "HTTP 404", 1), ([302, 200], "HTTP 302", 1),
                                                        ([429, 503, 500], "HTTP 500", 0)])  # fmt: skip
def test_a_refusal_is_final_a_fault_is_tried_three_times_and_no_redirect_is_followed(
    receiver, codes, problem, left
) -> None:
    url, made = receiver
    made.codes = list(codes)
    assert send(url) == problem
    assert len(made.codes) == left


@pytest.mark.parametrize(
    ("url", "problem"),
    [("file:///etc/passwd", "no URL of http"), ("http://[", "no URL"), ("http://127.0.0.1:1/", "refused")],
)
def test_an_address_that_nobody_serves_is_a_problem_and_no_exception(url: str, problem: str) -> None:
    assert problem in send(url)

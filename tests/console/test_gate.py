"""Who comes into the console, from where, and what every answer carries."""

import logging
import re
from pathlib import Path

import pytest

from bentos import keys
from bentos.console.doorman import Doorman
from bentos.console.ports import Ports
from tests.console.visits import ANN, LAPTOP, RAW, FakePeople, client, csrf, send, sign_in, text

ADMIN = ("recommend", "admin")
OURS = {"Origin": LAPTOP, "Sec-Fetch-Site": "same-origin"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "secrets" / "keys.json"


@pytest.fixture
def key(file: Path) -> str:
    return keys.make(file, name="owner", scopes=ADMIN, server=True)


def test_without_keys_the_laptop_is_let_in_and_strangers_hosts_are_not() -> None:
    visitor = client()
    assert visitor.get("/console").status_code == 200
    assert visitor.get("/").headers["location"] == "/console"
    for host in ("shop.example", "localhost.evil.example", "evil@localhost", "", "127.0.0.1.nip.io"):
        refused = visitor.get("/console", headers={"Host": host})
        assert (refused.status_code, "localhost or 127.0.0.1" in refused.text) == (400, True)
        assert visitor.post("/console/people", headers={"Host": host}).status_code == 400
    for host in ("127.0.0.1:7080", "[::1]:7080", "localhost"):
        assert visitor.get("/console", headers={"Host": host}).status_code == 200


def test_with_keys_nobody_sees_a_page_before_signing_in(file: Path, key: str) -> None:
    visitor = client(keys=file)
    asked = visitor.get("/console/people")
    assert (asked.status_code, asked.headers["location"]) == (303, "/console/sign-in?next=%2Fconsole%2Fpeople")
    assert visitor.get("/console/nothing").status_code == 303
    assert "Releases" not in text(visitor.get("/console/sign-in"))
    done = sign_in(visitor, key, next="/console/people")
    assert (done.status_code, done.headers["location"]) == (303, "/console/people")
    page = visitor.get("/console/people")
    assert page.status_code == 200
    assert re.search(r"Signed in as key [0-9a-f]{8}, console", text(page))
    assert key not in page.text


@pytest.mark.parametrize("away", ["https://evil.example", "//evil.example", "/\\evil", "/console/../x", "javascript:x"])
def test_signing_in_leads_nowhere_else(file: Path, key: str, away: str) -> None:
    assert sign_in(client(keys=file), key, next=away).headers["location"] == "/console"


@pytest.mark.parametrize("whose", ["nobody", "no admin", "a page", "a user", "ended"])
def test_only_a_server_s_key_with_the_scope_signs_in(file: Path, key: str, whose: str) -> None:
    page = keys.Page(events=("view",), origins=("https://shop.example",))
    given = {
        "nobody": lambda: "if_00000000_x",
        "no admin": lambda: keys.make(file, name="n", scopes=("recommend", "events"), server=True),
        "a page": lambda: keys.make(file, name="p", scopes=("events",), page=page),
        "a user": lambda: keys.make(file, name="u", scopes=("recommend",), user="ann"),
        "ended": lambda: keys.make(file, name="e", scopes=ADMIN, server=True, until=1.0),
    }[whose]()
    visitor = client(keys=file)
    refused = sign_in(visitor, given)
    assert refused.status_code in (401, 403)
    assert "no key with the scope admin" in text(refused)
    assert given not in refused.text
    assert visitor.get("/console").status_code == 303


def test_a_session_is_opaque_and_its_cookie_goes_nowhere_else(file: Path, key: str) -> None:
    visitor = client(keys=file)
    before = visitor.get("/console/sign-in").headers["set-cookie"]
    after = sign_in(visitor, key).headers["set-cookie"]
    for cookie in (before, after):
        assert {"Path=/console", "SameSite=Strict", "HttpOnly", "Secure"} <= {*cookie.split("; ")}
    token, fixed = (cookie.split(";")[0].partition("=")[2] for cookie in (after, before))
    assert token != fixed
    assert key.split("_")[2] not in token
    stranger = client(keys=file)
    stranger.cookies.set("intentflow_console", fixed)
    assert stranger.get("/console").status_code == 303
    assert "Secure" not in client().get("/console").headers["set-cookie"]


def test_a_revoked_key_ends_the_session_and_loses_no_form(file: Path, key: str, monkeypatch) -> None:
    monkeypatch.setattr("bentos.http.auth.LOOK_S", -1.0)
    people = FakePeople()
    visitor = client(Ports(people=people), keys=file)
    sign_in(visitor, key)
    page = visitor.get("/console/people")
    keys.revoke(file, key.split("_")[1])
    asked = visitor.post("/console/people", data={"csrf": csrf(page), "user": "<b>7"})
    assert asked.status_code == 401
    assert "revoked or has ended" in text(asked)
    assert "What you typed is kept" in text(asked)
    assert 'name="kept.user" value="&lt;b&gt;7"' in asked.text
    other = keys.make(file, name="owner", scopes=ADMIN, server=True)
    kept = {"key": other, "csrf": csrf(asked), "next": "/console/people", "kept.user": "<b>7"}
    again = visitor.post("/console/sign-in", data=kept)
    assert again.status_code == 200
    assert 'action="/console/people"' in again.text
    assert "nothing has changed" in text(again)
    assert visitor.post("/console/people", data={"csrf": csrf(again), "user": "<b>7"}).status_code == 303


def test_a_session_ends_in_its_time(file: Path, key: str) -> None:
    now = [1000.0]
    visitor = client(keys=file, clock=lambda: now[0], session_s=60.0)
    sign_in(visitor, key)
    now[0] += 59
    assert visitor.get("/console").status_code == 200
    now[0] += 2
    ended = visitor.get("/console")
    assert (ended.status_code, "Your session has ended" in text(ended)) == (401, True)


def test_signing_out_forgets_the_session(file: Path, key: str) -> None:
    visitor = client(keys=file)
    sign_in(visitor, key)
    token = visitor.cookies["intentflow_console"]
    assert send(visitor, "/console/sign-out", on="/console").status_code == 303
    visitor.cookies.clear()
    visitor.cookies.set("intentflow_console", token, path="/console")
    assert visitor.get("/console").status_code == 303


def test_keys_that_cannot_be_read_let_nobody_in_and_end_no_session(file: Path, key: str, monkeypatch) -> None:
    monkeypatch.setattr("bentos.http.auth.LOOK_S", -1.0)
    visitor = client(keys=file)
    sign_in(visitor, key)
    good = file.read_text()
    file.write_text("{")
    away = visitor.get("/console")
    assert (away.status_code, "cannot be read for now" in text(away)) == (503, True)
    file.write_text(good)
    assert visitor.get("/console").status_code == 200


def test_tries_to_sign_in_are_bounded_by_address(file: Path, key: str) -> None:
    visitor = client(keys=file, sign_in_rate="2/minute")
    assert [sign_in(visitor, "if_0_x").status_code for _ in range(3)] == [401, 401, 429]
    late = sign_in(visitor, key)
    assert (late.status_code, int(late.headers["retry-after"]) > 0) == (429, True)
    assert "Too many tries from your address" in text(late)


@pytest.mark.parametrize("token", ["", "0" * 64, "é"])
def test_a_form_without_the_visitor_s_token_changes_nothing_and_is_shown_again(token: str) -> None:
    people = FakePeople()
    visitor = client(Ports(people=people))
    visitor.get("/console")
    refused = visitor.post(f"/console/people/{ANN}", data={"csrf": token, "user": RAW, "event": "view", "item": "i1"})
    assert refused.status_code == 403
    assert people.sent == []
    assert 'name="item" value="i1"' in refused.text
    again = {"csrf": csrf(refused), "user": RAW, "event": "view", "item": "i1"}
    assert visitor.post(f"/console/people/{ANN}", data=again).status_code == 303
    assert people.sent == [(RAW, "view", "i1", "console")]


def test_htmx_may_send_the_token_in_a_header() -> None:
    people = FakePeople()
    visitor = client(Ports(people=people))
    token = csrf(visitor.get("/console/people"))
    form = {"user": RAW, "event": "view", "item": "i1"}
    done = visitor.post(f"/console/people/{ANN}", data=form, headers={"X-CSRF-Token": token, "HX-Request": "true"})
    assert (done.status_code, len(people.sent)) == (200, 1)


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
def test_a_form_from_another_site_is_refused_even_with_the_token(headers: dict[str, str]) -> None:
    people = FakePeople()
    visitor = client(Ports(people=people))
    token = csrf(visitor.get("/console/people"))
    form = {"csrf": token, "user": RAW, "event": "view", "item": "i1"}
    refused = visitor.post(f"/console/people/{ANN}", data=form, headers=headers)
    assert (refused.status_code, people.sent) == (403, [])
    good = visitor.post(
        f"/console/people/{ANN}", data=form, headers={"Origin": LAPTOP, "Sec-Fetch-Site": "same-origin"}
    )
    assert good.status_code == 303


def test_forms_are_bounded_and_of_one_kind() -> None:
    visitor = client()
    big = visitor.post("/console/people", data={"user": "x" * (300 << 10)})
    many = visitor.post("/console/people", content="&".join(f"a{n}=1" for n in range(600)), headers=FORM)
    other = visitor.post("/console/people", json={"user": "x"})
    assert [page.status_code for page in (big, many, other)] == [413, 400, 400]
    broken = visitor.post("/console/people", content="user=%ff", headers=FORM)
    assert broken.status_code == 400


def test_every_answer_carries_the_headers(file: Path) -> None:
    visitor = client(image_origins=("https://img.example",))
    for path, status in (
        ("/console", 200),
        ("/console/nothing", 404),
        ("/console/static/console.css", 200),
        ("/readyz", 200),
    ):
        answer = visitor.get(path)
        assert answer.status_code == status
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'self'; img-src 'self' https://img.example; ")
        assert "unsafe" not in policy
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == ("no-cache" if "static" in path else "no-store")
    assert client(keys=_made(file)).get("/console").headers["x-frame-options"] == "DENY"


def _made(file: Path) -> Path:
    keys.make(file, name="owner", scopes=ADMIN, server=True)
    return file


def test_a_fault_is_a_page_and_a_traceback_in_the_log_alone(caplog: pytest.LogCaptureFixture) -> None:
    people = FakePeople(error=RuntimeError("the disk is on fire"))
    visitor = client(Ports(people=people))
    send(visitor, "/console/people", user=RAW)
    with caplog.at_level(logging.INFO):
        failed = visitor.get(f"/console/people/{ANN}")
    assert (failed.status_code, "on fire" in failed.text) == (500, False)
    assert "A fault of the console" in text(failed)
    assert failed.headers["x-frame-options"] == "DENY"
    assert "on fire" in caplog.text


def test_no_log_has_a_raw_id_or_a_key(file: Path, key: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="intentflow"):
        visitor = client(Ports(people=FakePeople()), keys=file)
        sign_in(visitor, key)
        send(visitor, "/console/people", user=RAW)
        send(visitor, f"/console/people/{ANN}", event="view", item="i1")
        send(visitor, f"/console/people/{ANN}", event="view", item="nothing")
        visitor.get(f"/console/people/{RAW}")
        visitor.post(f"/console/people/{RAW}%0Aforged", data={"user": RAW})
    assert f"POST people.send {ANN} by key " in caplog.text
    assert "forged" not in caplog.text
    assert RAW not in caplog.text
    assert key not in caplog.text


def test_strangers_end_nobody_s_session(file: Path, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bentos.console.doorman.VISITORS", 3)
    visitor = client(keys=file)
    sign_in(visitor, key)
    token = visitor.cookies["intentflow_console"]
    for _ in range(10):
        visitor.cookies.clear()
        visitor.get("/console/sign-in")
    visitor.cookies.clear()
    visitor.cookies.set("intentflow_console", token, path="/console")
    assert visitor.get("/console").status_code == 200


def test_an_address_without_tls_says_why_it_keeps_no_session(file: Path, key: str) -> None:
    bare = client(keys=file, url="http://10.0.0.7:7080")
    assert "This address is not https" in text(bare.get("/console/sign-in"))
    behind = bare.get("/console/sign-in", headers={"X-Forwarded-Proto": "https"})
    assert "not https" not in text(behind)
    assert "not https" not in text(client(keys=file, url="http://localhost").get("/console/sign-in"))


def test_htmx_shows_a_whole_page_in_the_page_s_place(file: Path, key: str) -> None:
    visitor = client(keys=file)
    asked = visitor.get("/console/people", headers={"HX-Request": "true"})
    assert (asked.status_code, asked.headers["hx-retarget"]) == (401, "body")


def test_where_nobody_signs_in_a_session_ends_too_and_forgets_whose_pseudonyms_it_knew() -> None:
    now = [1000.0]
    visitor = client(Ports(people=FakePeople()), clock=lambda: now[0], session_s=60.0)
    send(visitor, "/console/people", user=RAW)
    assert "Asked just now" in text(visitor.get(f"/console/people/{ANN}"))
    now[0] += 61
    assert "As the service last answered" in text(visitor.get(f"/console/people/{ANN}"))


def test_what_a_session_held_is_dropped_when_it_has_ended() -> None:
    now = [1000.0]
    doorman = Doorman(None, session_s=60.0, clock=lambda: now[0])
    doorman.welcome().remember(ANN, RAW)
    now[0] += 60 + 3600
    doorman.welcome()
    assert RAW not in str([vars(one) for one in doorman._visitors.values()])

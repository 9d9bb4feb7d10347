"""The overview: figures of logs that were counted by hand, and the page that shows them or why there are none."""

import datetime as dt
import gzip
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from bentos.console.app import application
from bentos.console.doorman import Doorman
from bentos.console.ports import Ports
from bentos.console.ports.watch import Standing, Tile, Tiles
from bentos.console.settings import Settings
from feature_repo import columns
from feature_repo.checkout import ROOT
from pipelines.console import kpis, shown
from pipelines.environment import Installation, place
from tests.console import watching
from tests.pipelines.jobs.conftest import closed

SPEC = ROOT / "pipelines" / "specs" / "clickstream.yaml"  # kinds: view 1, cart 3, purchase 5
NOW = dt.datetime(2026, 11, 30, 12, tzinfo=dt.UTC)
WALL = NOW - dt.timedelta(hours=3)
CLOCK = 1_000_000


def page(ports: Ports, path: str = "/console", *, host: str = "127.0.0.1:7080") -> str:
    """Return a page's HTML as a visitor on this machine gets it."""
    app = application(ports, Doorman(None, session_s=60), Settings("shop"))
    with TestClient(app, base_url=f"http://{host}") as client:
        found = client.get(path)
    assert found.status_code == 200, found.text
    return found.text


def words(html: str) -> str:
    """Return what a reader sees."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())


def here(folder: Path) -> Installation:
    return place(SPEC, "local", variables={"INTENTFLOW_STATE": str(folder / "state")})


def answer(number: int, *items: str, user: str = "", at: dt.datetime = WALL, **more: Any) -> dict[str, Any]:
    shown = [
        {"item_id": i, "position": n, "score": 1.0, "source": "popular", "propensity": 1.0}
        for n, i in enumerate(items, 1)
    ]
    line: dict[str, Any] = {"request_id": f"r{number}", "logged_at": at.isoformat(), "endpoint": "recommend"}
    line |= {"release": "r"}
    line |= {"policy": "greedy@1", "user_id": user or f"u{number}", "now": CLOCK, "rung": "fresh", "asked": {"k": 2}}
    return line | {"items": shown, "numbers": {}, "lists": {"a": [1.0]}, "mirrored": False, "sample": 1.0} | more


def event(key: str, user: str, item: str, after: float, kind: str, **more: Any) -> dict[str, Any]:
    at = CLOCK + after
    return {"key": key, "user_id": user, "item_id": item, "event": kind, "timestamp": at, "created_at": at} | more


def logs(home: Path, answers: Sequence[Any], events: Sequence[Any]) -> None:
    closed(home / columns.REQUESTS_FOLDER, "2026-11-30.00000.parquet", [*answers])
    (home / columns.EVENTS_FOLDER).mkdir(parents=True, exist_ok=True)
    (home / columns.EVENTS_FOLDER / "2026-11-30.00000.jsonl").write_text("".join(json.dumps(x) + "\n" for x in events))


def figures(where: Installation, days: int = 28) -> dict[str, Tile]:
    found = kpis.tiles(where, days=days, now_s=NOW.timestamp())
    return {one.name: one for one in found.tiles}


def forty() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return forty people with two items each: ten look at one in time, of these five buy it for 10."""
    answers = [answer(n, "soup", "tea", degraded="ranking: slow" if n < 4 else None) for n in range(40)]
    views = [event(f"v{n}", f"u{n}", "soup", 30, "view") for n in range(10)]
    late = [event("v10", "u10", "soup", 7200, "view")]  # people have 60 s
    elsewhere = [event("v11", "u11", "ham", 30, "view")]  # was not shown
    return answers, [
        *views,
        *late,
        *elsewhere,
        *(event(f"p{n}", f"u{n}", "soup", 40, "purchase", value=10.0) for n in range(5)),
    ]


def test_figures_are_those_that_a_person_counts(tmp_path: Path) -> None:
    where = here(tmp_path)
    logs(where.home, *forty())
    found = figures(where)
    ctr, conversion, revenue, degraded = (found[name] for name in ("ctr", "conversion", "revenue", "degraded"))
    assert (ctr.value, ctr.n, ctr.users) == (10 / 80, 80, 40)
    assert (ctr.low, ctr.high) == pytest.approx((0.0680, 0.2184), abs=1e-4)  # Wilson's over 80 rows, t of 39 users
    assert (conversion.value, conversion.n, conversion.event) == (5 / 40, 40, "purchase")
    assert (conversion.low, conversion.high) == pytest.approx((0.0527, 0.2686), abs=1e-4)
    assert (revenue.value, revenue.n) == (50 / 80, 80)
    assert (revenue.low, revenue.high) == pytest.approx((0.0894, 1.1606), abs=1e-4)
    assert (degraded.value, degraded.n) == (4 / 40, 40)
    assert found["coverage"].why == "unlisted"  # the release is not in the state folder


def test_copies_impressions_and_what_lies_before_the_window_do_not_count(tmp_path: Path) -> None:
    where = here(tmp_path)
    answers, events = forty()
    copies = [answer(100 + n, "soup", "tea", user=f"u{n}", mirrored=True) for n in range(9)]
    old = [answer(200 + n, "soup", user=f"u{n}", at=NOW - dt.timedelta(days=9)) for n in range(7)]
    logs(where.home, [*answers, *copies, *old], events)
    assert figures(where, 7)["ctr"].n == 80
    assert figures(where, 28)["ctr"].n == 87
    assert kpis.tiles(where, days=7, now_s=NOW.timestamp()).kept_out == {"copies": 9}


def test_an_answer_that_stands_for_four_counts_four_times(tmp_path: Path) -> None:
    where = here(tmp_path)
    answers, events = forty()
    logs(where.home, [one | {"sample": 0.25 if n < 10 else 1.0} for n, one in enumerate(answers)], events)
    assert figures(where)["ctr"].value == pytest.approx(10 * 4 / (2 * (10 * 4 + 30)))


def test_what_is_not_known_says_why_and_never_zero(tmp_path: Path) -> None:
    where = here(tmp_path)
    assert {one.why for one in figures(where).values()} == {"none"}  # no log at all
    logs(where.home, [answer(n, "soup") for n in range(7)], [])
    assert {name: one.why for name, one in figures(where).items()} == {
        "ctr": "few",
        "conversion": "few",
        "revenue": "few",
        "coverage": "unlisted",
        "degraded": "few",
    }
    logs(where.home, [answer(n, "soup", at=NOW - dt.timedelta(seconds=5)) for n in range(30)], [])
    found = figures(where)
    assert (found["ctr"].why, found["conversion"].why, found["degraded"].why) == ("unripe", "unripe", "")
    logs(where.home, [answer(n, "soup") for n in range(30)], [event("p", "u1", "soup", 5, "purchase")])
    found = figures(where)
    assert found["revenue"].why == "unvalued"
    assert all(one.value is None for one in found.values() if one.why)
    nobody = figures(where)["degraded"]
    assert nobody.value == 0.0
    assert nobody.high == pytest.approx(0.1224, abs=1e-3)  # none of 30: it may be one in eight


def test_what_doors_shipped_is_counted_as_what_lies_here(tmp_path: Path) -> None:
    where = here(tmp_path)
    answers, events = forty()
    pod = tmp_path / "shipped" / "recommender-0a1b2c3d4e5f-7d9f8b6c5-aaaaa"
    closed(pod, "2026-11-30.00000.parquet", answers)
    with gzip.open(pod / "2026-11-30.00000.jsonl.gz", "wt") as stream:
        stream.write("".join(json.dumps(one) + "\n" for one in events))
    requests = where.environment.requests.model_copy(update={"url": str(tmp_path / "shipped")})
    away = replace(where, environment=where.environment.model_copy(update={"requests": requests}))
    found = figures(away)
    assert (found["ctr"].value, found["conversion"].value, found["revenue"].value) == (10 / 80, 5 / 40, 50 / 80)


def test_of_a_log_that_is_too_long_the_newest_count_and_the_page_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = here(tmp_path)
    old = [answer(n, "soup", at=NOW - dt.timedelta(days=3)) for n in range(500, 540)]
    logs(where.home, forty()[0], [])
    closed(where.home / columns.REQUESTS_FOLDER, "2026-11-27.00000.parquet", old)
    assert kpis.tiles(where, days=28, now_s=NOW.timestamp()).answers == 80
    monkeypatch.setattr(shown, "MOST", 40)
    found = kpis.tiles(where, days=28, now_s=NOW.timestamp())
    assert (found.answers, found.capped, found.first[:10]) == (40, True, "2026-11-30")
    assert "The log holds more: these are the newest." in words(page(Ports(kpis=watching.Kpis(found))))


def test_days_without_an_answer_are_gaps(tmp_path: Path) -> None:
    where = here(tmp_path)
    early = [answer(300 + n, "soup", at=NOW - dt.timedelta(days=2)) for n in range(10)]
    logs(where.home, [*early, *forty()[0]], [])
    assert [(one.at, one.value) for one in figures(where)["degraded"].days] == [
        ("2026-11-28", 0.0),
        ("2026-11-29", None),
        ("2026-11-30", 0.1),
    ]


def test_declared_rewards_have_tiles_of_their_own(tmp_path: Path) -> None:
    import yaml

    declared = {
        "rewards": [{"name": "looked", "event": ["view"], "within": "1h"}, {"name": "money", "amount": "value"}]
    }
    spec = tmp_path / "shop.yaml"
    spec.write_text(yaml.safe_dump(yaml.safe_load(SPEC.read_text()) | {"policy": declared}))
    where = place(spec, "local", variables={"INTENTFLOW_STATE": str(tmp_path / "state")})
    logs(where.home, *forty())
    found = figures(where)
    assert (found["looked"].value, found["looked"].unit, found["looked"].event) == (10 / 80, "share", "view")
    assert found["looked"].within_s == 3600
    assert found["money"].why == "unripe"  # a day is not over


def test_the_page_shows_figures_with_window_count_and_interval() -> None:
    text = words(page(Ports(kpis=watching.kpis(), links=watching.links())))
    assert "Answers that people saw: 41, from 2026-11-27 08:00 to 2026-11-30 09:00 (UTC)" in text
    assert "old enough to be judged: 40. Counted 2026-11-30 12:00." in text
    assert "Clicks an item shown (CTR) 12.5 % 95 % sure: 6.8 % to 21.8 % Items shown: 80; people: 40" in text
    assert "Revenue an item shown Too few people Fewer than 5 of them brought anything so far; people: 40." in text
    assert "Degraded answers Too few people People so far: 7; a figure needs 20." in text
    assert "Catalogue shown 40 %" in text
    assert "3 copies by the router were left out." in text


def test_the_page_says_what_serves_what_runs_and_what_needs_a_person() -> None:
    html = page(Ports(kpis=watching.kpis(), links=watching.links()))
    text = words(html)
    assert "Something is wrong with the data; nothing is trained on it : events.null.value . Look at Drift" in text
    assert "A version passed its gates and waits for your word : 3 . Look at Releases Run intentflow promote" in text
    assert "feast has ended http://127.0.0.1:8888" in text
    assert "Version 2 Release 1f0c2d3e4a5b" in text
    assert 'href="http://127.0.0.1:5000/#/models/shop-release/versions/2"' in html


def test_the_page_has_no_dead_links() -> None:
    bare = page(Ports(kpis=watching.kpis()))
    assert "The same in" not in bare
    assert 'href="http' not in bare
    open_app = application(Ports(kpis=watching.kpis(), links=watching.links()), _Everybody(), Settings("shop"))
    with TestClient(open_app, base_url="https://console.example") as client:
        html = client.get("/console").text
    assert "127.0.0.1:5000/" not in html  # another machine's loopback
    assert "https://kubeflow.example/#/runs/details/abc" in html


class _Everybody(Doorman):
    """Lets everybody in from anywhere, as a doorman with keys does whom it knows."""

    def __init__(self) -> None:
        super().__init__(None, session_s=60)

    open = False

    def require(self, visitor: Any) -> None:
        visitor.who = "key 1f0c, console"


def test_an_empty_shop_has_a_page_without_zeros_or_nan() -> None:
    none = Tiles(
        "",
        "",
        28,
        "",
        0,
        0,
        False,
        False,
        {},
        tuple(
            replace(one, value=None, low=None, high=None, n=0, users=0, why="none", days=())
            for one in watching.TILES.tiles
        ),
    )
    nothing = Standing("", "", "", "", "", "", "", "", "spec", "", (), ())
    text = words(page(Ports(kpis=watching.Kpis(none, nothing))))
    assert "No answer of /recommend was logged in this window" in text
    assert text.count("Nothing to count yet") == 5
    assert "Nothing serves yet." in text
    assert "Nothing waits for you." in text
    assert "nan" not in text.lower().split()
    assert not re.search(r"\b0 %", text)


def test_the_window_is_chosen_by_address() -> None:
    seven = page(Ports(kpis=watching.kpis()), "/console?days=7")
    assert re.search(r'days=7"[^>]*aria-current="true"', seven)
    wrong = page(Ports(kpis=watching.kpis()), "/console?days=1e9&lang=zh")
    assert "点击率（CTR）" in wrong
    assert re.search(r'days=28"[^>]*aria-current="true"', wrong)


def test_where_logs_stay_in_pods_the_figures_say_so_and_the_rest_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines import namespace

    where = here(tmp_path)
    monkeypatch.setattr(namespace, "watched", lambda _: "shop")

    class Pods(watching.Kpis):
        def tiles(self, days: int) -> Tiles:
            return kpis.tiles(where, days=days)

    text = words(page(Ports(kpis=Pods())))
    assert "figures: request logs stay with the doors' pods" in text
    assert "What serves Version 2" in text
    assert "CTR" not in text


def test_the_first_page_names_what_runs_what_did_not_start_and_what_to_try() -> None:
    html = page(Ports(kpis=watching.kpis(), links=watching.links()), "/console/start")
    text = words(html)
    assert '<a href="http://127.0.0.1:3000">http://127.0.0.1:3000</a>' in html
    assert "feast did not start: ended with code 1; no such module Its log: /state/up/feast.log" in text
    assert "intentflow up shop.yaml leaves alone what runs." in text
    assert "curl -s http://127.0.0.1:3000/recommend -d" in text
    assert "Write a rule and see what it would cost before you save it" in text
    assert 'aria-current="page">Start here' in html
    bare = replace(watching.START, service="", processes=(), tries=())
    text = words(page(Ports(kpis=watching.Kpis(began=bare)), "/console/start"))
    assert "Nothing was started here yet. intentflow up shop.yaml starts the service" in text
    assert "there is nothing to ask yet" in text


def test_lines_to_copy_ask_for_a_made_up_visitor_and_keep_to_the_contract(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shlex

    from pipelines.console import start
    from pipelines.releases import serving

    where = here(tmp_path)
    assert start.start(where).tries == ()  # nothing runs
    monkeypatch.setattr(serving, "running", lambda _: "http://127.0.0.1:3000")
    assert [one.what for one in start.start(where).tries] == ["recommend", "intents", "docs"]  # no release is here
    monkeypatch.setattr(start, "_item", lambda _: "it's")
    found = {one.what: shlex.split(one.command) for one in start.start(where).tries}
    assert list(found) == ["recommend", "events", "again", "intents", "docs"]
    assert found["recommend"][:3] == ["curl", "-s", "http://127.0.0.1:3000/recommend"]
    assert json.loads(found["events"][-1]) == {
        "events": [{"user_id": "first-visitor", "item_id": "it's", "event": "purchase"}]
    }
    keyed = where.environment.serving.model_copy(update={"auth": "keys"})
    object.__setattr__(where, "environment", where.environment.model_copy(update={"serving": keyed}))
    assert "X-API-Key: $INTENTFLOW_KEY" in start.start(where).tries[0].command


def test_the_page_has_words_for_every_reason_that_a_figure_may_have() -> None:
    from typing import get_args

    from bentos.console.ports import watch
    from bentos.console.words import home
    from monitoring.quality import kpis as figures_of

    reasons = [one for one in get_args(watch.Why) if one]
    assert get_args(watch.Why) == get_args(figures_of.Why)
    assert {f"why_{one}" for one in reasons} <= home.EN.keys()
    assert {f"why_{one}_about" for one in reasons if one != "none"} <= home.EN.keys()
    for why in reasons:
        tile = replace(watching.CTR, value=None, low=None, high=None, why=why)
        shown_as = words(page(Ports(kpis=watching.Kpis(replace(watching.TILES, tiles=(tile,))))))
        assert home.EN[f"why_{why}"] in shown_as
        assert "12.5 %" not in shown_as

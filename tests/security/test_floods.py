"""What one caller can change with a flood of events is bounded, counted by event, and said in metrics."""

import asyncio
import dataclasses
import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
import requests
from starlette.testclient import TestClient

from bentos import keys
from bentos.access import Access, Bounds
from bentos.http import client_address, event_bounds, limits
from bentos.http.callers import Caller, PageRights
from bentos.http.client_address import client_of, vouched
from bentos.http.event_bounds import EventBounds, ItemShares
from bentos.http.problems import OVERLOADED, TOO_LARGE, Rejected
from bentos.router import start
from bentos.router.headers import passed_on
from bentos.router.routes import Backend, Routes
from bentos.router.settings import Settings
from feature_repo.errors import SpecError
from pipelines.releases.processes import free_port
from tests.bentos.conftest import World
from tests.bentos.http.test_auth import opened_by
from tests.bentos.router.conftest import TOKEN, running
from tests.bentos.sockets import listening
from tests.bentos.test_service import redis_server

SHOP = "https://shop.example"
PAGE = Caller("key p", frozenset({"events"}), page=PageRights(frozenset({"view"}), frozenset({SHOP}), "100000/minute"))
SERVER = Caller("key s", frozenset({"events"}))


@dataclass(frozen=True)
class Sent:
    user_id: str
    item_id: str | None
    event: str = "view"


def user_of(name: str) -> Caller:
    return Caller(f"subject {name}", frozenset({"events"}), speaks_for=lambda user: user == name)


class Play:
    """Bounds with a clock that stands, and what they refused."""

    def __init__(self, **bounds: Any) -> None:
        self.now, self.refused = 1_000_000.0, {}  # type: float, dict[str, int]
        self.bounds = EventBounds(Bounds.model_validate(bounds), refused=self._note, clock=lambda: self.now)

    def _note(self, bound: str, events: int) -> None:
        self.refused[bound] = self.refused.get(bound, 0) + events

    def sends(self, who: Caller | None, *events: Sent, address: str = "10.0.0.1") -> str:
        try:
            asyncio.run(self.bounds.admit(who, address, events))
        except Rejected as refusal:
            waits = int(refusal.headers.get("Retry-After", "0")) > 0
            return refusal.problem.where if waits == (refusal.status == OVERLOADED) else "no time to come again"
        return ""


def many(count: int, *, user: str = "u", item: str = "i", same: bool = False) -> list[Sent]:
    return [Sent(f"{user}{0 if same else n}", f"{item}{n}") for n in range(count)]


def test_a_caller_s_events_count_and_not_its_requests() -> None:
    play = Play(caller="10/minute")
    assert play.sends(PAGE, *many(8)) == ""
    assert play.sends(PAGE, *many(8)) == "service"
    assert play.refused == {"caller": 8}
    assert play.sends(PAGE, *many(8), address="10.0.0.2") == "", "another address is another caller"
    play.now += 61
    assert play.sends(PAGE, *many(8)) == ""


def test_what_is_refused_uses_up_nothing() -> None:
    play = Play(caller="10/minute", user="")
    assert [play.sends(PAGE, *many(size)) for size in (11, 6, 5, 4, 1)] == ["service", "", "service", "", "service"]
    assert play.refused == {"caller": 17}


def test_more_than_a_window_holds_is_refused_for_good() -> None:
    play = Play(caller="10/minute", user="")
    with pytest.raises(Rejected) as refusal:
        asyncio.run(play.bounds.admit(PAGE, "10.0.0.1", many(11)))
    assert (refusal.value.status, refusal.value.headers) == (TOO_LARGE, {})
    assert refusal.value.problem.allowed == "at most 10 at once"


def test_a_user_s_events_are_bounded_whoever_sends_them_and_a_stranger_uses_up_none_of_the_user_s_own() -> None:
    play = Play(user="5/minute", caller="1000/minute")
    for address in ("10.0.0.1", "10.0.0.2"):
        play.sends(PAGE, *many(4, user="ann", same=True), address=address)
    assert play.refused == {"user": 4}
    ann = user_of("ann0")
    assert play.sends(ann, *many(5, user="ann", same=True)) == ""
    assert play.sends(SERVER, *many(50, user="ann", same=True)) == ""


def test_a_caller_has_a_bounded_share_of_an_item_s_events() -> None:
    play = Play(item_share=0.2, item_events=10)
    push = [Sent(f"u{n}", "mine") for n in range(10)]
    assert play.sends(PAGE, *push) == ""
    assert play.sends(PAGE, Sent("u", "other"), Sent("u", "mine")) == "events[1].item_id"
    assert play.refused == {"item_share": 2}
    assert play.sends(SERVER, *[Sent(f"s{n}", "mine") for n in range(45)]) == "", "others act on it as well"
    assert play.sends(PAGE, Sent("u", "mine")) == "", "11 of 56"
    assert play.sends(PAGE, Sent("u", "mine")) == "events[0].item_id", "12 of 57"
    play.now += 3600
    assert play.sends(PAGE, *push) == "", "an hour later"


def test_blanks_around_an_item_make_no_other_item_of_it() -> None:
    play = Play(item_share=0.1, item_events=3)
    blanks = [Sent(f"u{n}", " " * n + "mine") for n in range(4)]
    assert play.sends(PAGE, Sent("u", "other"), *blanks) == "events[1].item_id"
    assert play.sends(PAGE, *blanks[:3]) == ""
    assert play.sends(PAGE, Sent("u", "  mine ")) == "events[0].item_id"


def test_requests_at_once_have_one_share_of_an_item_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store for limits answers each later, and meanwhile the others are asked."""
    play = Play(item_events=20, caller="", user="")
    hit = play.bounds._limits.hit

    async def later(*given: Any, **more: Any) -> None:
        await asyncio.sleep(0)
        await hit(*given, **more)

    monkeypatch.setattr(play.bounds._limits, "hit", later)

    async def at_once() -> list[str]:
        pushes = [[Sent(f"u{n}", "mine") for n in range(20)] for _ in range(30)]
        found = await asyncio.gather(
            *(play.bounds.admit(PAGE, "10.0.0.1", push) for push in pushes), return_exceptions=True
        )
        return [one.problem.where if isinstance(one, Rejected) else "" for one in found]

    assert asyncio.run(at_once()) == [""] + ["events[0].item_id"] * 29


def test_two_names_of_one_item_are_one() -> None:
    play = Play(item_events=5)
    events = [Sent("u", name) for name in ("ann", "pseudonym-of-ann") * 3]
    with pytest.raises(Rejected):
        asyncio.run(play.bounds.admit(PAGE, "10.0.0.1", events, item_of=lambda item: "pseudonym-of-ann"))


def test_events_without_an_item_have_no_share() -> None:
    assert Play(item_events=1).sends(PAGE, *[Sent(f"u{n}", None) for n in range(50)]) == ""


def test_servers_are_bounded_where_the_environment_says_so_and_else_not() -> None:
    assert Play().sends(SERVER, *many(5000)) == ""
    assert Play().sends(None, *many(5000)) == ""
    play = Play(server="100/minute")
    assert [play.sends(SERVER, *many(60)), play.sends(SERVER, *many(60))] == ["", "service"]
    assert [play.sends(None, *many(60)), play.sends(None, *many(60))] == ["", "service"], "by address"
    assert play.refused == {"server": 120}


@pytest.mark.process
def test_doors_with_a_store_for_limits_count_together(tmp_path: Path) -> None:
    """Without one each counts by itself; the share of an item always does."""
    port = free_port(0)
    with redis_server(port):
        doors = [
            EventBounds(Bounds(caller="10/minute", user="6/minute"), store=f"redis://127.0.0.1:{port}/0") for _ in "ab"
        ]

        async def sends(events: list[list[Sent]]) -> list[str]:
            found = []
            for door, some in zip(doors * 2, events, strict=False):
                try:
                    await door.admit(PAGE, "10.0.0.1", some)
                    found.append("")
                except Rejected as refusal:
                    found.append(refusal.problem.allowed)
            return found

        assert asyncio.run(sends([many(6), many(6)])) == ["", "10 per 1 minute"]
        other = [[Sent("victim", f"x{n}") for n in range(4)]] * 2
        store = f"redis://127.0.0.1:{port}/1"
        doors[:] = [
            EventBounds(Bounds(caller="", user="6/minute"), store=store, hide=lambda user: f"hidden {len(user)}")
            for _ in "ab"
        ]
        assert asyncio.run(sends(other)) == ["", "6 per 1 minute"]
        with redis.Redis.from_url(store) as held:
            names = held.keys()
        assert any(b"hidden 6" in name for name in names)
        assert not any(b"victim" in name for name in names), "no raw id leaves the door"


def test_memory_is_bounded_whatever_callers_users_and_items_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CALLERS", 100)
    monkeypatch.setattr(event_bounds, "PAIRS", 100)
    shares = ItemShares(Bounds())
    for n in range(500):
        shares.count(f"caller {n}", [f"{n}" * 200])
    assert len(shares._mine._windows) == len(shares._total._windows) == 100
    assert max(map(len, shares._mine._windows)) < 30, "however long ids are"
    play = Play()
    for n in range(300):
        assert play.sends(PAGE, Sent(f"u{n}", f"i{n}"), address=f"10.0.{n // 250}.{n % 250}") == ""
    assert len(play.bounds._limits._here.storage._windows) == 100  # type: ignore[attr-defined]


@pytest.mark.parametrize("bounds", [{"user": "often"}, {"caller": "5/fortnight"}, {"item_share": 0}, {"item_share": 2}])
def test_a_bound_that_is_none_is_refused(bounds: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"no rate|greater than|less than"):
        Bounds.model_validate(bounds)


@pytest.fixture
def page(tmp_path: Path) -> tuple[TestClient, Any, dict[str, str], World]:
    """A door that counts its callers' events, and what a page sends with them."""
    world, file = World(tmp_path), tmp_path / "keys.json"
    made = keys.Page(events=("view",), origins=(SHOP,))
    key = keys.make(file, name="page", scopes=("events",), page=made)
    access = Access(auth="keys", keys_file=str(file), bounds=Bounds(user="4/minute", item_events=2))
    client, opened = opened_by(world, access)
    opened = dataclasses.replace(opened, bounds=EventBounds(access.bounds, refused=opened.metrics.beyond))
    client.app._state.opened = opened  # type: ignore[attr-defined]
    return client, opened, {"X-API-Key": key, "Origin": SHOP}, world


def test_a_flood_over_http_is_refused_whole_and_stores_nothing(
    page: tuple[TestClient, Any, dict[str, str], World],
) -> None:
    client, opened, headers, world = page
    flood = {"events": [{"user_id": "victim", "item_id": f"i{n % 5}", "event": "view"} for n in range(5)]}
    reply = client.post("/events", json=flood, headers=headers)
    assert (reply.status_code, "Retry-After" in reply.headers) == (413, False)
    assert reply.json()["allowed"] == "at most 4 at once"
    assert world.profiles.bought == {}
    assert opened.metrics.bounded.labels("user")._value.get() == 5
    some = {"events": flood["events"][:3]}
    assert client.post("/events", json=some, headers=headers).status_code == 200
    reply = client.post("/events", json=some, headers=headers)
    assert (reply.status_code, "Retry-After" in reply.headers) == (429, True)
    assert opened.metrics.bounded.labels("user")._value.get() == 8
    push = {"events": [{"user_id": f"u{n}", "item_id": "i1", "event": "view"} for n in range(3)]}
    reply = client.post("/events", json=push, headers=headers)
    assert (reply.status_code, reply.json()["where"]) == (429, "events[0].item_id")
    assert opened.metrics.bounded.labels("item_share")._value.get() == 3


def test_copies_by_the_router_are_not_bounded_twice(page: tuple[TestClient, Any, dict[str, str], World]) -> None:
    client, opened, _, _ = page
    client.app._state.opened = dataclasses.replace(opened, shadow_token="t" * 32)  # type: ignore[attr-defined]
    copy = {"events": [{"user_id": "ann", "item_id": "i1", "event": "buy", "event_id": f"e{n}"} for n in range(9)]}
    reply = client.post("/events", json=copy, headers={"X-IntentFlow-Shadow": "t" * 32})
    assert (reply.status_code, reply.json()["accepted"]) == (200, 9)


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.9", "", "203.0.113.9"),
        ("203.0.113.9", "1.2.3.4", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "1.2.3.4, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9, unknown", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("unknown", "1.2.3.4", "unknown"),
    ],
)
def test_a_client_begins_no_address_of_its_own(peer: str, forwarded: str, client: str) -> None:
    assert client_of(peer, forwarded, [ipaddress.ip_network("10.0.0.0/8")]) == client


def test_behind_a_router_visitors_are_told_apart_and_nobody_names_another(
    page: tuple[TestClient, Any, dict[str, str], World], tmp_path: Path
) -> None:
    """Behind a router all would else be one caller, whose share of every item is too large."""
    client, opened, headers, _ = page
    client.app._state.opened = dataclasses.replace(opened, shadow_token=TOKEN)  # type: ignore[attr-defined]
    (tmp_path / "router").mkdir()

    async def scene(url: str) -> list[int]:
        async with running(tmp_path / "router") as place:
            start.write(
                place.router.settings.routes,
                Routes(rollout="r2", mode="stable", stable=Backend(release="aaa", url=url)),
            )
            place.router.file.check()

            async def sends(visitor: str, **more: str) -> int:
                event = {"user_id": f"of {visitor}", "item_id": "i1", "event": "view"}
                forged = {"X-IntentFlow-Client": f"9.9.9.9 {'0' * 32}"}
                status, _, _ = await place.post(
                    "/events", {"events": [event]}, **headers, **forged, **{"X-Forwarded-For": visitor}, **more
                )
                return int(status)

            return [await sends(visitor) for visitor in ["1.1.1.1"] * 3 + ["2.2.2.2"] * 3]

    with listening(client.app) as place:
        assert asyncio.run(scene(place.url)) == [200, 200, 429, 200, 200, 429]
        client_address._mark.cache_clear()
        long = {"X-IntentFlow-Client": "9" * 12_000 + f" {'0' * 32}"}
        requests.post(f"{place.url}/events", json={}, headers=headers | long, timeout=30)
        assert client_address._mark.cache_info().currsize == 0, "nothing of a stranger's stays"
        forged = {"X-IntentFlow-Client": vouched("3.3.3.3", "another token")}
        event = {"events": [{"user_id": "u", "item_id": "i1", "event": "view"}]}
        codes = [requests.post(f"{place.url}/events", json=event, headers=headers | forged, timeout=30) for _ in "abc"]
        assert [reply.status_code for reply in codes] == [200, 200, 429], "as who it is: from this machine"


def test_a_client_s_own_header_line_before_the_proxy_s_names_nobody(tmp_path: Path) -> None:
    """A proxy may add a line of its own below the client's: the lines are one list."""

    async def scene() -> str | None:
        async with running(tmp_path) as place:
            place.route()
            lines = [("X-Forwarded-For", "9.9.9.9"), ("X-Forwarded-For", "203.0.113.9"), ("Accept", "*/*")]
            async with place.client.post(f"{place.url}/events", json={}, headers=lines):
                return client_address.named_by(place.stable.asked[-1][2]["X-IntentFlow-Client"], TOKEN)

    assert asyncio.run(scene()) == "203.0.113.9"


@pytest.mark.parametrize("networks", ["*", "10.0.0.1/8", "here"])
def test_proxies_that_are_none_are_one_line(networks: str) -> None:
    given = {"INTENTFLOW_ROUTES": "/routes.json", "INTENTFLOW_SHADOW_TOKEN": TOKEN, "FORWARDED_ALLOW_IPS": networks}
    with pytest.raises(SpecError, match="names no networks"):
        Settings.read(given)
    right = Settings.read(given | {"FORWARDED_ALLOW_IPS": "10.0.0.0/8, ::1"})
    assert [str(one) for one in right.trusted] == ["10.0.0.0/8", "::1/128"]


def test_addresses_that_are_none_are_one_caller(page: tuple[TestClient, Any, dict[str, str], World]) -> None:
    """The review kept 94 MB of 6,000 made-up addresses, each with a limit of its own."""
    client, opened, _, _ = page
    guard = client.app
    opened = dataclasses.replace(opened, check=None, limits=limits.Limits({"recommend": "5/minute"}))
    guard._state.opened = opened  # type: ignore[attr-defined]
    codes = []
    for n in range(8):
        stranger = TestClient(guard, client=(f"{n}" * 9000, 1))
        codes.append(stranger.post("/recommend", json={"user_id": "ann"}).status_code)
    assert codes == [200] * 5 + [429] * 3
    assert max(len(key) for key in opened.limits._here.storage._windows) < 100  # type: ignore[attr-defined]


def test_a_client_s_own_word_of_its_address_reaches_no_door() -> None:
    given = [(b"x-intentflow-client", b"9.9.9.9 mark"), (b"accept", b"*/*")]
    assert b"9.9.9.9" not in passed_on(given, request_id="r", peer="10.0.0.1")

"""Who is let in and until when, without HTTP: a check of one key, and a clock that a test moves."""

from dataclasses import dataclass

import pytest

from bentos.console import doorman as doormen
from bentos.console.doorman import Doorman, Visitor
from bentos.http.callers import Caller, PageRights
from bentos.http.problems import Rejected, refused

OWNER = Caller("key 1f0c", frozenset({"admin"}))
PAGE = PageRights(frozenset(), frozenset(), "")


@dataclass
class OneKey:
    """Knows the key `good`, or answers with what a test puts in its place."""

    caller_of_good: Caller = OWNER
    refusal: Rejected | None = None
    blocks: bool = False
    origins: frozenset[str] = frozenset()

    def caller(self, credential: str) -> Caller:
        """Return whose key it is."""
        if self.refusal is not None:
            raise self.refusal
        if credential != "good":
            raise refused("authorization", "no such key", "a key", status=401)
        return self.caller_of_good


@pytest.fixture
def now() -> list[float]:
    return [1000.0]


@pytest.fixture
def check() -> OneKey:
    return OneKey()


@pytest.fixture
def doorman(check: OneKey, now: list[float]) -> Doorman:
    return Doorman(check, session_s=60.0, clock=lambda: now[0])


def said(doorman: Doorman, visitor: Visitor) -> tuple[int, str]:
    with pytest.raises(Rejected) as found:
        doorman.require(visitor)
    return found.value.status, str(found.value)


def test_a_session_lasts_its_time_and_its_end_is_told_once(doorman: Doorman, now: list[float]) -> None:
    visitor = doorman.sign_in("good")
    assert (visitor.who, visitor.ends) == ("key 1f0c, console", 1060.0)
    assert doorman.visitor(visitor.token) is visitor
    now[0] = 1059.9
    doorman.require(visitor)
    now[0] = 1060.0
    assert said(doorman, visitor) == (401, "session: it has ended; allowed: signing in again")
    assert doorman.visitor(visitor.token) is None


def test_who_has_not_signed_in_is_told_so(doorman: Doorman) -> None:
    stranger = doorman.welcome()
    assert stranger.who == ""
    assert said(doorman, stranger) == (401, "session: nobody has signed in; allowed: a key")
    assert doorman.visitor(stranger.token) is stranger


@pytest.mark.parametrize(("status", "stays"), [(401, False), (403, False), (499, False), (500, True), (503, True)])
def test_a_key_that_is_refused_ends_the_session_and_a_file_that_is_away_does_not(
    doorman: Doorman, check: OneKey, status: int, stays: bool
) -> None:
    visitor = doorman.sign_in("good")
    check.refusal = refused("authorization", "gone", "another", status=status)
    assert said(doorman, visitor)[0] == status
    assert (doorman.visitor(visitor.token) is visitor) == stays


@pytest.mark.parametrize(
    ("caller", "told"),
    [
        (Caller("k", frozenset({"recommend"})), "authorization: admin is not among its scopes"),
        (Caller("k", frozenset({"admin"}), page=PAGE), "authorization: a page's key sends events alone"),
        (
            Caller("k", frozenset({"admin"}), speaks_for=lambda _: True),
            "authorization: the key speaks for one user or page; allowed: a server's key",
        ),
    ],
)
def test_only_a_server_s_admin_key_signs_in(doorman: Doorman, check: OneKey, caller: Caller, told: str) -> None:
    check.caller_of_good = caller
    with pytest.raises(Rejected) as found:
        doorman.sign_in("good")
    assert (found.value.status, str(found.value).startswith(told)) == (403, True)
    assert found.value.problem.where == "authorization"


def test_as_many_sessions_and_strangers_are_known_as_said_and_the_longest_silent_go(
    doorman: Doorman, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doormen, "VISITORS", 2)
    first, second = doorman.sign_in("good"), doorman.sign_in("good")
    strangers = [doorman.welcome() for _ in range(3)]
    assert [doorman.visitor(one.token) for one in (first, second)] == [first, second]
    assert [doorman.visitor(one.token) is one for one in strangers] == [False, True, True]
    doorman.visitor(first.token)  # is silent no longer
    third = doorman.sign_in("good")
    assert [doorman.visitor(one.token) is one for one in (first, second, third)] == [True, False, True]


def test_where_nobody_signs_in_a_session_ends_at_its_time(now: list[float]) -> None:
    doorman = Doorman(None, session_s=60.0, clock=lambda: now[0])
    assert doorman.open
    visitor = doorman.welcome()
    assert visitor.who == "console"
    doorman.require(visitor)
    now[0] = 1059.9
    assert doorman.visitor(visitor.token) is visitor
    now[0] = 1060.0
    assert doorman.visitor(visitor.token) is None
    now[0] = 0.0
    assert doorman.visitor(visitor.token) is None


def test_an_ended_session_is_known_for_an_hour_so_that_its_visitor_is_told(doorman: Doorman, now: list[float]) -> None:
    visitor = doorman.sign_in("good")
    now[0] = 1060.0 + 3599.9
    doorman.welcome()
    assert doorman.visitor(visitor.token) is visitor
    now[0] = 1060.0 + 3600.0
    doorman.welcome()
    assert doorman.visitor(visitor.token) is None


def test_tokens_of_forms_are_a_visitor_s_own_and_a_process_s_own(doorman: Doorman, check: OneKey) -> None:
    one, other = doorman.welcome(), doorman.welcome()
    assert len(one.token) >= 43  # 256 bits
    assert doorman.own(one, doorman.csrf(one))
    assert not doorman.own(other, doorman.csrf(one))
    assert not doorman.own(one, "")
    assert Doorman(check, session_s=60.0).csrf(one) != doorman.csrf(one)


def test_a_visitor_remembers_so_many_people_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doormen, "KNOWN", 2)
    visitor = Visitor("t")
    for name in ("a", "b", "a", "c"):
        visitor.remember(name, f"raw {name}")
        visitor.keep(name, name.upper())
    assert [visitor.raw_id(name) for name in "abc"] == ["raw a", None, "raw c"]
    assert [visitor.kept(name) for name in "abc"] == ["A", None, "C"]

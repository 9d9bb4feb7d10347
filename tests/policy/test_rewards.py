"""Which event rewards which answer, on a handful of lines."""

import datetime as dt
from typing import Any

import pytest

from components.policy.rewards import Bots, Found, Kpi, attributed, require_carried
from feature_repo.errors import DataError

WALL = dt.datetime(2026, 11, 30, tzinfo=dt.UTC)
NOW = WALL.timestamp() + 100 * 86_400
CLOCK = 1_000_000  # the data's
MINUTE, HOUR, DAY = 60, 3600, 86_400
BUY = Kpi("buy", within_s=HOUR, events=frozenset({"purchase"}))


def answer(request: str, user: str, *items: str, after: float = 0, **more: Any) -> dict[str, Any]:
    line = {"request_id": request, "user_id": user, "endpoint": "recommend", "now": CLOCK + after}
    line["items"] = [{"item_id": item, "position": n, "propensity": 1.0} for n, item in enumerate(items, 1)]
    return line | {"logged_at": (WALL + dt.timedelta(seconds=after)).isoformat()} | more


def event(user: str, item: str, *, after: float, kind: str = "purchase", **more: Any) -> dict[str, Any]:
    at = CLOCK + after
    return {"user_id": user, "item_id": item, "event": kind, "timestamp": at, "created_at": at} | more


def rewards(answers: list[Any], events: list[Any], kpi: Kpi = BUY, **how: Any) -> dict[str, list[float | None]]:
    found = attributed(answers, events, [kpi], **({"now_s": NOW} | how))
    return {one.answer["request_id"]: one.rewards[kpi.name] for one in found}


def test_an_event_rewards_the_place_that_showed_its_item_in_time() -> None:
    answers = [answer("a", "ana", "soup", "bread"), answer("b", "bo", "soup")]
    events = [
        event("ana", "bread", after=10),
        event("ana", "tea", after=10),
        event("ana", "soup", after=10, kind="view"),
        event("bo", "soup", after=HOUR + 1),
    ]
    assert rewards(answers, events) == {"a": [0, 1], "b": [0]}
    assert rewards(answers, [event("bo", "soup", after=HOUR)])["b"] == [1]
    assert rewards(answers, [event("bo", "soup", after=-1)])["b"] == [0]  # before it was shown


def test_of_several_answers_the_last_the_first_the_named_or_every_one_counts() -> None:
    answers = [answer("a", "ana", "soup"), answer("b", "ana", "soup", after=60), answer("c", "ana", "soup", after=600)]
    bought = [event("ana", "soup", after=120)]
    for credit, want in (("last", "010"), ("first", "100"), ("every", "110")):
        kpi = Kpi("buy", within_s=HOUR, credit=credit)  # type: ignore[arg-type]
        assert rewards(answers, bought, kpi) == {name: [float(n)] for name, n in zip("abc", want, strict=True)}
    named = [event("ana", "soup", after=120, request_id="a")]
    assert rewards(answers, named) == {"a": [1], "b": [0], "c": [0]}
    unknown = [event("ana", "soup", after=120, request_id="of another door")]
    assert rewards(answers, unknown) == {"a": [0], "b": [1], "c": [0]}


def test_a_delivery_under_another_key_of_pseudonyms_is_the_same_event() -> None:
    """Its key is made with that of the pseudonyms, so only what was done when tells."""
    answers = [answer("a", "ana", "soup")]
    first = event("ana", "soup", after=10, key="k1", hashed_under="old")
    again = first | {"key": "k2", "hashed_under": "new"}
    count = Kpi("times", within_s=HOUR, amount="count")
    found = Found()
    assert rewards(answers, [first, again, first], count, found=found) == {"a": [1]}
    assert found.kept_out == {"events twice": 2}
    changes: list[dict[str, Any]] = [{"timestamp": CLOCK + 11}, {"event": "view"}, {"user_id": "bo"}]
    other = [again | change | {"key": f"k{n}"} for n, change in enumerate(changes, 3)]
    assert rewards(answers, [first, *other], count) == {"a": [3]}
    twice = [first, first | {"key": "k2"}]
    assert rewards(answers, twice, count) == {"a": [2]}, "under one key, keys tell"
    assert rewards(answers, [one | {"hashed_under": None} for one in twice], count) == {"a": [2]}


def test_amounts_are_summed_and_whether_is_counted_once() -> None:
    answers = [answer("a", "ana", "soup")]
    events = [event("ana", "soup", after=n, value=v) for n, v in ((1, 2.5), (2, 4.0), (3, None))]
    assert rewards(answers, events) == {"a": [1]}
    assert rewards(answers, events, Kpi("money", within_s=HOUR, amount="value")) == {"a": [6.5]}
    assert rewards(answers, events, Kpi("times", within_s=HOUR, amount="count")) == {"a": [3]}
    assert rewards(answers, events, Kpi("hidden", within_s=HOUR, weight=-2.0)) == {"a": [-2]}


def test_positions_and_delay_bound_what_counts() -> None:
    answers = [answer("a", "ana", "soup", "bread")]
    events = [event("ana", "soup", after=5 * MINUTE), event("ana", "bread", after=40 * MINUTE)]
    assert rewards(answers, events, Kpi("first", within_s=HOUR, positions=1)) == {"a": [1, 0]}
    assert rewards(answers, events, Kpi("later", within_s=HOUR, after_s=10 * MINUTE)) == {"a": [0, 1]}


def test_a_user_returns_by_an_event_or_another_request_but_not_in_the_same_visit() -> None:
    back = Kpi("back", within_s=7 * DAY, after_s=DAY, returns=True)
    answers = [answer("a", "ana", "soup", "tea"), answer("b", "bo", "soup"), answer("c", "cy", "soup")]
    events = [event("ana", "bread", after=2 * DAY), event("bo", "soup", after=HOUR), event("cy", "tea", after=8 * DAY)]
    assert rewards(answers, events, back) == {"a": [1, 1], "b": [0], "c": [0]}
    again = [*answers, answer("d", "bo", "soup", after=3 * DAY)]
    assert rewards(again, events, back)["b"] == [1]
    bought = Kpi("bought", within_s=7 * DAY, after_s=DAY, returns=True, events=frozenset({"purchase"}))
    assert rewards(again, [event("bo", "soup", after=3 * DAY, kind="view")], bought)["b"] == [0]


def test_a_reward_is_open_until_its_time_is_over_by_the_wall_clock() -> None:
    answers = [answer("a", "ana", "soup")]
    bought = [event("ana", "soup", after=1)]
    early = WALL.timestamp() + HOUR - 1
    assert rewards(answers, bought, now_s=early) == {"a": [None]}
    assert rewards(answers, bought, now_s=early + 1) == {"a": [1]}


def test_what_comes_late_counts_and_is_told() -> None:
    found = Found()
    late = event("ana", "soup", after=10) | {"created_at": CLOCK + 5 * DAY}
    assert rewards([answer("a", "ana", "soup")], [late], found=found) == {"a": [1]}
    assert (found.late, found.rewarded, found.ripe) == (1, 1, 1)


def test_what_is_there_twice_or_from_the_future_or_a_copy_is_kept_out() -> None:
    found = Found()
    answers = [
        answer("a", "ana", "soup"),
        answer("a", "ana", "soup"),  # the caller asked again
        answer("b", "ana", "soup", mirrored=True),
        answer("c", "ana", "soup", endpoint="explain"),
    ]
    events = [
        event("ana", "soup", after=1, key="k1"),
        event("ana", "soup", after=1, key="k1"),  # another door logged it too
        event("ana", "soup", after=900, key="k2") | {"created_at": CLOCK},  # its clock is ahead of ours
        {"folded": ["k1"]},
    ]
    times = Kpi("times", within_s=HOUR, amount="count")
    assert rewards(answers, events, times, found=found) == {"a": [1]}
    assert dict(found.kept_out) == {"answers twice": 1, "copies": 1, "events twice": 1, "events from the future": 1}


def test_users_who_do_more_in_a_day_than_people_are_left_out_whole() -> None:
    found = Found()
    crawler = [answer(f"r{n}", "bot", "soup", after=n) for n in range(5)]
    busy = [event("ana2", "soup", after=n) for n in range(5)]
    answers = [*crawler, answer("a", "ana", "soup"), answer("z", "ana2", "soup")]
    events = [event("bot", "soup", after=9), event("ana", "soup", after=9), *busy]
    got = rewards(answers, events, bots=Bots(answers_a_day=4, events_a_day=4), found=found)
    assert got == {"a": [1]}
    assert found.kept_out == {"users who are bots": 2, "answers of bots": 6, "events of bots": 6}
    assert len(rewards(answers, events, bots=Bots(5, 5))) == 7


def test_a_kpi_that_no_event_carries_is_refused_once_there_are_events() -> None:
    found = Found()
    follow = Kpi("follow", within_s=HOUR, events=frozenset({"follow"}))
    attributed([], [], [follow], now_s=NOW, found=found)
    require_carried([follow], found)  # nothing was logged yet
    attributed([], [event("ana", "soup", after=1)], [BUY, follow], now_s=NOW, found=found)
    with pytest.raises(
        DataError, match=r"policy.rewards\[1\].event: no event of the log is of kind follow; have purcha"
    ):
        require_carried([BUY, follow], found)

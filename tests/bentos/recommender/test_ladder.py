"""The ladder: fresh, stale, segment, popular. Whatever fails, an answer comes and says what it rests on."""

import itertools
from typing import Any

import numpy as np
import pytest

from bentos.endpoints.explain import ExplainRequest
from bentos.endpoints.intents import IntentsRequest
from bentos.endpoints.rank import RankRequest
from bentos.endpoints.recommend import RecommendRequest
from bentos.http.breaker import Breaker
from bentos.recommender.logs import requestlog
from feature_repo.errors import StoreAway
from tests.bentos.conftest import asked

TTL, USED = 120, 360  # days: the spec's ttl_days, and three times it


def broken(*_: object, **__: object) -> Any:
    raise RuntimeError("weights of another shape")


@pytest.mark.parametrize(
    ("days_ago", "segment", "rung"),
    [
        (0, 0, "fresh"),
        (TTL, 0, "fresh"),
        (TTL + 0.1, 0, "stale"),
        (USED, 0, "stale"),
        (USED + 0.1, 0, "segment"),
        (USED + 0.1, -1, "popular"),  # its segment is not known
        (USED + 0.1, 7, "popular"),  # its segment is none of this release's
    ],
)
def test_the_rung_follows_the_age_of_the_profile(world: Any, days_ago: float, segment: int, rung: str) -> None:
    world.knows("ann", 4, days_ago=days_ago, segment=segment)
    answer = asked(world.door(), RecommendRequest(user_id="ann", k=2))
    assert (answer.profile.rung, answer.profile.degraded, answer.profile.reason) == (rung, False, None)
    first = {"fresh": "i4", "stale": "i4", "segment": "i3", "popular": "i0"}
    assert answer.items[0].item_id == first[rung]
    assert answer.profile.segment == ("soup, bread" if segment == 0 else None)
    assert answer.profile.age_days == pytest.approx(days_ago, abs=1e-3)


def test_a_segments_items_come_first_then_everyones_then_the_rest(world: Any) -> None:
    world.knows("ann", 4, days_ago=400, segment=0)
    items = asked(world.door(), RecommendRequest(user_id="ann", k=50)).items
    assert [(i.item_id, i.source, i.score) for i in items] == [
        ("i3", "segment", 0.5),
        ("i2", "segment", 0.4),
        ("i0", "segment", 0.1),
        ("i1", "popular", 0.1),  # .3 of everyone, but never above what stands before it
        ("i4", "popular", 0.1),
        ("i5", "popular", 0.0),
    ]
    assert items[0].reasons == {"segment_share": 0.5, "popular_share": 0.2}


def test_a_segments_intents_are_its_rates(world: Any) -> None:
    world.knows("ann", 4, days_ago=400, segment=0)
    answer = asked(world.door(), IntentsRequest(user_id="ann"))
    assert [round(i.probability, 6) for i in answer.intents] == [0.1, 0.6, 0.5]


def test_without_the_store_everyone_gets_what_is_popular(world: Any) -> None:
    world.knows("ann", 4, segment=0)
    door, world.profiles.down = world.door(), True
    answer = asked(door, RecommendRequest(user_id="ann"))
    assert [i.item_id for i in answer.items] == ["i0", "i1", "i2"]
    assert [(i.name, round(i.probability, 6)) for i in answer.intents] == [
        ("visit", 0.4),
        ("buy:FRUIT", 0.3),
        ("buy:SOUP", 0.2),
    ]
    assert answer.profile.model_dump() == {
        "rung": "popular",
        "state_at": None,
        "age_days": None,
        "segment": None,
        "degraded": True,
        "reason": "store_away",
    }


@pytest.mark.parametrize("part", ["scorer", "ranker"])
def test_a_model_that_fails_leaves_the_answer_to_the_segment(
    world: Any, part: str, caplog: pytest.LogCaptureFixture
) -> None:
    world.knows("ann", 4, segment=0)
    for method in ("predict",) if part == "scorer" else ("recommend", "score"):
        setattr(getattr(world, part), method, broken)
    door = world.door()
    answer = asked(door, RecommendRequest(user_id="ann"))
    assert (answer.profile.rung, answer.profile.reason) == ("segment", "models_failed")
    assert [i.item_id for i in answer.items] == ["i3", "i2", "i0"]
    assert [i.name for i in answer.intents] == ["buy:SOUP", "visit", "buy:FRUIT"], "of the segment, like the items"
    scores = asked(door, RankRequest(user_id="ann", item_ids=["i2", "i1", "i5"])).scores
    assert [s.score for s in scores] == [0.4, 0.3, 0.0], "the segment's share, or everyone's where it is not listed"
    assert "weights of another shape" in caplog.text, "the log has the traceback"


@pytest.mark.parametrize("spoilt", [np.nan, np.inf])
def test_a_profile_that_holds_no_number_leaves_the_answer_to_the_segment(
    world: Any, spoilt: float, caplog: pytest.LogCaptureFixture
) -> None:
    world.knows("ann", 4, segment=0)
    read = world.profiles.read

    def spoil(users: Any, *, now: int) -> Any:
        rows = read(users, now=now)
        rows.numbers["events_total"] = np.full(len(rows), spoilt)
        return rows

    world.profiles.read = spoil
    door = world.door()
    answer = asked(door, RecommendRequest(user_id="ann"))
    assert (answer.profile.rung, answer.profile.degraded, answer.profile.reason) == ("segment", True, "models_failed")
    assert np.isfinite([i.score for i in answer.items] + [i.probability for i in answer.intents]).all()
    explained = asked(door, ExplainRequest(user_id="ann", item_id="i4"))
    assert "events_total" not in {f.name for f in explained.features}, "JSON has no such number"
    assert "1 of 3 values are no numbers" in caplog.text


def test_a_ranker_whose_weights_hold_no_number_leaves_the_answer_to_the_segment(world: Any) -> None:
    world.knows("ann", 4, segment=0)
    score, recommend = world.ranker.score, world.ranker.recommend
    world.ranker.score = lambda *given: score(*given) * np.nan

    def recommend_nothing(*given: Any, **named: Any) -> Any:
        items = recommend(*given, **named)
        items[-1].score = np.nan
        return items

    world.ranker.recommend = recommend_nothing
    door = world.door()
    answer = asked(door, RecommendRequest(user_id="ann"))
    assert (answer.profile.rung, answer.profile.reason) == ("segment", "models_failed")
    ranked = asked(door, RankRequest(user_id="ann", item_ids=["i2", "i1"]))
    assert (ranked.profile.reason, [s.score for s in ranked.scores]) == ("models_failed", [0.4, 0.3])


def test_an_explanation_of_a_segments_item_says_so(world: Any) -> None:
    world.knows("ann", 2, days_ago=400, segment=0)
    answer = asked(world.door(), ExplainRequest(user_id="ann", item_id="i2"))
    assert (answer.source, answer.position, answer.score) == ("segment", 2, 0.4)
    values = {f.name: f.value for f in answer.features}
    assert values["segment_share"] == 0.4
    assert values["item: history_weeks"] == 1.0, "what is known of the user is still shown"


@pytest.mark.parametrize("down", [(), ("store",), ("scorer",), ("ranker",), ("scorer", "ranker"), ("store", "ranker")])
@pytest.mark.parametrize(("days_ago", "segment"), [(1, 0), (1, -1), (200, 0), (400, 0), (None, -1)])
def test_an_answer_always_has_k_items_or_the_whole_catalogue(
    world: Any, down: tuple[str, ...], days_ago: float | None, segment: int
) -> None:
    if days_ago is not None:
        world.knows("ann", 4, 1, days_ago=days_ago, segment=segment)
    world.profiles.down = "store" in down
    if "scorer" in down:
        world.scorer.predict = broken
    if "ranker" in down:
        world.ranker.recommend = world.ranker.score = broken
    door = world.door()
    for k, exclude in itertools.product(
        (1, 3, 6, 50), ([], ["i0"], ["i3", "i2", "nothing"], [f"i{n}" for n in range(6)])
    ):
        answer = asked(door, RecommendRequest(user_id="ann", k=k, exclude=exclude))
        items = [i.item_id for i in answer.items]
        left = 6 - len({*exclude} - {"nothing"})
        assert len(items) == len({*items}) == min(k, left)
        assert not {*items} & {*exclude}
        assert {i.propensity for i in answer.items} <= {1.0}
        scores = [i.score for i in answer.items]
        assert scores == sorted(scores, reverse=True)
        assert all(0 <= i.probability <= 1 for i in answer.intents)
    assert len(asked(door, IntentsRequest(user_id="ann")).intents) == 3
    assert len(asked(door, RankRequest(user_id="ann", item_ids=["i5", "i0"])).scores) == 2
    assert asked(door, ExplainRequest(user_id="ann", item_id="i5")).title == "i5"


def test_the_log_says_the_rung_and_what_failed(world: Any) -> None:
    world.knows("ann", 4, segment=0)
    door, world.profiles.down = world.door(), True
    asked(door, RecommendRequest(user_id="ann"))
    world.profiles.down = False
    asked(door, RecommendRequest(user_id="ann"))
    door.close()
    lines = list(requestlog.read(world.folder / "requests"))
    assert [(line["rung"], line["degraded"], line["known"]) for line in lines] == [
        ("popular", "store_away", False),
        ("fresh", None, True),
    ]
    assert lines[0]["user_id"] == world.hidden("ann")
    assert np.allclose(lines[0]["probabilities"], [0.3, 0.2, 0.4])


def test_a_store_that_is_away_is_soon_not_waited_for(world: Any) -> None:
    world.knows("ann", 4)
    door, world.profiles.down = world.door(), True
    for _ in range(10):
        assert asked(door, RecommendRequest(user_id="ann")).profile.reason == "store_away"
    assert world.profiles.reads == 3


def test_a_service_starts_while_the_store_is_away(world: Any) -> None:
    door, world.profiles.down = world.door(), True
    door.warm_up()
    assert asked(door, RecommendRequest(user_id="ann")).profile.rung == "popular"


class Store:
    """Counts its calls."""

    calls, away = 0, True

    def ask(self) -> int:
        self.calls += 1
        if self.away:
            raise StoreAway("away")
        return self.calls


def test_a_breaker_lets_one_call_try_after_its_rest() -> None:
    store, time = Store(), [0.0]
    breaker = Breaker(failures=2, rest_s=5, clock=lambda: time[0])

    def asked(times: int) -> int:
        before = store.calls
        for _ in range(times):
            with pytest.raises(StoreAway):
                breaker.call(store.ask)
        return store.calls - before

    assert asked(4) == 2
    time[0] = 4.9
    assert asked(3) == 0
    time[0] = 5.1
    assert asked(3) == 1, "one tries, and fails: the store rests again"
    time[0], store.away = 10.2, False
    assert breaker.call(store.ask) == breaker.call(store.ask) - 1
    store.away = True
    assert asked(2) == 2, "a success closes it: a failure counts anew"


def test_a_fault_that_is_no_outage_is_no_reason_to_stop_asking() -> None:
    breaker = Breaker(failures=1)
    for _ in range(3):
        with pytest.raises(KeyError):
            breaker.call(lambda: {}["a fault of ours"])

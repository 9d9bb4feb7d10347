"""What counts as a user's outcome, on a handful of lines."""

import datetime as dt
from typing import Any

import pytest

from components.registry.experiment_spec import Kpi
from feature_repo.errors import DataError
from pipelines.rollout.outcomes import Outcomes, joined

WALL = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
BEGAN, CLOCK, HOUR = WALL.timestamp(), 1_000_000, 3600
ARMS = {"aaa": "old", "bbb": "new"}


def answer(user: str, *, after: float = 0, release: str = "aaa", visits: float = 0.0, **more: Any) -> dict[str, Any]:
    at = (WALL + dt.timedelta(seconds=after)).isoformat()
    line = {"release": release, "endpoint": "recommend", "user_id": user, "logged_at": at, "now": CLOCK + after}
    return line | {"numbers": {"sessions_slow": visits}} | more


def event(
    user: str, *, after: float, kind: str = "purchase", value: float | None = 2.0, key: str = ""
) -> dict[str, Any]:
    key = key or f"{user}-{after}-{kind}"
    return {"user_id": user, "item_id": "soup", "event": kind, "timestamp": CLOCK + after, "value": value, "key": key}


def found(
    answers: list[dict[str, Any]], events: list[dict[str, Any]], *, until: float = 2 * HOUR, **kpi: Any
) -> Outcomes:
    asked = Kpi(event="purchase", within_hours=1, **kpi)
    return joined(answers, events, ARMS, asked, ("sessions_slow",), since_s=BEGAN, until_s=BEGAN + until)


def test_a_user_counts_once_in_the_arm_of_the_first_answer_with_what_followed_in_time() -> None:
    answers = [
        answer("ana", after=10, visits=3), answer("ana", after=20, visits=9),  # bought: once, the first row's visits
        answer("bo", after=5, release="bbb"),  # bought before the answer
        answer("cy", after=0, release="bbb"),  # bought after the hour
        answer("di", after=3600, release="bbb"),  # the last whose hour has passed
        answer("ed", after=3601),  # may still buy
        answer("fy", after=-5),  # before the experiment
        answer("gus", mirrored=True), answer("hal", endpoint="intents"), answer("ida", release="ccc"), answer(""),
    ]  # fmt: skip
    events = [
        event("ana", after=30), event("ana", after=40), event("bo", after=4), event("cy", after=HOUR),
        event("di", after=3700), event("ana", after=50, kind="view"), event("fy", after=1), {"folded": ["x"]},
    ]  # fmt: skip
    seen = found(answers, events)
    old, new = seen.arms["old"], seen.arms["new"]
    assert (old.users, old.kpi.tolist(), old.covariates.tolist()) == (2, [1.0], [[3.0]])
    assert (new.users, new.kpi.tolist()) == (3, [0.0, 0.0, 1.0])
    assert (seen.crossed, seen.events, seen.valued) == (0, 6, 6)


@pytest.mark.parametrize(
    ("kpi", "expected"),
    [({}, 1.0), ({"measure": "count"}, 3.0), ({"measure": "value"}, 14.0), ({"measure": "value", "most": 5}, 5.0)],
)
def test_measures(kpi: dict[str, Any], expected: float) -> None:
    events = [event("ana", after=1), event("ana", after=2, value=12.0), event("ana", after=3, value=None)]
    seen = found([answer("ana")], events, **kpi)
    assert seen.arms["old"].kpi.tolist() == [expected]
    assert (seen.events, seen.valued) == (3, 2)


def test_an_event_that_two_doors_logged_counts_once() -> None:
    twice = [event("ana", after=1, key="k"), event("ana", after=1, key="k")]
    assert found([answer("ana")], twice, measure="count").arms["old"].kpi.tolist() == [1.0]


def test_a_user_whom_two_arms_answered_is_counted_apart_whatever_the_order_of_lines() -> None:
    answers = [answer("ana", after=20), answer("ana", after=10, release="bbb"), answer("bo")]
    for lines in (answers, answers[::-1]):
        seen = found(lines, [])
        assert seen.crossed == 1
        assert (seen.arms["new"].users, len(seen.arms["new"].kpi)) == (1, 0)
        assert (seen.arms["old"].users, len(seen.arms["old"].kpi)) == (1, 1)


def test_a_covariate_that_rows_lack_is_named() -> None:
    with pytest.raises(DataError, match="covariates: 'sessions_slow' is no number of the rows of release aaa; have x"):
        found([answer("ana", numbers={"x": 1.0})], [])

"""Labels by hand: what falls into a horizon, what was known before it, and events that come at one instant."""

import datetime as dt
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from components.intent.forecasts import labels
from components.intent.forecasts.labels import Rows
from components.intent.forecasts.spec import Forecast
from feature_repo.calendar import Calendar
from feature_repo.errors import DataError

CALENDAR = Calendar("2024-01-01")
ITEMS = pa.table({"item_id": ["p", "q", "r"], "category": ["PASTA", "QUINOA", None], "tags": [["a", "b"], ["a"], []]})
SPEND = Forecast(name="spend", kind="regression", value="value")
NEXT = Forecast(name="next", kind="multiclass", column="category", top=2)


def at(week: int, hour: float = 12) -> dt.datetime:
    return CALENDAR.start(week) + dt.timedelta(hours=hour)


def events(*rows: tuple[str, str, dt.datetime, float | None], known: dict[int, dt.datetime] | None = None) -> pa.Table:
    """Return purchases of (user, item, time, value); `known` says when some became known, by place."""
    users, items, times, values = zip(*rows, strict=True)
    created = [(known or {}).get(n, time) for n, time in enumerate(times)]
    stamp = pa.timestamp("us", tz="UTC")
    return pa.table(
        {
            "user_id": list(users),
            "item_id": list(items),
            "event": ["purchase"] * len(rows),
            "timestamp": pa.array(times, stamp),
            "created_at": pa.array(created, stamp),
            "value": pa.array(values, pa.float64()),
        }
    )


def rows(*pairs: tuple[str, int]) -> Rows:
    users, weeks = zip(*pairs, strict=True)
    return Rows.of(np.asarray(users), np.asarray(weeks))


def happened(table: pa.Table, intent: Forecast, mine: Rows, items: pa.Table | None = ITEMS) -> labels.Happened:
    return labels.happened(table, items, intent, mine, CALENDAR)


THREE = events(("u", "p", at(1), 1.0), ("u", "p", at(2), 2.0), ("u", "p", at(3), 4.0), ("v", "p", at(3), 8.0))


@pytest.mark.parametrize(("steps", "week", "amount"), [(1, 3, 4.0), (2, 2, 6.0), (3, 1, 7.0), (1, 4, 0.0), (2, 3, 4.0)])
def test_a_sum_is_of_the_steps_of_the_horizon_and_of_the_row_s_user(steps: int, week: int, amount: float) -> None:
    mine, intent = rows(("u", week)), SPEND.model_copy(update={"steps": steps})
    assert labels.amounts(happened(THREE, intent, mine), mine, intent).tolist() == [amount]


def test_an_event_at_the_cutoff_itself_belongs_to_the_horizon_and_one_a_second_before_to_the_past() -> None:
    table = events(("u", "p", CALENDAR.start(3), 5.0), ("u", "p", CALENDAR.start(3) - dt.timedelta(seconds=1), 7.0))
    mine = rows(("u", 3), ("u", 2))
    assert labels.amounts(happened(table, SPEND, mine), mine, SPEND).tolist() == [5.0, 7.0]


def test_a_count_counts_events_and_a_mean_has_no_label_without_one() -> None:
    table = events(("u", "p", at(1), 3.0), ("u", "p", at(1, 13), 5.0))
    mine = rows(("u", 1), ("u", 2))
    count, mean = SPEND.model_copy(update={"value": "count"}), SPEND.model_copy(update={"aggregate": "mean"})
    assert labels.amounts(happened(table, count, mine), mine, count).tolist() == [2.0, 0.0]
    found = labels.amounts(happened(table, mean, mine), mine, mean)
    assert found[0] == 4.0
    assert np.isnan(found[1])


def test_an_empty_value_is_no_event_of_it() -> None:
    mine, mean = rows(("u", 1)), SPEND.model_copy(update={"aggregate": "mean"})
    table = events(("u", "p", at(1), 3.0), ("u", "p", at(1, 13), None))
    assert labels.amounts(happened(table, mean, mine), mine, mean).tolist() == [3.0]


def test_the_own_mean_is_the_decayed_past_drawn_towards_the_usual_by_two_steps() -> None:
    mine = rows(("u", 3), ("nobody", 3))
    found = labels.own_means(happened(THREE, SPEND, mine), mine, SPEND, decay=0.5, usual=3.0)
    # Week 1 weighs 1/2, week 2 weighs 1; two weeks could weigh 1.5 in all.
    assert found[mine.user == list(mine.user_ids).index("u")].tolist() == [pytest.approx((0.5 + 2 + 6) / (1.5 + 2))]
    assert found[mine.user == list(mine.user_ids).index("nobody")].tolist() == [3.0]


def test_the_own_mean_of_two_steps_ahead_is_twice_that_of_one() -> None:
    mine, two = rows(("u", 3)), SPEND.model_copy(update={"steps": 2})
    one = labels.own_means(happened(THREE, SPEND, mine), mine, SPEND, decay=0.5, usual=3.0)
    assert labels.own_means(happened(THREE, two, mine), mine, two, decay=0.5, usual=6.0) == pytest.approx(2 * one)


def test_what_became_known_after_the_cutoff_is_in_no_past() -> None:
    late = events(("u", "p", at(1), 1.0), ("u", "q", at(2), 2.0), known={1: at(3)})
    early = events(("u", "p", at(1), 1.0))
    mine = rows(("u", 3), ("u", 4))
    own = [labels.own_means(happened(t, SPEND, mine), mine, SPEND, decay=0.5, usual=0.0) for t in (late, early)]
    assert own[0][0] == own[1][0]
    assert own[0][1] > own[1][1]
    instants, codes, _ = labels.instants(happened(late, NEXT, mine), ("PASTA", "QUINOA"))
    assert labels.last_values(instants, codes, mine, none=3).tolist() == [0, 1]


def test_a_past_that_comes_late_and_in_another_order_ends_with_what_happened_last() -> None:
    table = events(("u", "q", at(2), 1.0), ("u", "p", at(1), 1.0), known={1: at(3)})
    mine = rows(("u", 4))
    instants, codes, _ = labels.instants(happened(table, NEXT, mine), ("PASTA", "QUINOA"))
    assert labels.last_values(instants, codes, mine, none=3).tolist() == [1]


def test_the_next_value_is_of_the_first_instant_or_none() -> None:
    table = events(("u", "q", at(2, 9), 1.0), ("u", "p", at(2, 10), 1.0), ("v", "r", at(2), 1.0))
    mine = rows(("u", 2), ("u", 1), ("v", 2))
    instants, codes, tied = labels.instants(happened(table, NEXT, mine), ("PASTA", "QUINOA"))
    assert labels.next_values(instants, codes, mine, NEXT, none=3).tolist() == [1, 3, 3]  # r has no category
    two = NEXT.model_copy(update={"steps": 2})
    assert labels.next_values(instants, codes, mine, two, none=3).tolist() == [1, 1, 3]
    assert tied == 0.0


def test_an_instant_of_several_values_has_the_one_of_most_events_and_the_commoner_of_two_alike() -> None:
    table = events(
        ("u", "p", at(1), 1.0), ("u", "q", at(1), 1.0), ("u", "q", at(1), 1.0),
        ("u", "q", at(2), 1.0), ("u", "p", at(2), 1.0),
    )  # fmt: skip
    mine = rows(("u", 1), ("u", 2))
    _, codes, tied = labels.instants(happened(table, NEXT, mine), ("PASTA", "QUINOA"))
    assert (codes.tolist(), tied) == ([1, 0], 1.0)


def test_values_are_the_commonest_before_training_s_end_and_a_further_one_counts_as_other() -> None:
    table = events(*[("u", "q", at(1, n), 1.0) for n in range(2)], ("u", "p", at(1, 5), 1.0), ("u", "p", at(3), 1.0))
    mine = rows(("u", 1), ("u", 3))
    found = happened(table, NEXT, mine)
    assert labels.values_of(found, before=3, top=1, name="next") == ("QUINOA",)
    instants, codes, _ = labels.instants(found, ("QUINOA",))
    assert labels.next_values(instants, codes, mine, NEXT, none=2).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("intent", "table", "line"),
    [
        (
            SPEND.model_copy(update={"event": "purchas"}),
            THREE,
            "intents.spend.event: no event is of the kind 'purchas'; have purchase; did you mean 'purchase'?",
        ),
        (
            SPEND,
            events(("u", "p", at(1), None)),
            "intents.spend.value: none of 1 events has a 'value', so there is nothing to predict; map the column "
            "(data.source.events.columns), or use count",
        ),
        (
            SPEND,
            events(("u", "p", at(1), float("inf"))),
            "intents.spend.value: 1 of 1 events have an infinite 'value', which is no amount; mend the source, or let "
            "the contract refuse them (data.contract: expect between)",
        ),
        (
            SPEND.model_copy(update={"value": "strength"}),
            THREE,
            "intents.spend.value: the events have no column 'strength'; have value, or use count",
        ),
        (
            NEXT.model_copy(update={"column": "tags"}),
            THREE,
            "intents.next.level: items.tags holds several values an item, and of kind multiclass exactly one happens "
            "next; name a column of single values, or use kind binary",
        ),
        (
            NEXT.model_copy(update={"column": "categry"}),
            THREE,
            "intents.next.level: the items have no column 'categry'; have category, tags; did you mean 'category'?",
        ),
    ],
)
def test_what_can_be_no_target_is_refused_with_one_line(intent: Forecast, table: pa.Table, line: str) -> None:
    with pytest.raises(DataError) as caught:
        happened(table, intent, rows(("u", 1)))
    assert str(caught.value) == line


def test_labels_of_many_users_are_those_of_plain_loops() -> None:
    rng = np.random.default_rng(3)
    table = events(
        *((f"u{rng.integers(6)}", "pq"[rng.integers(2)], at(int(rng.integers(1, 9)), float(rng.integers(160))),
           float(rng.integers(1, 9))) for _ in range(120))
    )  # fmt: skip
    mine = rows(*((f"u{n}", week) for n in range(6) for week in range(2, 8)))
    intent = SPEND.model_copy(update={"steps": 2})
    plain: list[dict[str, Any]] = table.to_pylist()

    def spent(user: str, week: int) -> float:
        low, high = CALENDAR.start(week), CALENDAR.start(week + 2)
        return sum(float(e["value"]) for e in plain if e["user_id"] == user and low <= e["timestamp"] < high)

    expected = [spent(mine.user_ids[u], w) for u, w in zip(mine.user, mine.week.tolist(), strict=True)]
    assert labels.amounts(happened(table, intent, mine), mine, intent).tolist() == pytest.approx(expected)

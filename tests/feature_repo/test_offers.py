"""Offers as features: what was known when the week began, and nothing of what came later."""

import datetime as dt
from typing import Any

import pyarrow as pa
import pytest

from components.profiles.build import engine, plan, states
from feature_repo import offers
from feature_repo.calendar import Calendar

CALENDAR = Calendar("2024-01-01", "America/New_York")
WEEKS = plan.Weeks(train=(10, 11), validate=(12,), test=(13,), last=14)
INSTANT = pa.timestamp("us", tz="UTC")
DAY = dt.timedelta(days=1)
Offer = tuple[str, str | None, dt.datetime, dt.datetime, float | None, dt.datetime]


def week(
    number: int, kind: str | None, share: float | None, *, item: str = "a", known: dt.datetime | None = None
) -> Offer:
    """Return an offer that holds for a week and is known when it begins, unless said otherwise."""
    return item, kind, CALENDAR.start(number), CALENDAR.start(number + 1), share, known or CALENDAR.start(number)


def state(*given: Offer, end: dt.datetime | None = None) -> dict[tuple[int, int], dict[str, Any]]:
    """Return the items' offers by cutoff week and item position."""
    connection = engine.duckdb("1GB")
    names = ("item_id", "kind", "valid_from", "valid_to", "share", "created_at")
    kinds = (pa.string(), pa.string(), INSTANT, INSTANT, pa.float64(), INSTANT)
    rows = list(zip(*given, strict=True))
    table = pa.table({n: pa.array(values, kind) for n, values, kind in zip(names, rows, kinds, strict=True)})
    end = end or CALENDAR.start(WEEKS.last)
    index = pa.table({"item_id": ["a", "b"], "item_index": pa.array([0, 1], pa.int32())})
    spans = states.offer_weeks(CALENDAR, WEEKS, data_end=end)
    weekly = offers.weekly(*(engine.stored(connection, n, t) for n, t in (("o", table), ("i", index), ("w", spans))))
    cuts = engine.stored(connection, "c", plan.cutoffs(CALENDAR, WEEKS.cutoffs, data_end=end))
    found = offers.of_items(weekly, cuts).to_pyarrow().to_pylist()
    connection.disconnect()
    return {(row["cutoff"], row["key"]): row for row in found}


def test_a_flyer_counts_for_its_week_then_as_the_week_before_then_as_usual() -> None:
    found = state(week(10, "flyer", 0.5))
    assert found[10, 0]["offer_flyer"] == pytest.approx(0.5)
    assert (found[11, 0]["offer_flyer"], found[11, 0]["offer_flyer_before"]) == (0.0, pytest.approx(0.5))
    assert (found[12, 0]["offer_flyer_before"], found[12, 0]["offer_flyer_usual"]) == (0.0, pytest.approx(0.5 / 8))
    assert found[10, 0]["offer_flyer_usual"] == 0.0


def test_offers_of_weeks_before_the_first_cutoff_are_part_of_what_is_usual() -> None:
    found = state(week(1, "display", 1.0), week(2, "display", 0.4), week(9, "display", 0.4))
    assert found[10, 0]["offer_display_usual"] == pytest.approx(0.8 / 8)  # weeks 2..9
    assert found[10, 0]["offer_display_before"] == pytest.approx(0.4)


def test_a_coupon_holds_in_every_week_that_its_campaign_touches() -> None:
    start, end = CALENDAR.start(9) + 3 * DAY, CALENDAR.start(11) + DAY
    found = state(("b", "coupon", start, end, None, start))
    assert {w: row["offer_coupon"] for (w, item), row in found.items() if item == 1}[10] == 1.0
    assert found[11, 1]["offer_coupon"] == 1.0
    assert found[12, 1]["offer_coupon"] == 0.0


def test_an_offer_that_became_known_after_the_week_began_is_not_seen_in_it() -> None:
    found = state(
        week(10, "flyer", 1.0, known=CALENDAR.start(10) + dt.timedelta(seconds=1)),
        week(11, "flyer", 1.0, known=CALENDAR.start(11)),
    )
    assert (10, 0) not in found
    assert found[11, 0]["offer_flyer"] == 1.0
    assert found[11, 0]["offer_flyer_before"] == 0.0


def test_the_newest_cutoff_knows_only_what_the_data_knew_at_its_end() -> None:
    end = CALENDAR.start(14) - DAY
    known = state(week(14, "flyer", 1.0, known=end), week(13, "flyer", 1.0), end=end)
    unknown = state(week(14, "flyer", 1.0), week(13, "flyer", 1.0), end=end)
    assert (known[14, 0]["offer_flyer"], unknown[14, 0]["offer_flyer"]) == (1.0, 0.0)
    assert unknown[14, 0]["offer_flyer_before"] == 1.0


def test_nothing_of_later_weeks_changes_an_earlier_cutoff() -> None:
    early = (week(9, "flyer", 0.3), week(10, "display", 0.2))
    before = state(*early)
    after = state(*early, week(11, "flyer", 1.0), week(12, "coupon", 1.0), week(13, "display", 1.0))
    assert before[10, 0] == after[10, 0]
    assert before[12, 0] != after[12, 0]


def test_the_widest_of_several_offers_counts_and_a_kind_of_another_name_is_a_flyer() -> None:
    found = state(week(10, "flyer", 0.2), week(10, "flyer", 0.6), week(10, "banner", 0.7), week(10, None, 0.1))
    assert found[10, 0]["offer_flyer"] == pytest.approx(0.7)

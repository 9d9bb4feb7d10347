"""Signals of a period's events, of rows that fit on a page, by value."""

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

from monitoring.drift import event_signals
from monitoring.drift.observed import ItemValues, Observed
from monitoring.drift.signals import Measured

NAN = float("nan")
HOUR = 3600
MONDAY = 4 * 86_400  # 5 January 1970
#        user item session  at                      quantity value discount
ROWS = [
    (0, 0, 1, MONDAY + 9 * HOUR, 1, 2.0, 0.0),
    (0, 1, 1, MONDAY + 9 * HOUR, 2, 6.0, 1.0),
    (0, 0, 2, MONDAY + 86_400 + 20 * HOUR, 1, 2.0, 0.0),
    (1, 2, 1, MONDAY + 86_400 + 21 * HOUR, 1, NAN, 0.0),
]


def made(rows=ROWS, **more) -> Observed:
    names = ["user", "item", "session", "local_s", "quantity", "value", "discount"]
    events = pd.DataFrame(rows, columns=names)
    events = events.assign(event=pd.Categorical(["buy"] * len(rows)), at=events["local_s"])
    return Observed(**{"period": 5, "days": 7, "events": events, **more})


def values(of: Observed) -> dict[str, float]:
    return {name: found.value for name, found in event_signals.measure(of).items()}


def test_counts_by_value() -> None:
    found = values(made())
    assert (found["events.volume"], found["events.users"], found["events.sessions"]) == (4, 2, 3)
    assert (found["events.total.value"], found["events.total.quantity"]) == (10.0, 5.0)
    assert "events.kind.buy" not in found, "one kind has no shares"


def test_a_volume_is_known_by_how_evenly_users_make_it() -> None:
    found = event_signals.measure(made())
    assert found["events.volume"].spread == pytest.approx(10**0.5 / 4)  # 3 events of one user, 1 of another
    assert found["events.sessions"].spread == pytest.approx(5**0.5 / 3)
    assert found["events.users"].spread is None


def test_a_visit_has_so_many_events() -> None:
    """Visits of 2, 1 and 1 events: the mean log is log(2) / 3; each user is off by log(2) / 3 in all."""
    one = event_signals.measure(made())["events.each.session"]
    assert (one.value, one.n) == (pytest.approx(2 ** (1 / 3)), 2)
    assert one.spread == pytest.approx(np.log(2) / 3 * 2**0.5 / 3)
    nameless = values(made([(*row[:2], -1, *row[3:]) for row in ROWS]))
    assert nameless["events.each.user"] == pytest.approx(3**0.5)
    assert "events.each.session" not in nameless


def test_a_price_beside_its_own_past() -> None:
    """Prices 2, 3 and 2, usually 1, 3 and not known: the mean of log(2) and 0, both of one user."""
    one = event_signals.measure(made(usual=np.array([1.0, 3.0, NAN, 1.0])))["events.price.index"]
    assert (one.value, one.n, one.spread) == (pytest.approx(2**0.5), 1, pytest.approx(0.0, abs=1e-12))
    assert "events.price.index" not in values(made(usual=np.full(4, NAN)))
    assert "events.price.index" not in values(made())


def test_the_clock_is_where_users_hours_point_to() -> None:
    """A user at 23:00 ten times and one at 1:00 once meet at midnight; whoever act around the clock have no hour."""
    rows = [(0, 0, 1, MONDAY + 23 * HOUR, 1, 2.0, 0.0)] * 10 + [(1, 0, 1, MONDAY + HOUR, 1, 2.0, 0.0)]
    found = event_signals.measure(made(rows))["events.clock"]
    assert min(found.value, 24 - found.value) == pytest.approx(0.0, abs=1e-9)
    aside = np.sin(np.pi / 12) / np.cos(np.pi / 12)
    assert found.spread == pytest.approx(aside / 2**0.5 * 12 / np.pi)
    around = [(user, 0, 1, MONDAY + 6 * user * HOUR, 1, 2.0, 0.0) for user in range(4)]
    assert "events.clock" not in values(made(around))
    late = [(*row[:3], row[3] + 5 * HOUR, *row[4:]) for row in rows]
    assert values(made(late))["events.clock"] == pytest.approx(5.0)


def test_what_rows_lack_by_value() -> None:
    found = values(made(ingested=8, unknown=2))
    assert found["events.null.value"] == 0.25
    assert found["events.null.quantity"] == 0.0
    assert found["events.set_aside"] == 0.5
    assert found["events.unknown_items"] == 0.25
    assert found["events.repeats"] == 0.0
    assert values(made([*ROWS, ROWS[0]]))["events.repeats"] == 0.2
    assert "events.unknown_items" not in values(made()), "nobody read the source's own tables"


def test_times_are_those_of_the_wall() -> None:
    found = values(made())
    assert (found["events.hour.09"], found["events.hour.18"], found["events.hour.21"]) == (0.5, 0.25, 0.25)
    assert (found["events.weekday.monday"], found["events.weekday.tuesday"]) == (0.5, 0.5)
    assert found["events.weekday.sunday"] == 0.0
    assert not [name for name in values(made(days=1)) if "weekday" in name], "a day is one weekday"


def test_dates_without_hours_have_no_hours_and_say_so() -> None:
    midnight = [(u, i, s, at // 86_400 * 86_400, q, v, d) for u, i, s, at, q, v, d in ROWS]
    assert not [name for name in values(made(midnight)) if "hour" in name]
    assert (values(made(midnight))["events.null.time"], values(made())["events.null.time"]) == (1.0, 0.0)


def test_a_number_that_stands_still_is_seen_and_not_left_out() -> None:
    assert (values(made())["events.same.price"], values(made())["events.same.quantity"]) == (2 / 3, 0.75)
    still = [(*row[:4], 1, 5.0, 0.0) for row in ROWS]
    found = values(made(still))
    assert (found["events.same.price"], found["events.same.quantity"], found["events.price.p50"]) == (1.0, 1.0, 5.0)
    assert found["events.discounted"] == 0.0


def test_a_source_without_discounts_has_no_share_of_them() -> None:
    assert "events.discounted" not in values(made([(*row[:6], NAN) for row in ROWS]))


def test_prices_are_of_a_piece() -> None:
    found = event_signals.measure(made())
    assert found["events.price.p50"].value == 2.0
    assert found["events.price.mean"].value == pytest.approx(12 ** (1 / 3))
    assert found["events.price.p90"].value == pytest.approx(2.8)  # 2, 2, 3
    assert found["events.discounted"].value == 0.25
    assert found["events.quantity"].value == pytest.approx((3 * np.log(2) + np.log(3)) / 4)


def test_an_error_of_a_quantile_is_that_over_users() -> None:
    rng = np.random.default_rng(0)
    of_users = np.exp(rng.normal(0, 1, 200))
    alike = np.repeat(of_users, 50)  # each user pays one price, 50 times
    mean, _, (_, error), _ = event_signals.prices(alike, np.repeat(np.arange(200), 50))
    independent = event_signals.prices(alike, np.arange(len(alike)))[2][1]
    assert mean == (
        pytest.approx(np.exp(np.log(of_users).mean())),
        pytest.approx(np.log(of_users).std() / 200**0.5, rel=0.4),
    )
    assert error == pytest.approx(np.sqrt(np.pi / 2) / np.sqrt(200), rel=0.5)  # of the median of 200 normal logs
    assert independent < error / 3


def test_items_by_value() -> None:
    held = ItemValues(("category.A", "category.B"), csr_matrix(np.array([[1, 0], [0, 1], [1, 1]])))
    found = values(made(values=held, new_items=np.array([False, True, False, False])))
    assert (found["events.share.category.A"], found["events.share.category.B"]) == (0.75, 0.5)
    assert found["events.new_items"] == 0.25


def test_a_segment_is_counted_by_its_users() -> None:
    found = event_signals.measure(made(segment=np.array([1, 1, 1, -1]), segments=("s.0", "s.1")))
    assert found["events.users.segment.s.0"] == Measured(0, 0)
    assert found["events.users.segment.s.1"] == Measured(1, 1)


def test_kinds_are_shares_where_there_are_several() -> None:
    of = made()
    kinds = pd.Categorical(["view", "view", "view", "buy"], categories=["view", "buy", "cart"])
    found = values(made(events=of.events.assign(event=kinds)))
    assert (found["events.kind.view"], found["events.kind.buy"], found["events.kind.cart"]) == (0.75, 0.25, 0.0)


def test_a_silent_feed_has_a_volume_of_nothing() -> None:
    of = made()
    found = values(made(events=of.events[:0]))
    assert (found["events.volume"], found["events.users"]) == (0, 0)
    assert not [name for name in found if name.startswith(("events.null", "events.hour", "events.price"))]
    assert values(made(events=of.events[:0], ingested=9, unknown=9))["events.set_aside"] == 1.0


def test_sources_without_sessions_have_none_and_lack_all_of_them() -> None:
    of = made()
    found = values(made(events=of.events.assign(session=-1)))
    assert "events.sessions" not in found
    assert found["events.null.session"] == 1.0


def test_events_of_one_user_are_alike() -> None:
    assert event_signals.apart(made([*ROWS, *ROWS[:3]]).events) == pytest.approx(3 * 49 / 37)  # 6 of one and 1
    assert event_signals.measure(made())["events.hour.09"].n == 4, "no more than there are"
    assert event_signals.measure(made())["events.null.value"].n == 4, "a broken field does not ask whose row it is"

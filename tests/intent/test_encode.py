"""Encoding: rows to numbers, by rows whose numbers are plain."""

import datetime as dt
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from components.intent.context import TargetContext
from components.intent.encode import FREQUENCY, Encoded, encode, profile_names, windows_of
from feature_repo.columns import RECENT_WEEKS as WEEKS
from feature_repo.errors import DataError
from feature_repo.rows import UserRows

from .conftest import CALENDAR, VISIT, context, known_row, start, unknown_row, user_rows

C = VISIT + 1
DAY = 86400
# u2 came in weeks 2 and 4 and bought APPLES (0) both times, CHEESE (2) in week 2 only.
HISTORY = {2: [0, 2, VISIT], 4: [0, VISIT]}
WORLD = {"u2": HISTORY, "u3": {4: [1, VISIT], 5: [1, VISIT]}}


def encoded(*rows: dict[str, Any]) -> Encoded:
    return encode(user_rows(rows), context(WORLD), calendar=CALENDAR, n_targets=C)


def number(found: Encoded, name: str, target: int, *, row: int = 0) -> float:
    return float(found.frequency[row, target, FREQUENCY.index(name)])


def sigmoid(x: float) -> float:
    return 1 / (1 + np.exp(-x))


def test_a_row_gives_the_numbers_that_one_can_work_out_by_hand() -> None:
    found = encoded(known_row("u2", HISTORY, 6))
    assert number(found, "recency", 0) == pytest.approx(np.log(6 - 4))
    assert number(found, "gap", 0) == pytest.approx(np.log(4 - 2))
    assert number(found, "overdue", 0) == pytest.approx(0)
    assert number(found, "weeks_log", 0) == pytest.approx(np.log(3))
    assert (number(found, "bought", 2), number(found, "repeated", 2)) == (1, 0)
    assert (number(found, "bought", 1), number(found, "recency", 1)) == (0, pytest.approx(np.log(4 + 1)))
    assert number(found, "days_since", 0) == pytest.approx(np.log((start(6) - start(4)) / DAY - 2.5))
    # two active weeks of four, smoothed: (2 + 1) / (4 + 2); everyone who came in week 5 bought BREAD (1)
    assert sigmoid(number(found, "share_1w_logit", 1)) == pytest.approx(1, abs=1e-3)
    activity, share = 0.5, float(context(WORLD).at(np.array([6]))[0, 0, 2])
    expected = activity * max(share, 1e-4)
    slow = 0.96**2 + 0.96**4
    possible = sum(0.96**age for age in (1, 2, 3, 4))
    assert sigmoid(number(found, "slow_logit", 0)) == pytest.approx((slow + 2 * expected) / (possible + 2), rel=1e-5)


def test_active_weeks_since_the_last_time_are_counted_within_the_sequence() -> None:
    found = encoded(known_row("u2", HISTORY, 6))
    since = [np.expm1(number(found, "active_since", c)) for c in (0, 2, 1)]
    assert since == pytest.approx([0, 1, 2])  # bought last time; one visit without; never bought in two visits


def test_the_sequence_holds_the_last_weeks_with_the_latest_last() -> None:
    found = encoded(known_row("u2", HISTORY, 6))
    assert found.sequence.shape == (1, WEEKS, C)
    weeks_ago = WEEKS - np.argwhere(found.sequence[0, :, 0])[:, 0]
    assert weeks_ago.tolist() == [4, 2]
    assert found.active[0, -5:].tolist() == [[0, 0], [1, 1], [0, 1], [1, 1], [0, 1]]  # any target; within tenure


def test_what_is_older_than_the_sequence_stays_out_of_it() -> None:
    found = encoded(known_row("u2", {1: [0, VISIT], 20: [VISIT]}, 21))
    assert found.sequence[0, :, 0].sum() == 0
    assert number(found, "bought", 0) == 1


def test_a_row_read_two_weeks_later_has_decayed_by_two_weeks() -> None:
    row = known_row("u2", HISTORY, 6)
    later = encoded(row | {"now": start(8)})
    anew = encoded(known_row("u2", HISTORY, 8))
    np.testing.assert_allclose(later.frequency, anew.frequency, rtol=1e-5)
    np.testing.assert_array_equal(later.sequence, anew.sequence)


def test_an_instant_within_a_week_is_asked_about_the_upcoming_week() -> None:
    row = known_row("u2", HISTORY, 6)
    within = encoded(row | {"now": start(5) + 1})
    np.testing.assert_array_equal(within.frequency, encoded(row).frequency)


def test_an_event_of_the_running_week_is_one_week_old() -> None:
    wednesday = start(5) + 2 * DAY
    row = known_row("u2", {5: [0, VISIT]}, 6) | {"now": wednesday + DAY, "state_at": wednesday}
    found = encoded(row)
    assert number(found, "recency", 0) == 0
    assert found.sequence[0, -1, 0] == 1


def test_an_unknown_user_is_expected_to_be_like_everyone() -> None:
    found = encoded(unknown_row("nobody", start(6)))
    assert found.segment.tolist() == [0]
    assert not found.sequence.any()
    assert not found.active.any()
    assert np.isfinite(found.frequency).all()
    assert np.isfinite(found.profile).all()
    share = context(WORLD).at(np.array([6]))[0, :, 2]
    halved = 1 / (1 + np.exp(-found.frequency[0, :, FREQUENCY.index("expected_logit")]))  # activity (0 + 1) / (0 + 2)
    np.testing.assert_allclose(halved, 0.5 * share, atol=2e-4)


def test_rows_encode_alike_alone_and_together_and_in_any_column_order() -> None:
    rows = [known_row("u2", HISTORY, 6), unknown_row("nobody", start(7)), known_row("u3", WORLD["u3"], 7)]
    together = encoded(*rows)
    turned = user_rows([dict(reversed(row.items())) for row in rows])
    again = encode(turned, context(WORLD), calendar=CALENDAR, n_targets=C)
    for name, values in together.arrays().items():
        alone = np.concatenate([getattr(encoded(row), name) for row in rows])
        np.testing.assert_array_equal(values, alone)
        np.testing.assert_array_equal(values, getattr(again, name))


def test_profile_columns_have_names() -> None:
    found = encoded(known_row("u2", HISTORY, 6))
    names = profile_names([7, 28, 91])
    assert found.profile.shape == (1, len(names))
    assert found.profile[0, names.index("tenure")] == pytest.approx(4 / 26)
    assert found.profile[0, names.index("weeks_total")] == pytest.approx(np.log1p(2 / 4))
    assert found.profile[0, names.index("weeks_idle")] == pytest.approx(np.log(2))


def test_windows_of_hours_are_read_as_hours() -> None:
    rows = user_rows([known_row("u2", HISTORY, 6)])
    tails = {"7d": "6h", "28d": "12h", "91d": "36h"}
    numbers = {}
    for name, value in rows.numbers.items():
        stem, mark, tail = name.rpartition("_")
        numbers[f"{stem}{mark}{tails.get(tail, tail)}"] = value + 3.0 if tail == "7d" else value
    found = encode(replace(rows, numbers=numbers), context(WORLD), calendar=CALENDAR, n_targets=C)
    names = profile_names([0.25, 0.5, 1.5])
    assert windows_of(replace(rows, numbers=numbers)) == [0.25, 0.5, 1.5]
    assert names[:2] == ["events_6h", "sessions_6h"]
    assert found.profile.shape == (1, len(names))


def test_daylight_saving_time_does_not_move_weeks() -> None:
    from feature_repo.calendar import Calendar

    york = Calendar("2024-01-01", "America/New_York")
    in_march = int((york.start(11) - dt.timedelta(seconds=1)).timestamp())  # 2024-03-10 is a day of 23 hours
    row = known_row("u2", HISTORY, 6) | {"target_last_at": [in_march] * 3, "last_at": in_march, "now": in_march + 1}
    found = encode(user_rows([row]), context(WORLD), calendar=york, n_targets=C)
    assert number(found, "recency", 0) == 0


def test_shares_of_a_week_that_is_not_there_are_the_latest_before() -> None:
    known = TargetContext(np.array([5, 6]), np.array([[[0.1] * 3], [[0.2] * 3]], dtype=np.float32))
    assert known.at(np.array([4, 5, 6, 9]))[:, 0, 0].tolist() == pytest.approx([0.1, 0.1, 0.2, 0.2])


def test_rows_of_a_larger_vocabulary_are_refused() -> None:
    rows = user_rows([known_row("u2", HISTORY, 6)])
    with pytest.raises(DataError, match="target 6 is beyond the model's 6 targets"):
        encode(rows, context(WORLD), calendar=CALENDAR, n_targets=C - 1)


def test_no_rows_encode_to_no_rows() -> None:
    rows: UserRows = user_rows([known_row("u2", HISTORY, 6)]).take(np.array([], dtype=np.int64))
    assert len(encode(rows, context(WORLD), calendar=CALENDAR, n_targets=C)) == 0

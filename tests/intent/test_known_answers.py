"""The intent model's inputs by value: every number here was worked out by hand, so another constant fails."""

import math
from math import log
from typing import Any

import numpy as np
import pytest

from components.intent.context import TargetContext
from components.intent.encode import FREQUENCY, Encoded, encode, expected_rate, logit, profile_names
from feature_repo import columns

from .conftest import CALENDAR, VISIT, known_row, noon, start, unknown_row, user_rows

C = VISIT + 1
# Asked about week 6. Target 0 in weeks 2 and 4, target 2 in week 2, all visits; never target 1.
HISTORY = {2: [0, 2, VISIT], 4: [0, VISIT]}
SHARES = np.array([[0.5, 0.25, 0.2]] * C, np.float32)
SHARES[1] = (0.0, 1.0, 0.0)
ACTIVITY = (2 + 1) / (4 + 2)  # two active weeks of a tenure of four, smoothed
EXPECTED = ACTIVITY * 0.2
SLOW, FAST = ((a + a**2 + a**3 + a**4) for a in (0.96, 0.8))  # someone who came in each of the four weeks


def encoded(**cells: Any) -> Encoded:
    context = TargetContext(np.array([6]), SHARES[None])
    return encode(user_rows([known_row("u2", HISTORY, 6) | cells]), context, calendar=CALENDAR, n_targets=C)


def log_odds(p: float) -> float:
    p = min(max(p, 1e-4), 1 - 1e-4)
    return log(p / (1 - p))


ANSWERS: list[tuple[str, list[float]]] = [  # of targets 0, 2 and 1
    ("slow_logit", [log_odds((s + 2 * e) / (SLOW + 2)) for s, e in
                    ((0.96**2 + 0.96**4, EXPECTED), (0.96**4, EXPECTED), (0, ACTIVITY * 1e-4))]),
    ("fast_logit", [log_odds((s + 2 * e) / (FAST + 2)) for s, e in
                    ((0.8**2 + 0.8**4, EXPECTED), (0.8**4, EXPECTED), (0, ACTIVITY * 1e-4))]),
    ("lifetime_logit", [log_odds((n + 2 * e) / 6) for n, e in ((2, EXPECTED), (1, EXPECTED), (0, ACTIVITY * 1e-4))]),
    ("expected_logit", [log_odds(0.1), log_odds(0.1), log_odds(0)]),
    ("share_1w_logit", [0, 0, log_odds(0)]),
    ("share_4w_logit", [log(1 / 3), log(1 / 3), log_odds(1)]),
    ("share_slow_logit", [log(0.25), log(0.25), log_odds(0)]),
    ("given_active", [log(2.4 / (4 * 0.2)), log(1.4 / (4 * 0.2)), log(2e-4 / 4e-4)]),
    ("given_active_recent", [log(2.4 / (4 * 0.2)), log(1.4 / (4 * 0.2)), log(2e-4 / 4e-4)]),
    ("bought", [1, 1, 0]),
    ("repeated", [1, 0, 0]),
    ("weeks_log", [log(3), log(2), 0]),
    ("recency", [log(2), log(4), log(5)]),
    ("gap", [log(2), log(4), log(5)]),
    ("overdue", [0, 0, 0]),
    ("days_since", [log(11.5), log(25.5), log(35)]),
    ("active_since", [0, log(2), log(3)]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "expected"), ANSWERS)
def test_a_frequency_number_is_the_number_by_hand(name: str, expected: list[float]) -> None:
    found = encoded().frequency[0, [0, 2, 1], FREQUENCY.index(name)]
    assert found.tolist() == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_every_frequency_number_has_a_known_answer() -> None:
    assert [name for name, _ in ANSWERS] == list(FREQUENCY)


def test_a_target_that_is_late_is_overdue_by_its_ratio_to_the_gap() -> None:
    late = {"now": start(10)}  # last in week 4, every two weeks before: six weeks are log 3 late
    assert encoded(**late).frequency[0, 0, FREQUENCY.index("overdue")] == pytest.approx(log(6 / 2), rel=1e-5)


def test_an_event_of_this_hour_counts_as_an_hour_old() -> None:
    last = {"target_last_at": [start(6) - 60] * 3, "last_at": start(6) - 60}
    found = encoded(**last)
    assert found.frequency[0, 0, FREQUENCY.index("days_since")] == pytest.approx(log(1 / 24), rel=1e-5)
    assert found.profile[0, names().index("days_idle")] == pytest.approx(log(1 / 24), rel=1e-5)


def names() -> list[str]:
    return profile_names(list(columns.WINDOWS_DAYS))


@pytest.mark.parametrize(
    ("name", "cells", "expected"),
    [
        ("events_7d", {"events_7d": 3.0}, log(4)),
        ("events_28d", {"events_28d": 8.0}, log(3)),
        ("value_91d", {"value_91d": 26.0}, log(3)),
        ("discount_7d", {"discount_7d": -1.0}, 0),
        ("events_total", {"events_total": 8.0}, log(3)),
        ("value_total", {"value_total": 4.0}, log(2)),
        ("sessions_slow", {"sessions_slow": SLOW}, log(2)),
        ("value_slow", {"value_slow": 3 * SLOW}, log(4)),
        ("value_a_session", {"value_total": 6.0, "sessions_total": 2.0}, log(4)),
        ("value_a_session", {"value_total": 6.0, "sessions_total": 0.0}, log(7)),
        ("weekend_share", {"weekend_share": 0.4}, 0.4),
        ("evening_share", {"evening_share": 0.3}, 0.3),
        ("days_idle", {}, log(11.5)),
        ("weeks_idle", {}, log(2)),
        ("tenure", {}, 4 / 26),
        ("tenure", {"first_at": start(6) - 40 * 7 * 86400}, 1),
        ("active_recent", {}, 2 / 16),
    ],
)
def test_a_profile_number_is_the_number_by_hand(name: str, cells: dict[str, Any], expected: float) -> None:
    assert encoded(**cells).profile[0, names().index(name)] == pytest.approx(expected, rel=1e-5, abs=1e-7)


def test_a_user_of_the_running_week_has_a_tenure_of_one() -> None:
    found = encoded(first_at=noon(6), now=start(6) + 1, state_at=start(6))
    assert found.profile[0, names().index("tenure")] == pytest.approx(1 / 26)


def test_what_grows_in_a_first_week_is_a_rate_of_one_week() -> None:
    cells = {"first_at": noon(5), "last_at": noon(5), "events_total": 8.0, "target_weeks": [1.0, 1.0, 1.0]}
    found = encoded(**cells)
    assert found.profile[0, names().index("events_total")] == pytest.approx(log(9))
    assert found.profile[0, names().index("weeks_idle")] == 0
    activity = (2 + 1) / (1 + 2)
    lifetime = found.frequency[0, 2, FREQUENCY.index("lifetime_logit")]
    assert lifetime == pytest.approx(log_odds((1 + 2 * activity * 0.2) / (1 + 2)), rel=1e-4)


def test_a_target_of_three_weeks_has_two_gaps() -> None:
    cells = {"target_weeks": [3.0, 1.0, 2.0], "target_first_at": [noon(1), noon(2), noon(2)], "first_at": noon(1)}
    found = encoded(**cells)  # from week 1 to week 4
    assert found.frequency[0, 0, FREQUENCY.index("gap")] == pytest.approx(log(3 / 2), rel=1e-5)


def test_a_second_into_a_week_the_next_one_is_asked_about_and_the_state_is_of_it() -> None:
    asked = encoded(now=start(6) + 1)
    assert asked.frequency[0, 0, FREQUENCY.index("recency")] == pytest.approx(log(7 - 4), rel=1e-5)
    rate = ((0.96**2 + 0.96**4) + 2 * (2 + 1) / (5 + 2) * 0.2) / (SLOW + 0.96**5 + 2)
    fresh = encoded(now=start(7), state_at=start(6) + 1)  # sums as of week 7: nothing decays
    assert fresh.frequency[0, 0, FREQUENCY.index("slow_logit")] == pytest.approx(log_odds(rate), rel=1e-4)
    rate = (0.8**2 + 0.8**4) * 0.8**2
    older = encoded(now=start(8))  # two weeks on
    assert older.frequency[0, 0, FREQUENCY.index("fast_logit")] == pytest.approx(
        log_odds((rate + 2 * (2 + 1) / (6 + 2) * 0.2) / (FAST + 0.8**5 + 0.8**6 + 2)), rel=1e-4
    )


def test_the_sequence_reaches_back_sixteen_weeks_and_no_further() -> None:
    row = known_row("u2", {2: [0], 3: [1], 18: [2]}, 19) | {"recent_targets": [0, 1, 2], "recent_weeks": [2, 3, 18]}
    context = TargetContext(np.array([6]), SHARES[None])
    found = encode(user_rows([row]), context, calendar=CALENDAR, n_targets=C).sequence[0]
    assert np.argwhere(found).tolist() == [[0, 1], [15, 2]]


def test_segments_count_from_one_and_a_stranger_has_none() -> None:
    context = TargetContext(np.array([6]), SHARES[None])
    rows = user_rows([known_row("u3", HISTORY, 6), unknown_row("nobody", start(6))])
    assert encode(rows, context, calendar=CALENDAR, n_targets=C).segment.tolist() == [2, 0]


def test_activity_is_smoothed_by_one_week_of_two_and_looks_back_no_further_than_the_sequence() -> None:
    active = np.zeros((3, 16))
    active[1, :3], active[2] = 1, 1
    found = expected_rate(active, np.array([0, 4, 99]), np.array([[0.5]] * 3, np.float32))
    assert found[:, 0].tolist() == pytest.approx([0.5 * 1 / 2, 0.5 * 4 / 6, 0.5 * 17 / 18])


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1e-4), (1.0, 1 - 1e-4), (1e-4, 1e-4), (0.2, 0.2)])
def test_log_odds_stay_finite(share: float, expected: float) -> None:
    assert float(logit(np.array([share]))[0]) == pytest.approx(math.log(expected / (1 - expected)), rel=1e-9)

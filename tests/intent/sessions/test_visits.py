"""Visits, rows and labels on tables small enough to check by eye; the door's encode equals training's."""

import random

import numpy as np
import pytest

from components.intent.sessions import visits
from components.intent.sessions.encode import Codes, encode, visit, window
from components.intent.sessions.learn import _require_both, learn, said_of
from components.intent.sessions.spec import SessionIntent, SessionModel, SessionRule
from components.intent.sessions.split import parts, require_rows
from feature_repo import memory
from feature_repo.columns import MEMORY_EVENTS
from feature_repo.errors import DataError
from feature_repo.memory import Remembered
from tests.session_worlds import BUY, CALENDAR, LEAVE, table

DAY = 86_400
ONE_VISIT = [
    ("ann", 0, "s1", "i1", "view"),
    ("ann", 10, "s1", "i1", "cart"),
    ("ann", 20, "s1", "i2", "view"),
    ("ann", 30, "s1", "i1", "purchase"),
    ("ann", 40, "s1", "i3", "view"),
]


def cut(rows, gap_s=None):
    return visits.cut(visits.history(table(rows), timezone="UTC"), gap_s=gap_s)


def test_a_label_tells_what_the_rest_of_the_visit_holds():
    found, _ = cut(ONE_VISIT)
    stay = SessionIntent(name="stay")
    rows = visits.rows(found, (BUY, LEAVE, stay))
    assert rows.position.tolist() == [1, 2, 3, 4, 5]
    assert rows.labels.tolist() == [[1, 0, 1], [1, 0, 1], [1, 0, 1], [0, 0, 1], [0, 1, 0]]


def test_only_the_first_positions_have_rows_where_the_spec_says_so():
    found, _ = cut(ONE_VISIT)
    assert visits.rows(found, (BUY,), positions=2).position.tolist() == [1, 2]


def test_what_happens_at_one_instant_is_known_at_once():
    rows = [("ann", 0, "s1", "i1", "view"), ("ann", 0, "s1", "i1", "purchase"), ("ann", 9, "s1", "i2", "view")]
    found, _ = cut(rows)
    made = visits.rows(found, (BUY,))
    assert (made.position.tolist(), made.labels.tolist()) == ([2, 3], [[0], [0]])


def test_another_session_of_the_same_user_is_another_visit_also_where_both_go_on_at_once():
    rows = [
        ("ann", 0, "phone", "i1", "view"),
        ("ann", 5, "desk", "i1", "view"),
        ("ann", 9, "phone", "i1", "purchase"),
        ("bob", 7, "x", "i1", "view"),
    ]
    found, gap = cut(rows)
    assert gap is None
    assert len(set(found.visit)) == 3
    assert visits.rows(found, (BUY,)).labels.ravel().tolist() == [1, 0, 0, 0]


def test_without_sessions_of_the_data_half_an_hour_of_silence_ends_a_visit_and_that_is_said():
    rows = [("ann", s, "ann 2024-01-01", "i1", "view") for s in (0, 1800, 3601)]
    found, gap = cut(rows)
    assert not found.sessions_told
    assert gap == 1800
    assert found.visit.tolist() == [0, 0, 1]
    assert (
        said_of(found, gap)
        == "cut where a user is silent for more than 30 minutes, since the events have no session_id"
    )


def test_a_visit_over_midnight_is_one_where_sessions_are_no_days():
    rows = [("ann", DAY - 5, "ann 2024-01-01", "i1", "view"), ("ann", DAY + 5, "ann 2024-01-02", "i1", "purchase")]
    found, _ = cut(rows)
    assert found.visit.tolist() == [0, 0]


def test_a_declared_gap_also_cuts_sessions_of_the_data():
    found, gap = cut([("ann", s, "s1", "i1", "view") for s in (0, 60, 200)], gap_s=90)
    assert (gap, found.visit.tolist()) == (90, [0, 0, 1])
    assert said_of(found, gap) == "by session_id, and cut where a user is silent for more than 1.5 minutes"


def some_events(seed: int, *, n: int = 300) -> list[tuple[str, int, str, str, str]]:
    """Users with several sessions that overlap, many events at one instant, items that are missing."""
    rng = random.Random(seed)
    rows, at = [], 0
    for _ in range(n):
        at += rng.choice([0, 0, 1, 30, 30, 1000, 4000])
        user = rng.choice("ab")
        rows.append((user, at, f"{user}{at // 7000}-{rng.choice('xy')}", rng.choice(["", "i1", "i2", "i3", "é"]),
                     rng.choice(["view", "view", "cart", "purchase", "rare"])))  # fmt: skip
    return rows


@pytest.mark.parametrize("gap_s", [None, 600])
@pytest.mark.parametrize("told", [True, False])
def test_the_door_encodes_a_memory_as_training_encodes_the_history(gap_s, told):
    given = some_events(3)
    if not told:
        given = [(user, at, f"{user} 2024-01-{1 + at // DAY:02}", item, kind) for user, at, _, item, kind in given]
    found, used = cut(given, gap_s=gap_s)
    assert found.sessions_told == told
    everything = np.ones(len(found), dtype=bool)
    codes = visits.codes(found, everything, {"i1": "fruit", "i2": "soup", "é": "soup"}, gap_s=used)
    codes = Codes(codes.kinds[:3], codes.categories, codes.category_of, codes.by_id, codes.gap_s, codes.quiet_s)
    rows = visits.rows(found, (BUY,))
    offline = encode(visits.windows(found, rows.event, codes), codes)
    assert offline.shape == (len(rows), len(codes.names))
    assert len(rows) > 150
    first = int(CALENDAR.start(1).timestamp())
    for row, (user, newest) in enumerate(zip(rows.user.tolist(), rows.event.tolist(), strict=True)):
        name, now = found.user_ids[user], int(found.at[newest])
        mine = [
            Remembered(first + at, session, item, kind, 0.0)
            for who, at, session, item, kind in given
            if who == name and first + at <= now
        ]
        online = window(memory.decode(memory.encode(mine)), codes)
        assert np.array_equal(encode(online, codes)[0], offline[row]), (row, name)
        assert int(visit(online, codes).sum()) == rows.position[row]


def test_a_visit_longer_than_a_memory_is_encoded_alike():
    given = [("a", 10 * n, "s", f"i{n % 5}", "view") for n in range(MEMORY_EVENTS + 30)]
    found, used = cut(given)
    codes = visits.codes(found, np.ones(len(found), dtype=bool), {}, gap_s=used)
    offline = encode(visits.windows(found, np.asarray([len(found) - 1]), codes), codes)
    first = int(CALENDAR.start(1).timestamp())
    mine = [Remembered(first + at, session, item, kind, 0.0) for _, at, session, item, kind in given]
    online = window(memory.decode(memory.encode(mine)), codes)
    assert np.array_equal(encode(online, codes), offline)
    assert int(visit(online, codes).sum()) == MEMORY_EVENTS


def test_a_visit_that_runs_into_the_next_part_is_in_none_and_one_that_may_go_on_neither():
    rows = [
        ("ann", 0, "a", "i1", "view"),
        ("ann", 9, "a", "i1", "view"),
        ("bob", DAY - 5, "b", "i1", "view"),
        ("bob", DAY + 5, "b", "i1", "purchase"),  # its label looks into the validation day
        ("cat", DAY + 50, "c", "i1", "view"),
        ("dan", 2 * DAY + 50, "d", "i1", "view"),
        ("eve", 3 * DAY - 50, "e", "i1", "view"),  # a minute before the data ends
        ("eve", 3 * DAY - 40, "e", "i1", "view"),
    ]
    found, _ = cut(rows)
    split = {"train": [1], "validate": [2], "test": [3]}
    part = parts(found, split, CALENDAR, quiet_s=1800)
    assert [int(part[found.visit[found.user == u][0]]) for u in range(5)] == [0, -1, 1, 2, -1]


def test_a_visit_that_the_door_would_still_count_on_has_no_labels_yet():
    days = [(f"{user}{day}", day) for day in range(1, 30) for user in "abc"]
    rows = []  # told by ids alone; two hours of silence are usual within a visit
    for name, day in days:
        start = (day - 1) * DAY
        rows += [(name, start + n * 7200, name, "i1", ("view", "purchase")[(day + n) % 2]) for n in range(3)]
    end = 29 * DAY
    rows += [("late", end - 7000, "late", "i1", "view"), ("last", end, "last", "i1", "view")]
    split = {"train": list(range(1, 20)), "validate": list(range(20, 24)), "test": list(range(24, 31))}
    rule = SessionRule(intents=(BUY,), model=SessionModel(epochs=1, width=8))
    found = learn(table(rows), None, rule, split=split, calendar=CALENDAR)
    assert found.trained.scorer.codes.quiet_s == 7200
    assert found.counts["sessions_left_out"] == 2, "both visits that a purchase may still follow"


def test_data_in_which_no_visit_goes_on_is_refused():
    found, _ = cut([("ann", 0, "a", "i1", "view"), ("ann", 0, "a", "i2", "view"), ("ann", DAY, "b", "i1", "view")])
    with pytest.raises(DataError, match=r"none of the 2 visits, by session_id, has events at two times"):
        require_rows(visits.rows(found, (BUY_VIEW,)), np.zeros(2, dtype=np.int8), found, what="by session_id")


BUY_VIEW = SessionIntent(name="look", event="view")


def test_a_part_without_visits_is_refused_by_name():
    found, _ = cut(ONE_VISIT)
    with pytest.raises(DataError, match="no visit begins and ends in the validate steps"):
        require_rows(visits.rows(found, (BUY,)), np.zeros(1, dtype=np.int8), found, what="by session_id")


def test_an_intent_about_a_kind_that_never_happens_is_refused():
    found, _ = cut(ONE_VISIT)
    with pytest.raises(DataError, match="no event is of the kind 'pay'; have cart, purchase, view"):
        visits.rows(found, (SessionIntent(name="pays", event="pay"),))


def test_a_label_that_never_changes_is_refused():
    found, _ = cut(ONE_VISIT[:3])
    seen = visits.rows(found, (LEAVE,))
    with pytest.raises(DataError, match=r"intents\.leave: an end follows in none of the 2 training rows"):
        _require_both(seen.take(np.arange(2)), (LEAVE,))

"""People who came after training, beside rows: one at place 5, whom `ann` followed and who wrote to her."""

import numpy as np
import pytest

from feature_repo import columns
from feature_repo.calendar import Calendar
from feature_repo.later_people import BY, TO, LaterPeople, Tie, document
from feature_repo.memory import Remembered
from feature_repo.rows import LIST_TYPES, Ragged, UserRows
from feature_repo.signs import NONE, STRIDE, Signs

CALENDAR = Calendar("2024-01-01")  # weeks
DAY = 86_400
NOON = 1_704_110_400  # 2024-01-01T12:00:00Z, week 1
IDS = ["a", "b", "c", "d", "e", "new", "newer"]
KINDS = Signs((("follow", 1.0), ("hide", -1.0), ("unfollow", 0.0)), hides=("hide",), once=("follow",),
              undoes=(("unfollow", "follow"),))  # fmt: skip


def week(n: int) -> int:
    return NOON + (n - 1) * 7 * DAY


def tie(user: str, kind: str = "", *, weeks: int = 1, last: int = 3) -> Tie:
    return Tie(user, kind, weeks, 0.96, 0.8, week(1), week(last))


def later(*, by: list[Tie] | None = None, to: list[Tie] | None = None, as_of: int = 0) -> LaterPeople:
    said = document({}, under="k", as_of=as_of, state={"share_1w": 0.1234567, "price": float("nan")},
                    by=by or [], to=to or [])["as_person"]  # fmt: skip
    return LaterPeople.of({5: said}, IDS)


def row(user: str, *, state: int, people: bool = True, known: bool = True) -> UserRows:
    """Return a row that knows of place 2, in the history and among those who wrote."""
    names = (*columns.HISTORY_LISTS, *(columns.RECEIVED_LISTS if people else ()))
    values = (2, 1, 0.5, 0.5, week(1), week(1))
    lists = {
        name: Ragged(np.asarray([values[n % 6]], LIST_TYPES[name]), np.asarray([0, 1])) for n, name in enumerate(names)
    }
    one = np.asarray([state], np.int64)
    return UserRows(np.asarray([user], object), one, one, np.asarray([known]), {}, lists)


def test_a_document_reads_back_and_unknown_numbers_are_left_out() -> None:
    found = later(by=[tie("ann")], to=[tie("bob")])
    assert found.state == {5: {"share_1w": 0.123457}}
    assert found.place_of == {"new": 5}
    assert found.by["ann"][0] == (5, Tie("ann", "", 1.0, 0.96, 0.8, week(1), week(3)))
    actor, target = found.edges({"ann": 0, "new": 5})  # bob is no item
    assert (actor.tolist(), target.tolist()) == ([0], [5])
    assert (BY, TO) == ("by", "to")


def test_records_are_added_to_both_lists_as_of_the_rows_own_week() -> None:
    found = later(by=[tie("ann", weeks=2)], to=[tie("ann")]).extended(row("ann", state=week(6)), NONE, CALENDAR)
    assert found.lists["history_items"].values.tolist() == [2, 5]
    assert found.lists["history_weeks"].values.tolist() == [1, 2]
    # The record is as of week 4, after week 3; the row's upcoming week is 7, three weeks on.
    np.testing.assert_allclose(found.lists["history_slow"].values, [0.5, 0.96 * 0.96**3], rtol=1e-6)
    np.testing.assert_allclose(found.lists["received_fast"].values, [0.5, 0.8 * 0.8**3], rtol=1e-6)
    assert found.lists["received_last_at"].values.tolist() == [week(1), week(3)]
    assert found.lists["history_items"].offsets.tolist() == [0, 2]


def test_rows_of_others_of_nobody_and_without_people_stay_as_they_are() -> None:
    said = later(by=[tie("ann")], to=[tie("ann")])
    assert said.extended(row("bob", state=week(6)), NONE, CALENDAR).lists["history_items"].values.tolist() == [2]
    unknown = said.extended(row("ann", state=week(6), known=False), NONE, CALENDAR)
    assert unknown.lists["history_items"].values.tolist() == [2]
    plain = row("ann", state=week(6), people=False)
    assert LaterPeople().extended(plain, NONE, CALENDAR) is plain
    assert set(said.extended(plain, NONE, CALENDAR).lists) == set(columns.HISTORY_LISTS)


def test_rows_among_many_get_their_own_records() -> None:
    two = UserRows.joined(row("bob", state=week(6)), row("ann", state=week(6)))
    many = UserRows.joined(two, row("cy", state=week(5)))
    found = later(by=[tie("ann"), tie("cy")]).extended(many, NONE, CALENDAR)
    assert [found.lists["history_items"].row(b).tolist() for b in range(3)] == [[2], [2, 5], [2, 5]]


def test_with_declared_kinds_a_record_goes_by_kind_and_item_and_unknown_kinds_are_passed_over() -> None:
    said = later(by=[tie("ann", "follow"), tie("ann", "wave")])
    found = said.extended(row("ann", state=week(6)), KINDS, CALENDAR)
    assert found.lists["history_items"].values.tolist() == [2, KINDS.numbers["follow"] * STRIDE + 5]


def done(kind: str, at: int, item: str = "new") -> Remembered:
    return Remembered(at, "s", item, kind, 0.0)


@pytest.mark.parametrize(
    ("by", "remembered", "barred"),
    [
        ([], [], False),
        ([tie("ann")], [], True),  # by the document
        ([], [done("message", week(5))], True),  # by what came live
        ([], [done("message", week(5), "a")], False),
        ([tie("bob")], [], False),
    ],
)
def test_whom_one_acted_on_is_barred_by_document_or_memory(
    by: list[Tie], remembered: list[Remembered], *, barred: bool
) -> None:
    found = later(by=by).barred("ann", remembered, signs=NONE)
    assert found == (frozenset({5}) if barred else frozenset())


def test_only_the_kind_that_counts_bars() -> None:
    found = later()
    assert found.barred("ann", [done("view", 9)], signs=NONE, event="follow") == frozenset()
    assert found.barred("ann", [done("follow", 9)], signs=NONE, event="follow") == {5}
    assert later(by=[tie("ann")]).barred("ann", [], signs=NONE, event="follow") == {5}


@pytest.mark.parametrize(
    ("by", "remembered", "barred"),
    [
        ([tie("ann", "follow")], [], True),
        ([tie("ann", "follow")], [done("unfollow", week(4))], False),  # taken back since
        ([tie("ann", "follow"), tie("ann", "unfollow", last=2)], [], True),
        ([tie("ann", "unfollow")], [done("follow", week(4))], True),
        ([], [done("follow", week(4)), done("unfollow", week(4) + 1), done("hide", week(5))], True),
        ([], [done("unfollow", week(4))], False),
    ],
)
def test_by_kind_what_was_taken_back_bars_no_longer(
    by: list[Tie], remembered: list[Remembered], *, barred: bool
) -> None:
    found = later(by=by).barred("ann", remembered, signs=KINDS, forbid=False)
    assert found == (frozenset({5}) if barred else frozenset())


def test_where_repeats_are_forbidden_altogether_every_wanted_kind_bars() -> None:
    wanted = Signs((("like", 1.0), ("view", 0.0)))
    assert later().barred("ann", [done("like", 9)], signs=wanted, forbid=True) == {5}
    assert later().barred("ann", [done("like", 9)], signs=wanted, forbid=False) == frozenset()


def test_what_a_memory_may_have_lost_bars_everyone_whose_document_is_older() -> None:
    full = [done("message", week(5) + n, "a") for n in range(columns.MEMORY_EVENTS)]
    assert later(as_of=week(5)).barred("ann", full, signs=NONE) == frozenset()
    assert later(as_of=week(5) - 1).barred("ann", full, signs=NONE) == {5}
    assert later(as_of=week(5) - 1).barred("ann", full[1:], signs=NONE) == frozenset(), "it has room: nothing is lost"
    assert later().barred("ann", None, signs=NONE) == {5}, "the store is away"

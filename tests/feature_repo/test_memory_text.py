"""The text of an event memory, byte by byte: what is written, what is read back, and what is kept."""

import pytest

from feature_repo import memory
from feature_repo.errors import DataError
from feature_repo.memory import Remembered

TEA = Remembered(7, "s1", "tea", "view", 0.0)
HAM = Remembered(9, "s2", "ham", "purchase", 2.5)
ODD = Remembered(8, "s\t1", "a\nb", "back\\slash\\t", -1e-07)
THREE = b"1\n7\ts1\ttea\tview\t0\n8\ts\\t1\ta\\nb\tback\\\\slash\\\\t\t-1e-07\n9\ts2\tham\tpurchase\t2.5"


def test_texts_are_a_sixth_cell_of_a_form_of_their_own_and_what_has_none_is_as_ever() -> None:
    said = HAM._replace(text="too\tsalty\nfor me")
    made = memory.encode([said, TEA])
    assert made == b"1+text\n7\ts1\ttea\tview\t0\t\n9\ts2\tham\tpurchase\t2.5\ttoo\\tsalty\\nfor me"
    assert memory.decode(made) == [TEA, said]
    assert memory.readable(made)
    for parts in ([TEA], [said]), ([said], [TEA]):  # the first text, and an event without one, in either order
        found = memory.EMPTY
        for events in parts:
            found = memory.added(found, events)
        assert found == made
    assert memory.without(made, ["ham"]) == b"1+text\n7\ts1\ttea\tview\t0\t"


def views(first: int, last: int) -> list[Remembered]:
    return [Remembered(at, "s", f"i{at}", "view", 0.0) for at in range(first, last)]


def test_a_memory_is_a_version_and_a_line_an_event_oldest_first() -> None:
    assert memory.encode([HAM, ODD, TEA]) == THREE
    assert memory.decode(THREE) == [TEA, ODD, HAM]
    assert memory.encode([]) == memory.EMPTY == b"1"
    assert memory.decode(b"1") == memory.decode(b"") == []


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ((7, "b", "x", "x", 9.0), (8, "a", "a", "a", 0.0)),
        ((7, "a", "x", "x", 9.0), (7, "b", "a", "a", 0.0)),
        ((7, "s", "a", "x", 9.0), (7, "s", "b", "a", 0.0)),
        ((7, "s", "i", "a", 9.0), (7, "s", "i", "b", 0.0)),
        ((7, "s", "i", "k", 0.5), (7, "s", "i", "k", 9.0)),
    ],
)
def test_the_order_is_instant_session_item_kind_value(
    one: tuple[int, str, str, str, float], two: tuple[int, str, str, str, float]
) -> None:
    first, second = Remembered(*one), Remembered(*two)
    assert memory.decode(memory.encode([second, first])) == [first, second]
    assert memory.decode(memory.added(memory.encode([second]), [first])) == [first, second]
    assert memory.decode(memory.added(memory.encode([first]), [second])) == [first, second]


@pytest.mark.parametrize(
    ("value", "written"), [(0.0, b"0"), (3.0, b"3"), (2.5, b"2.5"), (-3.25, b"-3.25"), (1e20, b"1e+20")]
)
def test_whole_values_are_written_short_and_all_are_read_back(value: float, written: bytes) -> None:
    made = memory.encode([TEA._replace(value=value)])
    assert made.rpartition(b"\t")[2] == written
    assert memory.decode(made)[0].value == value


@pytest.mark.parametrize("text", ["", "\\", "\\\\t", "\\n", "\t\n\\", "é€", "t", "n"])
def test_any_text_is_read_back(text: str) -> None:
    event = Remembered(7, text, text, text, 1.0)
    made = memory.encode([event, HAM])
    assert made.count(b"\n") == 2
    assert memory.decode(made) == [event, HAM]


def test_events_come_to_their_places_and_equal_ones_stay_both() -> None:
    two = memory.encode([TEA, HAM])
    assert memory.added(two, [ODD]) == THREE
    assert memory.added(memory.EMPTY, [HAM, TEA, ODD]) == THREE
    assert memory.added(b"", [HAM, TEA, ODD]) == THREE
    assert memory.added(two, []) == two
    assert memory.decode(memory.added(two, [HAM])) == [TEA, HAM, HAM]


def test_an_event_that_is_not_late_costs_no_other_line_a_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bytes] = []
    whole = memory._event
    monkeypatch.setattr(memory, "_event", lambda line: (read.append(line), whole(line))[1])
    made = memory.encode(views(1, 60))
    memory.added(made, views(60, 61))
    assert len(read) == 1
    memory.added(made, views(58, 59))
    assert len(read) > 59


def test_the_last_64_are_kept_however_they_come() -> None:
    for made in (
        memory.encode(views(0, 70)),
        memory.added(memory.encode(views(0, 60)), views(60, 70)),
        memory.added(memory.encode(views(3, 70)), views(0, 3)),
    ):
        assert [event.at for event in memory.decode(made)] == [*range(6, 70)]
    assert len(memory.decode(memory.encode(views(0, 64)))) == 64


def test_who_is_named_as_an_item_or_in_a_session_goes_and_nothing_else() -> None:
    assert memory.without(THREE, ["ham"]) == THREE.rpartition(b"\n")[0]
    assert memory.without(THREE, ["s1", "s2"]) == b"1\n" + THREE.split(b"\n")[2]
    assert memory.without(THREE, ["nobody"]) is THREE
    assert memory.without(THREE, []) is THREE
    assert memory.without(b"1\n7\ts1\ttea\tview\t0", ["tea"]) == memory.EMPTY


@pytest.mark.parametrize(
    ("text", "can"), [(b"", True), (b"1", True), (THREE, True), (b"2", False), (b"2\n7", False), (b"11", False)]
)
def test_only_this_version_is_read(text: bytes, can: bool) -> None:
    assert memory.readable(text) is can


@pytest.mark.parametrize("read", [memory.decode, lambda t: memory.added(t, []), lambda t: memory.without(t, ["x"])])
def test_another_version_is_refused_in_one_line_that_says_which_and_what_to_do(read: object) -> None:
    with pytest.raises(DataError) as caught:
        read(b"version of \xff a later day\n7\ts")  # type: ignore[operator]
    assert str(caught.value) == (
        "memory: form 'version of � a later' of a user row is unknown, this code reads 1; a newer release wrote the "
        "rows: run its code, or materialise again with this one"
    )


def test_a_version_is_what_stands_in_the_first_line() -> None:
    with pytest.raises(DataError, match="memory: form '2' of a user row is unknown"):
        memory.decode(b"2\n7\ts1\ttea\tview\t0\n9")

"""A door that was away is tried by few requests, and gets all of them back in steps."""

from bentos.router.slow_start import FAILURES, FIRST, WIDE, SlowStart


def tried(door: SlowStart, *, answered: bool, at_once: int) -> int:
    """Have so many requests come at once; return how many tried the door."""
    running = 0
    for _ in range(at_once):
        if door.admits:
            door.enter()
            running += 1
    for _ in range(running):
        door.leave(answered=answered)
    return running


def test_a_door_that_answers_takes_all_and_single_failures_change_nothing() -> None:
    door = SlowStart()
    for _ in range(20):
        assert tried(door, answered=False, at_once=FAILURES - 1) == FAILURES - 1
        assert tried(door, answered=True, at_once=500) == 500


def test_a_door_that_is_away_is_tried_by_few_and_one_alone_always_does() -> None:
    door = SlowStart()
    assert tried(door, answered=False, at_once=500) == 500  # who had begun before it was away
    assert [tried(door, answered=False, at_once=500) for _ in range(5)] == [FIRST] * 5
    assert [tried(door, answered=False, at_once=1) for _ in range(5)] == [1] * 5


def test_a_door_that_returns_gets_twice_as_many_with_each_round() -> None:
    door = SlowStart(bound=FIRST)
    rounds = [tried(door, answered=True, at_once=500) for _ in range(6)]
    assert rounds == [4, 8, 16, 32, 500, 500]
    assert FIRST * 16 == WIDE


def test_a_door_that_fails_again_while_it_returns_begins_anew() -> None:
    door = SlowStart(bound=30)
    assert tried(door, answered=False, at_once=500) == 30
    assert tried(door, answered=True, at_once=500) == FIRST


def test_the_fifth_failure_in_a_row_is_one_too_many() -> None:
    door = SlowStart()
    assert tried(door, answered=False, at_once=4) == 4
    assert door.bound is None
    assert tried(door, answered=False, at_once=1) == 1
    assert (door.bound, FAILURES) == (FIRST, 5)

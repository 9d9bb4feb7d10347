"""Requests that come at once share a turn; each hears how its own ended."""

import threading
import time
from collections.abc import Sequence

import pytest

from bentos.recommender.logs.shared_turn import SharedTurn


def at_once(turns: SharedTurn[int], pieces: Sequence[int]) -> dict[int, BaseException | None]:
    """Have each piece done by a thread of its own; return how each ended."""
    ended: dict[int, BaseException | None] = {}

    def run(piece: int) -> None:
        try:
            turns.run(piece)
            ended[piece] = None
        except ValueError as error:
            ended[piece] = error

    threads = [threading.Thread(target=run, args=(piece,)) for piece in pieces]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return ended


def test_what_comes_while_a_turn_is_taken_shares_the_next_one_in_its_order() -> None:
    seen: list[list[int]] = []
    first = threading.Event()

    def work(pieces: Sequence[int]) -> None:
        seen.append(list(pieces))
        if len(seen) == 1:
            first.set()
            deadline = time.monotonic() + 20
            while len(turns._waiting) < 5 and time.monotonic() < deadline:
                time.sleep(0.001)

    turns = SharedTurn(work, size=lambda piece: 1, most=100)
    leader = threading.Thread(target=turns.run, args=(0,))
    leader.start()
    assert first.wait(20)
    assert set(at_once(turns, range(1, 6)).values()) == {None}
    leader.join(20)
    assert seen[0] == [0]
    assert sorted(piece for turn in seen[1:] for piece in turn) == [1, 2, 3, 4, 5]
    assert len(seen) == 2


def test_a_turn_holds_at_least_one_piece_and_ends_where_it_has_enough() -> None:
    seen: list[list[int]] = []
    turns = SharedTurn(lambda pieces: seen.append(list(pieces)), size=lambda piece: piece, most=10)
    turns._waiting.extend((piece, []) for piece in (50, 4, 5, 6))
    turns.run(3)
    assert seen == [[50], [4, 5, 6], [3]]


def test_whoever_shared_a_turn_that_failed_hears_of_it_and_the_next_turn_goes_on() -> None:
    def work(pieces: Sequence[int]) -> None:
        if -1 in pieces:
            raise ValueError("no")

    turns = SharedTurn(work, size=lambda piece: 1, most=1)
    ended = at_once(turns, [1, -1, 2])
    assert [isinstance(ended[piece], ValueError) for piece in (1, -1, 2)] == [False, True, False]
    with pytest.raises(ValueError, match="no"):
        turns.run(-1)
    turns.run(3)

"""One turn of work for all who wait for it: while one caller's thread works, others queue; the next does all of theirs.

What a disk or a store takes to be sure of a write does not grow with what is written, so requests that come at once
share the wait. A request that comes alone waits for nobody.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

One = TypeVar("One")


class SharedTurn(Generic[One]):
    """Does pieces of work in turns, each by the thread of one of those who wait."""

    def __init__(self, work: Callable[[Sequence[One]], None], *, size: Callable[[One], int], most: int) -> None:
        """`work` does several pieces; a turn takes pieces up to `most` in size together, and one at least."""
        self._work, self._size, self._most = work, size, most
        self._waiting: deque[tuple[One, list[BaseException | None]]] = deque()
        self._turn = threading.Lock()

    def run(self, one: One) -> None:
        """Return when a piece is done, by whichever thread; raise what its turn raised."""
        done: list[BaseException | None] = []  # how it ended, once it did
        self._waiting.append((one, done))
        with self._turn:
            while not done:
                self._take()
        if done[0] is not None:
            raise done[0]

    def _take(self) -> None:
        """Do the pieces that wait, from the first on."""
        taken, size = [self._waiting.popleft()], 0
        while self._waiting and (size := size + self._size(taken[-1][0])) < self._most:
            taken.append(self._waiting.popleft())
        failure: BaseException | None = None
        try:
            self._work([one for one, _ in taken])
        except BaseException as error:  # every one of them is told, in its own thread
            failure = error
        for _, done in taken:
            done.append(failure)

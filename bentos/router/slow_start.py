"""How many requests may try a door that was away: few at first, one more for each answer. Pure.

A door counts as away after FAILURES attempts in a row without an answer. Then at most FIRST requests try it at once,
the others are answered without it, so that a silent door holds few requests up, and one that starts does not get all
of the traffic in its first second. Each answer lets one more through, so the bound doubles with each round of requests
(TCP's slow start); at WIDE it is gone. One request alone always tries: the first one after a door's return is its own.
"""

from dataclasses import dataclass

FAILURES = 5
FIRST = 4
WIDE = 64


@dataclass
class SlowStart:
    """The state of one door.

    >>> SlowStart(running=FIRST).admits, SlowStart(running=FIRST, bound=FIRST).admits
    (True, False)
    """

    running: int = 0
    failed: int = 0  # in a row
    bound: int | None = None  # None: the door is not away

    @property
    def admits(self) -> bool:
        """Whether one more request may try the door."""
        return self.bound is None or self.running < self.bound

    def enter(self) -> None:
        """A request tries the door."""
        self.running += 1

    def leave(self, *, answered: bool) -> None:
        """It got an answer, or none that counts."""
        self.running -= 1
        if not answered:
            self.failed += 1
            if self.failed >= FAILURES:
                self.bound = FIRST
            return
        self.failed = 0
        if self.bound is not None:
            self.bound += 1
            if self.bound >= WIDE:
                self.bound = None

"""How many requests one process of a door takes at a time, as it said when it last refused one. Pure.

A process that has as much as it can answer in time refuses the rest, and says how many it lets run. What it would
refuse the router then refuses itself, which costs the process nothing and needs no connection to it. What a process
said holds for a second after its last refusal; then requests try it again, since its calls may have become shorter.
Several routers each let as many in: what is more the process still refuses.
"""

from dataclasses import dataclass

HOLDS_S = 1.0


@dataclass
class Room:
    """What one process takes.

    >>> room = Room(running=3)
    >>> room.full(0.0)
    False
    >>> room.refused(3, now=0.0)
    >>> room.full(0.5), room.full(1.5)
    (True, False)
    """

    running: int = 0  # requests that were sent to it and are not answered
    most: int = 0
    until: float = 0.0  # the loop's time

    def full(self, now: float) -> bool:
        """Tell whether the process would refuse one more."""
        return now < self.until and self.running >= self.most

    def enter(self) -> None:
        """A request is sent."""
        self.running += 1

    def leave(self) -> None:
        """It was answered, or will not be."""
        self.running -= 1

    def refused(self, most: int, *, now: float) -> None:
        """Take in that the process refused a request since so many may run."""
        self.most, self.until = most, now + HOLDS_S

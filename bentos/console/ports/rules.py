"""The port of the page `rules`."""

from typing import Protocol


class Rules(Protocol):
    """What the page asks."""

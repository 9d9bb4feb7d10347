"""The port of the page `changes`."""

from typing import Protocol


class Changes(Protocol):
    """What the page asks."""

"""The port of the page `releases`."""

from typing import Protocol


class Releases(Protocol):
    """What the page asks."""

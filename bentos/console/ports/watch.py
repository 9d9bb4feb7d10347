"""The ports of the pages that watch."""

from typing import Protocol


class Kpis(Protocol):
    """What the overview asks."""


class Experiments(Protocol):
    """What the page of experiments asks."""


class Drift(Protocol):
    """What the page of drift asks."""


class Links(Protocol):
    """Where the same things are in other tools."""

"""The console's ports of what watches: KPIs, experiments, drift, links to other tools."""

from collections.abc import Callable

from bentos.console.ports.watch import Drift, Experiments, Kpis, Links
from pipelines.environment import Installation


def kpis(place: Callable[[], Installation]) -> Kpis | None:
    """Return the port over an installation, which is read anew at each call."""
    return None


def experiments(place: Callable[[], Installation]) -> Experiments | None:
    """Return the port over an installation."""
    return None


def drift(place: Callable[[], Installation]) -> Drift | None:
    """Return the port over an installation."""
    return None


def links(place: Callable[[], Installation]) -> Links | None:
    """Return the port over an installation."""
    return None

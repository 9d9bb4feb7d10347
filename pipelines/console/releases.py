"""The console's port of releases."""

from collections.abc import Callable

from bentos.console.ports.releases import Releases
from pipelines.environment import Installation


def port(place: Callable[[], Installation]) -> Releases | None:
    """Return the port over an installation, which is read anew at each call."""
    return None

"""All ports of the console over one installation."""

from collections.abc import Callable

from bentos.console.ports import Ports
from pipelines.console import changes, people, releases, rules, watch
from pipelines.environment import Installation


def ports(place: Callable[[], Installation]) -> Ports:
    """Return them; each reads spec and environment anew at each call."""
    return Ports(
        people=people.port(place),
        rules=rules.port(place),
        releases=releases.port(place),
        changes=changes.port(place),
        experiments=watch.experiments(place),
        drift=watch.drift(place),
        kpis=watch.kpis(place),
        links=watch.links(place),
    )

"""What pages ask and are told: a Protocol a topic, with frozen dataclasses. `pipelines/console/` fills them."""

from dataclasses import dataclass

from bentos.console.ports.changes import Changes
from bentos.console.ports.people import People
from bentos.console.ports.releases import Releases
from bentos.console.ports.rules import Rules
from bentos.console.ports.watch import Drift, Experiments, Kpis, Links


@dataclass(frozen=True)
class Ports:
    """All of them; a page says what it cannot show where its port is None."""

    people: People | None = None
    rules: Rules | None = None
    releases: Releases | None = None
    changes: Changes | None = None
    experiments: Experiments | None = None
    drift: Drift | None = None
    kpis: Kpis | None = None
    links: Links | None = None

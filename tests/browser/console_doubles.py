"""Filled ports of every page of the console, for looks: those of `tests/console`, and a person with what is long."""

from dataclasses import replace

from bentos.console.ports import Ports
from bentos.console.ports.people import Item, Past, Person
from tests.console import steering, watching
from tests.console.visits import PERSON, FakePeople

AT = "2026-01-31T12:03:00+00:00"
MARKUP = "<img src=x onerror=alert(1)>Tea & \"biscuits\" '7'"
LONG = "Naturally-cloudy-unsweetened-apple-juice-from-concentrate-in-a-returnable-bottle"
REASONS = ("bought in 24 weeks, last 2 weeks ago", "intent buy:SOFT DRINKS 0.4928")
ITEMS = (
    *PERSON.items,
    Item(3, "1082185-long-item-id-of-a-supplier", MARKUP, "neighbours", REASONS, 12.5),
    Item(4, "i4", LONG, "history", REASONS, 1234567.89),
)
EVENTS = tuple(replace(past, title=title) for past in PERSON.events for title in ("Bananas", MARKUP, LONG))
FULL: Person = replace(PERSON, items=ITEMS, events=(*EVENTS, Past(AT, "purchase", "i9", "", "service")))


def full() -> Ports:
    """Return every port."""
    return Ports(
        people=FakePeople(FULL),
        rules=steering.rules(),
        releases=steering.releases(),
        changes=steering.changes(),
        kpis=watching.kpis(),
        experiments=watching.experiments(),
        drift=watching.drift(),
        links=watching.links(),
    )

"""Filled ports of every page of the console, with what is long, hostile or many: for looks, not for what is true.

People, overview, experiments and drift are those of `tests/console`; rules, releases and the audit are here.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from bentos.console.ports import Ports
from bentos.console.ports.changes import Audit, AuditEntry
from bentos.console.ports.people import Item, Past, Person
from bentos.console.ports.releases import Gate, LastRollback, Move, ReleasesShown, ReleaseVersion, WayBack
from bentos.console.ports.rules import (
    Column,
    Cost,
    HeldRule,
    HeldRules,
    ListedItem,
    Preview,
    RuleChange,
    UserLists,
    Written,
)
from tests.console import watching
from tests.console.visits import PERSON, FakePeople

if TYPE_CHECKING:
    from bentos.endpoints.rules import RulesRequest

AT, WHO = "2026-01-31T12:03:00+00:00", "key 1f0c2d3e, console"
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
RULE = {"kind": "filter", "name": "no beer", "where": "category in ['BEER', 'WINE', 'LIQUEURS'] and price < 5"}
PIN = {"kind": "pin", "name": "the week's offer", "item": "1082185", "place": 1}
MOVES = (
    Move("champion", "1", "2", "pipeline (root)", AT, "passed its gates"),
    Move("challenger", "", "2", "pipeline (root)", AT, "passed its gates, every one of them, on the same rows"),
)
GATES = (
    Gate("ranking.ndcg_at_10", "new", "refused", "0.1234 is below the champion's 0.2345 less 0.02"),
    Gate("intent.map", "", "passed", "0.4 (0.38 to 0.42) is above 0.3"),
    Gate("ranking.ndcg_at_10", "", "skipped", "there is no champion yet"),
)


class Rules:
    """Two rules, one of which cannot be kept; every preview costs the same."""

    def held(self) -> HeldRules:
        return HeldRules(
            version=7,
            rules=(
                HeldRule(RULE, "d1", 7, AT, WHO),
                HeldRule(PIN, "d2", None, problem="no item '1082185' in the catalogue of this release"),
            ),
            changes=(
                RuleChange(7, AT, WHO, None, "no beer", RULE, undoable=True),
                RuleChange(6, AT, WHO, 5, "no beer", None),
            ),
            changes_in_all=2,
            columns=(
                Column("category", "text", ("=", "in"), ("BEER", "WINE")),
                Column("price", "number", ("=", "<")),
            ),
            placements=("home", "basket"),
            segments=("bakers, rolls", "frozen pizza, soft drinks"),
            events=("purchase",),
            impressions=True,
            timezone="America/New_York",
        )

    def preview(self, ask: "RulesRequest", *, placement: str, user: str) -> Preview:
        figures = {"ndcg_at_10": 0.3134, "recall_at_10": 0.2, "coverage": 0.41, "popularity": 812.0, "novelty": 9.2}
        cost = Cost(figures, figures | {"ndcg_at_10": 0.3002}, (-0.0132, -0.0151, -0.0113), 0.02, 5074)
        one, two = ListedItem("i1", MARKUP, "history"), ListedItem("i2", LONG, "popular")
        lists = UserLists((one, two), (two,), ("the pin of 'tea': nobody has it",), "three items were wanted")
        return Preview(cost, "", lists, "")

    def write(self, ask: "RulesRequest", *, seen: Mapping[str, str], who: str) -> Written:
        return Written(8, repeated=False)

    def written(self, version: int) -> Written | None:
        return Written(version, repeated=False, changes=(RuleChange(version, AT, WHO, None, "no beer", RULE),))


class Releases:
    """Two versions, the older one taken back once."""

    def shown(self) -> ReleasesShown:
        story = (f"{AT} canary: answers 20% of users", f"{AT} shadow: ready after 50 mirrored requests")
        versions = (
            ReleaseVersion("2", "39d0a928afd0", AT, ("champion",), "stable", "passed", GATES, ("moved",), story),
            ReleaseVersion(
                "1", "23646ffa02bd", AT, ("previous",), "", "passed", GATES[1:], (), (), f"{AT} by ana: slow"
            ),
        )
        return ReleasesShown(
            versions, 2, MOVES, "2", "39d0a928afd0", True, "no rollout is under way", "", "", WayBack("2", "1"),
            LastRollback("done", "3", "2", WHO, 1.2, "champion 3 -> 2", "39d0a928afd0"),
        )  # fmt: skip

    def rollback(self, champion: str, to: str, *, why: str, who: str) -> LastRollback:
        return LastRollback("running", champion, to, who, 3.0)


class Changes:
    """A rule, many items and a move of an alias."""

    def audit(self, *, what: str = "", until: int | None = None) -> Audit:
        entries = (
            AuditEntry(AT, WHO, "rule", ("no beer",), 1, 7, "put", said=str(RULE)),
            AuditEntry(AT, "key 77aa88bb, assistant", "item", tuple(f"10821{n:02}" for n in range(12)), 240, 6, "put"),
            AuditEntry(AT, "pipeline (root)", "release", ("champion",), 1, None, "moved", said="1 -> 2: passed"),
            AuditEntry(AT, WHO, "person", (), 1, 5, "removed"),
        )
        return Audit(entries, older=4)


def full() -> Ports:
    """Return every port."""
    return Ports(
        people=FakePeople(FULL),
        rules=Rules(),
        releases=Releases(),
        changes=Changes(),
        kpis=watching.kpis(),
        experiments=watching.experiments(),
        drift=watching.drift(),
        links=watching.links(),
    )

"""Filled ports of the pages that change things, for tests over HTTP and in a browser: rules, releases, the audit."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bentos.console.ports.changes import Audit, AuditEntry
from bentos.console.ports.releases import Gate, LastRollback, Move, ReleasesShown, ReleaseVersion, WayBack
from bentos.console.ports.rules import (
    Column,
    Cost,
    HeldRule,
    HeldRules,
    ListedItem,
    Match,
    Overtaken,
    Preview,
    RuleChange,
    UserLists,
    Written,
)
from feature_repo import files
from feature_repo.errors import Refused, SpecError

NONE_SEEN = files.digest(None)
AT = "2026-11-30T10:00:00+00:00"
WHO = "key 1f0c9a3e, console"
TITLE = "<b>Oats</b> & honey"  # a title with markup
NO_BEER = {"kind": "filter", "name": "no beer", "where": "category = 'BEER'", "placements": ["home"]}
TEXT = ("=", "!=", "in", "not in", "starts with", "is known", "is unknown")
NUMBER = ("=", "!=", "<", "<=", ">", ">=", "in", "not in", "is known", "is unknown")
COST = Cost(
    before={"ndcg_at_10": 0.3121, "recall_at_10": 0.2456, "coverage": 0.5123, "popularity": 0.11, "novelty": 4.2},
    after={"ndcg_at_10": 0.3018, "recall_at_10": 0.2391, "coverage": 0.4876, "popularity": 0.12, "novelty": 4.1},
    ndcg_change=(-0.0103, -0.0142, -0.0064),
    short=0.02,
    rows=1234,
)
LISTS = UserLists(
    before=(ListedItem("i1", "Lager"), ListedItem("i2", TITLE), ListedItem("i3", "Bread")),
    after=(ListedItem("i2", TITLE), ListedItem("i3", "Bread"), ListedItem("i4", "Tea")),
)


@dataclass
class PaperRules:
    """Rules on paper: what is written is held; `overtaken` names rules that somebody else changes in between."""

    held_rules: dict[str, dict[str, Any]] = field(default_factory=lambda: {"no beer": dict(NO_BEER)})
    log: list[RuleChange] = field(default_factory=list)
    keys: dict[str, int] = field(default_factory=dict)
    overtaken: set[str] = field(default_factory=set)

    def held(self) -> HeldRules:
        """Return what holds."""
        newest = {one.name: one for one in self.log}
        rules = []
        for name, document in self.held_rules.items():
            change = newest.get(name)
            rules.append(
                HeldRule(
                    document,
                    files.digest(document),
                    change.version if change else None,
                    change.at if change else "",
                    change.who if change else "",
                )
            )
        return HeldRules(
            version=len(self.log),
            rules=tuple(rules),
            changes=tuple(replace(one, undoable=newest[one.name] is one) for one in reversed(self.log)),
            changes_in_all=len(self.log),
            columns=(
                Column("category", "text", TEXT, ("BEER", "BREAD", "TEA")),
                Column("title", "text", TEXT, (TITLE,)),
                Column("price", "number", NUMBER),
            ),
            placements=("home", "basket"),
            segments=("bakers", "students"),
            events=("purchase", "view"),
            impressions=True,
            timezone="America/New_York",
        )

    def preview(self, ask: Any, *, placement: str, user: str) -> Preview:
        """Return the same cost for every change; a pin of an unknown item is refused."""
        for one in ask.rules:
            if one.root.kind == "pin" and one.root.item == "unknown":
                raise SpecError(f"rules: pin '{one.root.name}': item: 'unknown' is no item that is shown")
        match = Match(37, 9200, ("Lager", TITLE)) if ask.rules else None
        return Preview(match, COST, "", LISTS if user else None, "")

    def write(self, ask: Any, *, seen: Mapping[str, str], who: str) -> Written:
        """Write a change, once for each change_id."""
        if ask.change_id in self.keys:
            return Written(self.keys[ask.change_id], repeated=True)
        for name, text in seen.items():
            if name in self.overtaken:
                self.overtaken.remove(name)
                other = dict(NO_BEER) | {"name": name, "where": "category = 'WINE'"}
                self._put(name, other, "key 99aa, console")
            now = self.held_rules.get(name)
            if text != (NONE_SEEN if now is None else files.digest(now)):
                raise Overtaken(name)
        for one in ask.rules:
            self._put(one.root.name, one.root.document(), who)
        for name in ask.remove:
            self._put(name, None, who)
        if ask.undo is not None:
            self._put(self.log[ask.undo - 1].name, None, who, undoes=ask.undo)
        self.keys[ask.change_id or ""] = len(self.log)
        return Written(len(self.log), repeated=False)

    def written(self, version: int) -> Written | None:
        """Read a version back."""
        found = tuple(one for one in self.log if one.version == version)
        return Written(version, repeated=False, changes=found) if found else None

    def _put(self, name: str, document: dict[str, Any] | None, who: str, *, undoes: int | None = None) -> None:
        if document is None:
            self.held_rules.pop(name, None)
        else:
            self.held_rules[name] = document
        gone = document is None and undoes is None
        self.log.append(RuleChange(len(self.log) + 1, AT, who, undoes, name, document, removed=gone))


GATES = (
    Gate("ranking.ndcg_at_10", "new", "refused", "0.101 is below the champion's 0.140 by more than 0.02"),
    Gate("intent.map", "", "passed", "0.402 is above decayed_rate's 0.310"),
    Gate("service.p99_ms", "", "skipped", "nothing was measured"),
)


@dataclass
class PaperReleases:
    """Version 2 serves, version 1 did before; version 3 was refused. A rollback moves it on paper."""

    champion: str = "2"
    previous: str = "1"
    refusal: str = ""  # of every rollback, such as while a rollout runs
    last: LastRollback = field(default_factory=lambda: LastRollback("none"))
    moves: list[Move] = field(default_factory=lambda: [Move("champion", "1", "2", "pipeline (ana)", AT, "better")])

    def shown(self) -> ReleasesShown:
        """Return it."""
        none = "" if self.previous else "rollback: shop-release has no version 'previous'"
        return ReleasesShown(
            versions=(self._version("3", GATES), self._version("2", GATES[1:]), self._version("1", GATES[1:])),
            versions_in_all=3,
            history=tuple(reversed(self.moves)),
            champion=self.champion,
            stable=f"r{self.champion}",
            recorded=False,
            whole=True,
            standing=f"stable: version {self.champion} (release r{self.champion}); no rollout under way",
            problem="",
            notice="",
            back=WayBack(self.champion, self.previous, self.refusal or none),
            last=self.last,
        )

    def rollback(self, champion: str, to: str, *, why: str, who: str) -> LastRollback:
        """Move the champion, or refuse."""
        if self.refusal or (champion, to) != (self.champion, self.previous):
            raise Refused(self.refusal or f"rollback: from version {champion} to {to} was asked for; nothing was moved")
        self.moves.append(Move("champion", champion, to, who, AT, why))
        self.champion, self.previous = to, ""
        self.last = LastRollback("done", champion, to, who, 0.4, f"champion {champion} -> {to}", f"r{to}")
        return self.last

    def _version(self, version: str, gates: tuple[Gate, ...]) -> ReleaseVersion:
        refused = any(gate.verdict == "refused" for gate in gates)
        aliases = [
            alias for alias, held in (("champion", self.champion), ("previous", self.previous)) if held == version
        ]
        return ReleaseVersion(
            version,
            f"r{version}",
            AT,
            tuple(aliases),
            "stable" if version == self.champion else "",
            "gates refused" if refused else "gates passed",
            gates,
            (f"{AT} champion nobody -> {version} by ana: better",),
            (f"{AT} promoted: it is stable",),
        )


class PaperChanges:
    """An audit of one page, and an older one."""

    def audit(self, *, what: str = "", until: int | None = None) -> Audit:
        """Return it; of one kind alone where `what` names it."""
        every = (
            AuditEntry(AT, WHO, "rule", ("no beer",), 1, 7, "put", None, '{"kind": "filter", "name": "no beer"}'),
            AuditEntry(AT, WHO, "item", ("i1", "i2"), 9, 6, "put"),
            AuditEntry(AT, "ana", "release", ("champion",), 1, None, "moved", None, "champion: 1 -> 2: better"),
            AuditEntry(AT, "job materialise", "person", (), 3, 5, "put"),
            AuditEntry(AT, WHO, "rule", ("two each",), 1, 4, "taken back", 2),
        )
        shown = tuple(one for one in every if what in ("", one.what))
        return Audit(shown if until is None else shown[-1:], 3 if until is None else None)


def rules() -> PaperRules:
    """Return rules, one of which holds."""
    return PaperRules()


def releases() -> PaperReleases:
    """Return releases with a way back."""
    return PaperReleases()


def changes() -> PaperChanges:
    """Return an audit."""
    return PaperChanges()

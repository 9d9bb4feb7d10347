"""Fills the console's port of rules from an installation: the functions of `intentflow rules`, and the document log.

A user's list before and after a change is the service's own answer to `PUT /rules` with `preview`.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

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
from feature_repo import columns
from feature_repo.errors import Refused, ServerError, UserError
from pipelines.environment import Installation

if TYPE_CHECKING:
    import pyarrow as pa

    from bentos.client import Recommender
    from bentos.endpoints.rules import PreviewedList, RulesRequest
    from bentos.recommender.catalogue import OpenCatalogue
    from components.ranking.rules.book import ReadRule, RuleBook
    from feature_repo.documents.changes import Change, Newest

SHOWN = 20  # changes, the newest
MOST_VALUES = 100  # of a text column, those that most items have
NAMED = 5  # items that a rule is about
NAMES = (columns.ITEM_ID, columns.TITLE)  # of whom it is, where items are people
COSTS_S = 120.0  # that a preview waits for the one before: each holds the test weeks in memory
FEW = 500  # distinct values past which a column's values are names, not choices
Service = Callable[[Installation], AbstractContextManager["Recommender"]]


def port(place: Callable[[], Installation]) -> "LiveRules":
    """Return the port over an installation, which is read anew at each call."""
    from pipelines.console import service

    return LiveRules(place, service.customer)


class LiveRules:
    """Fills bentos.console.ports.rules.Rules."""

    def __init__(self, place: Callable[[], Installation], service: Service) -> None:
        self._place, self._service = place, service
        self._one = threading.Lock()

    def held(self) -> HeldRules:
        """Return what holds now."""
        from pipelines import rules
        from pipelines.releases import release as releases

        place = self._place()
        with releases.variables(place):
            catalogue, segments = rules.catalogue_of(place)
            shown = catalogue.refresh()
            changes = _changes(catalogue)
        people = catalogue.release.ranking.exclude_self
        return HeldRules(
            version=catalogue.snapshot.head.version,
            rules=_held(catalogue, changes),
            changes=tuple(_rows(changes, _newest(catalogue)))[:SHOWN],
            changes_in_all=sum(len(change.entries) for change in changes),
            columns=_columns(shown.vocabulary.items, without=NAMES if people else ()),
            placements=tuple(catalogue.release.placements),
            segments=segments,
            events=tuple(shown.vocabulary.signs.numbers),
            impressions=bool(shown.vocabulary.signs.shown),
            timezone=catalogue.release.calendar.timezone,
            unread=shown.rules.unread,
            people=people,
        )

    def preview(self, ask: "RulesRequest", *, placement: str, user: str) -> Preview:
        """Say what a change would do; one that could not be written is refused first, by the same judgement."""
        from pipelines import rules

        place = self._place()
        match = _match(*rules.judged(place, ask), names=[one.root.name for one in ask.rules])
        cost, no_cost = _or_why(lambda: self._costed(place, ask, placement))
        if not user:
            return Preview(match, cost, no_cost, None, "")
        lists, no_lists = _or_why(lambda: self._lists(place, ask, placement, user))
        return Preview(match, cost, no_cost, lists, no_lists)

    def write(self, ask: "RulesRequest", *, seen: Mapping[str, str], who: str) -> Written:
        """Write a change, as `intentflow rules` does; Overtaken where a text is not the one that was seen."""
        from bentos.recommender import rule_changes
        from pipelines import rules

        try:
            done = rules.changed(self._place(), ask, who=who, seen=seen)
        except rule_changes.Overtaken as other:
            raise Overtaken(other.name) from None
        return Written(int(done["version"]), bool(done["repeated"]))

    def written(self, version: int) -> Written | None:
        """Read a version of rules back from the document log."""
        from pipelines import rules
        from pipelines.releases import release as releases

        place = self._place()
        with releases.variables(place):
            catalogue, _ = rules.catalogue_of(place)
            catalogue.refresh()
            changes = [change for change in _changes(catalogue) if change.version == version]
            newest = _newest(catalogue)
        return Written(version, repeated=False, changes=tuple(_rows(changes, newest))) if changes else None

    def _costed(self, place: Installation, ask: "RulesRequest", placement: str) -> Cost:
        from pipelines import rules

        if not self._one.acquire(timeout=COSTS_S):
            raise ServerError("another preview is being measured; press Preview again")
        try:
            return _cost(rules.previewed(place, ask, placement=placement or None))
        finally:
            self._one.release()

    def _lists(self, place: Installation, ask: "RulesRequest", placement: str, user: str) -> UserLists:
        from bentos.client import Unanswered
        from bentos.endpoints.rules import RulePreview

        with self._service(place) as service:
            try:
                answer = service.rules(
                    rules=ask.rules or None,
                    remove=ask.remove or None,
                    undo=ask.undo,
                    preview=RulePreview(user_id=user, placement=placement or None),
                )
            except Unanswered as refusal:
                raise ServerError(str(refusal)) from None
        found = answer.preview
        assert found is not None
        rules = found.after.rules
        unmet = tuple(f"{one.rule}: {one.why}" for one in rules.unmet) if rules else ()
        return UserLists(_items(found.before), _items(found.after), unmet, (rules.short or "") if rules else "")


def _or_why(call: Callable[[], Any]) -> tuple[Any, str]:
    """Return what a call returns, or None and the sentence of its refusal."""
    try:
        return call(), ""
    except (UserError, Refused, ServerError) as refusal:
        return None, str(refusal)


def _changes(catalogue: "OpenCatalogue") -> list["Change"]:
    """Return all changes of rules, oldest first."""
    from feature_repo.documents.changes import RULE

    assert catalogue.documents is not None
    return [one for one in catalogue.documents.changes() if one.kind == RULE]


def _newest(catalogue: "OpenCatalogue") -> Mapping[str, "Newest"]:
    from feature_repo.documents.changes import RULE

    return catalogue.snapshot.of(RULE)


def _held(catalogue: "OpenCatalogue", changes: list["Change"]) -> tuple[HeldRule, ...]:
    newest, made = _newest(catalogue), {change.version: change for change in changes}

    def one(read: "ReadRule") -> HeldRule:
        from bentos.recommender.rule_changes import seen_as

        rule = read.rule
        kept = newest.get(rule.name)
        found = HeldRule(rule.document(), seen_as(rule), problem=read.problem)
        if kept is None or kept.document is None:  # the spec's own, or it holds again
            return found
        change = made.get(kept.version)
        at, who = (change.at, change.who) if change else ("", "")
        return HeldRule(found.document, found.seen, kept.version, at, who, found.problem)

    return tuple(map(one, catalogue.current.rules.rules))


def _rows(changes: list["Change"], newest: Mapping[str, "Newest"]) -> Iterator[RuleChange]:
    """Yield changes rule by rule, the newest first; a change is undone as a whole."""
    from components.ranking.rules.book import REMOVED

    for change in reversed(changes):
        undoable = all(entry.id in newest and newest[entry.id].version == change.version for entry in change.entries)
        for entry in change.entries:
            removed = bool(entry.document and entry.document.get(REMOVED))
            document = None if removed else entry.document
            yield RuleChange(
                change.version, change.at, change.who, change.undoes, entry.id, document, removed, undoable
            )


def _match(catalogue: "OpenCatalogue", book: "RuleBook", *, names: Sequence[str]) -> Match | None:
    """Return the items that the first of some rules is about."""
    from components.ranking.rules.spec import Bought, New, Shown

    read = next((one for one in book.rules if one.rule.name in names), None)
    if read is None or isinstance(read.rule, Bought | New | Shown):
        return None
    shown = catalogue.current
    named = () if catalogue.release.ranking.exclude_self else sorted(read.about)[:NAMED]
    titles = tuple(shown.titles[item] for item in named)
    return Match(len(read.about), len(shown.titles), titles)


def _columns(items: "pa.Table", *, without: Sequence[str]) -> tuple[Column, ...]:
    """Return what rules may ask of items, with the values that a text has most often, where they are few."""
    from components.ranking.rules import masks
    from components.ranking.rules.expression import OPERATORS

    return tuple(
        Column(name, kind, OPERATORS[kind], _values(items[name]) if kind in ("text", "texts") else ())
        for name, kind in masks.kinds(items).items()
        if name not in without
    )


def _values(column: Any) -> tuple[str, ...]:
    counts: Counter[str] = Counter()
    for value in column.to_pylist():
        counts.update([value] if isinstance(value, str) else [one for one in value or () if isinstance(one, str)])
    return tuple(value for value, _ in counts.most_common(MOST_VALUES)) if len(counts) <= FEW else ()


def _cost(found: Mapping[str, Any]) -> Cost:
    before, after = (
        {name: value for name, value in found[side].items() if isinstance(value, int | float)}
        for side in ("before", "after")
    )
    mean, low, high = found["ndcg_change"]
    return Cost(before, after, (mean, low, high), found["short"], found["rows"])


def _items(found: "PreviewedList") -> tuple[ListedItem, ...]:
    return tuple(ListedItem(one.item_id, one.title, one.source) for one in found.items)

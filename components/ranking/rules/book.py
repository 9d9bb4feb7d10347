"""The rules of a recommender as read against the items that are shown: which positions each of them is about.

A rule that these items cannot keep (a column that a release lacks, a pin of an item that is gone) is no reason to give
no answer: it stands here with its `problem`, and each answer that it should hold in says so.

Letters: I items.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from pydantic import ValidationError

from components.ranking.rules import masks
from components.ranking.rules.expression import parse, require_fits
from components.ranking.rules.spec import (
    PRICED,
    RULE,
    Bought,
    Cap,
    Filter,
    New,
    Pin,
    Placement,
    Price,
    Rule,
    Shown,
    Stock,
)
from feature_repo import columns
from feature_repo.documents.changes import Newest
from feature_repo.errors import DataError, nearest
from feature_repo.vocabulary import Vocabulary

DAY = 86_400
REMOVED = "removed"  # of a rule's document: it holds no longer, and one of this name in the spec neither
Hiding = Filter | Stock | Price


@dataclass(frozen=True)
class Asked:
    """What a list is for."""

    now: int  # epoch seconds
    placement: str | None = None
    segment: str | None = None  # the user's, by name; None: none is known
    had: Mapping[str, Mapping[int, int]] = field(default_factory=dict)  # by kind ('' all interest): item, when last
    shown: Mapping[int, int] = field(default_factory=dict)  # item, when it was last shown
    unsure: bool = field(default=False, kw_only=True)  # the user has a segment, and nothing could be read of it


@dataclass(frozen=True)
class ReadRule:
    """A rule, and the positions of the items that it is about."""

    rule: Rule
    about: frozenset[int] = frozenset()  # those that are hidden, moved, capped or pinned
    values: Mapping[int, tuple[str, ...]] = field(default_factory=dict, repr=False)  # of a cap: by item
    came: np.ndarray | None = field(default=None, repr=False)  # [I] of `new`: epoch seconds, inf: after training
    problem: str = ""  # why it cannot be kept

    def holds(self, asked: Asked) -> bool:
        """Tell whether the rule is meant for a list."""
        rule, at = self.rule, asked.now
        if rule.placements and asked.placement not in rule.placements:
            return False
        unsure = asked.unsure and self.hides_always  # who may be of the segment is not shown what it may not see
        if rule.segments and asked.segment not in rule.segments and not unsure:
            return False
        return (rule.start is None or rule.start.timestamp() <= at) and (rule.end is None or at < rule.end.timestamp())

    def hidden(self, asked: Asked) -> Collection[int]:
        """Return the items that it lets nobody of the list see."""
        if isinstance(self.rule, Hiding):
            return self.about
        if isinstance(self.rule, Bought):
            return _since(asked.had.get(self.rule.event or "", {}), asked.now - self.rule.days * DAY)
        if isinstance(self.rule, Shown):
            return _since(asked.shown, asked.now - self.rule.days * DAY)
        return frozenset()

    @property
    def count(self) -> int | None:
        """Return how many items it is about now; None of a rule about what users did or about new items."""
        return None if self.problem or isinstance(self.rule, Bought | Shown | New) else len(self.about)

    @property
    def hides_always(self) -> bool:
        """Tell whether it hides the same items from everybody."""
        return isinstance(self.rule, Hiding) and not self.problem

    @property
    def caps(self) -> bool:
        """Tell whether it is a cap that can be kept."""
        return isinstance(self.rule, Cap) and not self.problem

    @property
    def looks_back(self) -> bool:
        """Tell whether it asks what the user did."""
        return isinstance(self.rule, Bought | Shown) and not self.problem

    def is_new(self, item: int, now: int) -> bool:
        """Tell whether an item is new, by a rule of kind `new`."""
        assert isinstance(self.rule, New)
        return self.came is not None and bool(self.came[item] > now - self.rule.days * DAY)


def _since(acted: Mapping[int, int], first: float) -> frozenset[int]:
    return frozenset(item for item, at in acted.items() if at >= first)


@dataclass(frozen=True)
class RuleBook:
    """All rules of a recommender over its items, and its placements."""

    rules: tuple[ReadRule, ...] = ()
    placements: Mapping[str, Placement] = field(default_factory=dict)
    unread: tuple[str, ...] = ()  # names of rules that this code cannot read: a newer one wrote them

    def for_list(self, asked: Asked) -> tuple[ReadRule, ...]:
        """Return the rules that hold in a list."""
        return tuple(one for one in self.rules if one.holds(asked))


def read(rules: Sequence[Rule], placements: Mapping[str, Placement], items: "Items") -> RuleBook:
    """Read rules against items."""
    return RuleBook(tuple(read_one(rule, items) for rule in rules), placements)


@dataclass(frozen=True)
class Items:
    """The items that are shown, as rules ask about them."""

    table: pa.Table  # of the vocabulary, with what the document log says
    places: Mapping[str, int]  # position by id
    learnt: int  # the first so many were there in training
    withdrawn: frozenset[int] = frozenset()  # nobody may be shown
    event_kinds: tuple[str, ...] = ()  # of which rows keep a record; empty: of all alike
    impressions: bool = False  # rows say what was shown


def read_one(rule: Rule, items: Items) -> ReadRule:
    """Read a rule against items; one that they cannot keep says why."""
    try:
        return _read(rule, items)
    except ValueError as error:
        return ReadRule(rule, problem=str(error))


def _read(rule: Rule, items: Items) -> ReadRule:
    if isinstance(rule, Pin):
        if rule.item not in items.places:
            raise ValueError(f"item: '{rule.item}' is no item that is shown")
        return ReadRule(rule, about=frozenset({items.places[rule.item]}))
    if isinstance(rule, Stock):
        amounts = _numbers(items.table, rule.column)
        return ReadRule(rule, about=_hidden(amounts, rule.least, math.inf, hide_unknown=rule.unknown == "hide"))
    if isinstance(rule, Price):
        least, most = (math.inf * side if end is None else end for side, end in ((-1, rule.least), (1, rule.most)))
        prices = _numbers(items.table, PRICED)
        return ReadRule(rule, about=_hidden(prices, least, most, hide_unknown=rule.unknown == "hide"))
    if isinstance(rule, New):
        return ReadRule(rule, came=_came(items))
    if isinstance(rule, Bought):
        _require_kind(rule, items)
        return ReadRule(rule)
    if isinstance(rule, Shown):
        if not items.impressions:
            raise ValueError("kind: shown needs models.ranking.impression, which says what a user was shown")
        return ReadRule(rule)
    if isinstance(rule, Cap):
        about = _about(rule.where, items.table) if rule.where else frozenset(range(items.table.num_rows))
        return ReadRule(rule, about=about, values=_values(items.table, rule.column, about))
    return ReadRule(rule, about=_about(rule.where, items.table))


def _about(where: str, table: pa.Table) -> frozenset[int]:
    expression = parse(where)
    try:
        require_fits(expression, masks.kinds(table))
    except ValueError as error:
        raise ValueError(f"where: {error}") from None
    return frozenset(np.flatnonzero(masks.mask(expression, table)).tolist())


def _require_column(table: pa.Table, column: str) -> None:
    have = list(masks.kinds(table))
    if column not in have:
        raise ValueError(f"column: items have no column '{column}'{nearest(column, have)}; have {', '.join(have)}")


def _numbers(table: pa.Table, column: str) -> np.ndarray:
    """Return a column of numbers, NaN where one is unknown, float64 [I]."""
    _require_column(table, column)
    if masks.kinds(table)[column] != "number":
        raise ValueError(f"column: {column} holds no numbers; name a column that does")
    return np.asarray([math.nan if value is None else float(value) for value in table[column].to_pylist()])


def _hidden(values: np.ndarray, least: float, most: float, *, hide_unknown: bool) -> frozenset[int]:
    unknown = np.isnan(values)
    outside = (values < least) | (values > most) | (unknown & hide_unknown)
    return frozenset(np.flatnonzero(outside).tolist())


def _values(table: pa.Table, column: str, about: Iterable[int]) -> dict[int, tuple[str, ...]]:
    _require_column(table, column)
    found, values = {}, table[column].to_pylist()
    for item in about:
        value = values[item]
        if value is not None and (each := value if isinstance(value, list) else [value]):
            found[item] = tuple(dict.fromkeys(str(one) for one in each if one is not None))
    return found


def _came(items: Items) -> np.ndarray:
    """Return when each item was first seen, epoch seconds, -inf where nobody knows; inf of what came after training."""
    came = np.full(items.table.num_rows, -math.inf)
    if columns.FIRST_SEEN in items.table.column_names:
        seen = items.table[columns.FIRST_SEEN].to_pylist()
        came = np.asarray([-math.inf if one is None else one.timestamp() for one in seen])
    came[items.learnt :][np.isneginf(came[items.learnt :])] = math.inf
    return came


def _require_kind(rule: Bought, items: Items) -> None:
    if rule.event is not None and rule.event not in items.event_kinds:
        have = list(items.event_kinds)
        told = f"have {', '.join(have)}{nearest(rule.event, have)}" if have else "no kinds are declared; leave it out"
        raise ValueError(f"event: rows keep no record of '{rule.event}'; {told}")


def merged(spec: Sequence[Rule], documents: Mapping[str, Newest], *, unread: list[str] | None = None) -> list[Rule]:
    """Return the rules as the document log changes those of the spec: by name, the spec's first.

    With `unread` the names of those that this code cannot read go there; else such a one is a DataError.
    """
    found: dict[str, Rule] = {rule.name: rule for rule in spec}
    for name, newest in documents.items():
        if newest.document is None:  # taken back: the spec's own holds again
            continue
        if newest.document.get(REMOVED):
            found.pop(name, None)
        else:
            try:
                found[name] = RULE.validate_python(newest.document)
            except ValidationError as error:
                found.pop(name, None)
                if unread is None:
                    raise DataError(f"rule '{name}', version {newest.version}: cannot be read: {error}") from None
                unread.append(name)
    return list(found.values())


def items_of(vocabulary: Vocabulary, withdrawn: Collection[int] = frozenset()) -> Items:
    """Return a vocabulary's items as rules ask about them."""
    signs, every = vocabulary.signs, len(vocabulary.item_ids)
    return Items(
        vocabulary.items,
        vocabulary.index_of_item,
        every if vocabulary.learnt is None else vocabulary.learnt,
        withdrawn=frozenset(withdrawn),
        event_kinds=tuple(signs.numbers),
        impressions=bool(signs.shown),
    )

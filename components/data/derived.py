"""The rules that hold for every recommender: what a contract asks beyond what its spec says.

They follow from the canonical columns. A rule of the spec about the same thing takes a derived one's place, so a
spec can loosen each (`severity: info` makes it only count). Declarative and light, like `rules`; docs/contract.md
lists them and a test compares.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from components.data.row_rules import ROW_RULES, Between, Compare, Finite, NotNull, OneOf, RowRule, Severity, Spelled
from components.data.rules import (
    Described,
    Fresh,
    Known,
    LearntVolume,
    Near,
    NotInFuture,
    OneUser,
    Present,
    Rows,
    Rule,
    SetAside,
    Steady,
    TableName,
    Unique,
    Volume,
    names,
    of_oneself,
)
from components.occasions import Occasion
from feature_repo import columns

FUTURE_MOSTLY = 0.999  # a few clocks are always wrong; more than that, and a time zone is
NAMED = 0.95  # share of the events that must name user and item; the few that do not are set aside with a warning
LEAST_DESCRIBED = 0.01  # a table of users may leave most of them out; none at all are ids in two forms
FRESH_DAYS = 14  # models look a week ahead: twice that, and they look at the past
# What an event has as it arrives at the door. It fills in a time and a session that are left out, knows users by raw
# ids, and `created_at` is when it arrives: rules about those are not asked of a request.
AT_THE_DOOR = {*columns.EVENTS} - {columns.USER_ID, columns.TIMESTAMP, columns.CREATED_AT}
AMOUNTS = (columns.QUANTITY, columns.VALUE, columns.DISCOUNT)
FILLED_IN = {columns.SESSION_ID}


@dataclass(frozen=True)
class DerivedRule:
    """A rule of a table's contract under its name, and where it comes from."""

    rule: Rule
    name: str
    derived: bool


def contract_of(declared: Mapping[TableName, Sequence[Rule]], table: TableName) -> list[DerivedRule]:
    """List a table's rules: the spec's, then the derived ones about other things."""
    own = list(declared.get(table, ()))
    taken = {subject(rule) for rule in own}
    more = [rule for rule in derived(table) if subject(rule) not in taken]
    rules = own + more
    return [DerivedRule(r, n, place >= len(own)) for place, (r, n) in enumerate(zip(rules, names(rules), strict=True))]


def subject(rule: Rule) -> tuple[str, ...]:
    """Say what a rule is about: two of one subject do not stand side by side unless the spec says both.

    >>> subject(Compare(expect="compare", column="timestamp", op="<", other="created_at"))
    ('compare', 'created_at', 'timestamp')
    """
    if isinstance(rule, Present):
        return (rule.expect,)
    return (rule.expect, *(sorted(rule.named) or rule.shown))


def derived(table: TableName) -> list[Rule]:
    """List what holds for every recommender. Events that intents name must occur too: the spec adds them."""
    if table == "events":
        return [
            Rows(expect="rows"),
            *(NotNull(expect="not_null", column=column, mostly=NAMED) for column in (columns.USER_ID, columns.ITEM_ID)),
            NotNull(expect="not_null", column=columns.TIMESTAMP),
            *(_named(column) for column in (columns.USER_ID, columns.ITEM_ID)),
            NotNull(expect="not_null", column=columns.EVENT, severity="warning"),
            Unique(expect="unique", columns=list(columns.EVENTS), severity="warning"),
            *(_not_negative(column) for column in AMOUNTS),
            *(_finite(column) for column in AMOUNTS),
            Compare(expect="compare", column=columns.CREATED_AT, op=">=", other=columns.TIMESTAMP, severity="warning"),
            NotInFuture(expect="not_in_future", mostly=FUTURE_MOSTLY),
            Known(expect="known", column="item_id", severity="warning"),
            Known(expect="known", column="user_id", severity="info", mostly=LEAST_DESCRIBED),
            Described(expect="described", min=LEAST_DESCRIBED, severity="warning"),
            Near(expect="near", severity="warning"),
            OneUser(expect="share_of_one_user", severity="warning"),
            Fresh(expect="fresh", days=FRESH_DAYS, severity="warning"),
            Volume(expect="volume", severity="warning"),
            SetAside(expect="set_aside"),
            Steady(expect="steady", severity="warning"),
        ]
    if table == "offers":
        return [
            *(NotNull(expect="not_null", column=column, severity="warning") for column in columns.OFFERS_REQUIRED),
            Known(expect="known", column="item_id", severity="warning"),
            Compare(expect="compare", column=columns.VALID_FROM, op="<", other=columns.VALID_TO, severity="warning"),
            Between(expect="between", column=columns.SHARE, min=0, max=1, severity="warning"),
        ]
    key = columns.ITEM_ID if table == "items" else columns.USER_ID
    return [
        Rows(expect="rows"),
        NotNull(expect="not_null", column=key),
        Unique(expect="unique", columns=[key], severity="warning"),
        *([_not_negative(columns.PRICE)] if table == "items" else []),
        *([_finite(columns.PRICE)] if table == "items" else []),
    ]


def with_kinds(
    declared: Mapping[TableName, list[Rule]], kinds: Sequence[str], *, every: Sequence[str] = ()
) -> dict[TableName, list[Rule]]:
    """Add what follows from the kinds that models are about, unless the contract says it.

    They occur, and an event of such a kind is not in other case or between spaces: no model would see it. Where the
    spec declares `every` kind there is, events of another are set aside, and refused at the door.
    """
    events = list(declared.get("events", []))
    if every and not any(isinstance(r, OneOf) and r.column == columns.EVENT for r in events):
        events.append(OneOf(expect="one_of", column=columns.EVENT, values=list(every), severity="warning"))
    if kinds and not any(isinstance(r, OneOf | Spelled) and r.column == columns.EVENT for r in events):
        events.append(Spelled(expect="spelled", column=columns.EVENT, values=list(kinds), severity="warning"))
    if kinds and not any(isinstance(rule, Present) for rule in events):
        events.append(Present(expect="present", values=list(kinds)))
    return dict(declared) | {"events": events}


def with_occasions(
    declared: Mapping[TableName, list[Rule]], occasions: Sequence[Occasion]
) -> dict[TableName, list[Rule]]:
    """Spare the recommender's declared holidays where a rule about volume says none of its own."""
    if not occasions:
        return dict(declared)

    def spared(rule: Rule) -> Rule:
        if not isinstance(rule, LearntVolume) or rule.occasions is not None:
            return rule
        return rule.model_copy(update={"occasions": list(occasions)})

    return {table: [spared(rule) for rule in rules] for table, rules in declared.items()}


def with_bare(declared: Mapping[TableName, list[Rule]], kinds: Sequence[str]) -> dict[TableName, list[Rule]]:
    """Let events of some kinds lack an item, in the contract's own rules about items and in the derived ones."""
    if not kinds:
        return dict(declared)

    def about(rule: Rule) -> bool:
        return isinstance(rule, NotNull) and rule.column == columns.ITEM_ID

    own = list(declared.get("events", []))
    rules = own if any(about(rule) for rule in own) else [*own, *(rule for rule in derived("events") if about(rule))]
    told = [rule.model_copy(update={"unless": list(kinds)}) if about(rule) else rule for rule in rules]
    return dict(declared) | {"events": told}


def with_strength(declared: Mapping[TableName, list[Rule]]) -> dict[TableName, list[Rule]]:
    """Add what holds of strengths, where the source has them, unless the contract says it: there, and finite.

    A row without one, or with one past all bounds, is set aside: what weighs a label must be a number.
    """
    own = list(declared.get("events", []))
    taken = {subject(rule) for rule in own}
    rules = (_named(columns.STRENGTH), _finite(columns.STRENGTH))
    return dict(declared) | {"events": [*own, *(rule for rule in rules if subject(rule) not in taken)]}


def with_people(declared: Mapping[TableName, list[Rule]]) -> dict[TableName, list[Rule]]:
    """Add what holds where items are people, unless the contract says it: nobody acts on themselves.

    Such a row is set aside with the rule's name, and refused at the door.
    """
    own = list(declared.get("events", []))
    if not any(of_oneself(rule) for rule in own):
        other = columns.ITEM_ID
        own.append(Compare(expect="compare", column=columns.USER_ID, op="!=", other=other, severity="warning"))
    return dict(declared) | {"events": own}


def rules_at_the_door(declared: Mapping[TableName, Sequence[Rule]]) -> list[RowRule]:
    """List the rules of events that a single event can be judged by as it arrives.

    >>> [f"{rule.expect} {rule.column}" for rule in rules_at_the_door({})][:5]
    ['not_null item_id', 'not_null event', 'between quantity', 'between value', 'between discount']
    """
    found = [asked.rule for asked in contract_of(declared, "events")]
    given = {rule.column: rule for rule in reversed(found) if isinstance(rule, NotNull)}  # of one event, one is enough
    return [
        rule
        for rule in found
        if isinstance(rule, ROW_RULES)
        and (set(rule.named) <= AT_THE_DOOR or of_oneself(rule))
        and not (isinstance(rule, NotNull) and (rule.column in FILLED_IN or rule is not given[rule.column]))
    ]


def rules_of_an_item(declared: Mapping[TableName, Sequence[Rule]]) -> list[RowRule]:
    """List the rules of items that one item can be judged by as it is changed live; its id is judged by itself.

    >>> [f"{rule.expect} {rule.column}" for rule in rules_of_an_item({})]
    ['between price', 'finite price']
    """
    found = [asked.rule for asked in contract_of(declared, "items")]
    rows = [rule for rule in found if isinstance(rule, ROW_RULES) and rule.severity != "info"]
    return [rule for rule in rows if rule.named != [columns.ITEM_ID] or not isinstance(rule, NotNull)]


def leaves_far_out(declared: Mapping[TableName, Sequence[Rule]]) -> bool:
    """Tell whether events years away from all others are set aside, so that they say nothing of the period."""
    rules = [asked.rule for asked in contract_of(declared, "events")]
    return any(isinstance(rule, Near) and rule.severity != "info" for rule in rules)


def unknown_items(declared: Mapping[TableName, Sequence[Rule]], *, own_table: bool) -> Severity | None:
    """Say how grave an event with an item outside the catalogue is; None where events make the catalogue.

    >>> unknown_items({}, own_table=True), unknown_items({}, own_table=False)
    ('warning', None)
    """
    if not own_table:
        return None
    rules = [asked.rule for asked in contract_of(declared, "events")]
    found = [rule.severity for rule in rules if isinstance(rule, Known) and rule.column == columns.ITEM_ID]
    graver = [severity for severity in found if severity != "info"]
    return graver[0] if graver else "info"


def _named(column: str) -> NotNull:
    return NotNull(expect="not_null", column=column, severity="warning")


def _finite(column: str) -> Finite:
    return Finite(expect="finite", column=column, severity="warning")


def _not_negative(column: str) -> Between:
    return Between(expect="between", column=column, min=0, severity="warning")

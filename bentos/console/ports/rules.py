"""The port of rules: what lists may hold by now, what a change would do and cost, and the change itself.

A rule is a document, as `PUT /rules` takes it. `seen` is the digest of a rule's text: an editor says with it which text
was changed, so that nobody writes over what somebody else wrote meanwhile.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from bentos.endpoints.rules import RulesRequest

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """A column of items that a rule may ask about."""

    name: str
    kind: str  # text, number, flag, texts, numbers, time, other
    operators: tuple[str, ...]
    values: tuple[str, ...] = ()  # that a text has most often; not all of them


@dataclass(frozen=True)
class HeldRule:
    """A rule that holds."""

    document: Document
    seen: str
    version: int | None = None  # of the document log; None: it is the spec's own
    at: str = ""  # ISO 8601, UTC; when the log got it
    who: str = ""
    problem: str = ""  # why the items cannot keep it

    @property
    def name(self) -> str:
        """Return its name."""
        return str(self.document["name"])


@dataclass(frozen=True)
class RuleChange:
    """A change of one rule, as the document log has it."""

    version: int
    at: str  # ISO 8601, UTC
    who: str
    undoes: int | None
    name: str
    document: Document | None  # None: the rule of the log was taken back
    removed: bool = False
    undoable: bool = False  # nobody changed the rule since


@dataclass(frozen=True)
class HeldRules:
    """What holds, what was changed, and what a new rule may speak of."""

    version: int  # of the document log
    rules: tuple[HeldRule, ...]
    changes: tuple[RuleChange, ...]  # the newest first; not all of them
    changes_in_all: int
    columns: tuple[Column, ...] = ()
    placements: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    events: tuple[str, ...] = ()  # kinds of events of which a user's row keeps a record
    impressions: bool = False  # whether the row says what was shown
    timezone: str = "UTC"  # the shop's
    unread: tuple[str, ...] = ()  # names of rules that a newer version wrote
    people: bool = False  # items are users here, and no rule names one

    def rule(self, name: str) -> HeldRule | None:
        """Return the rule of a name."""
        return next((one for one in self.rules if one.name == name), None)


@dataclass(frozen=True)
class Cost:
    """What lists of the last run's test weeks lose and gain; the rules count as if they held all the time."""

    before: Mapping[str, float]
    after: Mapping[str, float]
    ndcg_change: tuple[float, float, float]  # mean, and its 95 % interval over users
    short: float  # share of lists after the change that have fewer items than wanted
    rows: int  # user-weeks


@dataclass(frozen=True)
class ListedItem:
    """An item of a list that is shown to nobody."""

    item_id: str
    title: str
    source: str = ""


@dataclass(frozen=True)
class UserLists:
    """A user's list before a change, and after it."""

    before: tuple[ListedItem, ...]
    after: tuple[ListedItem, ...]
    unmet: tuple[str, ...] = ()  # what rules could not have, after the change
    short: str = ""  # why the list after the change has fewer items than wanted


@dataclass(frozen=True)
class Match:
    """The items that a rule is about: those that it hides, moves, caps or pins."""

    items: int
    of: int  # items in all
    titles: tuple[str, ...]  # of the first ones


@dataclass(frozen=True)
class Preview:
    """What a change would do; `no_cost` and `no_lists` say why one is not there."""

    match: Match | None  # None: the rule is about users' acts or new items, or it is removed
    cost: Cost | None
    no_cost: str
    lists: UserLists | None
    no_lists: str  # "" also where nobody's list was asked for


@dataclass(frozen=True)
class Written:
    """A version of the document log."""

    version: int
    repeated: bool  # it was there before, under its change_id
    changes: tuple[RuleChange, ...] = ()


class Overtaken(Exception):
    """Somebody else changed a rule since its editor saw it; nothing was written."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class Rules(Protocol):
    """What the page of rules asks; refusals are UserError, ServerError or Rejected."""

    def held(self) -> HeldRules:
        """Return what holds now."""

    def preview(self, ask: "RulesRequest", *, placement: str, user: str) -> Preview:
        """Say what a change would do, and refuse what could not be written; '' is every list, and nobody's."""

    def write(self, ask: "RulesRequest", *, seen: Mapping[str, str], who: str) -> Written:
        """Write a change, or raise Overtaken where a rule's text is not the one that was seen."""

    def written(self, version: int) -> Written | None:
        """Read a version of rules back from the document log; None: there is none of that number."""

"""Every kind of rule that a contract can ask: those about rows (`row_rules`) and those about a whole table.

Declarative and light: the spec and the pipeline's parameters import it. `checks` compiles rules for Great Expectations
and SQL, `measures` measures what a rule about a table asks about.
"""

import datetime as dt
import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, FiniteFloat, field_validator, model_validator
from typing_extensions import override

from components.data.row_rules import Asked, Between, Compare, Finite, Matches, NotNull, OneOf, Spelled
from components.occasions import Occasion
from feature_repo import columns
from feature_repo.errors import nearest

GROUPS = r"event|(users|items)\.[A-Za-z_][A-Za-z0-9_]*"  # what a volume may be told apart by
TableName = Literal["events", "items", "users", "offers"]


class Unique(Asked):
    """The columns together name a row at most once."""

    expect: Literal["unique"]
    columns: list[str] = Field(min_length=1, description="Columns that name a row together")

    @property
    @override
    def shown(self) -> list[str]:
        return ["row"] if self.whole else self.columns

    @property
    def whole(self) -> bool:
        """Tell whether whole events are compared."""
        return tuple(self.columns) == columns.EVENTS

    @property
    @override
    def asks(self) -> str:
        return f"no {' + '.join(self.shown)} occurs twice"


class Known(Asked):
    """Ids that are among the good rows of their own table."""

    expect: Literal["known"]
    column: Literal["item_id", "user_id"] = Field(description="Ids that are looked up")

    @property
    def table(self) -> TableName:
        """The table of the ids."""
        return "items" if self.column == columns.ITEM_ID else "users"

    @property
    @override
    def asks(self) -> str:
        if self.column == columns.USER_ID:
            return "user_id is in the source's table of users, where it has one"
        return f"{self.column} is among the good rows of {self.table}"


class NotInFuture(Asked):
    """Times that are not after the wall clock's."""

    expect: Literal["not_in_future"]
    column: Literal["timestamp"] = Field(default="timestamp", description="The column of times")

    @property
    @override
    def asks(self) -> str:
        return "timestamp is not after the time of the check"


class Rows(Asked):
    """The table has between min and max rows."""

    expect: Literal["rows"]
    min: int = Field(default=1, ge=1, description="Fewest rows")
    max: int | None = Field(default=None, ge=1, description="Most rows; left out: any number")

    @property
    @override
    def asks(self) -> str:
        most = f" and at most {self.max:,}" if self.max else ""
        return f"there are at least {self.min:,}{most} rows" if self.min > 1 or most else "there is a row"


class Present(Asked):
    """Each of these kinds of events occurs."""

    expect: Literal["present"]
    column: Literal["event"] = Field(default="event", description="The column of kinds")
    values: list[str] = Field(min_length=1, description="Kinds of events")

    @property
    @override
    def asks(self) -> str:
        return f"there are events of kind {', '.join(self.values)}"


class Fresh(Asked):
    """The newest event is young by the environment's clock; `data_end` stands at that event, so it always is."""

    expect: Literal["fresh"]
    days: FiniteFloat = Field(default=0, ge=0, description="Most days of age")
    hours: FiniteFloat = Field(default=0, ge=0, description="Most hours, beside the days")
    event: str | None = Field(default=None, description="Of this kind only")

    @model_validator(mode="after")
    def _limited(self) -> "Fresh":
        if not self.limit_days:
            raise ValueError("give days, hours or both: how old the newest event may be")
        return self

    @property
    def limit_days(self) -> float:
        """How old the newest event may be."""
        return self.days + self.hours / 24

    @property
    @override
    def shown(self) -> list[str]:
        return [self.event] if self.event else []

    @property
    @override
    def asks(self) -> str:
        parts = [f"{n:g} {unit}" for n, unit in ((self.days, "days"), (self.hours, "hours")) if n]
        return f"the newest {self.event or 'event'} is at most {' and '.join(parts)} old"


class Volume(Asked):
    """The last complete week (or day) has about as many events as the median of the weeks before it.

    A day is compared with the same weekday of those weeks.
    """

    expect: Literal["volume"]
    period: Literal["week", "day"] = Field(default="week", description="What is counted")
    event: str | None = Field(default=None, description="Of this kind only")
    tolerance: float = Field(default=0.5, gt=0, le=10, description="Share of the median, below and above it")
    weeks: int = Field(default=8, ge=3, le=104, description="Weeks that it is compared with, at most")

    @property
    @override
    def shown(self) -> list[str]:
        return [self.period, *([self.event] if self.event else [])]

    @property
    @override
    def asks(self) -> str:
        before = f"the {self.weeks} weeks before" if self.period == "week" else f"{self.weeks} such weekdays before"
        what = f"{self.event} events" if self.event else "events"
        return f"the last {self.period}'s {what} are within {self.tolerance * 100:g} % of the median of {before}"


class LearntVolume(Asked):
    """The newest week's events are as many as their own past says, of all and of each group (components/volumes.py)."""

    expect: Literal["learnt_volume"]
    by: list[str] = Field(
        default=[],
        max_length=8,
        description="Groups beside all events: event, or a column as users.<column> or items.<column>, such as "
        "users.country",
    )
    event: str | None = Field(default=None, description="Of this kind only")
    since: dt.date | None = Field(
        default=None, description="What changed on this day is meant: weeks that began before it are no past"
    )
    occasions: list[Occasion] | None = Field(
        default=None, description="Days that are spared; left out: monitoring.calendar"
    )

    @field_validator("by")
    @classmethod
    def _known_groups(cls, value: list[str]) -> list[str]:
        for one in value:
            if not re.fullmatch(GROUPS, one):
                raise ValueError(f"'{one}' is no group; use event, users.<column> or items.<column>")
        return value

    @property
    @override
    def shown(self) -> list[str]:
        return [*([self.event] if self.event else []), *self.by]

    @property
    @override
    def asks(self) -> str:
        what = f"{self.event} events" if self.event else "events"
        groups = f", of all and by {', '.join(self.by)}" if self.by else ""
        return f"the last week's {what} are as many as the weeks before say{groups}"


class Near(Asked):
    """Times that are not years away from nearly all others, as an epoch of 0 is."""

    expect: Literal["near"]
    column: Literal["timestamp"] = Field(default="timestamp", description="The column of times")

    @property
    @override
    def asks(self) -> str:
        return "timestamp is not years away from nearly all others"


class OneUser(Asked):
    """No user has more than a share of all events: more is a test account, a till or a null word."""

    expect: Literal["share_of_one_user"]
    max: float = Field(default=0.05, gt=0, le=1, description="Largest share of all events")
    over: int = Field(default=300, ge=1, description="Events of one user from which on it is judged")

    @property
    @override
    def asks(self) -> str:
        return f"no user with {self.over:,} or more events has over {self.max * 100:g} % of all"


class Described(Asked):
    """Users of events are in the source's table of users, which may leave some out."""

    expect: Literal["described"]
    min: float = Field(default=0.01, gt=0, le=1, description="Least share of the users of events")

    @property
    @override
    def asks(self) -> str:
        return f"at least {self.min * 100:g} % of the users of events are in the table of users"


class SetAside(Asked):
    """Of the events, and of those of the last complete week, at most a share is set aside."""

    expect: Literal["set_aside"]
    max: float = Field(default=0.2, gt=0, lt=1, description="Largest share that may be set aside")

    @property
    @override
    def asks(self) -> str:
        return f"at most {self.max * 100:g} % of the events, and of the last week's, are set aside"


class Steady(Asked):
    """No rule is broken by several times the share of rows that it was broken by in earlier verdicts."""

    expect: Literal["steady"]
    times: float = Field(default=3.0, gt=1, le=1000, description="Of the median of earlier verdicts")

    @property
    @override
    def asks(self) -> str:
        return f"no rule is broken by over {self.times:g} times the share of rows of earlier verdicts"


Rule = Annotated[
    NotNull
    | Between
    | Finite
    | OneOf
    | Matches
    | Spelled
    | Compare
    | Unique
    | Known
    | NotInFuture
    | Rows
    | Present
    | Fresh
    | Volume
    | LearntVolume
    | Near
    | OneUser
    | Described
    | SetAside
    | Steady,
    Field(discriminator="expect"),
]
KNOWABLE = {("events", columns.ITEM_ID), ("events", columns.USER_ID), ("offers", columns.ITEM_ID)}
OF_EVENTS = (NotInFuture, Present, Fresh, Volume, LearntVolume, Near, OneUser, Described, SetAside, Steady)


def label(rule: Rule) -> str:
    """Name a rule as the verdict does.

    >>> label(Between(expect="between", column="quantity", min=0)), label(Rows(expect="rows"))
    ('between(quantity)', 'rows')
    """
    return f"{rule.expect}({', '.join(rule.shown)})" if rule.shown else rule.expect


def names(rules: list[Rule]) -> list[str]:
    """Name rules so that two of one kind on the same columns differ.

    >>> names([Between(expect="between", column="value", min=0), Between(expect="between", column="value", max=9)])
    ['between(value)', 'between(value) #2']
    """
    labels = [label(rule) for rule in rules]
    again = [labels[:position].count(told) for position, told in enumerate(labels)]
    return [f"{told} #{count + 1}" if count else told for told, count in zip(labels, again, strict=True)]


def of_oneself(rule: Rule) -> bool:
    """Tell whether a rule asks that nobody acts on themselves, which pseudonyms tell as well where items are people."""
    return isinstance(rule, Compare) and rule.op == "!=" and set(rule.named) == {columns.USER_ID, columns.ITEM_ID}


def misplaced(rule: Rule, table: TableName, held: Mapping[str, str] | None) -> str | None:
    """Say why a rule cannot be asked of a table whose columns hold these Arrow types (None: not known yet).

    >>> misplaced(Known(expect="known", column="user_id"), "offers", None)
    'of offers only item_id can be known'
    """
    if isinstance(rule, OF_EVENTS) and table != "events":
        return "is about events; move it there"
    if isinstance(rule, Known) and (table, rule.column) not in KNOWABLE:
        return "of offers only item_id can be known" if table == "offers" else "is about events and offers"
    if held is None:
        return None
    for column in rule.named:
        if column not in held:
            return f"no column '{column}'; have {', '.join(held)}{nearest(column, list(held))}"
    if columns.USER_ID in rule.named and isinstance(rule, Matches | OneOf | Compare) and not of_oneself(rule):
        return "user_id holds pseudonyms, not the source's ids; ask not_null, unique or known of it"
    return rule.misfit(held)

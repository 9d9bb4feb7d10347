"""The spec's slices `rules` and `placements`: what lists may hold, for whom, where and when.

`PUT /rules` takes the same. Nothing here reads an item.
"""

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, StringConstraints, TypeAdapter, model_validator

from components.ranking.rules import expression
from feature_repo import columns
from feature_repo.errors import nearest
from feature_repo.slice import Slice

MOST_RULES = 200  # of a recommender: each is looked at in each answer
MODEL: Literal["model"] = "model"
FIRST, LAST = dt.datetime(1970, 1, 1, tzinfo=dt.UTC), dt.datetime(9998, 12, 31, tzinfo=dt.UTC)
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
TIME = "a time with its offset, such as 2026-12-01T00:00:00Z"


def _time(value: Any) -> Any:
    if isinstance(value, str) and RFC_3339.fullmatch(value):
        try:
            value = dt.datetime.fromisoformat(value.upper())
        except ValueError:  # the 30th of February
            raise ValueError(f"is in no calendar; allowed: {TIME}") from None
    if isinstance(value, dt.datetime) and value.tzinfo is None:
        raise ValueError(f"has no offset; allowed: {TIME}")
    if isinstance(value, dt.datetime) and FIRST <= value <= LAST:
        return value
    raise ValueError(f"is no such time; allowed: {TIME}")


def _where(value: str) -> str:
    expression.parse(value)
    return value


Time = Annotated[dt.datetime, BeforeValidator(_time)]
Where = Annotated[str, StringConstraints(min_length=1, max_length=expression.LONGEST), AfterValidator(_where)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9 _-]*$", max_length=64)]
Column = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Words = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Days = Annotated[float, Field(gt=0, le=3650, allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=-1e12, le=1e12, allow_inf_nan=False)]
Unknown = Literal["hide", "show"]
WHERE = "Which items, such as: category in ['BEER', 'WINE'] and price < 5"


class _Rule(Slice):
    """What all rules have: a name, and where, for whom and when they hold."""

    model_config = ConfigDict(strict=True)

    name: Name = Field(description="Names it in answers, refusals and logs; a rule of the same name replaces it")
    placements: list[Name] = Field(default=[], max_length=32, description="Placements where it holds; empty: all")
    segments: list[Words] = Field(
        default=[], max_length=64, description="Segments of users, by name, for whom it holds; empty: everyone"
    )
    start: Time | None = Field(default=None, description="It holds from then on; left out: already")
    end: Time | None = Field(default=None, description="It holds until then; left out: for ever")

    @model_validator(mode="after")
    def _starts_before_it_ends(self) -> "_Rule":
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise ValueError(f"end: {self.end.isoformat()} is not after start {self.start.isoformat()}; it never holds")
        return self

    def document(self) -> dict[str, Any]:
        """Return it as JSON holds it, without what is left out."""
        return self.model_dump(mode="json", exclude_defaults=True) | {"kind": getattr(self, "kind"), "name": self.name}  # noqa: B009


class Filter(_Rule):
    """Items that are not shown."""

    kind: Literal["filter"]
    where: Where = Field(description=WHERE)


class Boost(_Rule):
    """Items that stand further up."""

    kind: Literal["boost"]
    where: Where = Field(description=WHERE)
    places: int = Field(ge=1, le=1000, description="By how many places")


class Bury(_Rule):
    """Items that stand further down."""

    kind: Literal["bury"]
    where: Where = Field(description=WHERE)
    places: int | None = Field(default=None, ge=1, le=1000, description="By how many places; left out: to the end")


class Pin(_Rule):
    """An item at a place."""

    kind: Literal["pin"]
    item: Words = Field(description="Its id")
    place: int = Field(ge=1, le=500, description="Its place in the list; 1 is the first")


class Cap(_Rule):
    """How many items of one value a list has at most."""

    kind: Literal["cap"]
    column: Column = Field(description="Column of items, such as category; of a list each value counts")
    at_most: int = Field(ge=1, le=500, description="Items of one value; those without a value are not counted")
    where: Where | None = Field(default=None, description="Of which items alone; left out: all")


class Stock(_Rule):
    """Items that are not in stock are not shown."""

    kind: Literal["stock"]
    column: Column = Field(description="Column of items that says how many there are")
    least: Amount = Field(default=1, description="Fewer than so many: not shown")
    unknown: Unknown = Field(default="hide", description="What becomes of items of which it is not known")


class Price(_Rule):
    """Items outside a price band are not shown."""

    kind: Literal["price"]
    least: Amount | None = Field(default=None, description="Lowest price that is shown")
    most: Amount | None = Field(default=None, description="Highest price that is shown")
    unknown: Unknown = Field(default="hide", description="What becomes of items without a price")

    @model_validator(mode="after")
    def _is_a_band(self) -> "Price":
        if self.least is None and self.most is None:
            raise ValueError("least: say least, most, or both: a band without ends hides nothing")
        if self.least is not None and self.most is not None and self.least > self.most:
            raise ValueError(f"least: {self.least:g} is above most {self.most:g}; no price is in the band")
        return self


class Bought(_Rule):
    """What a user had lately is not shown."""

    kind: Literal["bought"]
    days: Days = Field(description="Length of the window that ends with the answer")
    event: Words | None = Field(
        default=None,
        description="Kind of event, of models.ranking.kinds; left out: all that the ranker takes for interest",
    )


class Shown(_Rule):
    """What a user was shown lately is not shown; needs models.ranking.impression."""

    kind: Literal["shown"]
    days: Days = Field(description="Length of the window that ends with the answer")


class New(_Rule):
    """At least a share of a list is new items."""

    kind: Literal["new"]
    share: float = Field(gt=0, le=1, allow_inf_nan=False, description="Of the items of a list, rounded up")
    days: Days = Field(description="An item is new so long after its first_seen; one that came after training is")


Rule = Annotated[Filter | Boost | Bury | Pin | Cap | Stock | Price | Bought | Shown | New, Field(discriminator="kind")]
KINDS = (Filter, Boost, Bury, Pin, Cap, Stock, Price, Bought, Shown, New)
RULE: TypeAdapter[Rule] = TypeAdapter(Rule)
RULES: TypeAdapter[list[Rule]] = TypeAdapter(list[Rule])


class Placement(Slice):
    """A place where lists are shown, such as home, basket or item page."""

    k: int | None = Field(default=None, ge=1, le=500, description="Items of its lists; left out: serving.k")
    algorithm: Literal["model", "frequency", "popular"] = Field(
        default=MODEL,
        description="What orders the candidates there: model, the release's; frequency, how often and how lately the "
        "user had each; popular, how many users had it lately",
    )


def names_items(rule: Rule) -> bool:
    """Tell whether a rule is about single items by their id or title: where items are people, it would name them."""
    where = getattr(rule, "where", None)
    said = {one.column for one in expression.comparisons(expression.parse(where))} if where else set()
    return isinstance(rule, Pin) or bool(said & {columns.ITEM_ID, columns.TITLE})


def require_known_placements(rules: Sequence[Rule], placements: Mapping[str, Placement], where: str = "rules") -> None:
    """Refuse, by ValueError, a rule for a placement that is not declared: it would hold nowhere, in silence."""
    for number, rule in enumerate(rules):
        for name in rule.placements:
            if name not in placements:
                have = list(placements)
                told = f"have {', '.join(have)}{nearest(name, have)}" if have else "declare `placements`"
                raise ValueError(f"{where}[{number}].placements: '{name}' is no placement; {told}")


PLACEMENTS: TypeAdapter[dict[Name, Placement]] = TypeAdapter(dict[Name, Placement])
PRICED = columns.PRICE

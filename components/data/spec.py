"""The spec's `data` slice: where rows come from, what they must satisfy, how time is split."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from components.data.row_rules import Matches, OneOf
from components.data.rules import Rule, TableName, label, misplaced, of_oneself
from components.data.source_spec import CANONICAL_TYPES, Files, Source, Sql, known_zone
from feature_repo import columns
from feature_repo.slice import Slice

Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
# What the columns of these tables hold is known before the data is read; items and users have attributes of their own.
KNOWN_AHEAD: dict[TableName, tuple[str, ...]] = {
    "events": (*columns.EVENTS, columns.STRENGTH),
    "offers": columns.OFFERS,
}
HELD = {table: {name: CANONICAL_TYPES.get(name, "string") for name in names} for table, names in KNOWN_AHEAD.items()}


class Clean(Slice):
    """Rows that are valid but are not behaviour to learn from; dropped after the contract, and counted."""

    require: list[str] = Field(default=[], description="Item columns that must not be null")
    min_quantity: float = Field(default=0, ge=0, description="Rows below it are dropped")
    exclude: dict[str, list[str]] = Field(default={}, description="Item column: values to drop")


class Split(Slice):
    """Label weeks by time: warm-up | train | validate | test, each whole weeks."""

    warmup_weeks: int = Field(default=4, ge=1, le=260, description="First weeks, features only")
    validate_weeks: int = Field(default=2, ge=1, le=52, description="Weeks that decide when training stops")
    test_weeks: int = Field(default=2, ge=1, le=52, description="Last weeks, which gates are judged on")


class Data(Slice):
    """Where rows come from, what they must satisfy, and how time is split."""

    source: Annotated[Source, Field(discriminator="type", description="Where the rows are")]
    timezone: str = Field(default="UTC", description="Local time of weeks, an IANA zone")
    week_start: Weekday = Field(default="monday", description="First day of a week")
    clean: Clean = Clean()
    split: Split = Split()
    contract: dict[TableName, list[Rule]] = Field(default={}, description="Rules by canonical table")

    @property
    def lists_items(self) -> bool:
        """Tell whether items have a table of their own; else whatever events name is an item."""
        source = self.source
        if not isinstance(source, Files | Sql):
            return True
        return source.items_table is not None and source.items_table.origin != source.events.origin

    @property
    def items_are_users(self) -> bool:
        """Tell whether items are people, under the pseudonyms of users."""
        return isinstance(self.source, Files | Sql) and self.source.items_are_users

    @property
    def has_strength(self) -> bool:
        """Tell whether events say how much a user liked an item, or how often."""
        return isinstance(self.source, Files | Sql) and columns.STRENGTH in self.source.events.columns

    @field_validator("timezone")
    @classmethod
    def _zone(cls, value: str) -> str:
        return known_zone(value)

    @field_validator("contract")
    @classmethod
    def _rules_name_columns(cls, value: dict[TableName, list[Rule]]) -> dict[TableName, list[Rule]]:
        """Look at what is known before the data is: which rules go with a table, and the columns of events."""
        for table, rules in value.items():
            for rule in rules:
                if wrong := misplaced(rule, table, HELD.get(table)):
                    raise ValueError(f"{table}: {label(rule)}: {wrong}")
        return value

    @model_validator(mode="after")
    def _rules_know_what_ids_are(self) -> "Data":
        """Refuse a rule that would hold of every row, or of none, since it reads pseudonyms."""
        for table, rules in self.contract.items():
            for rule in rules:
                place = f"contract.{table}: {label(rule)}"
                if of_oneself(rule) and not self.items_are_users:
                    raise ValueError(
                        f"{place}: user_id holds pseudonyms and item_id does not, so that no row breaks it; it is for "
                        "`source.items: {from: users}`"
                    )
                if self.items_are_users and columns.ITEM_ID in rule.named and isinstance(rule, Matches | OneOf):
                    raise ValueError(f"{place}: item_id holds pseudonyms; ask not_null, unique or known of it")
        return self

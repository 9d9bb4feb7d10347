"""The spec's `data` slice: where rows come from, what they must satisfy, how time is split."""

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer

from components.data.rules import Rule, TableName, label, misplaced
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
    without_item: tuple[str, ...] = Field(
        default=(),
        max_length=64,
        description="Kinds of events that may lack an item, such as login or search: they count as activity, and for "
        "intents without a level. An event of another kind without an item is set aside",
    )
    clean: Clean = Clean()
    split: Split = Split()
    contract: dict[TableName, list[Rule]] = Field(default={}, description="Rules by canonical table")

    @model_serializer(mode="wrap")
    def _said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is newer than recorded digests and not said, so that a state folder stays valid."""
        dumped: dict[str, Any] = dump(self)
        return {k: v for k, v in dumped.items() if k != "without_item" or v}

    @property
    def lists_items(self) -> bool:
        """Tell whether items have a table of their own; else whatever events name is an item."""
        source = self.source
        if not isinstance(source, Files | Sql):
            return True
        return source.items is not None and source.items.origin != source.events.origin

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

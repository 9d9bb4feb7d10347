"""The spec's `data` slice: where rows come from, what they must satisfy, how time is split."""

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from components.data.knowledge_spec import Knowledge
from components.data.row_rules import Matches, OneOf
from components.data.rules import Rule, TableName, label, misplaced, of_oneself
from components.data.source_spec import Files, Source, Sql
from components.data.table_spec import CANONICAL_TYPES, known_zone
from feature_repo import columns
from feature_repo.clock import DAY, DURATION, GAP, WEEK, Pace, Step, gap_seconds
from feature_repo.slice import Slice

PARTS = ("warmup", "validate", "test")  # of a split; the rest is to train
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
# What the columns of these tables hold is known before the data is read; items and users have attributes of their own.
KNOWN_AHEAD: dict[TableName, tuple[str, ...]] = {
    "events": (*columns.EVENTS, columns.STRENGTH, columns.TEXT),
    "offers": columns.OFFERS,
}
HELD = {table: {name: CANONICAL_TYPES.get(name, "string") for name in names} for table, names in KNOWN_AHEAD.items()}
HORIZON = "horizon"  # beside a data slice's fields in the step `ingest`: steps that the longest label looks ahead


class Clean(Slice):
    """Rows that are valid but are not behaviour to learn from; dropped after the contract, and counted."""

    require: list[str] = Field(default=[], description="Item columns that must not be null")
    min_quantity: float = Field(default=0, ge=0, description="Rows below it are dropped")
    exclude: dict[str, list[str]] = Field(default={}, description="Item column: values to drop")


class Split(Slice):
    """Label steps by time: warm-up | train | validate | test, each whole steps of `data.step`.

    `*_weeks` are for steps of a week; `*_steps` are for any step.
    """

    warmup_weeks: int = Field(default=4, ge=1, le=260, description="First weeks, features only")
    validate_weeks: int = Field(default=2, ge=1, le=52, description="Weeks that decide when training stops")
    test_weeks: int = Field(default=2, ge=1, le=52, description="Last weeks, which gates are judged on")
    warmup_steps: int | None = Field(
        default=None, ge=1, le=50_000, description="First steps, features only; left out: 4, or warmup_weeks"
    )
    validate_steps: int | None = Field(
        default=None, ge=1, le=10_000, description="Steps that decide when training stops; left out: 2"
    )
    test_steps: int | None = Field(
        default=None, ge=1, le=10_000, description="Last steps, which gates are judged on; left out: 2"
    )
    leave_one_out: int | None = Field(
        default=None,
        ge=2,
        le=1000,
        description="Only to reproduce a published protocol: each user's last event is the test, the one before "
        "validates, and so many before that are training steps, whatever their days; a step is then a place in a "
        "user's order. Older events fill the warm-up. With data.step: day",
    )

    @model_validator(mode="after")
    def _one_of_each(self) -> "Split":
        """Refuse lengths of what a protocol has one of."""
        said = [f"{part}_{unit}" for part in PARTS[1:] for unit in ("weeks", "steps")]
        said = [name for name in said if name in self.model_fields_set and getattr(self, name) not in (None, 1)]
        if self.leave_one_out is not None and said:
            raise ValueError(
                f"{said[0]}: under leave_one_out each user has one event that validates and one that tests; leave it "
                "out"
            )
        return self

    @model_validator(mode="after")
    def _one_unit(self) -> "Split":
        for part in PARTS:
            if getattr(self, f"{part}_steps") is not None and f"{part}_weeks" in self.model_fields_set:
                raise ValueError(f"{part}_weeks and {part}_steps are both given; keep one")
        return self

    @model_serializer(mode="wrap")
    def _said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Write of each part the one that counts, so that a dump reads as it was meant and recorded digests hold."""
        dumped: dict[str, Any] = dump(self)
        if dumped.get("leave_one_out") is None:
            dumped.pop("leave_one_out", None)
        steps = {part: dumped.pop(f"{part}_steps", None) for part in PARTS}
        for part, n in steps.items():
            if n is not None:
                dumped.pop(f"{part}_weeks", None)
                dumped[f"{part}_steps"] = n
        return dumped

    def lengths(self) -> dict[str, int]:
        """Return how many steps each part has, under the names that the layout of weeks reads.

        >>> Split(test_steps=48).lengths()
        {'warmup_weeks': 4, 'validate_weeks': 2, 'test_weeks': 48}
        """
        found = {part: getattr(self, f"{part}_steps") or getattr(self, f"{part}_weeks") for part in PARTS}
        if self.leave_one_out is not None:
            found |= dict.fromkeys(PARTS[1:], 1)
        return {f"{part}_weeks": n for part, n in found.items()}


class HalfLives(Slice):
    """After how long an event counts half in decaying sums; long enough that the data has at most 950 of them."""

    slow: str = Field(
        default="",
        pattern=f"{DURATION}|^$",
        description="Duration such as 28d; left out: 28d where steps are days, 7d where they are hours, and .96 a week",
    )
    fast: str = Field(
        default="",
        pattern=f"{DURATION}|^$",
        description="Duration such as 24h; left out: 7d where steps are days, 24h where they are hours, and .80 a week",
    )


class Data(Slice):
    """Where rows come from, what they must satisfy, and how time is split."""

    source: Annotated[Source, Field(discriminator="type", description="Where the rows are")]
    knowledge: Knowledge | None = Field(
        default=None, description="Triples of items, relations and entities, for the candidate source graph"
    )
    timezone: str = Field(default="UTC", description="Local time of weeks, an IANA zone")
    week_start: Weekday = Field(default="monday", description="First day of a week")
    step: Step = Field(
        default=WEEK,
        description="The clock: cutoffs, splits, labels, tenure and decay count in whole steps of an hour, a day or a "
        "week; docs/clock.md",
    )
    half_lives: HalfLives = HalfLives()
    without_item: tuple[str, ...] = Field(
        default=(),
        max_length=64,
        description="Kinds of events that may lack an item, such as login or search: they count as activity, and for "
        "intents without a level. An event of another kind without an item is set aside",
    )
    session_gap: str | None = Field(
        default=None,
        pattern=GAP,
        description="Silence that ends a visit, such as 30m, for intents with horizon: session; left out: session_id "
        "alone tells visits, and 30m where the events have none",
    )
    clean: Clean = Clean()
    split: Split = Split()
    contract: dict[TableName, list[Rule]] = Field(default={}, description="Rules by canonical table")

    @property
    def pace(self) -> Pace:
        """How long a step of the clock is."""
        return Pace(self.step, self.half_lives.slow, self.half_lives.fast)

    @model_serializer(mode="wrap")
    def _said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is newer than recorded digests and not said; a split in steps of other than weeks says so."""
        dumped: dict[str, Any] = dump(self)
        if dumped.get("half_lives") == HalfLives().model_dump():
            del dumped["half_lives"]
        for name in ("session_gap", "knowledge"):
            if dumped.get(name) is None:
                dumped.pop(name, None)
        if not dumped.get("without_item", True):
            del dumped["without_item"]
        if dumped.get("step") == WEEK:
            del dumped["step"]
        elif "split" in dumped:
            more = {} if self.split.leave_one_out is None else {"leave_one_out": self.split.leave_one_out}
            dumped["split"] = {n.replace("_weeks", "_steps"): steps for n, steps in self.split.lengths().items()} | more
        return dumped

    @model_validator(mode="after")
    def _clock_fits(self) -> "Data":
        """Refuse weeks in a split whose steps are none, and made times, which say nothing below a week."""
        if self.split.leave_one_out is not None and self.step != DAY:
            raise ValueError(
                f"split.leave_one_out: needs data.step: day, since a place is a day then; it is {self.step}"
            )
        if self.step == WEEK:
            return self
        for part in PARTS:
            if f"{part}_weeks" in self.split.model_fields_set:
                raise ValueError(
                    f"split.{part}_weeks: data.step is {self.step}, so a split counts {self.step}s; use {part}_steps"
                )
        if isinstance(self.source, Files) and self.source.made_times is not None:
            raise ValueError(
                f"step: {self.step} is finer than the data's clock: the source's times are made up, by week; use week"
            )
        return self

    @model_validator(mode="after")
    def _knowledge_is_of_things(self) -> "Data":
        """Refuse triples about people: `forget` would not find them in the items' tables."""
        if self.knowledge is not None and self.items_are_users:
            raise ValueError(
                "knowledge: items are users, and what is known of people stays in the source, where `forget` reaches "
                "it; leave knowledge out"
            )
        return self

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

    @property
    def has_text(self) -> bool:
        """Tell whether events have what users wrote."""
        return isinstance(self.source, Files | Sql) and columns.TEXT in self.source.events.columns

    @field_validator("session_gap")
    @classmethod
    def _gap(cls, value: str | None) -> str | None:
        if value is not None:
            gap_seconds(value)
        return value

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

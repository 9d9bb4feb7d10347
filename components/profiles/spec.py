"""The spec's `profiles` slice."""

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from feature_repo import columns
from feature_repo.clock import DAY, HOUR, Pace
from feature_repo.slice import Slice

MOST_SEGMENTS = 64
AUTO_ONE_IN, MOST_ONE_IN = 64, 1000
FEW_ROWS = 100_000  # up to so many training rows, auto keeps them all
MOST_NUMBERS = 512  # that selection or reduction may be asked to leave
MOST_DAYS = 36_500  # that a window goes back
PCA = "pca"


class Segments(Slice):
    """Groups of users with alike behaviour, fitted on training weeks only."""

    method: Literal["kmeans", "lda", "encoder"] = Field(
        default="kmeans",
        description="By the nearest typical mix of targets, by the topic that explains most of it, or by the nearest "
        "typical vector of a sequence encoder, for which the order of steps counts",
    )
    k: int | Literal["auto"] = Field(
        default=8,
        description="How many, 2 to 64; auto: 2 to 16, those that the silhouette tells apart best",
        json_schema_extra={"anyOf": [{"type": "integer", "minimum": 2, "maximum": MOST_SEGMENTS}, {"const": "auto"}]},
    )

    @field_validator("k", mode="before")
    @classmethod
    def _number_or_auto(cls, value: object) -> object:
        if value == "auto" or (isinstance(value, int) and 2 <= value <= MOST_SEGMENTS):
            return value
        raise ValueError(f"{value!r} is wrong; use a number from 2 to {MOST_SEGMENTS}, or auto")


class Selection(Slice):
    """What becomes of stored numbers that tell a model nothing, or not for long; features.json reports all of them."""

    constant: Literal["drop", "keep"] = Field(default="drop", description="The same in every training row")
    duplicate: Literal["drop", "keep"] = Field(
        default="drop", description="Equal to an earlier one, or |r| = 1 with it"
    )
    unstable_psi: float | None = Field(
        default=None, gt=0, description="Drop above this PSI of first to last training weeks; left out: only report"
    )
    relevance: Literal["top_k"] | None = Field(
        default=None,
        description="Of the profile's numbers the intent model sees only the k most important for the intents, "
        "judged on training rows; left out: all",
    )
    k: int | None = Field(default=None, ge=1, le=MOST_NUMBERS, description="How many; only with relevance")
    join: Literal["mean", "max"] = Field(
        default="mean",
        description="Importance over several intents: their mean, or that for the intent it tells most of; only with "
        "relevance",
    )

    @model_validator(mode="after")
    def _k_with_relevance(self) -> "Selection":
        if self.relevance and self.k is None:
            raise ValueError("relevance: top_k needs to know how many; add k, such as k: 12")
        alone = [name for name in ("k", "join") if name in self.model_fields_set and getattr(self, name) is not None]
        if not self.relevance and alone:
            raise ValueError(f"{alone[0]} says nothing without relevance; add `relevance: top_k`, or leave it out")
        return self

    @model_serializer(mode="wrap")
    def _said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is newer than recorded digests and not said, so that a state folder stays valid."""
        dumped: dict[str, Any] = dump(self)
        return {k: v for k, v in dumped.items() if self.relevance or k not in ("relevance", "k", "join")}


class Reduce(Slice):
    """The intent model sees principal components of the profile's numbers; left out: the numbers themselves."""

    method: Literal["pca"] = Field(
        default="pca", description="Principal components of the standardised numbers, fitted on training rows"
    )
    components: int | float = Field(
        default=0.95,
        description=f"How many, 1 to {MOST_NUMBERS}; or as many as keep this share of the variance, such as 0.95",
        json_schema_extra={
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": MOST_NUMBERS},
                {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
            ]
        },
    )

    @field_validator("components", mode="before")
    @classmethod
    def _number_or_share(cls, value: object) -> object:
        if (type(value) is int and 1 <= value <= MOST_NUMBERS) or (type(value) is float and 0 < value < 1):
            return value
        raise ValueError(f"{value!r} is wrong; use a number from 1 to {MOST_NUMBERS}, or a share between 0 and 1")


def _or_word(schema: dict[str, Any]) -> None:
    """Tell editors that the method's name alone will do."""
    schema["anyOf"].insert(0, {"type": "string", "const": PCA})


def _window(value: object) -> object:
    """Read hours such as 6h as a share of a day: what windows are counted in everywhere."""
    if isinstance(value, bool):
        raise ValueError(f"{str(value).lower()} is no window; write days, such as 7, or hours, such as 6h")
    if isinstance(value, str) and re.fullmatch(r"[1-9][0-9]{0,3}h", value):
        hours = int(value[:-1])
        return hours // 24 if hours % 24 == 0 else hours / 24
    return value


def _whole_hours(value: float) -> float:
    if not 0 < value <= MOST_DAYS or abs(value * 24 - round(value * 24)) > 1e-9:
        raise ValueError(f"{value} is no window; write days, such as 7, or hours, such as 6h")
    return value


Window = Annotated[
    int | float, BeforeValidator(_window, json_schema_input_type=int | float | str), AfterValidator(_whole_hours)
]
HISTORIES = "histories"  # in the slice of the training set's rows: the intent model reads which items users had


class Profiles(Slice):
    """What is kept about a user and for how long it may be used."""

    windows_days: tuple[Window, ...] = Field(
        default=columns.WINDOWS_DAYS,
        min_length=1,
        max_length=5,
        description="Days back that behaviour is counted over; where data.step is hour also hours, such as 6h",
    )
    ttl_days: int = Field(default=120, ge=1, le=3650, description="A row older than this is stale")
    stale_days: int | None = Field(
        default=None,
        ge=1,
        le=MOST_DAYS,
        description="A row older than this is not used; left out: three times ttl_days",
    )
    segments: Segments = Segments()
    selection: Selection = Selection()
    reduce: Reduce | None = Field(
        default=None,
        description="What becomes of the profile's numbers before the intent model: pca, or a group that says more; "
        "left out: nothing",
        json_schema_extra=_or_word,
    )
    attributes: tuple[str, ...] | None = Field(
        default=None,
        max_length=columns.MOST_ATTRIBUTES,
        description="Columns of users that models may see; left out: every text column with few values",
    )
    train_users: int | None = Field(
        default=None,
        ge=100,
        description="At most so many users, by chance, have rows in the training weeks; left out: all",
    )
    silent_one_in: int | Literal["auto"] = Field(
        default="auto",
        description=f"Training rows of users silent for over {Pace().silent} weeks ({Pace(DAY).silent} days, "
        f"{Pace(HOUR).silent} hours where these are the steps) are thinned, down to one in so many, "
        f"1 to {MOST_ONE_IN}; each counts as those it stands for. 1: all; auto: {AUTO_ONE_IN} where this halves more "
        f"than {FEW_ROWS:,} rows, else 1",
        json_schema_extra={"anyOf": [{"type": "integer", "minimum": 1, "maximum": MOST_ONE_IN}, {"const": "auto"}]},
    )

    memory: Literal["newest", "training", "texts"] = Field(
        default="newest",
        description=f"Which rows keep the user's last {columns.MEMORY_EVENTS} events: the newest, which serve, or also "
        "those of training weeks, for models of sequences; texts: these, and what users wrote, masked",
    )

    @field_validator("windows_days", mode="before")
    @classmethod
    def _each_window_once(cls, value: object) -> object:
        """Refuse windows that are the same however they are spelt: each would name the same columns."""
        spelt: dict[float, object] = {}
        for one in value if isinstance(value, list | tuple) else ():
            days = None if isinstance(one, bool) else _window(one)
            if not isinstance(days, int | float):
                continue  # refused where it stands
            if (hours := round(days * 24, 6)) in spelt:
                raise ValueError(f"{spelt[hours]} and {one} are the same window; leave one of them out")
            spelt[hours] = one
        return value

    @field_validator("silent_one_in", mode="before")
    @classmethod
    def _one_in_or_auto(cls, value: object) -> object:
        if value == "auto" or (type(value) is int and 1 <= value <= MOST_ONE_IN):
            return value
        raise ValueError(f"{value!r} is wrong; use a number from 1 to {MOST_ONE_IN}, or auto")

    @field_validator("reduce", mode="before")
    @classmethod
    def _word_or_group(cls, value: object) -> object:
        if not isinstance(value, str | dict | Reduce | None):
            raise ValueError(f"{value!r} is wrong; use {PCA}, or a group such as {{method: {PCA}, components: 8}}")
        return {"method": value} if isinstance(value, str) else value

    @model_serializer(mode="wrap")
    def _said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is newer than recorded digests and not said, so that a state folder stays valid."""
        dumped: dict[str, Any] = dump(self)
        newer = {"reduce": None, "memory": "newest"}
        return {k: v for k, v in dumped.items() if k not in newer or v != newer[k]}

    @model_validator(mode="after")
    def _stale_after_fresh(self) -> "Profiles":
        if self.used_days < self.ttl_days:
            raise ValueError(f"stale_days: {self.stale_days} is below ttl_days {self.ttl_days}; give it or more")
        return self

    @property
    def rows_hold_events(self) -> bool:
        """Tell whether rows that models read hold the event memory as lists."""
        return self.memory != "newest"

    @property
    def rows_hold_texts(self) -> bool:
        """Tell whether the event memory holds what users wrote."""
        return self.memory == columns.OF_TEXTS

    @property
    def used_days(self) -> int:
        """Return up to which age, in days, a row is used."""
        return self.stale_days or 3 * self.ttl_days

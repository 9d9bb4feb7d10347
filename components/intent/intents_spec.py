"""The spec's slice `intents`: what a user may be about to do, and which fields go with which kind of it."""

import re
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from feature_repo import columns
from feature_repo.clock import DURATION, Pace, steps_of
from feature_repo.errors import nearest
from feature_repo.slice import Slice

SESSION = "session"  # the horizon of intents of the visit that goes on (components/intent/sessions)
Kind = Literal["binary", "regression", "multiclass", "uplift"]
BINARY: Kind = "binary"
REGRESSION: Kind = "regression"
MULTICLASS: Kind = "multiclass"
UPLIFT: Kind = "uplift"
OF_UPLIFT = ("value", "unit")  # fields of a regression that an uplift has too
OF_REGRESSION = ("value", "aggregate", "unit", "loss", "quantiles")  # fields that other kinds do not have
LEVEL = r"category|items\.[A-Za-z_][A-Za-z0-9_]*"


class Intent(Slice):
    """Something a user may be about to do: y in {0, 1}, whether it happens in [cutoff, cutoff + horizon).

    With a `level` there is one y for each of the `top` values of that item column; without, one in all. With
    `horizon: session` it is asked within a visit: whether the rest of it holds the event. Of kind regression y is an
    amount, of kind multiclass the level's value of the first event, or none (components/intent/forecasts). Of kind
    uplift it is how much of an amount an `offer` changes.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=40, description="Its name in answers; unique")
    event: str | None = Field(default=None, description="Kind of event that fulfils it; left out: any")
    level: str | None = Field(
        default=None,
        description="category, or items.<column> (may hold lists)",
        json_schema_extra={"pattern": f"^({LEVEL})$"},
    )
    top: int = Field(default=100, ge=1, le=1000, description="Values of the level that are predicted")
    horizon: str | None = Field(
        default=None,
        pattern=f"{DURATION}|^{SESSION}$",
        description="How far ahead: hours or days that are whole steps of data.step, such as 1h, 24h, 7d, 28d; "
        "or session, the rest of the visit (docs/sessions.md); left out: 7d",
    )
    horizon_days: int = Field(default=7, ge=1, le=365, description="Older form of horizon: the same in days")
    kind: Kind = Field(
        default=BINARY,
        description="binary: whether it happens; regression: how much of `value`; multiclass: which value of the level "
        "comes first, or none (docs/forecasts.md); uplift: how much of `value` an `offer` changes (docs/uplift.md)",
    )
    value: Literal["value", "quantity", "discount", "strength", "count"] | None = Field(
        default=None,
        description="Of kind regression: the events' column whose amount is predicted, or their count; of kind uplift "
        "that whose amount an offer changes",
    )
    aggregate: Literal["sum", "mean"] = Field(
        default="sum",
        description="Of kind regression: the sum within the horizon, or the mean of its events, such as of ratings; "
        "rows without an event then have no label",
    )
    unit: str | None = Field(
        default=None,
        min_length=1,
        max_length=20,
        description="Of regression and uplift: the unit in answers: EUR",
    )
    loss: Literal["squared", "huber", "quantile"] = Field(
        default="squared",
        description="Of kind regression: squared says the mean; huber a mean that outliers move less; quantile the "
        "median and an interval",
    )
    quantiles: tuple[float, ...] | None = Field(
        default=None,
        min_length=3,
        max_length=9,
        description="With loss: quantile, ascending, the median .5 within; the outer ones are low and high of answers; "
        "left out: .1, .5, .9",
    )
    ends: bool = Field(
        default=False, description="With horizon: session and no event: whether the visit ends here, with no more event"
    )

    offer: str | None = Field(
        default=None, min_length=1, description="Of kind uplift: the kind of event that is the offer, such as coupon"
    )

    @model_validator(mode="after")
    def _one_horizon(self) -> "Intent":
        if self.horizon is not None and "horizon_days" in self.model_fields_set:
            raise ValueError(f"horizon and horizon_days are both given; keep `horizon: {self.horizon}`")
        return self

    @model_validator(mode="after")
    def _kind_fits(self) -> "Intent":
        """Refuse what another kind of intent has: it would be silently without effect."""
        said = self.model_fields_set
        for name in OF_REGRESSION:
            if (
                self.kind != REGRESSION
                and not (self.kind == UPLIFT and name in OF_UPLIFT)
                and name in said
                and getattr(self, name) != type(self).model_fields[name].default
            ):
                raise ValueError(f"{name} is of kind: regression, not of kind: {self.kind}; drop {name}, or say that")
        if self.offer is not None and self.kind != UPLIFT:
            raise ValueError(f"offer is of kind: uplift, not of kind: {self.kind}; drop offer, or say that")
        if self.kind == BINARY:
            return self
        if self.of_session or self.ends:
            raise ValueError(f"kind: {self.kind} looks ahead on the clock; use a horizon in hours or days, such as 7d")
        if self.kind == MULTICLASS:
            if self.level is None:
                raise ValueError("kind: multiclass is about values of a level; add one, such as level: category")
            return self
        if self.level is not None or "top" in said:
            key = "level" if self.level is not None else "top"
            raise ValueError(f"{key} and kind: {self.kind} do not go together: it is one amount a user; drop {key}")
        if self.value is None:
            raise ValueError(
                f"kind: {self.kind} needs to know of what; add value, such as value: value or value: count"
            )
        if self.kind == UPLIFT:
            self._uplift_fits()
            return self
        if self.aggregate == "mean" and self.value == "count":
            raise ValueError("aggregate: mean of a count is always 1; use value: with a column, or aggregate: sum")
        self._quantiles_fit()
        return self

    def _uplift_fits(self) -> None:
        if self.offer is None:
            raise ValueError("kind: uplift needs to know of which offer; add offer, the kind of event that it is")
        if self.event is None or self.event == self.offer:
            raise ValueError(
                f"kind: uplift counts what follows the offer, and '{self.offer}' is an event itself; add event, the "
                "kind that is counted, such as event: purchase"
            )

    def _quantiles_fit(self) -> None:
        if self.quantiles is None:
            return
        if self.loss != "quantile":
            raise ValueError(f"quantiles go with loss: quantile, not with loss: {self.loss}; say that, or drop them")
        shown = ", ".join(f"{level:g}" for level in self.quantiles)
        if list(self.quantiles) != sorted(set(self.quantiles)) or not 0 < self.quantiles[0] < self.quantiles[-1] < 1:
            raise ValueError(f"quantiles: {shown} must ascend within 0 and 1; use such as [.1, .5, .9]")
        if 0.5 not in self.quantiles[1:-1]:
            raise ValueError(f"quantiles: {shown} have no median between the outer ones; add .5")

    @model_validator(mode="after")
    def _session_fits(self) -> "Intent":
        """Refuse what an intent of the visit does not have, and what only it has."""
        if not self.of_session:
            if self.ends:
                raise ValueError("ends is of a visit, so it goes with `horizon: session`; drop it, or say that")
            return self
        if self.level is not None or "top" in self.model_fields_set:
            key = "level" if self.level is not None else "top"
            raise ValueError(
                f"{key} and horizon: session do not go together: a visit is asked for one event in all; drop {key}, or "
                "use a horizon in hours or days"
            )
        if self.ends and self.event is not None:
            raise ValueError(f"ends says that no event follows; drop ends, or event: {self.event}")
        return self

    @model_serializer(mode="wrap")
    def _said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Write one form, the older one where the newer is not said, so that recorded digests hold."""
        dumped: dict[str, Any] = dump(self)
        dumped.pop("horizon" if self.horizon is None else "horizon_days", None)
        if not self.ends:
            dumped.pop("ends", None)
        if self.of_session or self.kind in (REGRESSION, UPLIFT):
            dumped.pop("top", None)
        for name in ("kind", "offer", *OF_REGRESSION):
            if getattr(self, name) == type(self).model_fields[name].default:
                dumped.pop(name, None)
        return dumped

    @property
    def of_forecast(self) -> bool:
        """Tell whether it is of another kind than binary: what is said of it is no probability."""
        return self.kind != BINARY

    @property
    def of_session(self) -> bool:
        """Tell whether it is asked within a visit, and not on the clock."""
        return self.horizon == SESSION

    @property
    def duration(self) -> str:
        """How far ahead, as a duration.

        >>> Intent(name="visit").duration, Intent(name="visit", horizon="24h").duration
        ('7d', '24h')
        """
        return self.horizon or f"{self.horizon_days}d"

    def steps(self, pace: Pace) -> int:
        """Return how many steps of a clock it looks ahead; ValueError where that is below one, or no whole number.

        An uplift looks one further: its horizon begins when the offer's own step is over.
        """
        try:
            return steps_of(self.duration, pace) + (self.kind == UPLIFT)
        except ValueError as error:
            raise ValueError(f"intents.{self.name}: horizon {error}") from None

    @field_validator("level")
    @classmethod
    def _level_names_a_column(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(LEVEL, value):
            raise ValueError(
                f"'{value}' is no level; use category, or items.<column> of the items table"
                + nearest(value, ["category", "items"])
            )
        return value

    @property
    def column(self) -> str | None:
        """Name the item column of the level.

        >>> Intent(name="watch", level="items.genres").column
        'genres'
        """
        return columns.of_level(self.level)

"""The spec's `monitoring` slice."""

import datetime as dt
from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from components.occasions import Occasion
from feature_repo.slice import Slice

NEWER = ("signals", "calendar", "notify", "retrain", "quality")  # fields that recorded digests lack
Period = Literal["day", "week"]
VARIABLE = r"^[A-Z][A-Z0-9_]*$"


class Floors(Slice):
    """Effects below these are no news, however sure; `intentflow monitor SPEC --calibrate` proposes them."""

    volume: float = Field(default=0.10, gt=0, le=10, description="Relative change of a count of events or users")
    level: float = Field(default=0.05, gt=0, le=10, description="Relative change of a price, a spread, a ratio")
    share: float = Field(default=0.15, gt=0, le=10, description="Relative change of a share")
    points: float = Field(default=0.01, gt=0, le=1, description="Change of a share, which must be as large as well")
    null: float = Field(default=0.01, gt=0, le=1, description="Rise of a share of rows that should not be so")
    mean: float = Field(default=0.1, gt=0, le=10, description="Change of a mean, in deviations of one row")
    identity: float = Field(default=0.03, gt=0, le=10, description="Change of what features make of the same events")


class Signals(Slice):
    """What is watched period by period, each signal against its own last periods."""

    watched: bool = Field(default=True, description="False: windows alone are compared, and nothing else is said")
    period: Period | None = Field(
        default=None, description="A day or a week; default: the clock's step, and a day where that is an hour"
    )
    false_share: float = Field(
        default=0.01, gt=0, le=0.2, description="Share of the signals told as moved that may be chance alone"
    )
    floors: Floors = Floors()
    accepted: dict[str, dt.date] = Field(
        default={},
        max_length=100,
        description="Signals, or how their names begin, whose new values are meant, each with the first day of them: "
        "their periods before it are no reference",
    )

    @model_serializer(mode="wrap")
    def _said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is newer than recorded digests and not said."""
        dumped: dict[str, Any] = dump(self)
        return {key: value for key, value in dumped.items() if value or key != "accepted"}


class Notify(Slice):
    """Whom a drift check tells of a verdict. Address and secret are named, never written here."""

    url_env: str = Field(
        pattern=VARIABLE,
        max_length=200,
        description="Variable that holds the address, https://…; it gets a JSON document",
    )
    secret_env: str | None = Field(
        default=None,
        pattern=VARIABLE,
        max_length=200,
        description="Variable that holds the secret that signs calls (headers webhook-id, -timestamp and -signature, "
        "as Standard Webhooks has them); left out: unsigned",
    )
    classes: Annotated[list[Literal["data_fault", "world", "performance"]], Field(min_length=1)] = Field(
        default=["data_fault", "world", "performance"], description="Told of these, and when they have passed"
    )


class Retrain(Slice):
    """When a reason leads to a training, and when retraining stops itself."""

    cooldown_days: float | None = Field(
        default=None,
        ge=0,
        le=400,
        description="Days of data after a training before the next; left out: the longest horizon and the label delay",
    )
    budget: int = Field(default=2, ge=1, le=100, description="Trainings within 30 days of data, at most")
    after_failures: int = Field(
        default=2, ge=1, le=20, description="Stop, and tell somebody, after so many trainings in a row without gain"
    )
    shadow: bool = Field(
        default=True,
        description="Promote what passes its gates only where it is clearly better than the champion on the same rows",
    )
    grown: float | None = Field(
        default=None,
        gt=1,
        le=100,
        description="Train also where nothing changed, once there are so many times the steps to learn from that the "
        "champion learnt from, such as 1.5; left out: only reasons train",
    )

    @model_serializer(mode="wrap")
    def _said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is newer than recorded digests and not said."""
        dumped: dict[str, Any] = dump(self)
        return {key: value for key, value in dumped.items() if value is not None or key != "grown"}


class Quality(Slice):
    """How realised quality is judged as labels ripen."""

    label_delay_days: float | None = Field(
        default=None,
        ge=0,
        le=400,
        description="Days until what users did is known; left out: as late as 99 % of the last events became known",
    )
    floor: float = Field(
        default=0.05, ge=0, le=1, description="Share by which realised quality must fall before it is a reason"
    )


class Monitoring(Slice):
    """When data counts as drifted. Methods are fixed by kind of column, so a score means the same at every size."""

    psi: float = Field(default=0.2, gt=0, le=10, description="Population stability index of a drifted number column")
    distance: float = Field(
        default=0.1, gt=0, le=1, description="Jensen-Shannon distance (natural log) of a drifted category column"
    )
    share: float = Field(default=0.3, gt=0, le=1, description="Share of columns that must drift for a verdict")
    sample: int = Field(default=20_000, ge=100, le=100_000, description="Rows compared on each side")
    min_rows: int = Field(default=100, ge=10, le=100_000, description="With fewer on a side the verdict is undecided")
    min_users: int = Field(
        default=20, ge=2, le=100_000, description="With fewer users on a side the verdict is undecided"
    )
    signals: Signals = Field(default=Signals(), description="What is watched by period; left out: its defaults")
    calendar: list[Occasion] = Field(
        default=[], max_length=1000, description="Holidays and campaigns, which explain what moves on their days"
    )
    notify: Notify | None = Field(default=None, description="Whom to tell of a verdict; left out: nobody")
    retrain: Retrain | None = Field(
        default=None,
        description="Retraining by reasons, which stops itself; left out: the pipeline `retrain` trains on every drift",
    )
    quality: Quality = Field(default=Quality(), description="Realised quality; left out: its defaults")

    @model_serializer(mode="wrap")
    def _said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is newer than recorded digests and as it is by default."""
        dumped: dict[str, Any] = dump(self)
        usual = {key: field.default for key, field in type(self).model_fields.items() if key in NEWER}
        return {key: value for key, value in dumped.items() if key not in NEWER or getattr(self, key) != usual[key]}

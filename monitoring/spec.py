"""The spec's `monitoring` slice."""

from typing import Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from feature_repo.slice import Slice

NEWER = ("retrain", "quality")  # fields that recorded digests lack


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
    retrain: Retrain | None = Field(
        default=None,
        description="Retraining by reasons, which stops itself; left out: the pipeline `retrain` trains on every drift",
    )
    quality: Quality | None = Field(default=None, description="Realised quality; left out: its defaults")

    @model_serializer(mode="wrap")
    def _said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is newer than recorded digests and not said."""
        dumped: dict[str, Any] = dump(self)
        return {key: value for key, value in dumped.items() if value is not None or key not in NEWER}

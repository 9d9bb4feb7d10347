"""The spec's `experiments` slice: releases that answer users side by side, and the number that decides between them."""

import math
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from feature_repo.slice import Slice

CONTROL = "champion"  # the release of the arm that others are compared with: what serves anyway
ROUNDING = 1e-9  # of a sum of shares
HOUR_S, DAY_S = 3600.0, 86_400.0
Measure = Literal["converted", "count", "value"]


class Arm(Slice):
    """A release and the users that it answers."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$", max_length=32, description="As reports call it")
    release: str = Field(
        pattern=r"^([a-z_]+|[0-9]+)$",
        max_length=32,
        description="Version of <name>-release, or an alias; `champion` makes it the control. A policy is a release's",
    )
    share: float = Field(gt=0, lt=1, description="Of users, always the same ones; the arms' sum to 1")


class Kpi(Slice):
    """What an experiment is decided by: a number of each user, from events within a time of their first answer."""

    event: str = Field(min_length=1, max_length=64, description="Kind of event, such as purchase")
    measure: Measure = Field(
        default="converted", description="Of a user: whether there was one, how many there were, or their summed value"
    )
    within_hours: float = Field(
        default=168.0, gt=0, le=24 * 365, description="After a user's first answer; users count once it has passed"
    )
    better: Literal["more", "less"] = Field(default="more", description="less: of hides, returns and the like")
    most: float | None = Field(
        default=None, gt=0, description="A user counts as so much at most, so that one large order decides nothing"
    )

    @property
    def within_s(self) -> float:
        """Return the time after a user's first answer, seconds."""
        return self.within_hours * HOUR_S

    @model_validator(mode="after")
    def _most_is_of_amounts(self) -> "Kpi":
        if self.most is not None and self.measure == "converted":
            raise ValueError("most: a user converts once or not at all; drop it, or use measure: count or value")
        return self


class Experiment(Slice):
    """Two or more releases side by side. The first difference that a test shows, which holds at every look, ends it."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$", max_length=32, description="What `intentflow experiments` starts")
    arms: tuple[Arm, ...] = Field(min_length=2, max_length=8, description="One of them, the control, is the champion's")
    kpi: Kpi
    smallest_effect: float = Field(
        default=0.1,
        gt=0,
        le=10,
        description="Share of the control's mean that is worth finding; the test is made for it and valid for any",
    )
    alpha: float = Field(
        default=0.05, gt=0, le=0.2, description="Chance to ever see a difference between releases that have none"
    )
    covariates: tuple[str, ...] = Field(
        default=("sessions_slow", "value_slow"),
        max_length=16,
        description="Numbers of a user's row at their first answer that take noise out (CUPED); []: none",
    )
    min_users: int = Field(default=500, ge=30, description="Of each arm, before anything is judged")
    min_active: int = Field(default=25, ge=5, description="Users of each arm whose KPI is not 0, before it is judged")
    users: int | None = Field(
        default=None,
        ge=60,
        le=1_000_000_000,
        description="Users of all arms together by whom it is decided: those whose time passed first, then it ends. "
        "The test then spends all of alpha by then, and finds more. Left out: a test that never has to end",
    )
    days: float = Field(default=28.0, gt=0, le=365, description="Longest time; then it ends undecided")
    on_winner: Literal["report", "promote"] = Field(
        default="report", description="promote: the better release becomes champion, and is rolled out"
    )

    @property
    def control(self) -> Arm:
        """Return the arm that the others are compared with."""
        return next(arm for arm in self.arms if arm.release == CONTROL)

    @property
    def treatments(self) -> tuple[Arm, ...]:
        """Return the other arms."""
        return tuple(arm for arm in self.arms if arm.release != CONTROL)

    @model_serializer(mode="wrap")
    def _said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is not said, so that recorded documents hold."""
        dumped: dict[str, Any] = dump(self)
        if self.users is None:
            dumped.pop("users", None)
        return dumped

    @model_validator(mode="after")
    def _enough_users(self) -> "Experiment":
        """Refuse a plan that is over before anything is judged."""
        smallest = min(self.arms, key=lambda arm: arm.share)
        if self.users is not None and self.users * smallest.share < self.min_users:
            raise ValueError(
                f"users: {self.users} leave arm {smallest.name} {self.users * smallest.share:.0f} users, fewer than "
                f"min_users: {self.min_users}; give {math.ceil(self.min_users / smallest.share)} or more"
            )
        return self

    @model_validator(mode="after")
    def _arms_differ(self) -> "Experiment":
        for what in ("name", "release"):
            given = [getattr(arm, what) for arm in self.arms]
            for one in given:
                if given.count(one) > 1:
                    raise ValueError(f"arms: two have {what} '{one}', so there is nothing to compare; name another")
        total = math.fsum(arm.share for arm in self.arms)
        if abs(total - 1) > ROUNDING:
            raise ValueError(
                f"arms: their shares sum to {total:g}; allowed: 1, since each user is in one arm; "
                f"give {self.arms[0].name} {max(0.0, self.arms[0].share + 1 - total):g}"
            )
        if CONTROL not in [arm.release for arm in self.arms]:
            raise ValueError(
                f"arms: none has `release: {CONTROL}`, with which the others are compared; it answers users anyway"
            )
        return self

"""The spec's `policy.rewards` and `policy.bots`: what counts as a reward of what was shown, and whose are left out."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from components.policy.rewards import Bots, Kpi
from feature_repo.slice import Slice

DURATION = re.compile(r"([1-9][0-9]{0,4})([mhd])")
UNITS = {"m": 60, "h": 3600, "d": 86_400}
MOST_DAYS = 90


def seconds(duration: str) -> int:
    """Return a duration in seconds.

    >>> seconds("30m"), seconds("24h"), seconds("7d")
    (1800, 86400, 604800)
    """
    found = DURATION.fullmatch(duration)
    if found is None:
        raise ValueError(f"'{duration}' is no duration; write minutes, hours or days, such as 30m, 24h or 7d")
    length = int(found[1]) * UNITS[found[2]]
    if length > MOST_DAYS * UNITS["d"]:
        raise ValueError(f"{duration} is more than {MOST_DAYS} days; logs are not kept as long")
    return length


def _checked(duration: str) -> str:
    seconds(duration)
    return duration


Duration = Annotated[str, AfterValidator(_checked)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)]
Event = Annotated[str, StringConstraints(min_length=1, max_length=64)]
# Columns of the table that are no KPI.
TAKEN = (
    "request_id", "logged_at", "now", "release", "policy", "user_id", "placement", "item_id", "position", "score",
    "source", "rung", "propensity", "given", "error", "share", "explored", "sample", "reward",
)  # fmt: skip


class RewardKpi(Slice):
    """A figure of what users did with what they were shown."""

    name: Name = Field(description="Names its column in the rewards table")
    kind: Literal["event", "return"] = Field(
        default="event",
        description="event: what users did with a shown item; return: whether they came back, by any event or request",
    )
    event: tuple[Event, ...] = Field(
        default=(), max_length=16, description="Kinds of events that count, such as [purchase]; left out: all"
    )
    amount: Literal["count", "value", "quantity", "discount"] | None = Field(
        default=None,
        description="What is summed: how many events, the money paid, pieces or minutes, money off; left out: whether",
    )
    within: Duration = Field(default="24h", description="So long after the answer at most, such as 30m, 24h or 7d")
    after: Duration | None = Field(
        default=None, description="So long after the answer at least; left out: at once, and a day for return"
    )
    positions: int | None = Field(
        default=None, ge=1, le=500, description="Of the first so many places alone; left out: of all"
    )
    credit: Literal["last", "first", "every"] = Field(
        default="last",
        description="Which answer that showed the item an event counts for, where it does not name one by request_id",
    )
    weight: float = Field(
        default=1.0, ge=-1e6, le=1e6, allow_inf_nan=False, description="In the sum; below 0 for hide and not_interested"
    )

    @model_validator(mode="after")
    def _fits(self) -> "RewardKpi":
        if self.name in TAKEN:
            raise ValueError(f"name: '{self.name}' is a column of the rewards table already; take another")
        if self.after_s >= seconds(self.within):
            raise ValueError(
                f"within: {self.within} is not longer than after, {self.after or '1d'}; nothing could ever count"
            )
        if self.kind == "return":
            for field in ("amount", "positions"):
                if getattr(self, field) is not None:
                    raise ValueError(f"{field}: is of items, and kind: return is of the answer; leave it out")
        if self.weight == 0:
            raise ValueError("weight: 0 counts nothing; leave the KPI out, or give it a weight")
        return self

    @property
    def after_s(self) -> int:
        """Return the least delay in seconds."""
        if self.after is not None:
            return seconds(self.after)
        return UNITS["d"] if self.kind == "return" else 0

    def kpi(self) -> Kpi:
        """Return it as the joiner takes it."""
        return Kpi(
            name=self.name,
            within_s=seconds(self.within),
            after_s=self.after_s,
            events=frozenset(self.event),
            amount=self.amount,
            positions=self.positions,
            credit=self.credit,
            weight=self.weight,
            returns=self.kind == "return",
        )


class BotRule(Slice):
    """Whose answers and events are left out: no person does as much in a day (UTC)."""

    answers_a_day: int = Field(default=2000, ge=1, le=10_000_000, description="More answers: all of the user's go")
    events_a_day: int = Field(default=2000, ge=1, le=10_000_000, description="More events: all of the user's go")

    def rule(self) -> Bots:
        """Return it as the joiner takes it."""
        return Bots(self.answers_a_day, self.events_a_day)

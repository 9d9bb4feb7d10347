"""The spec's `policy` slice: which policy chooses what is shown, within which guard rails, and what rewards it.

No numpy here: every verb reads specs. A test holds SETTINGS to the policies' own.
"""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from components.policy.learning.spec import PolicyLearning
from components.policy.reward_spec import BotRule, RewardKpi
from feature_repo.slice import Slice

if TYPE_CHECKING:
    from components.policy.choice import Policy

Word = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Name = Literal["greedy", "epsilon", "softmax", "thompson", "slate"]
GREEDY: Name = "greedy"
CANDIDATES = 50
SETTINGS: dict[Name, tuple[str, ...]] = {
    "greedy": (),
    "epsilon": ("epsilon", "candidates"),
    "softmax": ("temperature", "candidates"),
    "thompson": ("mean", "covariance", "spread", "temperature", "candidates"),
    "slate": ("temperature", "diversity", "candidates"),
}


class GuardRails(Slice):
    """How much may be explored. A rail never breaks a rule of lists: those hold in whatever is drawn."""

    share: float = Field(
        default=1.0, gt=0, le=1, description="Share of answers that may be drawn; the others are greedy"
    )
    per_user_day: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Of a user's places of a day (UTC) at most so many hold an item that greedy would not show",
    )
    floor: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Least expected value of an answer, as a share of the greedy list's, an item counting the discount "
        "of its rank; fewer answers are drawn where it would be lower",
    )
    placements: tuple[Word, ...] = Field(
        default=(), max_length=64, description="Protected placements: nothing is explored there"
    )
    cohorts: tuple[Word, ...] = Field(
        default=(), max_length=64, description="Protected segments of users, by name: nothing is explored for them"
    )


class PolicySlice(Slice):
    """What is shown of what was ranked, and what counts as its reward."""

    name: Name = Field(
        default=GREEDY,
        description="greedy: the best, always; epsilon: now and then another item at a place; softmax: lists drawn by "
        "their scores (Plackett and Luce); thompson: by a model that is drawn from what is believed of it; slate: as "
        "softmax, of items that differ",
    )
    epsilon: float | None = Field(
        default=None, gt=0, lt=1, description="Of epsilon: probability that a place shows another item; 0.1 if left out"
    )
    temperature: float | None = Field(
        default=None,
        ge=0.01,
        le=100,
        description="Of softmax, slate (0.3 if left out) and thompson (0.1): in standard deviations of the scores",
    )
    diversity: float | None = Field(
        default=None,
        gt=0,
        le=100,
        description="Of slate: what an item costs that is like one above, in standard deviations; 1 if left out",
    )
    spread: float | None = Field(
        default=None,
        ge=0,
        le=100,
        description="Of thompson: standard deviation of what is not known of an item, in those of the scores; 0.3 if "
        "left out",
    )
    mean: tuple[float, ...] | None = Field(
        default=None,
        min_length=2,
        max_length=2,
        description="Of thompson: weights of the score and of the rank's discount in the head; [1, 0] if left out",
    )
    covariance: tuple[tuple[float, ...], ...] | None = Field(
        default=None,
        min_length=2,
        max_length=2,
        description="Of thompson: the weights' covariance; 0.01 each if left out",
    )
    candidates: int = Field(
        default=CANDIDATES, ge=2, le=200, description="So many of the best items may be shown; more make answers slower"
    )
    guard: GuardRails = GuardRails()
    rewards: tuple[RewardKpi, ...] = Field(
        default=(), max_length=32, description="KPIs of what was shown, each a column of the rewards table"
    )
    bots: BotRule = BotRule()
    learn: PolicyLearning | None = Field(
        default=None, description="How the pipeline `policy` learns a policy from the log, and what it must be worth"
    )

    @model_validator(mode="after")
    def _settings_are_its_own(self) -> "PolicySlice":
        known = SETTINGS[self.name]
        for field in ("epsilon", "temperature", "diversity", "spread", "mean", "covariance"):
            if getattr(self, field) is not None and field not in known:
                takes = ", ".join(known) or "none"
                raise ValueError(f"{field}: is no setting of {self.name}; it takes {takes}: leave it out")
        if self.name == GREEDY and self.guard != GuardRails():
            raise ValueError("guard: greedy explores nothing that could be guarded; leave it out, or name a policy")
        if self.covariance is not None:
            self._require_covariance()
        names = [kpi.name for kpi in self.rewards]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"rewards: '{name}' is declared twice; give each KPI a name of its own")
        return self

    def _require_covariance(self) -> None:
        rows = self.covariance or ()
        if any(len(row) != 2 for row in rows):
            raise ValueError("covariance: is not 2 by 2; write [[v, c], [c, w]]")
        (v, c), (other, w) = rows
        if c != other or v < 0 or w < 0 or v * w < c * c:
            raise ValueError("covariance: is none; it is symmetric, with variances of 0 or more that bound the rest")

    @property
    def explores(self) -> bool:
        """Tell whether anything but the greedy list may be shown."""
        return self.name != GREEDY

    def chosen(self) -> "Policy":
        """Return the policy with its settings."""
        from components.policy import policies

        plain = policies.latest(self.name)
        return policies.named(
            plain.name, {f: getattr(self, f) for f in SETTINGS[self.name] if getattr(self, f) is not None}
        )

    def slice(self) -> dict[str, Any]:
        """Return what a release holds of it: what the door reads."""
        from components.policy import policies

        chosen = self.chosen()
        return {
            "name": chosen.name,
            "settings": policies.settings_of(chosen),
            "guard": self.guard.model_dump(mode="json", exclude_defaults=True),
        }

"""The spec's `policy.learn`: how a policy is learnt from the log, and what it must be worth.

No numpy here: every verb reads specs.
"""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from components.policy.evaluation.floors import LEAST_ESS, MOST_UNSUPPORTED
from feature_repo.slice import Slice

if TYPE_CHECKING:
    from components.policy.evaluation.gate import Rule


class PolicyLearning(Slice):
    """What the pipeline `policy` does with the log of a policy that explores."""

    learner: Literal["reward_model", "reinforce"] = Field(
        default="reward_model",
        description="reward_model: a regression on doubly robust targets; reinforce: top-K off-policy REINFORCE",
    )
    temperature: float = Field(
        default=0.3,
        ge=0.01,
        le=100,
        description="Of the softmax that shows what was learnt, in standard deviations of what candidates are worth",
    )
    estimator: Literal["ips", "snips", "dr", "switch_dr", "shrunk_dr"] = Field(
        default="dr", description="What the gate rests on; the direct method alone is none"
    )
    interval: Literal["bootstrap", "bernstein"] = Field(
        default="bootstrap", description="bernstein holds for any number of rows, and is wider"
    )
    least_ess: float = Field(
        default=LEAST_ESS, ge=1, description="Least effective sample size, places, that a verdict may rest on"
    )
    most_unsupported: float = Field(
        default=MOST_UNSUPPORTED, ge=0, le=1, description="Share of its choices that the log may never have tried"
    )

    def rule(self, *, guard_rails: str = "") -> "Rule":
        """Return what the gate asks; `guard_rails` says what bounds the harm of a policy that nobody can judge yet."""
        from components.policy.evaluation.gate import Rule

        return Rule(self.estimator, self.interval, self.least_ess, self.most_unsupported, guard_rails=guard_rails)

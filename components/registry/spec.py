"""The spec's `promotion` slice."""

from typing import Literal

from pydantic import Field, model_validator

from feature_repo.model import Slice

Metric = Literal[
    "intent.macro_auroc",
    "intent.micro_auroc",
    "intent.map",
    "intent.bce",
    "intent.ece",
    "ranking.ndcg_at_10",
    "ranking.recall_at_10",
    "ranking.phr_at_10",
]
LOWER_IS_BETTER = ("intent.bce", "intent.ece")


class Gate(Slice):
    """One condition on a test metric. Against `value` it needs `limit`; else it is compared with another's metric."""

    metric: Metric
    against: Literal["baseline", "champion", "value"] = "baseline"
    tolerance: float = Field(default=0.0, ge=0, le=1, description="Share by which it may be worse")
    limit: float | None = Field(default=None, description="Floor, or ceiling where lower is better")

    @model_validator(mode="after")
    def _limit_goes_with_value(self) -> "Gate":
        if (self.against == "value") != (self.limit is not None):
            raise ValueError("limit goes with `against: value`, and only with it")
        return self


class Promotion(Slice):
    """Who moves the champion alias, and what must hold before."""

    mode: Literal["auto", "manual", "dry_run"] = "auto"
    gates: list[Gate] = Field(
        default=[
            Gate(metric="intent.map"),
            Gate(metric="ranking.ndcg_at_10"),
            Gate(metric="intent.map", against="champion", tolerance=0.02),
            Gate(metric="ranking.ndcg_at_10", against="champion", tolerance=0.02),
        ]
    )

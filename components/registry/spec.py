"""The spec's `promotion` slice."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from components.registry import gate_metrics
from components.verdicts import Least
from feature_repo.errors import nearest
from feature_repo.slice import Slice

if TYPE_CHECKING:
    Metric = str  # a type checker cannot read a tuple as a Literal
else:
    Metric = Literal[gate_metrics.NAMES]
DRY_RUN = "dry_run"  # the mode of a run that judges and changes nothing
MODES = ("auto", "manual", DRY_RUN)
Cohort = Literal["segment", "activity", "tenure", "attribute"]
OF_INTENTS = ("tenure", "attribute")  # cohorts that the ranking is not measured by
FEWEST_ROWS, FEWEST_OF_COHORT = 40, 100


class Gate(Slice):
    """One condition on a test metric. Against `value` it needs `limit`; else it is compared with another's metric."""

    metric: Metric = Field(description="What is measured on the test weeks, or of one answer at a time")
    against: Literal["baseline", "champion", "value"] = Field(
        default="baseline", description="Without it, a `limit` means `value`"
    )
    tolerance: float = Field(default=0.0, ge=0, le=1, description="Share by which it may be worse")
    limit: float | None = Field(default=None, description="Floor, or ceiling where lower is better")
    repeats: int | None = Field(
        default=None,
        ge=1,
        le=100,
        description="Releases in a row that may use the tolerance before one must be as good as the champion",
    )
    cohort: Cohort | None = Field(default=None, description="Hold for each group of these, not for all rows at once")
    min_rows: int | None = Field(
        default=None,
        ge=1,
        description=f"On fewer nothing is judged; left out: {FEWEST_ROWS}, and {FEWEST_OF_COHORT} of a cohort's group",
    )
    intent: str | None = Field(
        default=None,
        description="Of a forecast metric: the intent of kind regression, multiclass or uplift that is judged",
    )
    min_users: int = Field(default=20, ge=1, description="On fewer nothing is judged: one user may be chance")
    when_empty: Literal["hold", "allow"] = Field(
        default="hold",
        description="Where no group of the cohort is large enough: hold leaves it undecided, allow passes over it",
    )

    @model_serializer(mode="wrap")
    def _said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is newer than recorded digests and not said."""
        dumped: dict[str, Any] = dump(self)
        return {name: value for name, value in dumped.items() if name != "intent" or value is not None}

    @property
    def measured(self) -> str:
        """Return the name of the number that it judges, with the intent behind it where it is of one."""
        return f"{self.metric}:{self.intent}" if self.intent else self.metric

    def require_forecast(self, place: str, kinds: Mapping[str, tuple[str, str]]) -> None:
        """Refuse a gate on a forecast that is not there, or by what it is not measured by; kind and loss by intent."""
        group, _, name = self.metric.partition(".")
        if group != gate_metrics.FORECAST:
            return
        kind, loss = kinds.get(self.intent or "", ("", ""))
        if not kind:
            have = ", ".join(kinds) or "none; add one, such as {name: spend, kind: regression, value: value}"
            raise ValueError(
                f"{place}.intent: '{self.intent}' is no intent of kind: regression, multiclass or uplift; have {have}"
                f"{nearest(str(self.intent), list(kinds))}"
            )
        allowed = gate_metrics.OF_KINDS[kind] + gate_metrics.OF_LOSSES.get(loss, ())
        if name not in allowed:
            needed = next((one for one, names in gate_metrics.OF_LOSSES.items() if name in names), "")
            by_loss = bool(needed) and kind == "regression"
            of, fix = (f"loss: {loss}", f", or give the intent loss: {needed}") if by_loss else (f"kind: {kind}", "")
            raise ValueError(
                f"{place}: {self.metric} is not measured of '{self.intent}', which is of {of}; "
                f"use {', '.join(f'{group}.{one}' for one in allowed)}{fix}"
            )

    @property
    def least(self) -> Least:
        """The fewest rows and users to judge on; what serving costs is no matter of users."""
        if gate_metrics.BY_NAME[self.metric].kind != "quality":
            return Least(rows=0, users=0)
        return Least(self.min_rows or (FEWEST_OF_COHORT if self.cohort else FEWEST_ROWS), self.min_users)

    @model_validator(mode="before")
    @classmethod
    def _a_limit_is_a_value(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("limit") is not None and "against" not in given:
            return given | {"against": "value"}
        return given

    @model_validator(mode="after")
    def _fields_go_together(self) -> "Gate":
        if (self.against == "value") != (self.limit is not None):
            raise ValueError("limit goes with `against: value`, and only with it")
        if self.repeats is not None and not (self.against == "champion" and self.tolerance):
            raise ValueError(
                "repeats counts uses of a tolerance, so it goes with `against: champion` and a `tolerance`"
            )
        if self.metric.startswith("session.") and self.against == "champion":
            raise ValueError(
                f"{self.metric}: the champion is not judged on the same visits; use `against: baseline`, or a `limit`"
            )
        of_forecast = self.metric.startswith(f"{gate_metrics.FORECAST}.")
        if of_forecast and self.against == "champion":
            raise ValueError(
                f"{self.metric}: the champion's forecasts are not judged on the same rows; use `against: baseline`, or "
                "a `limit`"
            )
        if of_forecast != (self.intent is not None):
            raise ValueError(
                f"{self.metric} is of one intent; name it, such as `intent: spend`"
                if of_forecast
                else f"{self.metric} is not of one intent; drop intent: {self.intent}"
            )
        kind = gate_metrics.BY_NAME[self.metric].kind
        if kind == "budget" and self.against == "baseline":
            raise ValueError(f"{self.metric} has no baseline; give a `limit`, or `against: champion`")
        if kind == "variant" and self.against != "value":
            raise ValueError(f"{self.metric} is a loss against the batch already; give a `limit`")
        if gate_metrics.BY_NAME[self.metric].lead and self.against != "value":
            raise ValueError(f"{self.metric} is a lead over the decayed rate already; give a `limit`, such as 0")
        self._cohort_is_measured()
        return self

    def _cohort_is_measured(self) -> None:
        if self.cohort is None:
            if self.when_empty == "allow":
                raise ValueError("when_empty is of groups of users, so it goes with `cohort`")
            return
        measured = gate_metrics.BY_NAME[self.metric].cohorts
        if not measured:
            have = ", ".join(metric.name for metric in gate_metrics.METRICS if metric.cohorts)
            raise ValueError(f"{self.metric} is not measured by cohort; have {have}")
        if self.cohort in OF_INTENTS and not self.metric.startswith("intent."):
            raise ValueError(f"{self.cohort} is measured of the intents only; have segment, activity")
        if self.against == "baseline" and measured != "with_baseline":
            with_baseline = ", ".join(m.name for m in gate_metrics.METRICS if m.cohorts == "with_baseline")
            raise ValueError(f"{self.metric} has no baseline by cohort; have {with_baseline}, or another `against`")


class Parity(Slice):
    """Logged answers, replayed through the offline path before a rollout: any that differs refuses it."""

    min_checked: int = Field(default=0, ge=0, description="Answers that must have been replayed; fewer refuse")


class Tolerance(Slice):
    """By how much a candidate may be worse than what serves, as a share of its answers."""

    errors: float = Field(default=0.002, ge=0, le=1, description="Answers that failed")
    slow: float = Field(default=0.05, ge=0, le=1, description="Answers that took longer than `slow_ms`")
    degraded: float = Field(default=0.02, ge=0, le=1, description="Answers from a lower rung, since something failed")
    reward: float = Field(default=0.05, ge=0, le=1, description="Answers that no user acted on")


class Shadow(Slice):
    """Before any user meets a candidate: answers of stable's are asked of it as well, and compared."""

    requests: int = Field(default=50, ge=0, description="Mirrored answers that are needed; 0: no shadow phase")
    min_overlap: float = Field(default=0.0, ge=0, le=1, description="Items that both recommend, on average")


class Rollout(Slice):
    """How serving follows the champion alias, and what takes a release back."""

    shadow: Shadow = Shadow()
    steps: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(
        default=(0.05, 0.25, 1.0), min_length=1, description="Shares of users that the candidate answers, one by one"
    )
    step_requests: int = Field(default=40, ge=1, description="Answers of the candidate that each step needs")
    hold_s: float = Field(default=5.0, ge=0, description="Shortest time of each step")
    wait_s: float = Field(default=900.0, gt=0, description="Longest time that a step waits for its answers")
    on_missing: Literal["rollback", "promote", "hold"] = Field(
        default="rollback", description="What follows when they do not come in that time"
    )
    alpha: float = Field(default=0.05, gt=0, le=0.5, description="Chance that a good release is taken back")
    tolerance: Tolerance = Tolerance()
    slow_ms: Literal[5, 10, 25, 50, 100, 250, 500, 1000, 2500] = Field(
        default=500, description="An answer that took longer is slow, milliseconds"
    )
    reward_s: float = Field(default=60.0, gt=0, description="Time in which a user may act on what was recommended")
    keep_previous_s: float = Field(default=600.0, ge=0, description="The one before runs on so long, for a rollback")

    @model_validator(mode="after")
    def _shares_grow(self) -> "Rollout":
        if list(self.steps) != sorted(set(self.steps)):
            raise ValueError(f"steps: {list(self.steps)} must grow: nobody moves back; such as [0.05, 0.25, 1.0]")
        return self


class Promotion(Slice):
    """Who moves the champion alias, and what must hold before."""

    mode: Literal["auto", "manual", "dry_run"] = Field(
        default="auto",
        description="auto: a release that passes goes live; manual: a person promotes it; dry_run: none is registered",
    )
    gates: list[Gate] = Field(
        default=[
            Gate(metric="intent.map"),
            Gate(metric="ranking.ndcg_at_10"),
            Gate(metric="intent.map", against="champion", tolerance=0.02, repeats=3),
            Gate(metric="ranking.ndcg_at_10", against="champion", tolerance=0.02, repeats=3),
            Gate(metric="variant.probability_gap", against="value", limit=0.001),
            Gate(metric="variant.ndcg_loss", against="value", limit=0.001),
        ],
        description="What a release must pass; each is one condition on a test metric",
    )
    refit: bool = Field(
        default=False,
        description="Train what passed its gates once more, on all complete weeks, the newest too; that one serves",
    )
    parity: Parity = Parity()
    rollout: Rollout = Rollout()

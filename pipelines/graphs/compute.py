"""The environment's `compute` slice: what steps ask of a cluster, where that is not what the step table says.

pipelines/graphs/task_settings.py puts it into the pipelines' IR. On this machine nothing reads it: steps take what they
need. It changes no result.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from feature_repo.errors import SpecError, nearest
from feature_repo.slice import Slice
from pipelines.graphs.step_table import STEPS, WITH_GPU, Size

if TYPE_CHECKING:
    from components.intent.search_space import Search

SEARCH = "search_intent"
LAST_TRIAL = 60  # minutes that a search's last trial, and what is read and written, are left
LONGEST = 10_080  # minutes of a step, a week


class Resources(Slice):
    """What one step asks for; what is left out stays as it is by default."""

    cpu: float | None = Field(default=None, gt=0, le=256, description="Cores requested; the limit is twice of it")
    memory: str | None = Field(
        default=None, pattern=r"^[1-9][0-9]*(\.[0-9]+)?(Mi|Gi)$", description="Requested, and the limit: 6Gi, 512Mi"
    )
    minutes: int | None = Field(default=None, ge=1, le=LONGEST, description="After which the step's pod is stopped")
    gpu: int | None = Field(default=None, ge=0, le=16, description="GPUs, of the environment's kind")


class Compute(Slice):
    """Resources of steps on a cluster, beyond the defaults of each."""

    steps: dict[str, Resources] = Field(
        default={},
        description="By step, as `intentflow plan` names them",
        json_schema_extra={"propertyNames": {"enum": list(STEPS)}},
    )

    @field_validator("steps")
    @classmethod
    def _known(cls, value: dict[str, Resources]) -> dict[str, Resources]:
        for name, step in value.items():
            if name not in STEPS:
                raise ValueError(f"no step '{name}'; have {', '.join(STEPS)}{nearest(name, list(STEPS))}")
            if step.gpu and name not in WITH_GPU:
                raise ValueError(f"{name}.gpu: this step uses no GPU; give them to {', '.join(WITH_GPU)}")
        return value

    def size(self, step: str) -> Size:
        """Return what a step asks for.

        >>> Compute.model_validate({"steps": {"train_intent": {"memory": "16Gi", "gpu": 1}}}).size("train_intent")
        Size(cpu=2, memory='16Gi', minutes=720, gpu=1)
        """
        given, size = self.steps.get(step), STEPS[step].size
        return size if given is None else replace(size, **given.model_dump(exclude_none=True))

    def require_time(self, search: "Search | None") -> None:
        """Refuse a search whose pod would be stopped before it has ended."""
        if search is None:
            return
        given, needed = self.size(SEARCH).minutes, search.minutes + LAST_TRIAL
        if needed <= given:
            return
        more = f", or give the environment `compute: {{steps: {{{SEARCH}: {{minutes: {needed}}}}}}}`"
        raise SpecError(
            f"models.intent.search.minutes: {search.minutes} and {LAST_TRIAL} for the last trial are more than the "
            f"{given} after which the step's pod is stopped; use at most {given - LAST_TRIAL}"
            f"{more if needed <= LONGEST else ''}"
        )

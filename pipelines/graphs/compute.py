"""What each step asks of a cluster: processor, memory, GPUs and time, with defaults from measured sizes.

The spec's `compute` slice replaces any of them, for data that is larger than the demonstration's.
pipelines/graphs/task_settings.py puts them into the pipelines' IR. On this machine nothing reads them: steps take what
they need.
"""

from dataclasses import dataclass, replace

from pydantic import Field, field_validator

from feature_repo.errors import nearest
from feature_repo.slice import Slice


@dataclass(frozen=True)
class Size:
    """What a step's pod requests. Memory is limited to the request; processor time to twice of it."""

    cpu: float  # cores
    memory: str  # Kubernetes quantity
    minutes: int = 60  # after which the pod is stopped
    gpu: int = 0

    @property
    def cpu_limit(self) -> float:
        """Return the most cores that the step gets."""
        return 2 * self.cpu


# Memory: about twice the peak on the grocery data (2,469 users, 1.47 M events), which docs/pipelines.md lists.
SIZES = {
    "ingest": Size(1, "2Gi"),
    "validate": Size(1, "3Gi"),
    "profiles": Size(2, "4Gi", minutes=120),
    "training_set": Size(1, "4Gi", minutes=120),
    "train_intent": Size(2, "4Gi", minutes=720),
    "evaluate_intent": Size(1, "3Gi"),
    "train_ranking": Size(2, "6Gi", minutes=360),
    "evaluate_ranking": Size(1, "3Gi"),
    "register": Size(1, "2Gi"),
    "materialise": Size(1, "2Gi", minutes=120),
    "promote": Size(0.5, "1Gi", minutes=15),
    "watch": Size(1, "2Gi"),
    "champion": Size(0.5, "1Gi", minutes=15),
    "fetch_release": Size(0.5, "1Gi", minutes=30),
    "newest_rows": Size(2, "4Gi", minutes=120),
    "predict_intents": Size(2, "3Gi", minutes=240),
    "recommend": Size(2, "3Gi", minutes=480),
    "decide": Size(0.25, "512Mi", minutes=15),
    "conclude": Size(0.25, "512Mi", minutes=15),
    "report_failure": Size(0.5, "1Gi", minutes=15),
}
WITH_GPU = ("train_intent", "train_ranking")


class Step(Slice):
    """What one step asks for; what is left out stays as it is by default."""

    cpu: float | None = Field(default=None, gt=0, le=256, description="Cores requested; the limit is twice of it")
    memory: str | None = Field(
        default=None, pattern=r"^[1-9][0-9]*(\.[0-9]+)?(Mi|Gi)$", description="Requested, and the limit: 6Gi, 512Mi"
    )
    minutes: int | None = Field(default=None, ge=1, le=10_080, description="After which the step's pod is stopped")
    gpu: int | None = Field(default=None, ge=0, le=16, description="GPUs, of the environment's kind")


class Compute(Slice):
    """Resources of steps on a cluster; it changes no result and is no part of the spec's digest."""

    steps: dict[str, Step] = Field(default={}, description="By step, as `intentflow plan` names them")

    @field_validator("steps")
    @classmethod
    def _known(cls, value: dict[str, Step]) -> dict[str, Step]:
        for name, step in value.items():
            if name not in SIZES:
                raise ValueError(f"no step '{name}'; have {', '.join(SIZES)}{nearest(name, list(SIZES))}")
            if step.gpu and name not in WITH_GPU:
                raise ValueError(f"{name}.gpu: this step uses no GPU; give them to {' or '.join(WITH_GPU)}")
        return value

    def size(self, step: str) -> Size:
        """Return what a step asks for.

        >>> Compute.model_validate({"steps": {"train_intent": {"memory": "16Gi", "gpu": 1}}}).size("train_intent")
        Size(cpu=2, memory='16Gi', minutes=720, gpu=1)
        """
        given = self.steps.get(step)
        return SIZES[step] if given is None else replace(SIZES[step], **given.model_dump(exclude_none=True))

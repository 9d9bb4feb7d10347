"""The state of an experiment between two looks; a part of the rollout's (state.py), kept with it in the registry."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal

from components.registry.experiment_spec import Experiment

Phase = Literal["start", "warm", "filled", "running", "ending"]


@dataclass(frozen=True)
class ArmRelease:
    """What an arm was when the experiment was started: an alias may move meanwhile."""

    name: str
    version: str
    release: str  # id
    share: float


@dataclass(frozen=True)
class ExperimentState:
    """One experiment under way."""

    number: int  # of experiments so far
    document: Mapping[str, Any]  # the spec's, as it was started
    arms: tuple[ArmRelease, ...]
    phase: Phase = "start"
    since: float = 0.0  # epoch seconds; of the first answers that count
    attempts: int = 0  # of doors that died, and of work that failed for a reason that may pass
    seen: Mapping[str, Any] = field(default_factory=dict)  # the last figures, by arm
    result: str = ""  # while ending: better, worse, no difference, broken, stopped, failed
    why: str = ""
    best: str = ""  # arm, while ending

    @cached_property
    def rules(self) -> Experiment:
        """Return what the spec said at the start."""
        return Experiment.model_validate(self.document)

    @property
    def name(self) -> str:
        """Return what people call it."""
        return str(self.document["name"])

    @property
    def key(self) -> str:
        """Return what users' places hang on: others in each experiment."""
        return f"{self.name}-{self.number}"

    @property
    def treatments(self) -> tuple[ArmRelease, ...]:
        """Return the arms beside the control, which stable's door answers."""
        control = self.rules.control.name
        return tuple(arm for arm in self.arms if arm.name != control)

    def of_release(self) -> dict[str, str]:
        """Return the arms' names by release."""
        return {arm.release: arm.name for arm in self.arms}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "ExperimentState":
        """Read it back; fields that are unknown here are a newer loop's."""
        known = {key: value for key, value in document.items() if key in cls.__dataclass_fields__}
        return cls(**known | {"arms": tuple(ArmRelease(**arm) for arm in known["arms"])})

    def asked(self) -> dict[str, Any]:
        """Return what `start` writes into the registry: no progress yet."""
        return {name: value for name, value in asdict(self).items() if name in ("number", "document", "arms")}

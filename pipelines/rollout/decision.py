"""What the state machine reads and what it says: facts, acts, a decision. Plain values."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bentos.router.observations import Observations
from bentos.router.routes import Routes
from components.registry.rollout_tags import Registry
from pipelines.rollout.actuator import OverlayDoor, Rewarded
from pipelines.rollout.outcomes import Outcomes
from pipelines.rollout.state import State


@dataclass(frozen=True)
class Facts:
    """What is known at one moment."""

    registry: Registry
    running: Mapping[str, str]  # URL by release id
    routes: Routes | None
    seen: Observations | None
    now: float  # epoch seconds
    rewards: Mapping[str, Rewarded] = field(default_factory=dict)
    overlay_door: OverlayDoor | None = None
    outcomes: Outcomes | None = None  # of the experiment; None: not measured at this look


@dataclass(frozen=True)
class Act:
    """One verb of the actuator, or of the registry: notice, previous, take_back, settle, promote."""

    verb: str
    what: str = ""  # version or release id
    to: str = ""
    why: str = ""
    mode: str = ""  # of `route`: stable, warm, shadow, canary, promoted, meanwhile, experiment
    share: float = 0.0


@dataclass(frozen=True)
class Decision:
    """What to do, the state once it is done, and what to write on a version."""

    state: State
    acts: tuple[Act, ...] = ()
    about: str = ""  # version
    line: str = ""
    again: bool = False  # look once more at once
    notice: str = ""  # what somebody changed, or what died: said before the acts that mend it

    @property
    def idle(self) -> bool:
        """Tell whether there is nothing to do and nothing to say."""
        return not (self.acts or self.line)

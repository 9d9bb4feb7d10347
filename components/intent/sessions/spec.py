"""The spec's `models.session` slice, and what the step `train_session` needs of a whole spec."""

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from feature_repo.clock import GAP, gap_seconds
from feature_repo.columns import MEMORY_EVENTS
from feature_repo.slice import Slice

Architecture = Literal["dense", "gru"]
DENSE: Architecture = "dense"
GRU: Architecture = "gru"
USUAL_GAP_S = 1800  # of silence that ends a visit, where neither a session column nor the spec says


class SessionModel(Slice):
    """How the model of session intents is built and trained; without such an intent it is not."""

    architecture: Architecture = Field(
        default=DENSE,
        description="dense: layers on numbers of the visit so far; gru: the same, and a recurrent unit that reads the "
        "visit's events in order",
    )
    width: int = Field(default=64, ge=4, le=512, description="Width of the hidden layers, and units of the gru")
    positions: int = Field(
        default=MEMORY_EVENTS,
        ge=1,
        le=MEMORY_EVENTS,
        description="Training rows are after each of a visit's first so many events",
    )
    epochs: int = Field(default=20, ge=1, le=200, description="At most; stops early on the validation steps")
    batch_size: int = Field(default=512, ge=8, le=65536, description="Rows a step of the optimizer")
    learning_rate: float = Field(default=2e-3, gt=0, le=1, description="Step size of the optimizer")
    seed: int = Field(default=0, ge=0, description="The same seed trains the same model")

    @model_serializer(mode="wrap")
    def _said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is newer than recorded digests and not said."""
        dumped: dict[str, Any] = dump(self)
        if dumped.get("architecture") == DENSE:
            del dumped["architecture"]
        return dumped


class SessionIntent(Slice):
    """One label of a visit: an event of the kind follows (None: any event), or none follows (`ends`)."""

    name: str
    event: str | None = None
    ends: bool = False


class SessionRule(Slice):
    """The step's slice: which labels, how visits are cut, and how the model is trained."""

    intents: tuple[SessionIntent, ...]
    gap: str | None = Field(default=None, pattern=GAP)
    people: bool = False  # items are users: no file may list them
    model: SessionModel = SessionModel()

    @property
    def gap_s(self) -> int | None:
        """The declared silence that ends a visit."""
        return None if self.gap is None else gap_seconds(self.gap)

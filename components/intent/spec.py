"""The spec's `intents` and `models.intent` slices."""

import re
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from components.intent.behaviour.spec import Text
from components.intent.networks import NETWORKS, TEXT, TREES
from feature_repo import columns
from feature_repo.clock import DURATION, HOUR, HOUR_S, Pace, seconds_of
from feature_repo.errors import nearest
from feature_repo.slice import Slice

EVENTS = "events"  # what an encoder may read instead of steps
SESSION = "session"  # the horizon of intents of the visit that goes on (components/intent/sessions)
LEVEL = r"category|items\.[A-Za-z_][A-Za-z0-9_]*"

if TYPE_CHECKING:
    Architecture = str  # a type checker cannot read a tuple as a Literal
else:
    Architecture = Literal[(*NETWORKS, TEXT, TREES)]


class Intent(Slice):
    """Something a user may be about to do: y in {0, 1}, whether it happens in [cutoff, cutoff + horizon).

    With a `level` there is one y for each of the `top` values of that item column; without, one in all. With
    `horizon: session` it is asked within a visit: whether the rest of it holds the event.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=40, description="Its name in answers; unique")
    event: str | None = Field(default=None, description="Kind of event that fulfils it; left out: any")
    level: str | None = Field(
        default=None,
        description="category, or items.<column> (may hold lists)",
        json_schema_extra={"pattern": f"^({LEVEL})$"},
    )
    top: int = Field(default=100, ge=1, le=1000, description="Values of the level that are predicted")
    horizon: str | None = Field(
        default=None,
        pattern=f"{DURATION}|^{SESSION}$",
        description="How far ahead: hours or days that are whole steps of data.step, such as 1h, 24h, 7d, 28d; "
        "or session, the rest of the visit (docs/sessions.md); left out: 7d",
    )
    horizon_days: int = Field(default=7, ge=1, le=365, description="Older form of horizon: the same in days")
    ends: bool = Field(
        default=False, description="With horizon: session and no event: whether the visit ends here, with no more event"
    )

    @model_validator(mode="after")
    def _one_horizon(self) -> "Intent":
        if self.horizon is not None and "horizon_days" in self.model_fields_set:
            raise ValueError(f"horizon and horizon_days are both given; keep `horizon: {self.horizon}`")
        return self

    @model_validator(mode="after")
    def _session_fits(self) -> "Intent":
        """Refuse what an intent of the visit does not have, and what only it has."""
        if not self.of_session:
            if self.ends:
                raise ValueError("ends is of a visit, so it goes with `horizon: session`; drop it, or say that")
            return self
        if self.level is not None or "top" in self.model_fields_set:
            key = "level" if self.level is not None else "top"
            raise ValueError(
                f"{key} and horizon: session do not go together: a visit is asked for one event in all; drop {key}, or "
                "use a horizon in hours or days"
            )
        if self.ends and self.event is not None:
            raise ValueError(f"ends says that no event follows; drop ends, or event: {self.event}")
        return self

    @model_serializer(mode="wrap")
    def _said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Write one form, the older one where the newer is not said, so that recorded digests hold."""
        dumped: dict[str, Any] = dump(self)
        dumped.pop("horizon" if self.horizon is None else "horizon_days", None)
        if not self.ends:
            dumped.pop("ends", None)
        if self.of_session:
            dumped.pop("top", None)
        return dumped

    @property
    def of_session(self) -> bool:
        """Tell whether it is asked within a visit, and not on the clock."""
        return self.horizon == SESSION

    @property
    def duration(self) -> str:
        """How far ahead, as a duration.

        >>> Intent(name="visit").duration, Intent(name="visit", horizon="24h").duration
        ('7d', '24h')
        """
        return self.horizon or f"{self.horizon_days}d"

    def steps(self, pace: Pace) -> int:
        """Return how many steps of a clock the horizon has; ValueError where it is below one, or no whole number."""
        seconds = seconds_of(self.duration)
        if seconds < pace.seconds or seconds % pace.seconds:
            what = (
                f"is below data.step: {pace.step}" if seconds < pace.seconds else f"is no whole number of {pace.step}s"
            )
            use = f"{pace.seconds // HOUR_S}h" if pace.step == HOUR else f"{int(pace.days)}d"
            finer = "" if pace.step == HOUR else ", or a finer data.step"
            raise ValueError(f"intents.{self.name}: horizon {self.duration} {what}; use {use} or a multiple{finer}")
        return seconds // pace.seconds

    @field_validator("level")
    @classmethod
    def _level_names_a_column(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(LEVEL, value):
            raise ValueError(
                f"'{value}' is no level; use category, or items.<column> of the items table"
                + nearest(value, ["category", "items"])
            )
        return value

    @property
    def column(self) -> str | None:
        """Name the item column of the level.

        >>> Intent(name="watch", level="items.genres").column
        'genres'
        """
        return columns.of_level(self.level)


class Loss(Slice):
    """What pairs of a user and a target weigh in training; other weights than 1 distort probabilities."""

    positives: float | Literal["balanced"] = Field(
        default=1.0,
        description="What a pair that came true counts; balanced: as often as makes both kinds of a target weigh alike",
    )
    focal: float = Field(
        default=0.0,
        ge=0,
        le=5,
        description="Focus: a pair counts (1 - p) to this power, p being what the model gave to what happened",
    )

    @field_validator("positives")
    @classmethod
    def _bounded(cls, value: float | str) -> float | str:
        if value != "balanced" and not 0.02 <= float(value) <= 50:
            raise ValueError(f"{value} is out of bounds; use a number from 0.02 to 50, or balanced")
        return value

    @property
    def distorts(self) -> bool:
        """Tell whether what is learnt are other numbers than probabilities."""
        return self.positives != 1.0 or self.focal > 0


class Trees(Slice):
    """How the trees of architecture gbdt are grown."""

    rounds: int = Field(default=200, ge=1, le=2000, description="Trees at most, in each of two stages; stops early")
    leaves: int = Field(default=31, ge=2, le=255, description="Leaves of a tree at most")
    depth: int = Field(default=8, ge=1, le=32, description="Splits from a tree's root to a leaf at most")
    least: int = Field(default=100, ge=1, le=100_000, description="Training pairs in a leaf at least")
    learning_rate: float = Field(default=0.1, gt=0, le=1, description="Share of a tree that counts")
    pairs: int = Field(
        default=1_000_000,
        ge=1000,
        le=100_000_000,
        description="Pairs of a user-step and a target to learn from at most",
    )


class IntentModel(Slice):
    """How the intent model is built and trained; the frequency features and skip path are always there."""

    architecture: Architecture = Field(
        default="transformer",
        description="Encoder of the sequence; text, a BERT that reads what users had or did as text; or gbdt, "
        "gradient-boosted trees, which read neither",
    )
    reads: Literal["steps", "events"] = Field(
        default="steps",
        description="What the encoder reads: the last steps of the clock (text: the items that the user had), or the "
        f"user's last {columns.MEMORY_EVENTS} events one by one",
    )
    titles: bool = Field(
        default=False,
        description="With reads: events, whether a token holds the frozen text vector of its item; left out: where "
        "`vectors.text` is declared",
    )
    width: int = Field(default=64, ge=8, le=512, multiple_of=8, description="Width of the hidden layers")
    layers: int = Field(default=2, ge=1, le=8, description="Layers of the encoder")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="Share of activations dropped in training")
    epochs: int = Field(
        default=3, ge=1, le=100, description="At most, in each of two stages; stops early on the validation weeks"
    )
    batch_size: int = Field(default=512, ge=8, le=65536, description="User-weeks a step")
    learning_rate: float = Field(default=2e-3, gt=0, le=1, description="Step size of the optimizer")
    seed: int = Field(default=0, ge=0, description="The same seed trains the same model")
    trees: Trees = Field(default=Trees(), description="With architecture: gbdt, how its trees are grown")
    text: Text = Field(default=Text(), description="With architecture: text, which encoder reads, and what is trained")

    loss: Loss = Field(default=Loss(), description="Binary cross-entropy; class weights and focal loss by option")
    calibrate: Literal["none", "temperature", "isotonic"] = Field(
        default="none",
        description="Map probabilities to how often they come true, by intent: fitted on a third of the validation "
        "users, another third stops training, and the last sets thresholds",
    )

    @model_validator(mode="after")
    def _holds_probabilities(self) -> "IntentModel":
        """Refuse a loss after which answers would be called probabilities and be none."""
        if self.loss.distorts and self.calibrate != "isotonic":
            raise ValueError(
                f"loss distorts probabilities, and calibrate: {self.calibrate} does not mend that; use calibrate: "
                "isotonic, or drop loss"
            )
        if self.loss.focal and self.architecture == TREES:
            raise ValueError(f"loss.focal: of networks, and architecture {TREES} has none; use loss.positives")
        return self

    @model_validator(mode="after")
    def _titles_are_of_events(self) -> "IntentModel":
        if self.titles and self.reads != EVENTS:
            raise ValueError(f"titles: steps have none; use reads: {EVENTS}, or drop titles")
        if self.titles and self.architecture == TEXT:
            raise ValueError(f"titles: {TEXT} reads titles as text, and no vectors of theirs; drop titles")
        return self

    @model_validator(mode="after")
    def _fits_architecture(self) -> "IntentModel":
        """Refuse what the architecture would not read: it would be silently without effect."""
        said = self.model_fields_set
        if self.architecture != TEXT and "text" in said and self.text != Text():
            raise ValueError(f"text is of architecture {TEXT}, not of {self.architecture}; drop text")
        if self.architecture == TEXT and self.layers != IntentModel.model_fields["layers"].default:
            raise ValueError(f"layers: {TEXT} has as many as its encoder's weights; drop layers")
        if self.architecture != TREES:
            if "trees" in said and self.trees != Trees():
                raise ValueError(f"trees are of architecture {TREES}, not of {self.architecture}; drop trees")
            return self
        defaults = {name: IntentModel.model_fields[name].default for name in OF_NETWORKS}
        odd = [name for name in OF_NETWORKS if name in said and getattr(self, name) != defaults[name]]
        if odd:
            raise ValueError(
                f"{', '.join(odd)}: of networks, and architecture {TREES} has none; use trees: "
                f"{{{', '.join(Trees.model_fields)}}}"
            )
        return self

    @model_serializer(mode="wrap")
    def _said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is newer than recorded digests and not said, so that a state folder stays valid."""
        dumped: dict[str, Any] = dump(self)
        newer = NEWER if self.reads != EVENTS else {name: value for name, value in NEWER.items() if name != "titles"}
        return {name: value for name, value in dumped.items() if name not in newer or value != newer[name]}


OF_NETWORKS = (
    "reads",
    "titles",
    "width",
    "layers",
    "dropout",
    "epochs",
    "batch_size",
    "learning_rate",
)  # trees have none of these
NEWER: dict[str, Any] = {
    "text": Text().model_dump(),
    "reads": "steps",
    "titles": False,
    "trees": Trees().model_dump(),
    "loss": Loss().model_dump(),
    "calibrate": "none",
}

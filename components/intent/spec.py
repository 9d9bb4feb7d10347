"""The spec's slice `models.intent`; the slice `intents` is in intents_spec.py."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from components.intent import ensemble_spec
from components.intent.behaviour.spec import ADALORA, Text
from components.intent.intents_spec import UPLIFT, Intent
from components.intent.networks import ENSEMBLE, NETWORKS, TEXT, TREES
from components.intent.options import Compress, Loss, Pretrain, Privacy, Trees
from components.intent.search_space import Search
from components.training.spec import DDP, TrainerOptions
from feature_repo import columns
from feature_repo.slice import Slice

__all__ = ["EVENTS", "OF_NETWORKS", "UPLIFT", "Intent", "IntentModel", "filled", "read_by"]

EVENTS = "events"  # what an encoder may read instead of steps

if TYPE_CHECKING:
    Architecture = str  # a type checker cannot read a tuple as a Literal
    Member = str
else:
    Architecture = Literal[(*NETWORKS, TEXT, TREES, ENSEMBLE)]
    Member = Literal[(*NETWORKS, TREES)]


class IntentModel(Slice):
    """How the intent model is built and trained; the frequency features and skip path are always there."""

    architecture: Architecture = Field(
        default="transformer",
        description="Encoder of the sequence; text, a BERT that reads what users had or did as text; gbdt, "
        "gradient-boosted trees, which read neither; or ensemble, several of them as one",
    )
    members: tuple[Member, ...] = Field(
        default=(NETWORKS[0], TREES),
        min_length=2,
        max_length=len(NETWORKS) + 1,
        description="With architecture: ensemble, the architectures that it is made of, each trained by the other "
        "fields; how much each counts is chosen on the validation rows",
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
    privacy: Privacy | None = Field(
        default=None, description="Train the network with differential privacy for users; left out: without"
    )
    pretrain: Pretrain | None = Field(
        default=None, description="Train the encoder of steps on rows without labels first; left out: not"
    )
    search: Search | None = Field(
        default=None,
        description="Look for better settings before training (docs/search.md); left out: train as declared",
    )
    compress: Compress | None = Field(
        default=None,
        description="Make the network smaller, and serve the smaller one where it passes; left out: the full one "
        "serves. With it, a third of the validation users compares both (docs/models.md)",
    )

    trainer: TrainerOptions = Field(
        default=TrainerOptions(), description="How a network is trained: checkpoints, precision, several processes"
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
    def _ensemble_fits(self) -> "IntentModel":
        """Refuse what members would not share, and members without an ensemble."""
        ensemble_spec.require_fits(self)
        return self

    def of_member(self, name: str) -> "IntentModel":
        """Return the spec of an ensemble's member by itself.

        >>> spec = IntentModel(architecture="ensemble", width=32)
        >>> [(one.architecture, one.width) for one in map(spec.of_member, spec.members)]
        [('transformer', 32), ('gbdt', 64)]
        """
        unread = {"architecture", "members", *(OF_NETWORKS if name == TREES else ("trees",))}
        said = self.model_dump(exclude_unset=True, exclude=unread)
        return IntentModel.model_validate(said | {"architecture": name})

    @model_validator(mode="after")
    def _titles_are_of_events(self) -> "IntentModel":
        if self.titles and self.reads != EVENTS:
            raise ValueError(f"titles: steps have none; use reads: {EVENTS}, or drop titles")
        if self.titles and self.architecture == TEXT:
            raise ValueError(f"titles: {TEXT} reads titles as text, and no vectors of theirs; drop titles")
        return self

    @model_validator(mode="after")
    def _is_compressible(self) -> "IntentModel":
        if self.compress is not None and self.architecture == TREES:
            raise ValueError(
                f"compress: of networks, and architecture {TREES} has none; drop compress, or trees.rounds"
            )
        if self.compress is not None and self.compress.prune and self.architecture == TEXT:
            raise ValueError(
                f"compress.prune: not of architecture {TEXT}, whose encoder is most of it; use quantize: int8 alone"
            )
        return self

    @model_validator(mode="after")
    def _fits_architecture(self) -> "IntentModel":
        """Refuse what the architecture would not read: it would be silently without effect."""
        said = self.model_fields_set
        if self.trainer.parallel != DDP and self.architecture not in LAYERED:
            raise ValueError(
                f"trainer.parallel: {self.trainer.parallel} is of networks with BERT layers ({', '.join(LAYERED)}), "
                f"and architecture {self.architecture} has none; use {DDP}"
            )
        if self.architecture != TEXT and "text" in said and self.text != Text():
            raise ValueError(f"text is of architecture {TEXT}, not of {self.architecture}; drop text")
        if self.architecture == TEXT and self.text.tune == ADALORA and self.trainer.checkpoint is not None:
            raise ValueError(
                f"trainer.checkpoint: holds no budget of text.tune: {ADALORA}, whose ranks change while it trains; use "
                "tune: lora, or drop checkpoint"
            )
        if self.architecture == TEXT and self.layers != IntentModel.model_fields["layers"].default:
            raise ValueError(f"layers: {TEXT} has as many as its encoder's weights; drop layers")
        if self.architecture != TREES:
            grows = self.architecture == ENSEMBLE and TREES in self.members
            if "trees" in said and self.trees != Trees() and not grows:
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

    @model_validator(mode="after")
    def _private_fits(self) -> "IntentModel":
        """Refuse what privacy would not cover, and what trees have not."""
        for name in ("privacy", "pretrain"):
            if getattr(self, name) is not None and self.architecture == TREES:
                raise ValueError(
                    f"{name}: of networks, and architecture {TREES} has none; use {NETWORKS[0]}, or drop {name}"
                )
        if self.privacy is not None and self.pretrain is not None:
            raise ValueError("pretrain: reads rows that privacy does not account for; drop one of pretrain and privacy")
        if self.privacy is not None and self.compress is not None and self.compress.prune:
            raise ValueError("compress.prune: trains once more, which privacy does not account for; drop one of both")
        if self.privacy is not None and self.trainer != TrainerOptions():
            raise ValueError("trainer: is not of private training, whose steps are its own; drop trainer, or privacy")
        for name in ("privacy", "pretrain"):
            if getattr(self, name) is not None and (self.reads == EVENTS or self.architecture == TEXT):
                raise ValueError(
                    f"{name}: of networks that read steps; use {NETWORKS[0]} with reads: steps, or drop {name}"
                )
        return self

    @model_serializer(mode="wrap")
    def _said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is newer than recorded digests and not said, so that a state folder stays valid."""
        dumped: dict[str, Any] = dump(self)
        newer = NEWER if self.reads != EVENTS else {name: value for name, value in NEWER.items() if name != "titles"}
        return {name: value for name, value in dumped.items() if name not in newer or _as_list(value) != newer[name]}


def _as_list(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def filled(intent: Mapping[str, Any], vectors: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a spec says of the model, with what follows from its `vectors`: whether titles of events are read.

    >>> filled({"reads": "events"}, {"text": {}}), filled({"width": 8}, {"text": {}})
    ({'titles': True, 'reads': 'events'}, {'width': 8})
    """
    if intent.get("reads") != EVENTS:
        return dict(intent)
    return {"titles": vectors.get("text") is not None and intent.get("architecture") != TEXT} | dict(intent)


OF_NETWORKS = (
    "reads",
    "titles",
    "width",
    "layers",
    "dropout",
    "epochs",
    "batch_size",
    "learning_rate",
    "trainer",
)  # trees have none of these
LAYERED = ("transformer", "text")  # architectures whose layers `trainer.parallel` may cut or split
NEWER: dict[str, Any] = {
    "text": Text().model_dump(),
    "reads": "steps",
    "titles": False,
    "members": list(IntentModel.model_fields["members"].default),
    "trees": Trees().model_dump(),
    "loss": Loss().model_dump(),
    "calibrate": "none",
    "search": None,
    "compress": None,
    "trainer": TrainerOptions().model_dump(),
    "privacy": None,
    "pretrain": None,
}


def read_by(architecture: str, name: str) -> bool:
    """Tell whether an architecture reads a field, named as a search names it.

    >>> read_by("lstm", "width"), read_by("gbdt", "width"), read_by("lstm", "trees.leaves"), read_by("cnn", "text.rank")
    (True, False, False, False)
    """
    of = name.partition(".")[0]
    if architecture == TREES:
        return of not in (*OF_NETWORKS, "text") and name != "loss.focal"
    return of != "trees" and (of != "text" if architecture != TEXT else of != "layers")

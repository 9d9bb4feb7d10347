"""The spec's `intents` and `models.intent` slices."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from components.intent.behaviour.spec import ADALORA, Text
from components.intent.networks import ENSEMBLE, NETWORKS, TEXT, TREES
from components.intent.options import Compress, Loss, Pretrain, Privacy, Trees
from components.intent.search_space import Search
from components.training.spec import DDP, TrainerOptions
from feature_repo import columns
from feature_repo.clock import DURATION, Pace, steps_of
from feature_repo.errors import nearest
from feature_repo.slice import Slice

EVENTS = "events"  # what an encoder may read instead of steps
SESSION = "session"  # the horizon of intents of the visit that goes on (components/intent/sessions)
Kind = Literal["binary", "regression", "multiclass", "uplift"]
BINARY: Kind = "binary"
REGRESSION: Kind = "regression"
MULTICLASS: Kind = "multiclass"
UPLIFT: Kind = "uplift"
OF_UPLIFT = ("value", "unit")  # fields of a regression that an uplift has too
OF_REGRESSION = ("value", "aggregate", "unit", "loss", "quantiles")  # fields that other kinds do not have
LEVEL = r"category|items\.[A-Za-z_][A-Za-z0-9_]*"

if TYPE_CHECKING:
    Architecture = str  # a type checker cannot read a tuple as a Literal
    Member = str
else:
    Architecture = Literal[(*NETWORKS, TEXT, TREES, ENSEMBLE)]
    Member = Literal[(*NETWORKS, TREES)]


class Intent(Slice):
    """Something a user may be about to do: y in {0, 1}, whether it happens in [cutoff, cutoff + horizon).

    With a `level` there is one y for each of the `top` values of that item column; without, one in all. With
    `horizon: session` it is asked within a visit: whether the rest of it holds the event. Of kind regression y is an
    amount, of kind multiclass the level's value of the first event, or none (components/intent/forecasts). Of kind
    uplift it is how much of an amount an `offer` changes.
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
    kind: Kind = Field(
        default=BINARY,
        description="binary: whether it happens; regression: how much of `value`; multiclass: which value of the level "
        "comes first, or none (docs/forecasts.md); uplift: how much of `value` an `offer` changes (docs/uplift.md)",
    )
    value: Literal["value", "quantity", "discount", "strength", "count"] | None = Field(
        default=None,
        description="Of kind regression: the events' column whose amount is predicted, or their count; of kind uplift "
        "that whose amount an offer changes",
    )
    aggregate: Literal["sum", "mean"] = Field(
        default="sum",
        description="Of kind regression: the sum within the horizon, or the mean of its events, such as of ratings; "
        "rows without an event then have no label",
    )
    unit: str | None = Field(
        default=None,
        min_length=1,
        max_length=20,
        description="Of regression and uplift: the unit in answers: EUR",
    )
    loss: Literal["squared", "huber", "quantile"] = Field(
        default="squared",
        description="Of kind regression: squared says the mean; huber a mean that outliers move less; quantile the "
        "median and an interval",
    )
    quantiles: tuple[float, ...] | None = Field(
        default=None,
        min_length=3,
        max_length=9,
        description="With loss: quantile, ascending, the median .5 within; the outer ones are low and high of answers; "
        "left out: .1, .5, .9",
    )
    ends: bool = Field(
        default=False, description="With horizon: session and no event: whether the visit ends here, with no more event"
    )

    offer: str | None = Field(
        default=None, min_length=1, description="Of kind uplift: the kind of event that is the offer, such as coupon"
    )

    @model_validator(mode="after")
    def _one_horizon(self) -> "Intent":
        if self.horizon is not None and "horizon_days" in self.model_fields_set:
            raise ValueError(f"horizon and horizon_days are both given; keep `horizon: {self.horizon}`")
        return self

    @model_validator(mode="after")
    def _kind_fits(self) -> "Intent":
        """Refuse what another kind of intent has: it would be silently without effect."""
        said = self.model_fields_set
        for name in OF_REGRESSION:
            if (
                self.kind != REGRESSION
                and not (self.kind == UPLIFT and name in OF_UPLIFT)
                and name in said
                and getattr(self, name) != type(self).model_fields[name].default
            ):
                raise ValueError(f"{name} is of kind: regression, not of kind: {self.kind}; drop {name}, or say that")
        if self.offer is not None and self.kind != UPLIFT:
            raise ValueError(f"offer is of kind: uplift, not of kind: {self.kind}; drop offer, or say that")
        if self.kind == BINARY:
            return self
        if self.of_session or self.ends:
            raise ValueError(f"kind: {self.kind} looks ahead on the clock; use a horizon in hours or days, such as 7d")
        if self.kind == MULTICLASS:
            if self.level is None:
                raise ValueError("kind: multiclass is about values of a level; add one, such as level: category")
            return self
        if self.level is not None or "top" in said:
            key = "level" if self.level is not None else "top"
            raise ValueError(f"{key} and kind: {self.kind} do not go together: it is one amount a user; drop {key}")
        if self.value is None:
            raise ValueError(
                f"kind: {self.kind} needs to know of what; add value, such as value: value or value: count"
            )
        if self.kind == UPLIFT:
            self._uplift_fits()
            return self
        if self.aggregate == "mean" and self.value == "count":
            raise ValueError("aggregate: mean of a count is always 1; use value: with a column, or aggregate: sum")
        self._quantiles_fit()
        return self

    def _uplift_fits(self) -> None:
        if self.offer is None:
            raise ValueError("kind: uplift needs to know of which offer; add offer, the kind of event that it is")
        if self.event is None or self.event == self.offer:
            raise ValueError(
                f"kind: uplift counts what follows the offer, and '{self.offer}' is an event itself; add event, the "
                "kind that is counted, such as event: purchase"
            )

    def _quantiles_fit(self) -> None:
        if self.quantiles is None:
            return
        if self.loss != "quantile":
            raise ValueError(f"quantiles go with loss: quantile, not with loss: {self.loss}; say that, or drop them")
        shown = ", ".join(f"{level:g}" for level in self.quantiles)
        if list(self.quantiles) != sorted(set(self.quantiles)) or not 0 < self.quantiles[0] < self.quantiles[-1] < 1:
            raise ValueError(f"quantiles: {shown} must ascend within 0 and 1; use such as [.1, .5, .9]")
        if 0.5 not in self.quantiles[1:-1]:
            raise ValueError(f"quantiles: {shown} have no median between the outer ones; add .5")

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
        if self.of_session or self.kind in (REGRESSION, UPLIFT):
            dumped.pop("top", None)
        for name in ("kind", "offer", *OF_REGRESSION):
            if getattr(self, name) == type(self).model_fields[name].default:
                dumped.pop(name, None)
        return dumped

    @property
    def of_forecast(self) -> bool:
        """Tell whether it is of another kind than binary: what is said of it is no probability."""
        return self.kind != BINARY

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
        """Return how many steps of a clock it looks ahead; ValueError where that is below one, or no whole number.

        An uplift looks one further: its horizon begins when the offer's own step is over.
        """
        try:
            return steps_of(self.duration, pace) + (self.kind == UPLIFT)
        except ValueError as error:
            raise ValueError(f"intents.{self.name}: horizon {error}") from None

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
        if self.search is not None and ENSEMBLE in self._searched:
            raise ValueError(
                f"search: not of architecture {ENSEMBLE}; search the settings of a member by itself, and name them here"
            )
        if self.architecture != ENSEMBLE:
            if self.members != IntentModel.model_fields["members"].default:
                raise ValueError(f"members are of architecture {ENSEMBLE}, not of {self.architecture}; drop members")
            return self
        if len(set(self.members)) < len(self.members):
            raise ValueError(f"members: {', '.join(self.members)} has one twice; list each once")
        if self.reads == EVENTS:
            raise ValueError(f"reads: {EVENTS}: members of an {ENSEMBLE} read steps; drop reads")
        odd = [name for name in OF_ONE_MODEL if getattr(self, name) != IntentModel.model_fields[name].default]
        if odd:
            raise ValueError(
                f"{odd[0]}: not of architecture {ENSEMBLE}, whose members share none; drop {odd[0]}, or use one of "
                f"{', '.join(self.members)}"
            )
        if self.trainer.checkpoint is not None or self.trainer.parallel != DDP:
            raise ValueError(
                f"trainer.checkpoint and trainer.parallel: of one network, and an {ENSEMBLE} has several models; drop "
                "both"
            )
        return self

    @property
    def _searched(self) -> tuple[Any, ...]:
        """The architectures that a search tries."""
        tried = () if self.search is None else self.search.space.get("architecture", ())
        return (self.architecture, *(tried if isinstance(tried, tuple) else ()))

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
OF_ONE_MODEL = ("loss", "calibrate", "privacy", "pretrain", "compress")  # an ensemble has none of these
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

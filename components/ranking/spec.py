"""The spec's `models.ranking` slice."""

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, create_model, model_serializer, model_validator

from components.ranking.models import MODELS
from components.ranking.sources import SOURCES
from feature_repo.slice import Slice

Repeat = Literal["allow", "forbid"]
ALLOW: Literal["allow"] = "allow"
FORBID: Literal["forbid"] = "forbid"
# Fields that dumps have only where a spec says them, so that digests recorded before them hold.
NEWER = ("repeat", "exclude_self", "weight")
Scale = Literal["log", "rank"]

if TYPE_CHECKING:  # a type checker cannot read a tuple as a Literal, or make a class of one
    Architecture = str
    Limits = Slice
else:
    Architecture = Literal[MODELS]
    Limits = create_model(
        "Limits",
        __base__=Slice,
        **{s.name: (int, Field(default=s.limit, ge=s.least, le=512, description=s.about)) for s in SOURCES},
    )


class Candidates(Limits):
    """How many items each source may bring before ranking; 0 switches a source off."""

    def limit(self, source: str) -> int:
        """Return the limit of a source."""
        return int(getattr(self, source))

    @model_serializer(mode="wrap")
    def _said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out limits of no training's concern where nobody says them, so that digests of before hold."""
        dumped: dict[str, Any] = dump(self)
        unsaid = {source.name for source in SOURCES if source.later and self.limit(source.name) == source.limit}
        return {name: limit for name, limit in dumped.items() if name not in unsaid}


class Weight(Slice):
    """How much a label is wanted, 0 to 1, by a number of its events: the weight in training, and NDCG's gain."""

    of: Literal["strength", "quantity", "value"] = Field(
        description="The events' number: strength, which the source maps to stars or plays; quantity; or value"
    )
    scale: Scale = Field(
        default="log",
        description="log: of counts, which add up in a week; rank: of grades such as stars, the largest of a week. "
        "Both by what training weeks held; 0 and below is no label",
    )


class Ranking(Slice):
    """How candidates are found and ordered."""

    event: str | None = Field(default=None, description="Kind of event that counts; left out: any")
    repeat: Repeat = Field(
        default=ALLOW,
        description="Whether a user may be shown an item again that they had; forbid where nobody wants it twice: "
        "films, news, friends. Then only new items are candidates, labels and answers, and rows keep whole histories",
    )
    exclude_self: bool = Field(
        default=False,
        description="Items are users, such as friends or recipients: nobody is recommended to themselves",
    )
    weight: Weight | None = Field(
        default=None, description="How much a label is wanted, by stars, plays or money; left out: all alike"
    )
    min_item_sessions: int = Field(default=20, ge=1, description="Items with fewer sessions are not recommended")
    min_item_users: int = Field(default=5, ge=1, description="Items with fewer users are not recommended")
    candidates: Candidates = Candidates()
    architecture: Architecture = Field(default="listwise_mlp", description="Network that scores the candidates")
    train_weeks: int = Field(default=8, ge=2, le=260, description="Last training weeks that rows come from")
    test_every_weeks: int = Field(default=1, ge=1, le=8, description="Every n-th test week is evaluated")
    width: int = Field(default=64, ge=8, le=512, description="Width of the hidden layers")
    dropout: float = Field(default=0.2, ge=0, lt=1, description="Share of activations dropped in training")
    epochs: int = Field(default=3, ge=1, le=100, description="At most; stops early on the validation weeks")
    batch_size: int = Field(default=32, ge=1, le=4096, description="User-weeks a step")
    learning_rate: float = Field(default=3e-3, gt=0, le=1, description="Step size of the optimizer")
    seed: int = Field(default=0, ge=0, description="The same seed trains the same model")

    @model_validator(mode="after")
    def _brings_something(self) -> "Ranking":
        """Refuse limits under which every candidate would be a repeat, while repeats are forbidden."""
        asked = [s.name for s in SOURCES if not s.brings_new and self.candidates.limit(s.name)]
        others = [s.name for s in SOURCES if s.brings_new and not s.least and not s.later]
        if self.repeat == FORBID and asked and not any(self.candidates.limit(name) for name in others):
            raise ValueError(
                f"candidates: {asked[0]} alone brings nothing under `repeat: forbid`, since it brings only what the "
                f"user had; raise {' or '.join(others)}, or set {asked[0]}: 0 to rank popular items alone"
            )
        return self

    @model_serializer(mode="wrap")
    def _said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        dumped: dict[str, Any] = dump(self)
        fields = type(self).model_fields
        return {k: v for k, v in dumped.items() if k not in NEWER or v != fields[k].default}

"""The spec's `models.ranking` slice."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field, create_model

from components.ranking.models import MODELS
from components.ranking.sources import SOURCES
from feature_repo.slice import Slice

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


class Ranking(Slice):
    """How candidates are found and ordered."""

    event: str | None = Field(default=None, description="Kind of event that counts; left out: any")
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

"""The spec's `intents` and `models.intent` slices."""

import re
from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator

from components.intent.networks import NETWORKS
from feature_repo import columns
from feature_repo.errors import nearest
from feature_repo.slice import Slice

LEVEL = r"category|items\.[A-Za-z_][A-Za-z0-9_]*"

if TYPE_CHECKING:
    Architecture = str  # a type checker cannot read a tuple as a Literal
else:
    Architecture = Literal[NETWORKS]


class Intent(Slice):
    """Something a user may be about to do: y in {0, 1} within `horizon_days` of a cutoff.

    With a `level` there is one y for each of the `top` values of that item column; without, one in all.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=40, description="Its name in answers; unique")
    event: str | None = Field(default=None, description="Kind of event that fulfils it; left out: any")
    level: str | None = Field(
        default=None,
        description="category, or items.<column> (may hold lists)",
        json_schema_extra={"pattern": f"^({LEVEL})$"},
    )
    top: int = Field(default=100, ge=1, le=1000, description="Values of the level that are predicted")
    horizon_days: int = Field(default=7, ge=7, le=7, description="Days ahead; whole weeks, 7 for now")

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

    architecture: Architecture = Field(default="transformer", description="Encoder of the weekly sequence")
    width: int = Field(default=64, ge=8, le=512, multiple_of=8, description="Width of the hidden layers")
    layers: int = Field(default=2, ge=1, le=8, description="Layers of the encoder")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="Share of activations dropped in training")
    epochs: int = Field(
        default=3, ge=1, le=100, description="At most, in each of two stages; stops early on the validation weeks"
    )
    batch_size: int = Field(default=512, ge=8, le=65536, description="User-weeks a step")
    learning_rate: float = Field(default=2e-3, gt=0, le=1, description="Step size of the optimizer")
    seed: int = Field(default=0, ge=0, description="The same seed trains the same model")

"""The spec's `models.ranking.choose`: which rankers are bundled, and by what one of them is chosen."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from components.ranking.models import BY_NAME
from feature_repo.slice import Slice

INTENT: Literal["intent"] = "intent"
COHORT: Literal["cohort"] = "cohort"
By = Literal["intent", "cohort"]

if TYPE_CHECKING:  # a type checker cannot read a tuple as a Literal
    Named = str
else:
    Named = Literal[tuple(BY_NAME)]


class Choose(Slice):
    """Which algorithm answers for whom."""

    by: tuple[By, ...] = Field(
        default=(INTENT, COHORT),
        min_length=1,
        description="intent: the likeliest predicted one, of those with a level where there are such; cohort: how many "
        "steps of history the user has, up to 8, 9 to 24, or more",
    )
    among: tuple[Named, ...] = Field(
        min_length=2, description="Algorithms that are trained, bundled and chosen among, as `algorithm` names them"
    )
    on: Literal["validation"] = Field(
        default="validation",
        description="Where the choice is learnt: the later half of the validation steps, which then stop no training",
    )
    least_users: int = Field(
        default=50,
        ge=5,
        le=100_000,
        description="An intent and cohort of fewer users in those steps keeps what answers for the cohort, and that "
        "what answers for all",
    )
    shrink: int = Field(
        default=100,
        ge=0,
        le=100_000,
        description="So many user-steps of the gain in the cohort (of a cohort: among all; among all: none) are mixed "
        "into each gain before algorithms are compared, so that a few lucky rows decide nothing",
    )

    @model_validator(mode="after")
    def _names_each_once(self) -> "Choose":
        for place, names in (("by", self.by), ("among", self.among)):
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"{place}: {twice[0]} stands there twice; name each once")
        return self

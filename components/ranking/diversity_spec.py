"""The spec's `models.ranking.diversity`: how the best candidates are ordered anew."""

from pydantic import Field, model_validator

from feature_repo.slice import Slice


class Diversity(Slice):
    """One way of ordering the best candidates anew: `mmr` or `calibrate`."""

    mmr: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Maximal marginal relevance (Carbonell and Goldstein, 1998): weight of the ranker's order against "
        "likeness to what stands above, by category path, category and brand; 1 leaves the order as it is",
    )
    calibrate: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Calibrated categories (Steck, 2018): weight of a list whose categories have the shares that they "
        "have in the user's history, against the ranker's order; 0 leaves the order as it is",
    )
    pool: int = Field(
        default=100, ge=20, le=512, description="So many of the best candidates are ordered anew; the rest follows"
    )

    @model_validator(mode="after")
    def _is_one_way(self) -> "Diversity":
        if (self.mmr is None) == (self.calibrate is None):
            raise ValueError("give mmr or calibrate, one of them, such as {mmr: 0.7} or {calibrate: 0.3}")
        return self

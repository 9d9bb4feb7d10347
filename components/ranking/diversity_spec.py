"""The spec's `models.ranking.diversity`: how the best candidates are ordered anew."""

from typing import Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from feature_repo.slice import Slice


class Diversity(Slice):
    """One way of ordering the best candidates anew: `mmr`, `dpp` or `calibrate`."""

    mmr: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Maximal marginal relevance (Carbonell and Goldstein, 1998): weight of the ranker's order against "
        "likeness to what stands above, by category path, category and brand; 1 leaves the order as it is",
    )
    dpp: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Determinantal point process (Chen, Zhang and Zhou, 2018): weight of the ranker's order against "
        "the log of what an item adds to the volume of those above, by mmr's likeness; 1 leaves the order as it is",
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
        if sum(value is not None for value in (self.mmr, self.dpp, self.calibrate)) != 1:
            raise ValueError(
                "give mmr, dpp or calibrate, one of them, such as {mmr: 0.7}, {dpp: 0.9} or {calibrate: 0.3}"
            )
        return self

    @model_serializer(mode="wrap")
    def _said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is newer where nobody says it, so that digests of before hold."""
        dumped: dict[str, Any] = dump(self)
        return {name: value for name, value in dumped.items() if name != "dpp" or value is not None}

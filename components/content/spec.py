"""The spec's `content` slice."""

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer

from components.content import writers
from components.content.frames import FrameName
from components.content.llm.spec import Model
from components.content.plain import plain
from feature_repo.slice import Slice

if TYPE_CHECKING:
    Prompt = str  # a type checker cannot read a tuple as a Literal
else:
    Prompt = Literal[writers.NAMES]


class Content(Slice):
    """What the text about items is made with."""

    prompt: Prompt = Field(default=writers.DEFAULT, description="Who writes it: fixed sentences, no model")
    max_items: int = Field(default=10, ge=1, le=100, description="Most items that a request may ask about")
    max_attributes: int = Field(default=5, ge=0, le=20, description="Most attributes to name in a text")
    verbs: dict[str, str] = Field(
        default={},
        description="Kind of event: its past tense in texts, such as listen: listened to; common ones are known",
    )

    frames: dict[str, FrameName] = Field(
        default={},
        max_length=1000,
        description="Intent, such as buy:PASTA: what texts about items of it are for; others say what is known",
    )
    knowledge: dict[str, str] = Field(
        default={},
        max_length=20,
        description="Column of the catalogue with what is known of an item: its relation in words, such as "
        "goes_with: goes with",
    )
    offer: str | None = Field(
        default=None, max_length=64, description="Column of the catalogue with an item's offer in words"
    )
    model: Model | None = Field(
        default=None, description="A language model that writes where the environment names one (docs/words.md)"
    )

    @model_serializer(mode="wrap")
    def _said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what nobody says, so that releases and digests of before hold."""
        dumped: dict[str, Any] = dump(self)
        newer = ("frames", "knowledge", "offer", "model")
        return {name: value for name, value in dumped.items() if name not in newer or value}

    @field_validator("knowledge")
    @classmethod
    def _relations_are_words(cls, value: dict[str, str]) -> dict[str, str]:
        for column, relation in value.items():
            if not relation or plain(relation, most=40) != relation:
                raise ValueError(f"'{column}: {relation}' is no relation; write plain words of at most 40 characters")
        return value

    @field_validator("verbs")
    @classmethod
    def _verbs_are_words(cls, value: dict[str, str]) -> dict[str, str]:
        for kind, told in value.items():
            if not told or plain(told, most=40) != told:
                raise ValueError(f"'{kind}: {told}' is no verb; write plain words of at most 40 characters")
        return value

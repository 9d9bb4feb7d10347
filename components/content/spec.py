"""The spec's `content` slice."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator

from components.content import writers
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

    @field_validator("verbs")
    @classmethod
    def _verbs_are_words(cls, value: dict[str, str]) -> dict[str, str]:
        for kind, told in value.items():
            if not told or plain(told, most=40) != told:
                raise ValueError(f"'{kind}: {told}' is no verb; write plain words of at most 40 characters")
        return value

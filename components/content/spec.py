"""The spec's `content` slice."""

from typing import Literal

from pydantic import Field

from feature_repo.slice import Slice


class Content(Slice):
    """What the text about items is made with."""

    prompt: Literal["template@1"] = Field(default="template@1", description="Who writes it: fixed sentences, no model")
    max_items: int = Field(default=10, ge=1, le=100, description="Most items that a request may ask about")
    max_attributes: int = Field(default=5, ge=0, le=20, description="Most attributes to name in a text")

"""The spec's `content.model`: which prompt a language model is asked with, and what that may cost."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from components.content.llm import prompts
from feature_repo.slice import Slice

if TYPE_CHECKING:
    Prompt = str  # a type checker cannot read a tuple as a Literal
else:
    Prompt = Literal[prompts.NAMES]


class Budget(Slice):
    """What a door may spend on its model in a day of UTC; once one bound is reached, fixed sentences speak."""

    tokens: int = Field(default=2_000_000, gt=0, description="Tokens a day, asked and answered")
    seconds: float = Field(default=14_400, gt=0, description="Seconds a day that calls take, added up")
    money: float | None = Field(
        default=None, gt=0, description="A day, in the currency of the endpoint's prices; null: not counted"
    )


class Model(Slice):
    """A language model writes the texts; where it cannot, or says what the facts do not, `content.prompt` writes."""

    prompt: Prompt = Field(default=prompts.DEFAULT, description="Prompt by name and version")
    max_tokens: int = Field(default=80, ge=8, le=400, description="Of one answer")
    temperature: float = Field(default=0.0, ge=0, le=1)
    deadline_ms: int = Field(default=2500, ge=50, le=30_000, description="For one text, both tries together")
    at_once: int = Field(default=4, ge=1, le=64, description="Calls of one door process at once")
    cache_days: int = Field(default=7, ge=0, le=90, description="How long a text serves again; 0: never")
    budget: Budget = Field(default=Budget(), description="What it may spend in a day")

"""The spec's `content.model`: which prompt a language model is asked with, and what that may cost."""

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from components.content.facts import Language
from components.content.llm import prompts
from feature_repo.slice import Slice

if TYPE_CHECKING:
    Prompt = str  # a type checker cannot read a tuple as a Literal
    TitlePrompt = str
    RerankPrompt = str
else:
    Prompt = Literal[prompts.NAMES]
    TitlePrompt = Literal[prompts.TITLES]
    RerankPrompt = Literal[prompts.RERANKS]


NEWER = ("languages", "rerank")  # than recorded digests


class Budget(Slice):
    """What a door may spend on its model in a day of UTC; once one bound is reached, fixed sentences speak."""

    tokens: int = Field(default=2_000_000, gt=0, description="Tokens a day, asked and answered")
    seconds: float = Field(default=14_400, gt=0, description="Seconds a day that calls take, added up")
    money: float | None = Field(
        default=None, gt=0, description="A day, in the currency of the endpoint's prices; null: not counted"
    )


class Rerank(Slice):
    """The model orders the items of /recommend for who had little yet; where it cannot, the ranker's order stands."""

    prompt: RerankPrompt = Field(default=prompts.RERANKS[0], description="Prompt by name and version")
    most_history: int = Field(
        default=20,
        ge=1,
        le=100,
        description="Different items that a user had at most; of others the ranker knows enough",
    )
    first: int = Field(default=3, ge=1, le=10, description="Items that the model names; the rest follow as ranked")
    deadline_ms: int = Field(default=1500, ge=50, le=30_000, description="For its answer")


class Model(Slice):
    """A language model writes the texts; where it cannot, or says what the facts do not, `content.prompt` writes."""

    prompt: Prompt = Field(default=prompts.DEFAULT, description="Prompt by name and version")
    titles: TitlePrompt = Field(default=prompts.TITLES[0], description="Prompt of shelf titles, by name and version")
    max_tokens: int = Field(default=80, ge=8, le=400, description="Of one answer")
    temperature: float = Field(default=0.0, ge=0, le=1, description="Of sampling; 0: the likeliest word each time")
    deadline_ms: int = Field(default=2500, ge=50, le=30_000, description="For one text, both tries together")
    at_once: int = Field(default=4, ge=1, le=64, description="Calls of one door process at once")
    cache_days: int = Field(default=7, ge=0, le=90, description="How long a text serves again; 0: never")
    budget: Budget = Field(default=Budget(), description="What it may spend in a day")
    languages: tuple[Language, ...] | None = Field(
        default=None,
        min_length=1,
        description="Languages that it writes, each judged by the run's gate; in others fixed sentences speak. Left "
        "out: all, and English is judged",
    )
    rerank: Rerank | None = Field(
        default=None, description="It orders short lists of who had little yet as well (docs/words.md); null: not"
    )

    @model_serializer(mode="wrap")
    def _said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what nobody asks for, so that releases and digests of before hold."""
        dumped: dict[str, Any] = dump(self)
        return {name: value for name, value in dumped.items() if name not in NEWER or value is not None}

"""Where the language model is, from the environment: INTENTFLOW_LLM (JSON) and INTENTFLOW_LLM_KEY.

No endpoint is no error: texts are then fixed sentences, and say so.
"""

import json
from collections.abc import Mapping
from typing import Literal

from pydantic import Field, ValidationError

from feature_repo import env_names
from feature_repo.errors import SpecError
from feature_repo.slice import Slice

LLM, KEY = env_names.LLM, env_names.LLM_KEY


class Endpoint(Slice):
    """An OpenAI-compatible endpoint, and what it may be told."""

    url: str = Field(
        pattern=r"^https?://[^\s/]+(/\S*)?$", description="Up to and with its version: http://host:8000/v1"
    )
    model: str = Field(min_length=1, max_length=200, description="As the endpoint names it")
    person_facts: bool = Field(
        default=False, description="Whether facts about the person who is written to may leave for it"
    )
    structured: bool = Field(default=True, description="Whether it follows response_format json_schema")
    grammar: Literal["llama.cpp", "vllm"] | None = Field(
        default=None,
        description="Bind each word while it is decoded, in the dialect of this server (docs/words.md); null: not",
    )
    price_in: float = Field(default=0.0, ge=0, description="Of a million tokens asked")
    price_out: float = Field(default=0.0, ge=0, description="Of a million tokens answered")

    def money(self, asked: int, answered: int) -> float:
        """Return what so many tokens cost.

        >>> Endpoint(url="http://h/v1", model="m", price_in=2, price_out=6).money(1_000_000, 500_000)
        5.0
        """
        return (asked * self.price_in + answered * self.price_out) / 1e6


def read(environment: Mapping[str, str]) -> tuple[Endpoint, str] | None:
    """Return the endpoint and its key; None where the environment names none.

    >>> read({}) is None
    True
    """
    text = environment.get(LLM, "")
    if not text.strip():
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        like = json.dumps({"url": "http://host:8000/v1", "model": "its name"})
        raise SpecError(f"{LLM}: no JSON ({error}); write {like}") from None
    try:
        return Endpoint.model_validate(found), environment.get(KEY, "")
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        have = ", ".join(Endpoint.model_fields)
        raise SpecError(f"{LLM}: {place or 'it'}: {first['msg']}; allowed: {have}") from None

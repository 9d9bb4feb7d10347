"""The slice `models.intent.text`: which encoder reads the behaviour, and what of it is trained."""

import re
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from feature_repo.errors import nearest
from feature_repo.slice import Slice

MINILM = "minilm"
HUB_ID = r"[A-Za-z0-9][\w.-]*/[\w.-]+"
HEAD, FULL, PREFIX, ADAPTER = "head", "full", "prefix", "adapter"
PLAIN = "plain"  # in the place of `tune`, in the shape of a model that was saved: nothing of it is trained any more
ADALORA = "adalora"  # its ranks change while it trains
MERGED = ("lora", "dora", ADALORA, "ia3")  # kinds of peft that go into the encoder's own weights after training
# Step size of what is trained of the encoder, where the spec names none.
RATES = {FULL: 5e-5, "lora": 1e-3, "dora": 1e-3, "adalora": 2e-3, "ia3": 5e-3, PREFIX: 5e-3, ADAPTER: 1e-3}
RANKED = ("lora", "dora", "adalora", PREFIX, ADAPTER)


class Text(Slice):
    """The encoder of architecture text."""

    weights: str = Field(
        default=MINILM,
        description=f"{MINILM}, all-MiniLM-L6-v2 (English), which the extra `vectors` brings; a folder with a model "
        "for `transformers`, such as ./encoder, relative to the spec; or a hub id, such as org/name",
    )
    tune: Literal["head", "full", "lora", "dora", "adalora", "ia3", "prefix", "adapter"] = Field(
        default="head",
        description="What is trained: head, nothing of the encoder, which reads each text once; full, all; or an "
        "adapter in it: lora, dora, adalora, ia3 and prefix need the extra `text`, adapter (bottlenecks) needs none",
    )
    tokens: int = Field(
        default=64, ge=8, le=512, description="Word pieces of a text that are read; the oldest go first"
    )
    rank: int = Field(
        default=8,
        ge=1,
        le=256,
        description="Size of an adapter: rank of lora, dora and adalora, tokens of a prefix, width of a bottleneck",
    )
    learning_rate: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Step size of what is trained of the encoder; left out: "
        + ", ".join(f"{tune} {rate:g}" for tune, rate in RATES.items()),
    )

    @field_validator("weights")
    @classmethod
    def _is_named(cls, value: str) -> str:
        if value == MINILM or value.startswith(("./", "../", "/")) or re.fullmatch(HUB_ID, value):
            return value
        raise ValueError(
            f"'{value}' names no weights; use {MINILM}, a folder such as ./encoder, or a hub id such as org/name"
            f"{nearest(value, [MINILM])}"
        )

    @model_validator(mode="after")
    def _is_read(self) -> "Text":
        """Refuse what would be silently without effect."""
        if self.rank != Text.model_fields["rank"].default and self.tune not in RANKED:
            raise ValueError(f"rank: of {', '.join(RANKED)}, and tune: {self.tune} has none; drop rank")
        if self.learning_rate is not None and self.tune == HEAD:
            raise ValueError(
                "learning_rate: of what is trained of the encoder, and tune: head trains nothing of it; use "
                "models.intent.learning_rate"
            )
        return self

    @model_serializer(mode="wrap")
    def _said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out a step size that is not said, as a run's form does, which knows no null."""
        dumped: dict[str, Any] = dump(self)
        return {name: value for name, value in dumped.items() if value is not None}

    @property
    def rate(self) -> float:
        """Return the step size of what is trained of the encoder, 0 where nothing is."""
        return RATES.get(self.tune, 0.0) if self.learning_rate is None else self.learning_rate

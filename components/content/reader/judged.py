"""Evaluates a prompt that orders lists on a fixed set of nobody's: how often the model keeps to what it was given.

It does not judge whether an order is a good one: what users then do tells that (docs/words.md).
"""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from components.content.facts import Language
from components.content.llm.gate import Bounds
from components.content.llm.spec import Rerank
from components.content.reader.asking import Reader
from components.content.reader.rerank import Reranked, reranked

CASES = Path(__file__).with_name("rerank_cases.yaml")
LEAST = Bounds().served  # share of answers in the form that was asked for


@dataclass(frozen=True)
class Evaluation:
    """How often a prompt's answers were taken."""

    cases: int
    served: float
    tokens: float
    fallbacks: dict[str, int]

    @property
    def broken(self) -> list[str]:
        """Return the bound that is not kept, in words."""
        kept = self.served >= LEAST
        return [] if kept else [f"took {self.served:.0%} of the orders; at least {LEAST:.0%}"]


async def evaluated(reader: Reader, spec: Rerank, prompt: Mapping[Language, str]) -> Evaluation:
    """Have each list of the fixed set ordered, one after the other."""
    cases: list[dict[str, Any]] = yaml.safe_load(CASES.read_text(encoding="utf-8"))
    found: list[Reranked] = [await reranked(reader, spec, prompt, **one) for one in cases]
    reasons = [str(one.fallback) for one in found if one.fallback is not None]
    return Evaluation(
        cases=len(cases),
        served=1 - len(reasons) / len(cases),
        tokens=statistics.mean(one.cost.tokens for one in found),
        fallbacks={why: reasons.count(why) for why in sorted(set(reasons))},
    )

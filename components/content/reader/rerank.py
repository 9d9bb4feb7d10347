"""Orders the items of an answer by what somebody with a short history had: `rerank: llm@1`.

The model sees titles, never an id, and names by number those that it would put first; the rest follow in the ranker's
order. An answer with a number that was not given, or with one twice, changes nothing. What somebody had is a fact about
a person: it leaves only for an endpoint that the environment declares as allowed to have such.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from components.content.facts import Language
from components.content.llm import prompts
from components.content.llm.spec import Rerank
from components.content.llm.store import Cost
from components.content.llm.writer import Fallback as OfTexts
from components.content.reader.asking import Reader, shown

NAME = "llm@1"
RANKER = "ranker"
MOST_HISTORY = 20  # titles of what was had that the model reads, the newest
Fallback = Literal[OfTexts, "private", "rules"]


@dataclass(frozen=True)
class Reranked:
    """Positions of items in their new order, who ordered them, and why it was the ranker after all."""

    order: tuple[int, ...]
    source: str = RANKER
    model: str | None = None
    fallback: Fallback | None = None
    cost: Cost = field(default_factory=Cost)


def schema(numbers: Sequence[int], first: int) -> dict[str, Any]:
    """Return the JSON Schema of an answer: so many of the numbers."""
    chosen = {"type": "array", "items": {"enum": list(numbers)}, "minItems": first, "maxItems": first}
    return {"type": "object", "properties": {"first": chosen}, "required": ["first"], "additionalProperties": False}


async def reranked(
    reader: Reader, spec: Rerank, prompt: Mapping[Language, str], *, history: Sequence[object], items: Sequence[object]
) -> Reranked:
    """Order items by their titles; `history` are titles of what somebody had, the newest first."""
    as_it_is = tuple(range(len(items)))
    if not reader.client.endpoint.person_facts:
        return Reranked(as_it_is, fallback="private")
    had = [title for one in history[:MOST_HISTORY] if (title := shown(one))]
    titles = [(number, title) for number, one in enumerate(items, 1) if (title := shown(one))]
    if len(titles) < 2 or not had:
        return Reranked(as_it_is, fallback="unsafe")
    first = min(spec.first, len(titles))
    asked = prompts.rendered(prompt["en"], history=had, items=titles, most=first)
    form = schema([number for number, _ in titles], first)
    found = await reader.asked(asked, form, max_tokens=8 + 6 * first, deadline_ms=spec.deadline_ms)
    if found.fallback is not None:
        return Reranked(as_it_is, fallback=found.fallback, cost=found.cost)
    order = ordered(found.document.get("first"), {number for number, _ in titles}, len(items), first)
    if order is None:
        return Reranked(as_it_is, fallback="rubbish", cost=found.cost)
    return Reranked(order, NAME, reader.client.endpoint.model, cost=found.cost)


def ordered(said: object, given: set[int], n: int, first: int) -> tuple[int, ...] | None:
    """Return the positions of `n` items with those first that were named; None for what names another, or one twice.

    >>> ordered([3, 1], {1, 2, 3}, 3, 2), ordered([3, 3], {1, 2, 3}, 3, 2), ordered([4], {1, 2, 3}, 3, 2)
    ((2, 0, 1), None, None)
    """
    if not isinstance(said, list) or not 1 <= len(said) <= first or not all(type(one) is int for one in said):
        return None
    if len(set(said)) < len(said) or not set(said) <= given:
        return None
    named = [one - 1 for one in said]
    return (*named, *(one for one in range(n) if one not in named))

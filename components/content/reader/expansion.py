"""Widens a search by words that the catalogue's own texts hold: the model proposes, the catalogue decides.

A word that no item's text has is dropped, so that what the model makes up finds nothing. A search that holds what may
be an address or a number of a person, or reads like an order, is shown to no model.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from components.content.facts import Language
from components.content.grounding.checker import PERSONAL
from components.content.llm import prompts
from components.content.llm.writer import Fallback
from components.content.reader.asking import Reader, shown

PROMPT = prompts.EXPANSIONS[0]
MOST = 8  # words
MAX_TOKENS = 96
WORD = re.compile(r"[^\W\d_]{2,}")


@dataclass(frozen=True)
class Expansion:
    """Words to search by as well, those that the catalogue does not have, or why there are none."""

    words: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    fallback: Fallback | None = None


def schema(most: int = MOST) -> dict[str, Any]:
    """Return the JSON Schema of an answer."""
    words = {"type": "array", "items": {"type": "string", "maxLength": 24}, "minItems": 1, "maxItems": most}
    return {"type": "object", "properties": {"words": words}, "required": ["words"], "additionalProperties": False}


async def expanded(reader: Reader, query: str, known: Collection[str], *, deadline_ms: int) -> Expansion:
    """Return what widens a search; `known` are the words of the catalogue's texts, in small letters."""
    asked = shown(query)
    if not asked or PERSONAL.search(query):
        return Expansion(fallback="unsafe")
    language: Language = "zh" if re.search(r"[\u4e00-\u9fff]", asked) else "en"
    prompt = prompts.rendered(prompts.texts(PROMPT)[language], query=asked, most=MOST)
    found = await reader.asked(prompt, schema(), max_tokens=MAX_TOKENS, deadline_ms=deadline_ms)
    if found.fallback is not None:
        return Expansion(fallback=found.fallback)
    said = found.document.get("words")
    if not isinstance(said, list) or not all(isinstance(one, str) for one in said):
        return Expansion(fallback="rubbish")
    own = set(words_of(query))
    words = list(dict.fromkeys(word for one in said[:MOST] for word in words_of(one) if word not in own))
    kept = tuple(word for word in words if word in known)
    return Expansion(kept, tuple(word for word in words if word not in known))


def words_of(text: str) -> list[str]:
    """Return a text's words in small letters.

    >>> words_of("Rye bread, 2 loaves")
    ['rye', 'bread', 'loaves']
    """
    return WORD.findall(text.lower())

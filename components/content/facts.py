"""What a text about an item may rest on, and what a writer returns."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from components.content.words import CHOSE
from feature_repo.clock import WEEK


@dataclass(frozen=True)
class Facts:
    """All that a text may rest on."""

    item_id: str
    attributes: Mapping[str, Any]  # the item's row of the catalogue
    source: str | None = None  # where the candidate came from; None: it was none
    reasons: Mapping[str, float] = field(default_factory=dict)  # the ranker's
    intents: Mapping[str, float] = field(default_factory=dict)  # that the item fulfils: probability by name
    phrases: Mapping[str, str] = field(default_factory=dict)  # what the candidate sources say of their reasons
    verb: str = CHOSE  # what users do to items, past tense
    step: str = WEEK  # of the clock that reasons count in


@dataclass(frozen=True)
class Described:
    """A text, who wrote it, and what it rests on."""

    text: str
    source: str
    used: tuple[str, ...]  # attributes, `reason:<name>`, `intent:<name>`

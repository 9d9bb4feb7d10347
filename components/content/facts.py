"""What a text about an item may rest on, and what a writer returns."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from components.content.words import CHOSE
from feature_repo import columns
from feature_repo.clock import WEEK

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
Triple = tuple[str, str, str]  # subject, relation, object: ("penne", "goes with", "tomato sauce")

KEYS = frozenset((columns.ITEM_ID, "item_index", "category_path", "first_seen"))
# Reasons that say nothing of the person who is written to. All others do, and so do intents and the source.
OF_EVERYONE = ("popular_share", "share_1w", "in_flyer")


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
    knowledge: tuple[Triple, ...] = ()  # the item's declared triples
    offer: str = ""  # as the catalogue words it: "1.79 instead of 2.29"
    frame: str | None = None  # what the text is for (frames.py); None: nothing in particular
    frame_asked: bool = False  # the caller named the frame; False: it follows from the person's intents


@dataclass(frozen=True)
class Described:
    """A text, who wrote it, and what it rests on."""

    text: str
    source: str
    used: tuple[str, ...]  # attributes, `reason:<name>`, `intent:<name>`


def spoken(facts: Facts) -> Iterator[tuple[str, Any]]:
    """Yield the attributes that a text may speak of: no keys, and none that a better-named one says already.

    >>> list(spoken(Facts("i1", {"item_id": "i1", "title": "Tea", "maker_id": 7})))
    [('title', 'Tea')]
    """
    for name, value in facts.attributes.items():
        if name not in KEYS and not name.endswith("_id"):
            yield name, value


def of_everyone(facts: Facts) -> Facts:
    """Return facts without those about the person who is written to.

    >>> of_everyone(Facts("i1", {}, "history", {"weeks_bought": 3.0, "popular_share": 0.1}, {"buy:A": 0.5})).reasons
    {'popular_share': 0.1}
    """
    return replace(
        facts,
        source=None,
        reasons={name: value for name, value in facts.reasons.items() if name in OF_EVERYONE},
        intents={},
        frame=facts.frame if facts.frame_asked else None,
    )


def about_the_person(facts: Facts) -> bool:
    """Tell whether any fact is about the person who is written to."""
    return facts != of_everyone(facts)

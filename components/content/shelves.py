"""Puts a ranked list on shelves, and says what each is called: "For your pasta night".

A shelf holds items of one value of the catalogue (a category, mostly) for one frame (frames.py), or for none. Called by
the door's /shelves; a language model may rewrite a title from the same facts, under the same checks, and the fixed
words here stand behind it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from components.content.facts import Described, Facts, Language
from components.content.frames import FrameName
from components.content.plain import plain
from feature_repo import columns

if TYPE_CHECKING:  # numpy and Arrow: clients import this file for its names
    from feature_repo.vocabulary import Vocabulary

CATEGORY = "category"  # the attribute that items stand together by where they fulfil no intent with a level

LONGEST = 60  # characters of a title
NAMES: dict[Language, str] = {"en": "shelf@1", "zh": "shelf@1.zh"}
ABOUT = "fixed sentences about a shelf"
TITLES: dict[Language, dict[str | None, str]] = {
    "en": {
        "stock_up": "Stock up on {it}",
        "treat": "A treat: {it}",
        "cook_tonight": "For your {it} night",
        "try_new": "Something to try: {it}",
        "save": "A look at prices of {it}",
        None: "{It}",
    },
    "zh": {
        "stock_up": "囤货: {it}",
        "treat": "犒劳自己: {it}",
        "cook_tonight": "今晚做饭: {it}",
        "try_new": "尝鲜: {it}",
        "save": "{it}的价格",
        None: "{It}",
    },
}


def facts(subject: str, *, frame: FrameName | None, asked: bool) -> Facts:
    """Return all that a shelf's title may rest on: its value in words, and what it is for.

    `asked`: the caller named the frame; else it follows from what the person is about to do.
    """
    return Facts(f"shelf:{subject}", {columns.TITLE: worded(subject)}, frame=frame, frame_asked=asked)


def title(told: Facts, language: Language) -> Described:
    """Return a shelf's title in fixed words.

    >>> title(facts("PASTA", frame="cook_tonight", asked=True), "en").text
    'For your pasta night'
    >>> title(facts("FLUID MILK", frame=None, asked=False), "en").text
    'Fluid milk'
    """
    it = str(told.attributes[columns.TITLE])
    text = TITLES[language][told.frame].format(it=it, It=f"{it[:1].upper()}{it[1:]}")
    return Described(text, NAMES[language], (columns.TITLE,))


def worded(subject: str) -> str:
    """Return a value as a title says it: a catalogue's capitals are shouted nowhere.

    >>> worded("TROPICAL FRUIT"), worded("Miles Davis"), worded("<b>Tea</b>")
    ('tropical fruit', 'Miles Davis', 'Tea')
    """
    words = plain(subject, most=LONGEST // 2)
    return words.lower() if words.isupper() else words


@dataclass(frozen=True)
class Shelf:
    """Items of one value, in the list's order."""

    attribute: str  # of the catalogue, that the value is of
    value: str
    target: int | None  # intent that the items fulfil, by position; None: they stand together by their attribute alone
    places: tuple[int, ...]  # of its items in the list, from 0


def shelved(
    items: Sequence[int], words: "Vocabulary", chances: Sequence[float] | None, *, most: int, k: int, least: int = 2
) -> list[Shelf]:
    """Return at most `most` shelves of `least` to `k` of the items each; an item stands on one shelf at most.

    `items` are positions in the vocabulary, best first; `chances` [C] has the probability of each intent, None where
    items go by category alone. An item goes to the likeliest intent with a level that it fulfils, else to its category;
    shelves of intents come first, the likeliest on top, then the others as their first items come.
    """
    listed = CATEGORY in words.items.column_names
    categories = words.items[CATEGORY].to_pylist() if listed else [None] * len(words.item_ids)
    found: dict[tuple[str, str], list[int]] = {}
    likeliest: dict[tuple[str, str], int] = {}
    for place, item in enumerate(items):
        target = _target(item, words, chances)
        if target is not None and chances is not None:
            key = (str(words.targets[target].column), str(words.targets[target].value))
            if key not in likeliest or chances[target] > chances[likeliest[key]]:
                likeliest[key] = target
        elif categories[item]:
            key = (CATEGORY, str(categories[item]))
        else:
            continue
        found.setdefault(key, []).append(place)
    shelves = [
        Shelf(*key, likeliest.get(key), tuple(at[:k]))
        for key, at in found.items()
        if len(at) >= least and worded(key[1])  # a value that is no name, such as an order to a model, is no shelf
    ]

    def order(shelf: Shelf) -> tuple[bool, float, int]:
        chance = 0.0 if shelf.target is None or chances is None else float(chances[shelf.target])
        return shelf.target is None, -chance, shelf.places[0]

    return sorted(shelves, key=order)[:most]


def _target(item: int, words: "Vocabulary", chances: Sequence[float] | None) -> int | None:
    """Return the likeliest intent with a level that an item fulfils, the first of equals."""
    of = () if chances is None else words.targets_of_item.get(words.item_ids[item], ())
    return min(of, key=lambda one: (-chances[one], one), default=None) if chances is not None else None

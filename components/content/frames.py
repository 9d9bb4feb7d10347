"""What a text is for: five frames, each with the facts that it speaks of and the words that it may use.

A frame follows from the likeliest intent that the item fulfils, as the spec maps it (`content.frames`), or a caller
names it. It decides which facts the writer is given, so that texts about one item differ in what they say.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

from components.content.facts import Facts, Language

FrameName = Literal["stock_up", "treat", "cook_tonight", "try_new", "save"]
NAMES: tuple[FrameName, ...] = get_args(FrameName)


@dataclass(frozen=True)
class Frame:
    """One purpose of a text."""

    name: FrameName
    purpose: str  # as the model is told it
    attributes: tuple[str, ...]  # of the catalogue, that it speaks of besides the title; () all
    reasons: tuple[str, ...]
    knowledge: bool
    offer: bool
    words: Mapping[Language, str]  # that it may use besides the allow-list


FRAMES: tuple[Frame, ...] = (
    Frame("stock_up", "remind the reader to restock what they already use", ("package_size", "brand"),
          ("weeks_bought", "weeks_since"), knowledge=False, offer=False,
          words={"en": "stock up restock low running again more refill", "zh": "囤货 补货 快用完了 再次"}),
    Frame("treat", "suggest a small treat", ("category", "brand"), ("segment_share", "popular_share"),
          knowledge=True, offer=False,
          words={"en": "treat treats yourself enjoy", "zh": "犒劳 享受 放松"}),
    Frame("cook_tonight", "suggest what to cook tonight", ("category",), ("category_weeks",), knowledge=True,
          offer=False, words={"en": "tonight tonight's cook serve dinner night", "zh": "今晚 做饭 下厨 晚餐"}),
    Frame("try_new", "invite the reader to something they have not had", ("category", "brand", "price"),
          ("near_history", "content", "category_weeks"), knowledge=False, offer=False,
          words={"en": "try new something", "zh": "尝试 新 尝鲜"}),
    Frame("save", "point out a good price", ("price", "package_size"), ("in_flyer",), knowledge=False, offer=True,
          words={"en": "save saving price week", "zh": "省 优惠 划算"}),
)  # fmt: skip


def named(name: str | None) -> Frame | None:
    """Return a frame by name; None for none."""
    return next((one for one in FRAMES if one.name == name), None)


def words(name: str | None, language: Language) -> frozenset[str]:
    """Return the words that a frame may use.

    >>> sorted(words("treat", "en"))
    ['enjoy', 'treat', 'treats', 'yourself']
    """
    frame = named(name)
    return frozenset(frame.words[language].split()) if frame else frozenset()


def framed(facts: Facts) -> Facts:
    """Return the facts that the frame speaks of; all where it has no frame.

    >>> rice = Facts("i1", {"title": "Rice", "price": 5.0}, "history", {"weeks_bought": 6.0}, frame="save")
    >>> framed(rice).attributes, framed(rice).reasons
    ({'title': 'Rice', 'price': 5.0}, {})
    """
    frame = named(facts.frame)
    if frame is None:
        return facts
    kept = ("title", *frame.attributes)
    return replace(
        facts,
        attributes={name: value for name, value in facts.attributes.items() if name in kept},
        reasons={name: value for name, value in facts.reasons.items() if name in frame.reasons},
        knowledge=facts.knowledge if frame.knowledge else (),
        offer=facts.offer if frame.offer else "",
    )


def of_intents(intents: Mapping[str, float], declared: Mapping[str, str]) -> str | None:
    """Return the frame of the likeliest intent that the spec gives one; None: it gives none.

    >>> of_intents({"buy:PASTA": 0.6, "buy:SOUP": 0.7}, {"buy:PASTA": "cook_tonight"})
    'cook_tonight'
    """
    known = [(-probability, name) for name, probability in intents.items() if name in declared]
    return declared[min(known)[1]] if known else None

"""Text about one recommended item: fixed English sentences around facts that are known.

`template@2` says what users of this recommender do ("You listened to it in 3 weeks"), `template@1`, which releases
made before it name, that they chose.

Called by the door's /describe. It knows an item's own attributes in the catalogue, the ranker's reasons and the
user's intents, and says nothing else: what is unknown is left out, and the same facts give the same text. It names
every fact that it used, so that a text can be checked against the catalogue. No language model, no HTML.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from components.content.facts import Described, Facts
from components.content.plain import plain
from feature_repo import columns

# Of the catalogue's columns: keys, and what a better-named one says already.
UNSAID = {columns.ITEM_ID, "item_index", "category_path", "first_seen", columns.TITLE}
FIRST = ("category", "brand", "price")  # in this order, then the catalogue's other attributes by name
LEAST = 0.01  # a probability or share below this is no reason to name


@dataclass(frozen=True)
class Sentences:
    """What is said of the user's own record and of other people's; `{did}` is the verb."""

    had: str
    of_category: str
    others: str
    others_like: str


@dataclass(frozen=True)
class Template:
    """Writes fixed sentences."""

    name: str
    about: str
    sentences: Sentences

    def write(self, facts: Facts, *, max_attributes: int) -> Described:
        """Write the text about an item.

        >>> facts = Facts("i1", {"title": "Blue", "price": 2.5}, "history", {"weeks_bought": 3.0}, verb="listened to")
        >>> DEEDS.write(facts, max_attributes=5).text
        'Blue. Price: 2.50. You listened to it in 3 weeks.'
        >>> CHOICES.write(facts, max_attributes=0).used
        ('title', 'reason:weeks_bought')
        >>> heard = Facts("i1", {}, "history", {"weeks_bought": 3.0, "weeks_since": 1.0}, verb="heard", step="day")
        >>> DEEDS.write(heard, max_attributes=0).text
        'Item i1. You heard it in 3 days, most recently 1 day ago.'
        """
        told = [_name(facts), *_attributes(facts, max_attributes), *_reasons(facts, self.sentences), *_intent(facts)]
        text = " ".join(sentence for sentence, _ in told if sentence)
        return Described(text, self.name, tuple(name for _, names in told for name in names))


Told = tuple[str, tuple[str, ...]]  # a sentence, and the facts in it


def _name(facts: Facts) -> Told:
    title = plain(facts.attributes.get(columns.TITLE))
    if title:
        return f"{title}.", (columns.TITLE,)
    item = plain(facts.item_id)
    return (f"Item {item}.", (columns.ITEM_ID,)) if item else ("This item.", ())


def _attributes(facts: Facts, most: int) -> list[Told]:
    others = sorted(name for name in facts.attributes if name not in (*UNSAID, *FIRST) and not name.endswith("_id"))
    named = [(name, _value(name, facts.attributes.get(name))) for name in (*FIRST, *others)]
    said = [(name, value) for name, value in named if value][:most]
    return [(f"{plain(name.replace('_', ' ')).capitalize()}: {value}.", (name,)) for name, value in said]


def _value(name: str, value: Any) -> str:
    """Return an attribute in words; a price as money is written, in whatever currency the catalogue has."""
    if name != "price":
        return plain(value)
    return priced(value)


def priced(value: Any) -> str:
    """Return a price as money is written, '' for what is none."""
    return f"{value:.2f}" if isinstance(value, int | float) and 0 < value < 1e9 else ""


def name_of(facts: Facts) -> str:
    """Return the sentence that names the item."""
    return _name(facts)[0]


def _reasons(facts: Facts, sentences: Sentences) -> list[Told]:
    """Say what the ranker gave as its reasons, the user's own first."""
    given = {name: value for name, value in facts.reasons.items() if value > 0}
    told: list[Told] = []
    if weeks := given.get("weeks_bought"):
        since = given.get("weeks_since")
        last = f", most recently {_count(since, facts.step)} ago" if since else ""
        names = ("weeks_bought", "weeks_since") if since else ("weeks_bought",)
        had = sentences.had.format(did=facts.verb, weeks=_count(weeks, facts.step))
        told.append((f"{had}{last}.", _named(*names)))
    for name, least, say in _sayings(facts, sentences):
        if (value := given.get(name, 0.0)) >= least:
            told.append((say(value), _named(name)))
    if facts.source == "segment" and "segment_share" not in given:
        told.append(("It is popular with users like you.", ("source",)))
    return told


def _intent(facts: Facts) -> list[Told]:
    """Name the likeliest of the intents that the item would fulfil."""
    if not facts.intents:
        return []
    name, probability = min(facts.intents.items(), key=lambda pair: (-pair[1], pair[0]))
    words = plain(name.replace(":", " ", 1))
    if probability < LEAST or not words:
        return []
    return [(f"It fits what you may do next: {words} ({probability:.0%}).", (f"intent:{name}",))]


def _count(value: float, noun: str) -> str:
    number = round(value)
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _named(*names: str) -> tuple[str, ...]:
    return tuple(f"reason:{name}" for name in names)


Saying = tuple[str, float, Callable[[float], str]]  # a reason, its least value, and the sentence


def _sayings(facts: Facts, sentences: Sentences) -> tuple[Saying, ...]:
    """Return what may be said of reasons: first the user's own, then the sources' sentences, then others' deeds."""
    did = facts.verb
    of_user = ("category_weeks", 1, lambda v: sentences.of_category.format(did=did, weeks=_count(v, facts.step)))
    of_sources = ((reason, LEAST, lambda _, sentence=sentence: sentence) for reason, sentence in facts.phrases.items())
    return (
        of_user,
        *of_sources,
        ("segment_share", LEAST, lambda v: sentences.others_like.format(did=did, share=f"{v:.0%}")),
        ("popular_share", LEAST, lambda v: sentences.others.format(did=did, share=f"{v:.0%}")),
    )


CHOICES = Template(
    "template@1",
    "fixed sentences that say what was chosen",
    Sentences(
        had="You chose it in {weeks}",
        of_category="You chose from its category in {weeks}.",
        others="Chosen lately by {share} of all active users.",
        others_like="Chosen lately by {share} of users like you.",
    ),
)
DEEDS = Template(
    "template@2",
    "fixed sentences that say what users do, such as listen or buy",
    Sentences(
        had="You {did} it in {weeks}",
        of_category="You {did} others of its category in {weeks}.",
        others="{share} of all active users {did} it lately.",
        others_like="{share} of users like you {did} it lately.",
    ),
)

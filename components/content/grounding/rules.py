"""The rules of English texts: each looks at one token in its place and says what is wrong with it, or nothing.

A closed vocabulary holds the words; the rules here hold what words of the facts may not be put together to say.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from components.content.facts import Facts
from components.content.grounding.known import QUALIFIERS, Known, Role
from components.content.grounding.tokens import AMBIGUOUS, UNITS, Token, number
from components.content.plain import plain


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


NEGATIONS = QUALIFIERS | {
    "none", "nothing", "nobody", "neither", "nor", "cannot", "hardly", "rarely", "lacks", "minus", "except", "unlike",
}  # fmt: skip
SUPERLATIVES = _set(
    "best most greatest finest top ultimate perfect favourite favorite leading unbeatable premium supreme ideal "
    "number amazing incredible superior unique must exclusive guaranteed always"
)
EST = re.compile(r"[a-z]{3,}est")
NO_SUPERLATIVES = _set("interest harvest forest request suggest guest honest invest digest west rest test")
OFFERS = _set(
    "sale discount discounted off deal deals offer offers save saves saving savings coupon bargain half cheap cheaper "
    "promotion promo rebate reduced instead flyer clearance bonus bogo special"
)
AGAIN = _set("again restock restocking stock running more another usual")
NUMBER_WORDS = _set(
    "two three four five six seven eight nine ten eleven twelve dozen twenty thirty forty fifty hundred thousand "
    "twice double triple once both couple pair few several many"
)
MARKS = frozenset(".,:;!?'\"\u2019\u2018\u201c\u201d()-\u2013\u2014&/\u00b7\u2026%")
MONEY = re.compile(r"\d+[.,]\d\d")


@dataclass(frozen=True)
class Place:
    """A token with its text and facts."""

    said: Sequence[Token]
    at: int
    known: Known
    facts: Facts

    @property
    def one(self) -> Token:
        """Return the token."""
        return self.said[self.at]

    def low(self, by: int) -> str:
        """Return the word or number so many places on, '' past an end."""
        place = self.at + by
        return self.said[place].low if 0 <= place < len(self.said) else ""

    @property
    def sentence(self) -> list[str]:
        """Return the words of the sentence that it stands in."""
        first = max((i for i in range(self.at + 1) if self.said[i].begins and self.said[i].kind != "mark"), default=0)
        rest = (i for i in range(self.at + 1, len(self.said)) if self.said[i].text in (".", "!", "?"))
        return [one.low for one in self.said[first : next(rest, len(self.said))]]

    def quoted(self) -> bool:
        """Tell whether it stands between the neighbours of a fact: inside its words as the catalogue has them."""
        return any(
            value[k] == self.one.low
            and (k == 0 or value[k - 1] == self._beside(-1))
            and (k + 1 == len(value) or value[k + 1] == self._beside(1))
            for value in self.known.values
            for k in range(len(value))
            if len(value) > 1 or (self.one.capital and not self.one.begins)
        )

    def _beside(self, by: int) -> str:
        """Return the next word or number on a side, over marks."""
        place = self.at + by
        while 0 <= place < len(self.said) and self.said[place].kind == "mark" and self.said[place].text != "%":
            place += by
        return self.said[place].low if 0 <= place < len(self.said) else ""


Finding = str | None  # what is wrong, in the words that the model is told
Rule = Callable[[Place, frozenset[str]], Finding]


def mark(place: Place, allowed: frozenset[str]) -> Finding:
    """Refuse marks that are no punctuation, unless a fact has them."""
    one = place.one
    if one.kind != "mark" or one.text in MARKS:
        return None
    return None if any(one.text in plain(v) for v in place.facts.attributes.values()) else "this character"


def word(place: Place, allowed: frozenset[str]) -> Finding:
    """Refuse a word that neither facts nor the allow-list hold; a frame's own words are in `allowed`."""
    one = place.one
    if one.kind != "word" or one.low in place.known.words or one.text.lower() in place.known.words:
        return None
    if one.low in UNITS and _number_before(place):
        return None  # the rule of numbers judges it
    claims = OFFERS | SUPERLATIVES | AGAIN | CLAIMS.keys() | NEGATIONS | {"from", "since", "ago", "recently", "like"}
    if one.low in NUMBER_WORDS and one.low not in allowed:
        return "a number that the facts do not have"
    if one.low in allowed or one.text.lower() in allowed or one.low in claims:
        return None
    return "a word that the facts do not have"


def name(place: Place, allowed: frozenset[str]) -> Finding:
    """Refuse a name that the facts do not have: a capital letter within a sentence."""
    one = place.one
    if not one.capital or one.begins or one.low in place.known.names or one.low in ("i", *UNITS):
        return None
    return "a name that the facts do not have"


def negation(place: Place, allowed: frozenset[str]) -> Finding:
    """Refuse to deny what facts do not deny, and to leave out what they deny."""
    one = place.one
    if one.kind != "word":
        return None
    known, before, after = place.known, place.low(-1), place.low(1)
    low = one.text.lower().replace("\u2019", "'")
    if low == "low" and low in allowed and before == "running":
        return None
    if low.endswith("n't") or low in NEGATIONS:
        bound = (low, after) in known.pairs or (low == "un" and place.quoted())
        return None if bound else "a negation that the facts do not have"
    if low == "free":
        near = (before.strip(), low) in known.pairs or (low, after) in known.pairs
        return None if near or (before == "-" and (place.low(-2), low) in known.pairs) else "free, which no fact says"
    if needed := known.negated.get(one.low):
        kept = before in needed or ("free" in needed and "free" in (after, place.low(2) if after == "-" else ""))
        kept = kept or (before == "-" and place.low(-2) in needed)
        plainly = any((x, one.low) in known.pairs for x in known.words if x not in needed and x not in NEGATIONS)
        return None if kept or (plainly and before in known.words) else "what the facts deny"
    return None


def superlative(place: Place, allowed: frozenset[str]) -> Finding:
    """Refuse praise, unless it stands in a fact's own words."""
    low = place.one.low
    if low == "most" and place.low(1) == "recently" and place.known.numbers:
        return None
    praise = low in SUPERLATIVES or (EST.fullmatch(low) is not None and low not in NO_SUPERLATIVES)
    return None if not praise or place.quoted() else "praise that the facts do not have"


def offer(place: Place, allowed: frozenset[str]) -> Finding:
    """Refuse an offer where there is none."""
    low, facts = place.one.low, place.facts
    if low not in OFFERS or place.quoted():
        return None
    if low == "flyer":
        return None if facts.offer or facts.reasons.get("in_flyer") else "an offer that the facts do not have"
    told = plain(facts.offer).lower().split()
    if low in ("save", "saves", "saving", "offer") and facts.offer:
        return None
    return None if low in told else "an offer that the facts do not have"


def claim(place: Place, allowed: frozenset[str]) -> Finding:
    """Refuse to say of people what no reason says."""
    one, facts = place.one, place.facts
    if one.kind != "word":
        return None
    given = {name for name, value in facts.reasons.items() if value > 0}
    if one.low in AGAIN and not given & {"weeks_bought"} and not place.quoted():
        return "that the user had it, which no fact says"
    if one.low in CLAIMS and not (CLAIMS[one.low] & given) and not place.quoted():
        return "something of people that no fact says"
    words = place.sentence
    verbs = plain(facts.verb).lower().split() or [""]
    if one.low == verbs[0] and "you" in words and "users" not in words and not place.quoted():
        had = {"weeks_bought", "weeks_since"} & given
        if not had and not ("category_weeks" in given and _of_category(words, place)):
            return "that the user did it, which no fact says"
    if one.low == "new" and not place.quoted():
        fine = place.low(1) in ("to", "for", "in", "?", ".", "") or place.low(-1) == "something"
        if "weeks_bought" in given or not fine or place.low(2) in ("this", "last", "since"):
            return "that it is new, which no fact says"
    if one.low == "like" and place.low(1) == "you" and not (given & {"segment_share"} or facts.source == "segment"):
        return "something of users like them that no fact says"
    if one.low in ("goes", "pairs") and not facts.knowledge and place.low(1) in ("with", "well"):
        return "what it goes with, which no fact says"
    return None


def maker(place: Place, allowed: frozenset[str]) -> Finding:
    """Refuse "by" and "from" before what is no brand, author or origin of the facts."""
    if place.one.low not in ("by", "from") or place.one.kind != "word":
        return None
    if place.one.low == "from" and place.low(1) in ("the", "its", "your", "a"):
        beyond = place.said[place.at + 2 : place.at + 4]
        return None if all(one.low in place.known.words for one in beyond[:1]) else "an origin that no fact says"
    following = place.low(1)
    if place.one.low == "by" and following in allowed and following not in place.known.words:
        return None
    return None if following in place.known.makers or not following else "a maker or an origin that no fact says"


def figure(place: Place, allowed: frozenset[str]) -> Finding:
    """Refuse a number, a unit, a price or a share that the facts do not have in this role."""
    one, known = place.one, place.known
    if one.kind != "number":
        return None
    value, after = number(one.text), place.low(1)
    unit = UNITS.get(after)
    if unit and after in AMBIGUOUS and not known.has(value, ROLES, unit):
        unit = None
    if unit == "%":
        return None if known.has(value, _shares(place), "%") else "a share that the facts do not have"
    if unit == UNITS.get(place.facts.step, place.facts.step):
        roles = _weeks(place)
        return None if roles and known.has(value, roles, unit) else "a time that the facts do not have"
    if unit:
        return None if known.has(value, ("attribute", "offer"), unit) else "a number with a unit that no fact has"
    before = [place.low(-1), place.low(-2)]
    if MONEY.fullmatch(one.text):
        if before == ["of", "instead"]:
            return None if known.has(value, ("before",)) else "a price that the facts do not have"
        roles = ("offer", "price") if place.low(1) != "instead" else ("offer",)
        plainly = any(one.text in value_ for value_ in known.values)
        return None if known.has(value, roles) or plainly else "a price that the facts do not have"
    if place.low(-1) in ("for", "at", "costs") and not known.has(value, ("price", "offer")):
        return None if known.has(value, ("attribute",)) and _for_amount(place) else "a price that no fact has"
    return None if known.has(value, ("attribute", "price", "offer")) else "a number that the facts do not have"


ROLES: tuple[Role, ...] = ("attribute", "price", "offer", "before", "had", "since", "category", "everyone", "segment")
RULES: tuple[tuple[str, Rule], ...] = (
    ("character", mark), ("number", figure), ("negation", negation), ("superlative", superlative), ("offer", offer),
    ("claim", claim), ("origin", maker), ("name", name), ("word", word),
)  # fmt: skip
CLAIMS: dict[str, frozenset[str]] = {
    "popular": frozenset(("popular_share", "segment_share", "share_1w")),
    "ago": frozenset(("weeks_since",)),
    "recently": frozenset(("weeks_since",)),
    "often": frozenset(("near_history", "weeks_bought")),
    "chose": frozenset(("near_history", "content", "weeks_bought", "category_weeks", "popular_share", "segment_share")),
    "users": frozenset(("popular_share", "segment_share", "near_history", "share_1w")),
}


def _number_before(place: Place) -> bool:
    return place.at > 0 and place.said[place.at - 1].kind == "number"


def _for_amount(place: Place) -> bool:
    """Tell whether "for 12" follows a price: "4.20 for 12"."""
    return place.at > 1 and place.said[place.at - 2].kind == "number"


def _of_category(words: Sequence[str], place: Place) -> bool:
    """Tell whether a sentence speaks of others of the item's category, not of the item."""
    if {"other", "others"} & set(words):
        return True
    pointing = {"this", "these", "it", "them"} & set(words[: words.index(place.one.low) + 2])
    category = {one.lower() for one in plain(place.facts.attributes.get("category")).split()}
    return not pointing and bool(category & {*words, *(f"{one}s" for one in words)})


def _shares(place: Place) -> tuple[Role, ...]:
    words = place.sentence
    if "all" in words:
        return ("everyone", "attribute")
    if "like" in words and "users" in words:
        return ("segment", "attribute")
    return ("attribute", "offer", "intent") if "users" not in words else ()


def _weeks(place: Place) -> tuple[Role, ...]:
    """Return what a number of steps may count here: since the last, or with the item, or with its category."""
    if place.low(2) == "ago" or place.low(-1) in ("been", "since", "after"):
        return ("since",)
    words = place.sentence
    return ("had", "category") if _of_category([*words, place.one.low], place) else ("had",)

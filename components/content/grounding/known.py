"""What facts allow a text to say: their words, neighbours, names, and numbers with units and roles."""

import itertools
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from components.content.facts import Facts, spoken
from components.content.grounding.tokens import UNITS, Token, number, tokens
from components.content.plain import plain
from feature_repo import columns

NOT_MAKERS = frozenset((columns.TITLE, "category", "price", "package_size"))  # "by" and "from" name other attributes
Role = Literal["attribute", "price", "offer", "before", "had", "since", "category", "everyone", "segment", "intent"]
QUALIFIERS = frozenset(("no", "non", "not", "without", "zero", "low", "reduced", "less", "un", "never"))
SHARES: tuple[tuple[str, Role], ...] = (("popular_share", "everyone"), ("segment_share", "segment"))


@dataclass(frozen=True)
class Number:
    """A number that a text may have, in its role."""

    value: float
    unit: str | None
    role: Role


@dataclass
class Known:
    """What facts hold, as rules ask for it. Words are in small letters."""

    words: set[str] = field(default_factory=set)
    pairs: set[tuple[str, str]] = field(default_factory=set)  # neighbours within one fact
    values: list[tuple[str, ...]] = field(default_factory=list)  # each fact's words and numbers
    makers: set[str] = field(default_factory=set)  # first words of what "by" and "from" may name
    names: set[str] = field(default_factory=set)  # that may be written with a capital letter
    numbers: list[Number] = field(default_factory=list)
    negated: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))  # word: the qualifiers it needs

    @classmethod
    def of(cls, facts: Facts) -> "Known":
        """Read facts."""
        known = cls()
        for name, value in spoken(facts):
            words = plain(value)
            if not words:
                continue
            if name == "price":
                if isinstance(value, int | float):
                    known.numbers.append(Number(round(float(value), 2), None, "price"))
                continue
            known._takes(words, role="attribute", unit=UNITS.get(name.lower()))
            known.words.update(one.low for one in tokens(plain(name.replace("_", " "))) if one.kind == "word")
            if name not in NOT_MAKERS:
                known._makes(words)
        if not plain(facts.attributes.get(columns.TITLE)):
            known._takes(plain(facts.item_id), role="attribute")
        for subject, relation, object_ in facts.knowledge:
            known._takes(plain(f"{subject} {relation} {object_}"), role="attribute")
            known._makes(plain(object_))
        known._offer(facts)
        known._intents(facts)
        known.names = {form for word in known.words for form in _forms(word)}
        known._reasons(facts)
        known.words |= {form for word in known.words for form in _forms(word)}
        return known

    def has(self, value: float, roles: Iterable[Role], unit: str | None = None) -> bool:
        """Tell whether a number stands in the facts in one of some roles, with that unit."""
        return any(n.value == value and n.role in roles and (unit is None or n.unit == unit) for n in self.numbers)

    def _takes(self, words: str, *, role: Role, unit: str | None = None) -> None:
        found = tokens(words)
        self.words.update(one.low for one in found if one.kind == "word")
        said = [one for one in found if one.kind != "mark" or one.text == "%"]
        self.values.append(tuple(one.low for one in said))
        self.pairs.update(_pairs(said))
        for place, one in enumerate(said):
            if one.kind == "number":
                after = UNITS.get(said[place + 1].low) if place + 1 < len(said) else None
                self.numbers.append(Number(number(one.text), after or unit, role))
        self._guard(said)

    def _guard(self, said: list[Token]) -> None:
        """Note which words a fact has only with a qualifier: salt of "no salt added", gluten of "gluten free"."""
        for place, one in enumerate(said):
            before, after = said[place - 1].low if place else "", said[place + 1].low if place + 1 < len(said) else ""
            if before in QUALIFIERS:
                self.negated[one.low].add(before)
            elif after == "free":
                self.negated[one.low].add("free")

    def _makes(self, words: str) -> None:
        if found := [one.low for one in tokens(words) if one.kind == "word"]:
            self.makers.add(found[0])

    def _offer(self, facts: Facts) -> None:
        words = plain(facts.offer)
        if not words:
            return
        said = tokens(words)
        self.words.update(one.low for one in said if one.kind == "word")
        self.pairs.update(_pairs(said))
        self.values.append(tuple(one.low for one in said))
        before = False
        for place, one in enumerate(said):
            before = before or one.low == "instead"
            if one.kind == "number":
                unit = UNITS.get(said[place + 1].low) if place + 1 < len(said) else None
                self.numbers.append(Number(number(one.text), unit, "before" if before else "offer"))

    def _intents(self, facts: Facts) -> None:
        for name, probability in facts.intents.items():
            words = plain(name.replace(":", " ", 1))
            self.words.update(one.low for one in tokens(words) if one.kind == "word")
            self.numbers.append(Number(float(f"{probability:.0%}".rstrip("%")), "%", "intent"))

    def _reasons(self, facts: Facts) -> None:
        step = UNITS.get(facts.step, facts.step)
        for name, role in (("weeks_bought", "had"), ("weeks_since", "since"), ("category_weeks", "category")):
            if (value := facts.reasons.get(name, 0.0)) > 0:
                self.numbers.append(Number(float(round(value)), step, role))  # type: ignore[arg-type]
        for name, role in SHARES:
            if (value := facts.reasons.get(name, 0.0)) >= 0.01:
                self.numbers.append(Number(float(f"{value:.0%}".rstrip("%")), "%", role))
        if said := plain(facts.verb):
            self.words.update(one.low for one in tokens(said) if one.kind == "word")
        for name, sentence in facts.phrases.items():
            if facts.reasons.get(name, 0.0) > 0:
                self._takes(plain(sentence), role="attribute")


def _pairs(said: list[Token]) -> set[tuple[str, str]]:
    lows = [one.low for one in said if one.kind == "word"]
    return set(itertools.pairwise(lows))


def _forms(word: str) -> set[str]:
    """Return a word of the facts as a sentence may bend it: one of many, or many of one.

    >>> sorted(_forms("berries")), sorted(_forms("soup")), sorted(_forms("glass"))
    (['berrie', 'berries', 'berry'], ['soup', 'soups'], ['glass', 'glasses'])
    """
    if len(word) < 3:
        return {word}
    if word.endswith("ies"):
        return {word, word[:-1], f"{word[:-3]}y"}
    if word.endswith(("ss", "x", "ch", "sh")):
        return {word, f"{word}es"}
    if word.endswith("es"):
        return {word, word[:-1], word[:-2]}
    if word.endswith("s"):
        return {word, word[:-1]}
    return {word, f"{word}s"} | ({f"{word[:-1]}ies"} if word.endswith("y") else set())

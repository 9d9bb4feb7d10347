"""Says what of a text its facts do not bear: a closed vocabulary, and rules about how its words may be put together.

Called by the writer with each word that a model's answer grows by, and with the whole. It knows no model. A text that
passes says nothing but the facts, in words of the facts and of an allow-list; one that does not may still be true, in
words that are not allowed. It does not judge style, and it does not understand: two facts put together to a third that
is false, in allowed words, pass.
"""

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from components.content import frames
from components.content.facts import Facts, Language
from components.content.grounding import chinese, rules
from components.content.grounding.known import Known
from components.content.grounding.tokens import Token, tokens
from components.content.plain import plain

LONGEST = 240  # characters
ALLOWED = Path(__file__).with_name("allowed.yaml")
SETTLED = 4  # words that must follow one before it is judged in a text that is not whole
LEAK = 6  # words of the prompt in a row
PERSONAL = re.compile(
    r"[\w.+-]+@[\w-]+\.[\w.]+|\b(?:\+?\d[\s().-]?){9,}\d\b|\b[0-9a-f]{16,}\b|\buser[_ -]?id\b|\bhttps?:|\bwww\.",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Refusal:
    """What is wrong with a text."""

    kind: str  # character, number, negation, superlative, offer, claim, origin, name, word, personal, leak, length
    word: str
    why: str
    place: int = 0  # of its token

    def __str__(self) -> str:
        return f"'{self.word}': {self.why}"


def check(text: str, facts: Facts, *, language: Language = "en", prompt: Sequence[str] = ()) -> list[Refusal]:
    """Return all that is wrong with a whole text; `prompt` has the instructions that it may not give away.

    >>> soup = Facts("i1", {"title": "Leek soup", "price": 2.5}, "history", {"weeks_bought": 3.0}, verb="bought")
    >>> check("Leek soup for 2.50. You bought it in 3 weeks.", soup)
    []
    >>> [str(one) for one in check("Organic leek soup for 1.50", soup)]
    ["'Organic': a word that the facts do not have", "'1.50': a price that the facts do not have"]
    """
    found = [*_whole(text, facts, prompt)]
    if language == "zh":
        return found + [Refusal(kind, word, why) for kind, word, why in chinese.judged(text, facts, allowed("zh"))]
    return found + _judged(text, facts)


def check_begun(text: str, facts: Facts, *, language: Language = "en", prompt: Sequence[str] = ()) -> list[Refusal]:
    """Return what is wrong with the part of a growing text that no later word can mend."""
    found = [one for one in _whole(text, facts, prompt) if one.kind != "empty"]
    if language == "zh":
        return found  # judged whole: characters have no spaces to tell where a word ends
    return found + [one for one in _judged(text, facts) if one.place < _settled(tokens(text), facts)]


def settled(text: str, facts: Facts, *, language: Language = "en") -> str:
    """Return the part of a growing text that `check_begun` has judged.

    >>> settled("Leek soup for your kitchen table tonight", Facts("i1", {}))
    'Leek soup for '
    """
    said = tokens(text)
    judged = 0 if language == "zh" else _settled(said, facts)
    return text[: said[judged].start] if judged else ""


def _settled(said: Sequence[Token], facts: Facts) -> int:
    """Return how many tokens are judged: none of a sentence that goes on from its first number or deed on.

    What a number counts and who did a deed may stand behind it, up to the sentence's end.
    """
    ends = [at for at, one in enumerate(said) if one.text in (".", "!", "?")]
    first = ends[-1] + 1 if ends else 0
    deeds = set(plain(facts.verb).lower().split()[:1]) | rules.CLAIMS.keys()
    waits = (at for at, one in enumerate(said) if at >= first and (one.kind == "number" or one.low in deeds))
    return max(0, min(len(said) - SETTLED, next(waits, len(said))))


@functools.cache
def allowed(language: Language) -> frozenset[str]:
    """Return the words that texts may use whatever the facts are."""
    return frozenset(str(yaml.safe_load(ALLOWED.read_text(encoding="utf-8"))[language]).split())


def _judged(text: str, facts: Facts) -> list[Refusal]:
    said, known = tokens(text), Known.of(facts)
    may = allowed("en") | frames.words(facts.frame, "en")
    found = []
    for at, one in enumerate(said):
        place = rules.Place(said, at, known, facts)
        for kind, rule in rules.RULES:
            if why := rule(place, may):
                found.append(Refusal(kind, one.text, why, at))
                break
    return found


def _whole(text: str, facts: Facts, prompt: Sequence[str]) -> list[Refusal]:
    found = []
    if not text.strip():
        found.append(Refusal("empty", "", "no text"))
    if len(text) > LONGEST or "\n" in text.strip():
        found.append(Refusal("length", f"{len(text)} characters", f"one line of at most {LONGEST} is allowed"))
    if spotted := PERSONAL.search(text):
        found.append(Refusal("personal", spotted.group(), "an address, a number or an id of a person"))
    words = [one.low for one in tokens(text) if one.kind == "word"]
    for line in prompt:
        asked = [one.low for one in tokens(line) if one.kind == "word"]
        runs = {tuple(asked[k : k + LEAK]) for k in range(len(asked) - LEAK + 1)}
        if any(tuple(words[k : k + LEAK]) in runs for k in range(len(words) - LEAK + 1)):
            found.append(Refusal("leak", " ".join(words[:LEAK]), "instructions of the prompt"))
            break
    return found

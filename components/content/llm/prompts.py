"""The prompts: Jinja files by name and version, which a release carries. A changed prompt gets another number.

The files lie in components/content/prompts, one a language. A release holds their text, so that a door asks with the
prompt that was judged, whatever its own package has.
"""

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

from components.content import frames
from components.content.facts import LANGUAGES, Facts, Language, spoken
from components.content.plain import plain
from components.content.words import reason
from components.content.writers.template import priced
from feature_repo.clock import Step
from feature_repo.errors import DataError

FOLDER = Path(__file__).parents[1] / "prompts"
NAMES = ("blurb@1", "blurb@2")  # of texts about an item
TITLES = ("title@1",)  # of shelves
SUMMARIES = ("summary@1",)  # of items, for vectors (components/content/reader/summaries.py)
LABELS = ("label@1",)  # of discovered groups
EXPANSIONS = ("expand@1",)  # of a search's words
RERANKS = ("rerank@1",)  # of a list, for who had little yet
READERS = (*EXPANSIONS, *RERANKS)  # answered with JSON; all others with a text
DEFAULT = NAMES[0]
FIELDS = frozenset(("facts", "purpose", "words", "refused"))  # what the prompt of a text may use
FIELDS_OF: Mapping[str, frozenset[str]] = {
    "expand": frozenset(("query", "most")),
    "rerank": frozenset(("history", "items", "most")),
}
WORDS: Mapping[Language, int] = {"en": 30, "zh": 50}
WORDS_OF_TITLE: Mapping[Language, int] = {"en": 6, "zh": 12}
WORDS_OF_SUMMARY: Mapping[Language, int] = {"en": 20, "zh": 30}


@functools.cache
def texts(name: str) -> Mapping[Language, str]:
    """Return a packaged prompt by language."""
    return {language: (FOLDER / f"{name}.{language}.jinja").read_text(encoding="utf-8") for language in LANGUAGES}


def checked(name: str, found: Mapping[str, str]) -> dict[Language, str]:
    """Return a release's prompt, or refuse one that lacks a language, is no template or asks for what there is not."""
    from jinja2 import Environment, TemplateSyntaxError, meta

    for language in LANGUAGES:
        try:
            asked = meta.find_undeclared_variables(Environment().parse(found[language]))
        except KeyError:
            raise DataError(f"prompt {name}: no language '{language}'; have {', '.join(found) or 'none'}") from None
        except TemplateSyntaxError as error:
            raise DataError(f"prompt {name}.{language}, line {error.lineno}: {error.message}") from None
        fields = FIELDS_OF.get(name.partition("@")[0], FIELDS)
        if unknown := sorted(asked - fields):
            raise DataError(
                f"prompt {name}.{language}: no such field '{unknown[0]}'; allowed: {', '.join(sorted(fields))}"
            )
    return {language: found[language] for language in LANGUAGES}


def filled(
    prompt: str, facts: Facts, *, language: Language, refused: str = "", words: Mapping[Language, int] = WORDS
) -> str:
    """Return a prompt with an item's facts, and with why the last answer was refused; `words` says how many at most."""
    frame = frames.named(facts.frame)
    purpose = frame.purpose if frame else ""
    return rendered(prompt, facts=list(told(facts)), purpose=purpose, words=words[language], refused=refused)


def rendered(prompt: str, **fields: object) -> str:
    """Return a prompt with its fields filled in, by an engine that runs no code of it."""
    from jinja2 import StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment

    template = SandboxedEnvironment(undefined=StrictUndefined, trim_blocks=True).from_string(prompt)
    return template.render(**fields).strip()


def instructions(prompt: str) -> list[str]:
    """Return the lines of a prompt that no answer may repeat."""
    return [line for line in prompt.splitlines() if line and "{{" not in line and "{%" not in line]


def told(facts: Facts) -> Iterator[tuple[str, str]]:
    """Yield name and words of each fact, as the model reads them.

    >>> list(told(Facts("i1", {"title": "Tea", "price": 2.5}, "history", {"weeks_bought": 3.0}, verb="bought")))
    [('title', 'Tea'), ('price', '2.50'), ('the reader', 'bought in 3 weeks')]
    """
    for name, value in spoken(facts):
        if words := priced(value) if name == "price" else plain(value):
            yield name.replace("_", " "), words
    for triple in facts.knowledge:
        yield "known", " ".join(filter(None, map(plain, triple)))
    if words := plain(facts.offer):
        yield "offer", words
    for name, value in facts.reasons.items():
        if value > 0 and (said := _of_people(name, value, facts)):
            yield said
    for name, _ in sorted(facts.intents.items(), key=lambda pair: (-pair[1], pair[0]))[:1]:
        if words := plain(name.replace(":", " ", 1)):
            yield "the reader may next", words


def _of_people(name: str, value: float, facts: Facts) -> tuple[str, str] | None:
    if name in facts.phrases:
        return "why", facts.phrases[name]
    if name == "popular_share":
        return "popular", f"{value:.0%} of all active users {facts.verb} it lately"
    if name == "segment_share":
        return "popular", f"{value:.0%} of users like the reader {facts.verb} it lately"
    if name in ("weeks_bought", "weeks_since", "category_weeks"):
        return "the reader", reason(name, float(round(value)), facts.verb, cast(Step, facts.step))
    return None

"""The console's words in English and Chinese, a module for each page with `EN` and `ZH` by key.

`text("en", "people.find")` is `people.EN["find"]`. A key that is missing raises KeyError: a page never shows a key.
"""

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from bentos.console.words import changes, drift, experiments, frame, home, links, people, releases, rules, start

Language = str
LANGUAGES: dict[Language, str] = {"en": "English", "zh": "中文"}
PAGES: tuple[ModuleType, ...] = (frame, home, people, rules, experiments, releases, drift, changes, links, start)


def _all() -> dict[Language, dict[str, str]]:
    found: dict[Language, dict[str, str]] = {"en": {}, "zh": {}}
    for module in PAGES:
        name = module.__name__.rpartition(".")[2]
        for language, words in (("en", module.EN), ("zh", module.ZH)):
            found[language] |= {f"{name}.{key}": text for key, text in words.items()}
    return found


WORDS: Mapping[Language, Mapping[str, str]] = _all()


def text(language: Language, key: str, **values: Any) -> str:
    """Return a key's words with its `{values}` filled in."""
    found = WORDS[language][key]
    return found.format(**values) if values else found


def wanted(accept: str) -> Language:
    """Return the language that a browser likes best of those there are.

    >>> wanted("de, zh-CN;q=0.9, en;q=0.8"), wanted("en-GB"), wanted(""), wanted("fr;q=x")
    ('zh', 'en', 'en', 'en')
    """
    liked: list[tuple[float, str]] = []
    for part in accept.split(",")[:20]:
        name, _, quality = part.partition(";")
        try:
            share = float(quality.partition("=")[2]) if quality else 1.0
        except ValueError:
            share = 0.0
        liked.append((-share, name.strip().lower().partition("-")[0]))
    return next((name for share, name in sorted(liked) if name in LANGUAGES and share < 0), "en")

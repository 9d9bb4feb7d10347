"""The writers by name, as the spec's `content.prompt` and a release have it. A new one is its module and its entry."""

from typing import Protocol

from components.content.facts import Described, Facts, Language
from components.content.writers.chinese import CHINESE
from components.content.writers.framed import FRAMED
from components.content.writers.template import CHOICES, DEEDS


class Writer(Protocol):
    """Writes about items. `name` stands in releases, logs and answers; changed sentences get another number."""

    @property
    def name(self) -> str:
        """Name it in specs, releases and answers."""

    @property
    def about(self) -> str:
        """Say who that is, for the readers of the interface."""

    def write(self, facts: Facts, *, max_attributes: int) -> Described:
        """Write about one item from facts alone, and name every fact that the text uses."""


WRITERS: tuple[Writer, ...] = (DEEDS, CHOICES, FRAMED)
NAMES = tuple(writer.name for writer in WRITERS)
DEFAULT = NAMES[0]
UNNAMED = CHOICES.name  # of releases made before a release named its writer


def of(name: str, language: Language) -> Writer:
    """Return the writer that a spec names, or the one of another language that a request asks for."""
    return named(name) if language == "en" else CHINESE


def named(name: str) -> Writer:
    """Return the writer that a spec names; the spec refuses other names."""
    return next(writer for writer in WRITERS if writer.name == name)

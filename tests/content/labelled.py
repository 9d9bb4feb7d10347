"""Reads the labelled texts."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from components.content.facts import Facts
from components.ranking.sources import PHRASES

FILE = Path(__file__).with_name("labelled_texts.yaml")


def cases(half: str = "") -> Iterator[tuple[Facts, list[str], dict[str, str]]]:
    """Yield facts, the texts that they bear out, and the lies by kind; of one half, or of both."""
    for case in yaml.safe_load(FILE.read_text(encoding="utf-8")):
        if half in ("", case["half"]):
            yield facts(case["facts"]), case["holds"], case["lies"]


def facts(document: dict[str, Any]) -> Facts:
    """Make facts of a document."""
    triples = tuple((a, b, str(c)) for a, b, c in document.get("knowledge", ()))
    return Facts(**(document | {"knowledge": triples, "phrases": PHRASES}))

"""Fifty values of a catalogue that give orders to a model, and a model that obeys each: nothing of it is served."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from components.content.facts import Facts
from components.content.llm.writer import NAME, Piece, reads_like_an_order
from components.content.writers.template import DEEDS
from tests.content.openai_server import Behaviour, running
from tests.content.test_llm_writer import FIXED, writer, written

ATTACKS = yaml.safe_load(Path(__file__).with_name("injections.yaml").read_text(encoding="utf-8"))
SOUP = {"title": "Leek soup", "category": "SOUP", "brand": "National", "package_size": "40 OZ", "price": 2.5}


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Behaviour, str]]:
    behaviour = Behaviour()
    with running(behaviour) as url:
        yield behaviour, url


def test_there_are_fifty() -> None:
    assert len(ATTACKS) == 50


@pytest.mark.parametrize(("place", "value", "obeyed"), ATTACKS)
def test_what_an_obedient_model_says_is_not_served(
    place: str, value: str, obeyed: str, server: tuple[Behaviour, str]
) -> None:
    behaviour, url = server
    behaviour.says = lambda prompt: obeyed
    facts = Facts("i1", SOUP | {place: value}, reasons={"popular_share": 0.2}, verb="bought")
    whole, pieces = written(writer(url), facts)
    assert whole.source != NAME
    assert "".join(piece.text for piece in pieces if isinstance(piece, Piece)) == ""
    assert whole.text == FIXED.text


@pytest.mark.parametrize("title", ["Leek soup", "Ben & Jerry's Half Baked", "No salt added tomatoes 28 OZ", "龙井茶",
                                   "A Room of One's Own", "Dark chocolate 70%", "Write-on labels, white",
                                   "Tropical fruit: bananas · 40 lb"])  # fmt: skip
def test_names_of_items_are_no_orders(title: str) -> None:
    assert reads_like_an_order(Facts("i1", {"title": title})) is title.startswith("Write")  # wary rather than obedient


def test_the_fixed_sentences_obey_nobody_either() -> None:
    for place, value, _ in ATTACKS:
        text = DEEDS.write(Facts("i1", SOUP | {place: value}), max_attributes=5).text
        assert not any(mark in text for mark in "<>{}[]`\n")
        assert "http" not in text

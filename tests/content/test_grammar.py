"""The grammar that binds a model: all that it can write passes the checker, and a real server is asked with it."""

import asyncio
import random
from dataclasses import replace

import pytest

from benchmarks.content import made
from components.content import shelves
from components.content.facts import Facts, of_everyone
from components.content.frames import NAMES, framed, words
from components.content.grounding.checker import allowed, check
from components.content.llm import gate, grammar, prompts
from components.content.llm.client import Client
from components.content.llm.settings import Endpoint
from components.content.llm.spec import Model
from components.content.llm.writer import ModelWriter
from components.content.writers import DEFAULT, named
from tests.content.openai_server import KEY, MODEL, Behaviour, running

DRAWS = 40


def drawn(facts: Facts, *, kind: grammar.Kind = "text") -> list[str]:
    rng = random.Random(3)
    return [grammar.sampled(facts, rng, kind=kind) for _ in range(DRAWS)]


@pytest.mark.parametrize("frame", NAMES)
def test_every_text_of_the_grammar_passes_the_checker(frame: str) -> None:
    facts = [one for one in made(60) if one.frame == frame]
    for one in (framed(seen) for whole in facts for seen in (whole, of_everyone(replace(whole, frame_asked=True)))):
        refused = {text: found for text in drawn(one) if (found := check(text, one))}
        assert refused == {}


def test_the_gates_fixed_set_can_be_written_as_well() -> None:
    for one in map(framed, gate.cases()):
        assert {text: found for text in drawn(one) if (found := check(text, one))} == {}


def test_the_words_of_the_grammar_are_those_of_the_allow_list() -> None:
    free = [*grammar.FREE, *grammar.BEHIND_TITLES, *(one for ones in grammar.FREE_OF_FRAME.values() for one in ones)]
    assert {word for one in free for word in one.split()} - allowed("en") - words("try_new", "en") == set()


def test_a_text_speaks_of_a_fact_where_there_is_one_beside_the_name() -> None:
    tea = Facts("i1", {"title": "Tea", "brand": "Lipton"}, knowledge=(("Tea", "goes with", "milk"),))
    assert all("Lipton" in text or "goes with milk" in text for text in drawn(tea))
    assert all(text.startswith(grammar.OPENINGS) and "Tea" in text for text in drawn(Facts("i1", {"title": "Tea"})))


def test_the_grammar_says_what_the_facts_say_and_nothing_of_another_frame() -> None:
    soup = Facts("i1", {"title": 'The "big" soup', "price": 2.5}, offer="2.00 instead of 2.50", frame="save")
    written = grammar.of(framed(soup))
    assert '"The \\"big\\" soup"' in written
    assert '" The offer: 2.00 instead of 2.50."' in written
    assert "Stock up" not in written
    assert "Save on" not in grammar.of(framed(replace(soup, offer="")))


@pytest.mark.parametrize("frame", [None, *NAMES])
def test_titles_of_shelves_pass_as_well(frame: str | None) -> None:
    told = shelves.facts("TROPICAL FRUIT", frame=frame, asked=True)  # type: ignore[arg-type]
    for text in drawn(told, kind="title"):
        assert check(text, told, longest=shelves.LONGEST) == [], text


@pytest.mark.parametrize(
    ("dialect", "sent"), [("llama.cpp", "grammar"), ("vllm", "structured_outputs"), (None, "response_format")]
)
def test_each_server_is_asked_in_its_dialect_and_answers_in_plain_text(dialect: str | None, sent: str) -> None:
    behaviour, facts = Behaviour(says=lambda _: "Try Tea tonight."), Facts("i1", {"title": "Tea"})

    async def asked(url: str) -> str:
        endpoint = Endpoint(url=url, model=MODEL, grammar=dialect)  # type: ignore[arg-type]
        one = ModelWriter(Client(endpoint, KEY), Model(), prompts.texts("blurb@2"))
        try:
            found = await one.whole(facts, named(DEFAULT).write(facts, max_attributes=5))
            assert found.fallback is None, found
            return found.text
        finally:
            await one.client.close()

    with running(behaviour) as url:
        assert asyncio.run(asked(url)) == "Try Tea tonight."
    (body,) = behaviour.asked
    assert {"grammar", "structured_outputs", "response_format"} & set(body) == {sent}

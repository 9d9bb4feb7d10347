"""The writer by a model, against a server that speaks OpenAI's protocol: served, refused, late, away, dear."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.content.facts import Described, Facts
from components.content.llm import prompts, store
from components.content.llm.client import Client
from components.content.llm.settings import Endpoint
from components.content.llm.spec import Budget, Model
from components.content.llm.store import Cost, Store
from components.content.llm.writer import NAME, ModelWriter, Piece, Written
from tests.content.openai_server import KEY, MODEL, Behaviour, running
from tests.patience import patient

SOUP = Facts(
    "i1",
    {"title": "Leek soup", "category": "SOUP", "brand": "National", "price": 2.5},
    "history",
    {"weeks_bought": 24.0, "popular_share": 0.19},
    {"buy:SOUP": 0.4},
    verb="bought",
)
FIXED = Described("Leek soup.", "template@2", ("title",))
TRUE = "Leek soup by National for 2.50, a soup for your kitchen table at home."
LIE = "Organic leek soup from Italy."


@pytest.fixture
def server() -> Iterator[tuple[Behaviour, str]]:
    behaviour = Behaviour(says=lambda prompt: TRUE)
    with running(behaviour) as url:
        yield behaviour, url


def writer(url: str, folder: Path | None = None, *, key: str = KEY, model: str = MODEL, **spec: Any) -> ModelWriter:
    endpoint = {
        name: spec.pop(name) for name in ("person_facts", "structured", "price_in", "price_out") if name in spec
    }
    client = Client(Endpoint(url=url, model=model, **endpoint), key)
    spec = {"deadline_ms": int(patient(5) * 1000)} | spec
    return ModelWriter(client, Model(**spec), prompts.texts("blurb@1"), Store(folder) if folder else None)


def written(one: ModelWriter, facts: Facts = SOUP, **more: Any) -> tuple[Written, list[Piece]]:
    async def run() -> list[Piece | Written]:
        try:
            return [piece async for piece in one.write(facts, FIXED, **more)]
        finally:
            await one.client.close()

    found = asyncio.run(run())
    assert isinstance(found[-1], Written)
    return found[-1], [piece for piece in found[:-1] if isinstance(piece, Piece)]


def test_a_text_that_the_facts_bear_is_served_and_is_the_models(server: tuple[Behaviour, str]) -> None:
    whole, pieces = written(writer(server[1]))
    assert (whole.text, whole.source, whole.model, whole.fallback, whole.tries) == (TRUE, NAME, MODEL, None, 1)
    assert "".join(piece.text for piece in pieces) == TRUE
    assert whole.used == ("title", "category", "brand", "price")
    assert whole.cost.tokens > 20


def test_a_language_that_is_judged_by_nobody_is_asked_of_no_model(server: tuple[Behaviour, str]) -> None:
    whole, _ = written(writer(server[1], languages=("en",)), language="zh")
    assert (whole.text, whole.fallback, server[0].asked) == (FIXED.text, "language", [])
    assert written(writer(server[1], languages=("en",)))[0].fallback is None


def test_words_leave_before_the_last_exists(server: tuple[Behaviour, str]) -> None:
    behaviour, url = server
    behaviour.pause_s = 0.02
    left: list[float] = []

    async def run() -> None:
        one = writer(url)
        async for piece in one.write(SOUP, FIXED):
            if isinstance(piece, Piece):
                left.append(time.monotonic())
        await one.client.close()

    asyncio.run(run())
    assert left[0] < behaviour.sent[-1]
    assert len(left) >= 3


@pytest.mark.parametrize("structured", [True, False])
def test_an_endpoint_may_follow_a_schema_or_write_plain_text(server: tuple[Behaviour, str], structured: bool) -> None:
    whole, _ = written(writer(server[1], structured=structured))
    assert whole.text == TRUE
    assert ("response_format" in server[0].asked[0]) is structured


def test_a_lie_is_asked_for_again_with_the_reason_and_taken_back(server: tuple[Behaviour, str]) -> None:
    behaviour, url = server
    lie = f"Leek soup for your kitchen table at home is {LIE}"
    behaviour.says = lambda prompt: TRUE if "was refused" in prompt else lie
    whole, pieces = written(writer(url))
    assert (whole.text, whole.tries, whole.fallback) == (TRUE, 2, None)
    assert "'Organic': a name that the facts do not have" in behaviour.prompts[1]
    shown = pieces[: [piece.retract for piece in pieces].index(True)]
    assert shown
    assert "Organic" not in "".join(piece.text for piece in shown)


def test_who_lies_twice_is_not_served(server: tuple[Behaviour, str]) -> None:
    server[0].says = lambda prompt: LIE
    whole, pieces = written(writer(server[1]))
    assert (whole.text, whole.source, whole.model, whole.fallback) == (FIXED.text, "template@2", None, "ungrounded")
    assert (whole.tries, "".join(piece.text for piece in pieces)) == (2, "")


@pytest.mark.parametrize(
    ("broken", "why"), [("rubbish", "rubbish"), ("half", "rubbish"), ("endless", "endless"), ("down", "refused"),
                        ("plain", "rubbish")]
)  # fmt: skip
def test_a_broken_endpoint_costs_one_call_and_the_fixed_sentences_speak(
    server: tuple[Behaviour, str], broken: str, why: str
) -> None:
    server[0].broken = broken
    if broken == "endless":
        server[0].says = lambda prompt: "soup soup"
    whole, _ = written(writer(server[1], max_tokens=16))
    # An endless text is stopped by the checker as soon as it is too long, or says what no fact does.
    assert whole.fallback in ({why} | ({"ungrounded"} if broken == "endless" else set()))
    assert (whole.text, whole.source) == (FIXED.text, FIXED.source)


@pytest.mark.parametrize(("wrong", "why"), [({"key": "no"}, "refused"), ({"model": "other"}, "refused")])
def test_what_the_endpoint_refuses_is_no_text(server: tuple[Behaviour, str], wrong: dict[str, str], why: str) -> None:
    assert written(writer(server[1], **wrong))[0].fallback == why


def test_nobody_there() -> None:
    assert written(writer("http://127.0.0.1:9/v1"))[0].fallback == "away"


def test_a_slow_endpoint_is_given_up_at_the_deadline(server: tuple[Behaviour, str]) -> None:
    server[0].pause_s = 0.5
    began = time.monotonic()
    whole, _ = written(writer(server[1], deadline_ms=300))
    assert whole.fallback == "late"
    assert time.monotonic() - began < patient(2)


def test_another_language_is_refused(server: tuple[Behaviour, str]) -> None:
    server[0].says = lambda prompt: "Eine Lauchsuppe, die Sie schon kennen."
    assert written(writer(server[1]))[0].fallback == "ungrounded"


def test_facts_about_a_person_stay_here_unless_the_endpoint_may_have_them(server: tuple[Behaviour, str]) -> None:
    behaviour, url = server
    written(writer(url), person="ann-pseudonym")
    written(writer(url, person_facts=True), person="ann-pseudonym")
    assert ["24 weeks" in prompt for prompt in behaviour.prompts] == [False, True]
    assert ["buy SOUP" in prompt for prompt in behaviour.prompts] == [False, True]
    assert all("19% of all active users" in prompt for prompt in behaviour.prompts)
    assert not any("ann-pseudonym" in str(one) for one in behaviour.asked)


def test_a_claim_about_the_person_is_a_lie_where_the_model_was_not_told(server: tuple[Behaviour, str]) -> None:
    server[0].says = lambda prompt: "You bought this leek soup in 24 weeks."
    assert written(writer(server[1]))[0].fallback == "ungrounded"
    assert written(writer(server[1], person_facts=True))[0].fallback is None


def test_a_text_serves_again_and_another_persons_facts_do_not(server: tuple[Behaviour, str], tmp_path: Path) -> None:
    behaviour, url = server
    first, _ = written(writer(url, tmp_path, person_facts=True), person="ann")
    again, pieces = written(writer(url, tmp_path, person_facts=True), person="ann")
    assert (first.cached, again.cached, again.text, len(behaviour.asked)) == (False, True, TRUE, 1)
    assert [piece.text for piece in pieces] == [TRUE]
    other = Facts(SOUP.item_id, SOUP.attributes, "history", {"weeks_bought": 3.0}, verb="bought")
    written(writer(url, tmp_path, person_facts=True), other, person="bob")
    assert len(behaviour.asked) == 2


def test_another_prompt_or_model_makes_the_text_anew(server: tuple[Behaviour, str], tmp_path: Path) -> None:
    behaviour, url = server
    written(writer(url, tmp_path))
    changed = writer(url, tmp_path)
    changed.prompt = {language: text + "\nBe brief." for language, text in changed.prompt.items()}
    written(changed)
    written(writer(url, tmp_path, temperature=0.5))
    assert len(behaviour.asked) == 3


def test_forget_takes_out_what_says_something_of_a_person_and_nothing_else(
    server: tuple[Behaviour, str], tmp_path: Path
) -> None:
    behaviour, url = server
    for person in ("ann", "bob"):
        facts = Facts(SOUP.item_id, SOUP.attributes, "history", {"weeks_bought": float(len(behaviour.asked) + 3)},
                      verb="bought")  # fmt: skip
        written(writer(url, tmp_path, person_facts=True), facts, person=person)
    written(writer(url, tmp_path))  # of nobody
    assert store.forget(tmp_path, ["ann"]) == 1
    assert store.forget(tmp_path, ["ann"]) == 0
    assert b"ann" not in (tmp_path / store.FOLDER / store.FILE).read_bytes()
    written(writer(url, tmp_path))
    assert len(behaviour.asked) == 3


def test_a_budget_stops_hard_and_starts_again_the_next_day(server: tuple[Behaviour, str], tmp_path: Path) -> None:
    behaviour, url = server
    one = writer(url, tmp_path, budget=Budget(tokens=600), cache_days=0)
    outcomes = []
    for _ in range(4):
        outcomes.append(written(one)[0].fallback)
    assert outcomes[0] is None
    assert outcomes[-1] == "budget"
    assert one.store is not None
    assert one.store.spent(now=int(time.time())).tokens <= 600
    asked = len(behaviour.asked)
    assert written(one)[0].fallback == "budget"
    assert len(behaviour.asked) == asked
    one.clock = lambda: time.time() + store.DAY_S
    assert written(one)[0].fallback is None


def test_money_is_counted_by_the_endpoints_prices(server: tuple[Behaviour, str], tmp_path: Path) -> None:
    one = writer(
        server[1], tmp_path, price_in=1_000_000, price_out=2_000_000, budget=Budget(money=10_000), cache_days=0
    )
    whole, _ = written(one)
    assert whole.cost.money > whole.cost.tokens
    assert one.store is not None
    assert one.store.spent(now=int(time.time())).money == pytest.approx(whole.cost.money)


def test_claims_at_once_do_not_pass_the_budget_together(tmp_path: Path) -> None:
    both = [Store(tmp_path), Store(tmp_path)]  # two processes of a door
    claims = [one.claim(Cost(tokens=60), Budget(tokens=100), now=0) for one in both]
    assert claims == [True, False]
    both[0].settle(Cost(tokens=60), Cost(tokens=30), now=0)
    assert both[1].claim(Cost(tokens=60), Budget(tokens=100), now=0)


def test_calls_beyond_at_once_wait_no_longer_than_the_deadline(server: tuple[Behaviour, str]) -> None:
    server[0].pause_s = 0.2
    one = writer(server[1], at_once=1, deadline_ms=700)

    async def run() -> list[Written]:
        try:
            return await asyncio.gather(*(one.whole(SOUP, FIXED) for _ in range(3)))
        finally:
            await one.client.close()

    assert {found.fallback for found in asyncio.run(run())} == {"late"}

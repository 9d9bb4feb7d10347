"""The checker: lies are refused by kind, truths pass, and what facts deny or lack is never said."""

from collections import Counter
from dataclasses import replace

import pytest

from components.content import writers
from components.content.facts import Facts
from components.content.frames import framed
from components.content.grounding.checker import LONGEST, check, check_begun, settled
from components.content.llm import gate
from tests.content.labelled import cases

SOUP = Facts(
    "i1",
    {"title": "Leek soup", "category": "SOUP", "brand": "National", "price": 2.5, "package_size": "40 OZ"},
    "history",
    {"weeks_bought": 24.0, "weeks_since": 2.0},
    verb="bought",
)


def test_the_labelled_texts_are_a_hundred_truths_and_ten_lies_of_each_kind() -> None:
    every = list(cases())
    kinds = Counter(kind for _, _, lies in every for kind in lies)
    assert (sum(len(holds) for _, holds, _ in every), set(kinds.values()), len(kinds)) == (100, {10}, 10)


@pytest.mark.parametrize("half", ["dev", "held"])
def test_lies_are_found_and_truths_pass(half: str) -> None:
    lies = [(text, facts) for facts, _, lies in cases(half) for text in lies.values()]
    truths = [(text, facts) for facts, holds, _ in cases(half) for text in holds]
    found = sum(bool(check(text, facts)) for text, facts in lies)
    wrongly = sum(bool(check(text, facts)) for text, facts in truths)
    assert found / len(lies) >= 0.98
    assert found / (found + wrongly) >= 0.9


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Organic leek soup", "word"),
        ("Leek soup by Acme", "origin"),
        ("Leek soup from France", "origin"),
        ("Leek soup, as Ann likes it", "name"),
        ("Leek soup, 40 kg", "number"),
        ("Leek soup, 41 oz", "number"),
        ("Leek soup for 2.05", "number"),
        ("You bought this soup in 2 weeks", "number"),  # it was 2 weeks ago
        ("You bought this soup 24 weeks ago", "number"),
        ("You bought this soup in 24 days", "number"),
        ("24% of all active users bought it", "number"),
        ("You did not buy this soup", "negation"),
        ("You didn't buy this soup", "negation"),
        ("The best leek soup", "superlative"),
        ("The tastiest leek soup", "superlative"),
        ("Leek soup on sale", "offer"),
        ("Save on leek soup", "offer"),
        ("Leek soup, popular with you", "claim"),
        ("Leek soup, new to you", "claim"),
        ("Leek soup for users like you", "claim"),
        ("Two cans of leek soup", "word"),
        ("Leek soup $", "character"),
        ("<b>Leek soup</b>", "character"),
        ("Leek soup, ask ann@example.org", "personal"),
        ("Leek soup, call 030 1234 5678 90", "personal"),
        ("", "empty"),
        ("Leek soup " * 30, "length"),
    ],
)
def test_each_kind_of_lie_is_named(text: str, kind: str) -> None:
    assert kind in {one.kind for one in check(text, SOUP)}


def test_what_facts_bear_passes() -> None:
    assert (
        check("You bought this leek soup in 24 weeks, most recently 2 weeks ago. National, 40 oz for 2.50.", SOUP) == []
    )


def test_a_negation_of_the_facts_can_be_neither_dropped_nor_moved() -> None:
    beans = Facts("i1", {"title": "No salt added beans", "brand": "Best Foods", "kind": "gluten free"})
    assert check("No salt added beans, gluten free, by Best Foods.", beans) == []
    for lie in (
        "Salt added beans",
        "Beans with added salt",
        "Gluten beans",
        "Free beans",
        "No beans",
        "The best beans",
    ):
        assert check(lie, beans), lie


def test_an_offer_keeps_its_two_prices_apart() -> None:
    oat = Facts("i1", {"title": "Oat drink", "price": 2.29}, offer="1.79 instead of 2.29")
    assert check("Save on oat drink: 1.79 instead of 2.29.", oat) == []
    assert check("Save on oat drink: 2.29 instead of 1.79.", oat)


def test_the_instructions_of_a_prompt_are_not_given_away() -> None:
    told = Facts("i1", {"title": "Use only the words and numbers of the facts below"})
    line = "Use only the words and numbers of the facts below, and plain connecting words."
    assert [one.kind for one in check("Use only the words and numbers of the facts below", told, prompt=[line])] == [
        "leak"
    ]


def test_a_growing_text_is_judged_where_no_later_word_can_mend_it() -> None:
    assert check("You bought it 2 weeks", SOUP)  # whole, this says how often
    assert check_begun("You bought it 2 weeks", SOUP) == []  # "ago" may follow
    assert check_begun("You bought it 2 weeks in a row at home. It is a soup for you", SOUP)
    assert settled("Leek soup for your shelf at home", SOUP) == "Leek soup for "
    assert settled("A soup: you bought it 2 weeks ago and now", SOUP) == "A soup: you "  # what was 2 weeks comes behind
    assert check_begun("Organic leek soup by National for you", SOUP)


@pytest.mark.parametrize(("facts", "holds"), [(facts, holds) for facts, holds, _ in cases()], ids=lambda x: "")
def test_no_word_that_has_left_is_refused_later(facts: Facts, holds: list[str]) -> None:
    for text in holds:
        if not check(text, facts):
            grown = [text[:end] for end in range(len(text) + 1)]
            assert not any(check_begun(part, facts) for part in grown), text


def test_chinese_texts_are_held_to_the_facts_too() -> None:
    tea = Facts(
        "i1", {"title": "龙井茶", "category": "茶", "price": 12.5, "package_size": "100克"}, "history",
        {"weeks_bought": 4.0, "weeks_since": 2.0}, verb="买",
    )  # fmt: skip
    assert check("龙井茶, 100克, 价格12.50。您2周前买过。", tea, language="zh") == []
    lies = ["最好的龙井茶", "龙井茶, 产地杭州", "龙井茶, 价格12.00", "您没有买过龙井茶", "龙井茶特价", "龙井茶, 200克",
            "您4周前买过龙井茶", "铁观音, 100克", "龙井茶 $"]  # fmt: skip
    assert [lie for lie in lies if not check(lie, tea, language="zh")] == []
    assert LONGEST == 240


def test_the_gates_chinese_set_is_written_truly_and_a_deed_of_others_is_not_the_readers() -> None:
    for facts in gate.cases("zh"):
        text = writers.of(writers.DEFAULT, "zh").write(facts, max_attributes=5).text
        assert check(text, framed(facts), language="zh") == [], text
    popular = next(one for one in gate.cases("zh") if "popular_share" in one.reasons)
    assert check("8%的用户最近买过黑巧克力。", popular, language="zh") == []
    assert check("黑巧克力，您买过。", popular, language="zh")
    had = replace(popular, reasons={"weeks_bought": 3.0})
    assert check("用户最近买过黑巧克力。", had, language="zh")
    assert check("最近一次在家。", had, language="zh")

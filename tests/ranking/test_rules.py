"""Rules over ranked items: values by hand, clashes by name."""

import datetime as dt
import re
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from components.ranking.rules import book, clashes, listing
from components.ranking.rules.book import DAY, Asked, Items, RuleBook
from components.ranking.rules.expression import parse, require_fits
from components.ranking.rules.masks import kinds, mask
from components.ranking.rules.spec import RULE, Placement, require_known_placements
from feature_repo.documents.changes import Newest
from feature_repo.errors import DataError

NOW = int(dt.datetime(2026, 12, 10, tzinfo=dt.UTC).timestamp())
TABLE = pa.table(
    {
        "item_index": range(8),
        "item_id": [f"i{n}" for n in range(8)],
        "title": ["ale", "stout", "red", "white", "leek", "pea", "roll", None],
        "category": ["BEER", "BEER", "WINE", "WINE", "SOUP", "SOUP", "BREAD", None],
        "price": [2.0, 3.0, 9.0, 12.0, 2.5, 2.5, None, 1.0],
        "stock": pa.array([5, 0, 1, None, 2, 2, 9, 1], pa.int32()),
        "tags": [["cold"], [], ["gift", "dry"], ["gift"], [], ["new"], None, []],
        "organic": [True, False, None, True, False, False, True, None],
        "first_seen": pa.array(
            [dt.datetime(2026, 12, d, tzinfo=dt.UTC) if d else None for d in (1, 1, 1, 9, 1, 8, 0, 0)],
            pa.timestamp("us", "UTC"),
        ),
    }
)
ITEMS = Items(TABLE, {f"i{n}": n for n in range(8)}, learnt=7, event_kinds=("purchase", "view"), impressions=True)
RANKED = [0, 1, 2, 3, 4, 5, 6, 7]


def rule(kind: str, name: str = "", **fields: Any) -> Any:
    return RULE.validate_python({"kind": kind, "name": name or kind} | fields)


def read(*rules: Any, items: Items = ITEMS) -> tuple[book.ReadRule, ...]:
    return book.read(rules, {}, items).rules


def listed(*rules: Any, k: int = 8, ranked: list[int] = RANKED, **asked: Any) -> listing.Listing:
    wanted = Asked(**({"now": NOW} | asked))
    held = RuleBook(read(*rules)).for_list(wanted)
    return listing.listed(ranked, held, wanted, k=k)


@pytest.mark.parametrize(
    ("where", "about"),
    [
        ("category = 'BEER'", [0, 1]),
        ("category != 'BEER'", [2, 3, 4, 5, 6]),  # of what is unknown nothing is true
        ("not category = 'BEER'", [2, 3, 4, 5, 6, 7]),
        ("category in ['BEER', \"WINE\"] and price >= 3", [1, 2, 3]),
        ("category not in ['BEER', 'WINE']", [4, 5, 6]),
        ("price < 2.5 or price is unknown", [0, 6, 7]),
        ("price > -1 and not (category starts with 'S' or tags has 'gift')", [0, 1, 7]),
        ("category = 'BEER' or category = 'WINE' and price > 10", [0, 1, 3]),  # and binds closer
        ("organic = true", [0, 3, 6]),
        ("organic != true", [1, 4, 5]),
        ("`stock` = 2", [4, 5]),
        ("first_seen is known and title == 'pea'", [5]),
        ("item_id in ['i3', 'nobody']", [3]),
    ],
)
def test_an_expression_is_about_these_items(where: str, about: list[int]) -> None:
    expression = parse(where)
    require_fits(expression, kinds(TABLE))
    assert np.flatnonzero(mask(expression, TABLE)).tolist() == about


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("", "the end after 0 words is not allowed in ''; allowed: a column, not, or ("),
        ("category", "the end after 1 words is not allowed"),
        ("category = BEER", "'BEER' after 2 words is not allowed in 'category = BEER'; allowed: 'text', a number"),
        ("price < 1 price", "'price' after 3 words is not allowed in 'price < 1 price'; allowed: and, or, or the end"),
        ("(price < 1", "the end after 4 words is not allowed in '(price < 1'; allowed: )"),
        ("price in [1, ]", "']' after 5 words"),
        ("price < 1; import os", "'; import os' is no part of an expression"),
        ("__import__('os')", "after 1 words is not allowed"),
        ("price < 1e9", "is no part of an expression"),
        ("(" * 20 + "price < 1" + ")" * 20, "more than 16"),
        ("not " * 20 + "price < 1", "more than 16"),
        ("price < 1 or " * 100, "characters; allowed: at most 1000"),
    ],
)
def test_what_is_no_expression_is_refused_where_it_breaks_off(where: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        parse(where)


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("categry = 'BEER'", "items have no column 'categry'; did you mean 'category'?; have item_id, title"),
        ("category < 'BEER'", "category <: is not for a column of kind text; allowed: =, !=, in"),
        ("price = 'dear'", "price = 'dear': is of another kind; allowed: a number"),
        ("organic = 1", "organic = 1.0: is of another kind; allowed: true or false"),
        ("price = true", "price = True: is of another kind"),
        ("tags = 'gift'", "tags =: is not for a column of kind texts; allowed: has"),
    ],
)
def test_an_expression_that_the_items_do_not_fit_is_a_problem_by_name(where: str, said: str) -> None:
    (found,) = read(rule("filter", where=where))
    assert said in found.problem
    with pytest.raises(DataError, match="rules: filter 'filter': where: "):
        clashes.require_none([found], ITEMS, segments=(), max_k=50)


def test_a_filter_hides_and_what_is_short_is_said() -> None:
    found = listed(rule("filter", where="category in ['BEER', 'WINE']"), k=5)
    assert (found.items, found.took) == ((4, 5, 6, 7), ("filter",))
    assert listed(rule("filter", where="category = 'BEER'"), k=3).took == (), "a whole list is short of nothing"


@pytest.mark.parametrize(
    ("rules", "items"),
    [
        ([rule("boost", where="category = 'BREAD'", places=5)], (0, 6, 1, 2, 3, 4, 5, 7)),
        ([rule("boost", where="category = 'BREAD'", places=500)], (6, 0, 1, 2, 3, 4, 5, 7)),
        ([rule("bury", where="category = 'BEER'", places=2)], (2, 0, 3, 1, 4, 5, 6, 7)),
        ([rule("bury", where="category = 'BEER'")], (2, 3, 4, 5, 6, 7, 0, 1)),
        ([rule("pin", item="i7", place=2)], (0, 7, 1, 2, 3, 4, 5, 6)),
        ([rule("cap", column="category", at_most=1)], (0, 2, 4, 6, 7)),
        ([rule("cap", column="tags", at_most=1)], (0, 1, 2, 4, 5, 6, 7)),
        ([rule("cap", column="category", at_most=1, where="category = 'WINE'")], (0, 1, 2, 4, 5, 6, 7)),
        ([rule("stock", column="stock")], (0, 2, 4, 5, 6, 7)),
        ([rule("stock", column="stock", least=2, unknown="show")], (0, 3, 4, 5, 6)),
        ([rule("price", least=2.5, most=9)], (1, 2, 4, 5)),
        ([rule("price", most=2.5, unknown="show")], (0, 4, 5, 6, 7)),
    ],
)
def test_each_kind_does_what_it_says(rules: list[Any], items: tuple[int, ...]) -> None:
    found = listed(*rules)
    assert (found.items, found.unmet) == (items, ())


def test_windows_hide_what_was_had_and_shown_since() -> None:
    had = {"": {0: NOW - 3 * DAY, 1: NOW - 8 * DAY}, "purchase": {1: NOW - DAY}}
    assert listed(rule("bought", days=7), had=had).items == (1, 2, 3, 4, 5, 6, 7)
    assert listed(rule("bought", days=7, event="purchase"), had=had).items == (0, 2, 3, 4, 5, 6, 7)
    assert listed(rule("shown", days=1), shown={5: NOW - DAY, 6: NOW - DAY - 1}).items == (0, 1, 2, 3, 4, 6, 7)


def test_a_share_of_new_items_is_filled_with_the_best_of_them() -> None:
    # i3 and i5 were first seen two days ago or less; i7 came after training.
    found = listed(rule("new", share=0.5, days=3), k=4)
    assert (found.items, found.unmet) == ((0, 1, 3, 5), ())
    short = listed(rule("new", share=1, days=3), k=4)
    assert short.items == (0, 3, 5, 7)
    assert [(one.rule, one.why) for one in short.unmet] == [
        ("new", "3 of 4 new items: no more may be shown in this list")
    ]


def test_a_pin_gives_way_to_what_hides_it_and_says_so() -> None:
    found = listed(rule("pin", item="i1", place=1), rule("bought", days=7), had={"": {1: NOW}}, k=3)
    assert (found.items, found.unmet[0].why) == ((0, 2, 3), "item 'i1': is hidden by bought")
    assert listed(rule("pin", item="i1", place=1), ranked=[0, 2]).unmet[0].why.endswith("may not be shown in this list")
    beyond = listed(rule("pin", item="i1", place=9))
    assert beyond.unmet[0].why == "item 'i1': place 9 is beyond the 8 items of the list"
    ends = listed(rule("pin", item="i7", place=6), rule("filter", where="price > 2"))
    assert (ends.items, ends.unmet[0].why) == ((0, 6, 7), "the list ends before place 6; it is at 3")
    capped = listed(rule("pin", "a", item="i0", place=1), rule("pin", "b", item="i1", place=2),
                    rule("cap", column="category", at_most=1))  # fmt: skip
    assert (capped.items[:2], capped.unmet[0].why) == ((0, 2), "item 'i1': is above the cap cap")


def test_a_rule_holds_at_its_placement_for_its_segment_from_start_to_end() -> None:
    hide = rule("filter", where="item_id = 'i0'", placements=["home"], segments=["soup"],
                start="2026-12-10T00:00:00Z", end="2026-12-11T00:00:00+00:00")  # fmt: skip
    here = {"placement": "home", "segment": "soup"}
    assert 0 not in listed(hide, **here).items
    others = [here | {"placement": "basket"}, here | {"placement": None}, here | {"segment": None},
              here | {"now": NOW - 1}, here | {"now": NOW + DAY}]  # fmt: skip
    assert all(0 in listed(hide, **other).items for other in others)


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ([rule("pin", "a", item="i0", place=1), rule("pin", "b", item="i1", place=1)],
         "pin 'a': wants place 1 for 'i0', and so does pin 'b' for 'i1'"),
        ([rule("pin", "a", item="i0", place=1), rule("pin", "b", item="i0", place=2)],
         "pin 'a': wants 'i0' at place 1, and pin 'b' at place 2"),
        ([rule("pin", "a", item="i0", place=1), rule("filter", "b", where="category = 'BEER'")],
         "pin 'a': pins 'i0', which filter 'b' hides"),
        ([rule("pin", "a", item="i2", place=1)], "pin 'a': item: 'i2' is withdrawn"),
        ([rule("pin", "a", item="x", place=1)], "pin 'a': item: 'x' is no item that is shown"),
        ([rule("pin", "a", item="i0", place=51)], "pin 'a': place: 51 is beyond serving.max_k 50"),
        ([rule("boost", "a", where="category = 'BEER'", places=1), rule("bury", "b", where="category in ['BEER']")],
         "boost 'a': is about the same items as bury 'b'"),
        ([rule("price", "a", most=2.4), rule("price", "b", least=3)], "leaves nothing to show beside price"),
        ([rule("filter", "a", where="price is known or price is unknown")], "filter 'a': leaves nothing to show"),
        ([rule("pin", "a", item="i0", place=1), rule("pin", "b", item="i1", place=2),
          rule("cap", "c", column="category", at_most=1)], "cap 'c': allows 1 of 'BEER', and pins 'a', 'b' want 2"),
        ([rule("cap", "a", column="colour", at_most=1)], "cap 'a': column: items have no column 'colour'"),
        ([rule("stock", "a", column="title")], "stock 'a': column: title holds no numbers"),
        ([rule("bought", "a", days=1, event="cart")], "event: rows keep no record of 'cart'; have purchase"),
        ([rule("filter", "a", where="price > 2", segments=["soups"])],
         "filter 'a': segments: 'soups' is no segment; have soup; did you mean 'soup'?"),
    ],
)  # fmt: skip
def test_clashes_are_refused_by_name(rules: list[Any], said: str) -> None:
    items = Items(TABLE, ITEMS.places, 7, withdrawn=frozenset({2}), event_kinds=("purchase",))
    with pytest.raises(DataError) as refused:
        clashes.require_none(read(*rules, items=items), items, segments=["soup"], max_k=50)
    assert said in str(refused.value)


def test_what_never_meets_does_not_clash() -> None:
    a, b = ({"item": "i0", "place": 1}, {"item": "i1", "place": 1})
    apart = [
        (a | {"placements": ["home"]}, b | {"placements": ["basket"]}),
        (a | {"segments": ["soup"]}, b | {"segments": ["bread"]}),
        (a | {"end": "2026-12-01T00:00:00Z"}, b | {"start": "2026-12-01T00:00:00Z"}),
    ]
    for mine, theirs in apart:
        rules = read(rule("pin", "a", **mine), rule("pin", "b", **theirs))
        clashes.require_none(rules, ITEMS, segments=["soup", "bread"], max_k=50)


def test_shown_needs_impressions() -> None:
    (found,) = read(rule("shown", days=1), items=Items(TABLE, ITEMS.places, 7))
    assert "models.ranking.impression" in found.problem
    kept = listing.listed(RANKED, [found], Asked(NOW), k=2)
    assert (kept.items, [one.rule for one in kept.unmet]) == ((0, 1), ["shown"]), "it is said in each answer"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"kind": "hide", "where": "price > 1"}, "filter"),
        ({"kind": "filter", "where": "price >"}, "the end after 2 words"),
        ({"kind": "filter", "where": "price > 1", "until": "x"}, "until"),
        ({"kind": "pin", "item": "i0", "place": "1"}, "place"),
        ({"kind": "pin", "item": "i0", "place": 0}, "place"),
        ({"kind": "price"}, "say least, most, or both"),
        ({"kind": "price", "least": 3, "most": 2}, "no price is in the band"),
        ({"kind": "new", "share": 1.5, "days": 1}, "share"),
        ({"kind": "bought", "days": 0}, "days"),
        ({"kind": "bought", "days": 1, "start": "2026-01-01"}, "a time with its offset"),
        ({"kind": "bought", "days": 1, "start": 0}, "a time with its offset"),
        ({"kind": "bought", "days": 1, "start": "2026-02-02T00:00:00Z", "end": "2026-02-01T00:00:00Z"}, "never holds"),
        ({"kind": "bought", "days": 1, "name": "No Caps"}, "name"),
    ],
)
def test_a_rule_that_is_none_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        RULE.validate_python({"name": "a"} | given)
    assert said in str(refused.value)


def test_a_rule_for_an_unknown_placement_is_refused_with_the_nearest() -> None:
    rules = [rule("bought", days=1, placements=["hom"])]
    with pytest.raises(ValueError, match=r"rules\[0\].placements: 'hom' is no placement; have home; did you mean"):
        require_known_placements(rules, {"home": Placement()})


def test_the_log_changes_and_removes_the_specs_rules_by_name() -> None:
    spec = [rule("bought", "a", days=1), rule("bought", "b", days=1)]
    documents = {
        "a": Newest("rule", "a", 1, (1, 0), {"removed": True}),
        "b": Newest("rule", "b", 2, (1, 1), rule("bought", "b", days=9).document()),
        "c": Newest("rule", "c", 2, (2, 0), None),
    }
    assert [(one.name, one.days) for one in book.merged(spec, documents)] == [("b", 9)]


CATEGORIES, TAGS = ("A", "B", "C", None), ("x", "y")

"""A rule as a form and back: what nobody touches stays as it was, and what is typed wrongly is named."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentos.console.forms import parsed
from bentos.console.ports.rules import Column, Cost
from bentos.console.rule_forms import FIELDS, Condition, Fields, document_of, fields_of, typed
from bentos.console.rule_words import SAYS, sentence, verdict
from bentos.http.problems import Rejected
from components.ranking.rules import expression
from components.ranking.rules.spec import RULE

ZONE = "America/New_York"
COLUMNS = (
    Column("category", "text", expression.OPERATORS["text"]),
    Column("price", "number", expression.OPERATORS["number"]),
    Column("new one", "flag", expression.OPERATORS["flag"]),
    Column("in", "text", expression.OPERATORS["text"]),
    Column("tags", "texts", expression.OPERATORS["texts"]),
)
RULES: list[dict[str, Any]] = [
    {"kind": "filter", "name": "no beer", "where": "category = 'BEER'"},
    {"kind": "filter", "name": "a", "where": "category in ['BEER', 'WINE, RED'] and price < 2.5 and `new one` = true"},
    {"kind": "filter", "name": "b", "where": "category = 'A' or category is unknown or tags has \"it's\""},
    {"kind": "filter", "name": "c", "where": "not (price < 2 or category = 'A') and `in` != 'x'"},
    {"kind": "cap", "name": "two", "column": "category", "at_most": 2, "where": "price >= -0.25"},
    {"kind": "cap", "name": "three", "column": "category", "at_most": 3},
    {"kind": "pin", "name": "p", "item": "1082185", "place": 1, "placements": ["home", "basket"], "segments": ["s 1"]},
    {"kind": "boost", "name": "up", "where": "price > 1", "places": 5},
    {"kind": "bury", "name": "down", "where": "price > 1"},
    {"kind": "price", "name": "band", "least": 0.1, "most": 99.999, "unknown": "show"},
    {"kind": "stock", "name": "s", "column": "price", "least": 3.0},
    {"kind": "bought", "name": "again", "days": 2.5, "event": "view"},
    {"kind": "shown", "name": "seen", "days": 7.0},
    {"kind": "new", "name": "n", "share": 1 / 3, "days": 14.0},
    {"kind": "new", "name": "n", "share": 0.07, "days": 1e-7},
    {"kind": "shown", "name": "t", "days": 1.0, "start": "2026-12-01T00:00:00Z", "end": "2026-12-25T00:00:30.25+01:00"},
    {"kind": "shown", "name": "u", "days": 1.0, "start": "2026-11-01T05:30:00Z", "end": "2026-11-01T06:30:00Z"},
]


def sent(fields: Fields) -> Fields:
    """What a browser sends of a form that nobody touched, as the page reads it."""
    from urllib.parse import urlencode

    pairs = [("kind", fields.kind), ("name", fields.name), ("join", fields.join), ("where", fields.where)]
    pairs += [*fields.values.items(), *fields.times.items(), *((f"{k}.was", v) for k, v in fields.was.items())]
    pairs += [("placements", one) for one in fields.placements] + [("segments", one) for one in fields.segments]
    for number, row in enumerate(fields.rows):
        pairs += [
            (f"column.{number}", row.column),
            (f"operator.{number}", row.operator),
            (f"value.{number}", row.value),
        ]
    return typed(parsed(urlencode(pairs).encode()))


def kept(document: dict[str, Any]) -> dict[str, Any]:
    """The rule as the product reads it, `where` by what it means."""
    rule = RULE.validate_python(document)
    where = getattr(rule, "where", None)
    return rule.document() | {"where": expression.parse(where) if where else None}


@pytest.mark.parametrize("document", RULES, ids=lambda one: one["name"])
def test_what_nobody_touches_is_saved_as_it_was(document: dict[str, Any]) -> None:
    back = document_of(sent(fields_of(document, ZONE)), COLUMNS, ZONE)
    assert kept(back) == kept(document)
    assert (back.get("start"), back.get("end")) == (document.get("start"), document.get("end"))


@given(share=st.floats(1e-6, 1.0), days=st.floats(1e-6, 3650.0), price=st.floats(-1e12, 1e12))
def test_every_number_comes_back_whole(share: float, days: float, price: float) -> None:
    new = {"kind": "new", "name": "n", "share": share, "days": days}
    back = document_of(sent(fields_of(new, ZONE)), COLUMNS, ZONE)
    assert (back["share"], back["days"]) == (share, days)
    band = document_of(sent(fields_of({"kind": "price", "name": "p", "least": price}, ZONE)), COLUMNS, ZONE)
    assert band["least"] == price


def test_conditions_are_rows_where_rows_say_the_same_and_text_where_they_do_not() -> None:
    two = fields_of(RULES[1], ZONE)
    assert two.join == "all"
    assert two.conditions == (
        Condition("category", "in", 'BEER, "WINE, RED"'),
        Condition("price", "<", "2.5"),
        Condition("new one", "=", "true"),
    )
    assert fields_of(RULES[2], ZONE).join == "any"
    assert (fields_of(RULES[3], ZONE).conditions, fields_of(RULES[3], ZONE).where) == ((), RULES[3]["where"])


def test_a_clock_of_the_shop_becomes_an_instant() -> None:
    base = Fields("shown", "t", {"days": "1"})
    december = Fields("shown", "t", {"days": "1"}, times={"start": "2026-12-01T08:00"})
    july = Fields("shown", "t", {"days": "1"}, times={"start": "2026-07-01T08:00"})
    assert "start" not in document_of(base, COLUMNS, ZONE)
    assert document_of(december, COLUMNS, ZONE)["start"] == "2026-12-01T08:00:00-05:00"
    assert document_of(july, COLUMNS, ZONE)["start"] == "2026-07-01T08:00:00-04:00"


def filtered(*conditions: Condition) -> Fields:
    return Fields("filter", "a", conditions=conditions)


COLUMN_NAMES = "category, price, new one, in, tags"
KINDS_NAMED = "filter, cap, pin, boost, bury, price, stock, bought, shown, new"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (Fields("hide", "a"), f"kind: 'hide' is no kind of rule; allowed: {KINDS_NAMED}"),
        (
            Fields("pin", "a", {"item": "1", "place": "first"}),
            "place: 'first' is no whole number; allowed: a whole number, such as 3",
        ),
        (
            Fields("cap", "a", {"at_most": "1234567890"}),
            "at_most: '1234567890' is no whole number; allowed: a whole number, such as 3",
        ),
        (Fields("price", "a", {"least": "2,50"}), "least: '2,50' is no number; allowed: a number such as 2.50"),
        (Fields("price", "a", {"most": "nan"}), "most: 'nan' is no number; allowed: a number such as 2.50"),
        (
            filtered(Condition("", "=", "x")),
            "condition 1: 'x' stands beside no column; allowed: a column, or no value",
        ),
        (
            filtered(Condition("price", "<", "2"), Condition("colour", "=", "x")),
            f"condition 2: items have no column 'colour'; allowed: {COLUMN_NAMES}",
        ),
        (filtered(Condition("price", "<", "x")), "condition 1: 'x' is no number; allowed: a number such as 2.50"),
        (
            filtered(Condition("price", "<", "")),
            "condition 1: price < what? The value is missing; allowed: a value, or 'is unknown'",
        ),
        (
            filtered(Condition("price", "is known", "2")),
            "condition 1: 'is known' takes no value, and '2' was given; allowed: no value",
        ),
        (
            filtered(Condition("new one", "=", "ja")),
            "condition 1: 'ja' is neither true nor false; allowed: true or false",
        ),
        (
            filtered(Condition("category", "=", "a'b\"c")),
            "condition 1: the value has both kinds of quotes; allowed: one kind of quotes in it",
        ),
        (
            filtered(Condition("category", "in", "tea\rsoup")),
            "condition 1: 'tea\rsoup' is no list: new-line character seen in unquoted field - do you need to open the "
            "file in universal-newline mode?; allowed: values with commas between",
        ),
        (
            Fields("filter", "a", conditions=(Condition("price", "=", "1"),), where="price = 1"),
            "where: there are conditions and a text; allowed: one of the two: empty the other",
        ),
        (
            Fields("shown", "a", times={"start": "soon"}),
            "start: 'soon' is no time; allowed: a date and a time, such as 2026-12-01T08:00",
        ),
        (
            Fields("shown", "a", times={"end": "2026-03-08T02:30"}),
            f"end: '2026-03-08T02:30' is no time of {ZONE}: clocks are put forward then; allowed: an hour later",
        ),
    ],
)
def test_what_is_typed_wrongly_is_one_line_with_its_place(fields: Fields, said: str) -> None:
    with pytest.raises(Rejected) as refused:
        document_of(fields, COLUMNS, ZONE)
    assert str(refused.value) == said


def test_a_form_has_room_for_one_condition_more_and_for_no_more_than_twenty() -> None:
    def of(count: int) -> Fields:
        return fields_of({"kind": "filter", "name": "a", "where": " and ".join(["price < 2"] * count)}, ZONE)

    assert [len(of(count).rows) for count in (1, 2, 3, 7, 19)] == [3, 3, 4, 8, 20]
    assert (of(20).conditions, of(20).where.count("price")) == ((), 20), "more than rows can show is text"
    assert len(Fields("filter").rows) == 3


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("document", RULES, ids=lambda one: one["name"])
def test_every_rule_is_a_sentence_that_names_what_it_is_about(document: dict[str, Any], language: str) -> None:
    said = sentence(language, document, ZONE)
    assert "{" not in said
    for name in ("where", "item", "column", "event"):
        assert str(document.get(name, "")) in said
    for one in (*document.get("placements", ()), *document.get("segments", ())):
        assert one in said


def test_the_sentence_says_the_shop_s_clock() -> None:
    assert sentence("en", RULES[15], ZONE) == (
        "Hides what somebody was shown in the last 1 days, from 2026-11-30 19:00 -0500 (America/New_York), "
        "until 2026-12-24 18:00 -0500 (America/New_York)."
    )


def test_every_kind_has_a_form_and_a_sentence() -> None:
    kinds = {kind.model_fields["kind"].annotation.__args__[0] for kind in _kinds()}
    assert set(FIELDS) == set(SAYS) == kinds


def _kinds() -> Any:
    from components.ranking.rules.spec import KINDS

    return KINDS


def test_every_field_of_a_kind_is_in_its_form() -> None:
    shared = {"kind", "name", "placements", "segments", "start", "end", "where"}
    for kind in _kinds():
        name = kind.model_fields["kind"].annotation.__args__[0]
        assert set(kind.model_fields) - shared == set(FIELDS[name])


@pytest.mark.parametrize(
    ("low", "high", "rows", "said"),
    [
        (-0.2, -0.1, 9, "rules.cost_worse"),
        (0.1, 0.2, 9, "rules.cost_better"),
        (-0.1, 0.2, 9, "rules.cost_unclear"),
        (0.0, 0.0, 9, "rules.cost_same"),
        (0.0, 0.0, 0, "rules.cost_nothing"),
        (math.nan, math.nan, 9, "rules.cost_nothing"),
    ],
)
def test_a_cost_is_said_by_its_interval(low: float, high: float, rows: int, said: str) -> None:
    assert verdict(Cost({}, {}, (low, low, high), 0.0, rows)) == said

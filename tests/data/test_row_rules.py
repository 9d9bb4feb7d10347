"""Rules about one row: their names, their words, their verdicts and where they cannot be asked."""

import re
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from components.data.row_rules import LIST, NUMBER, OTHER, TEXT, TIME, Asked, RowRule, kind_of

HELD = {
    "n": "double",
    "whole": "int64",
    "at": "timestamp[us, tz=UTC]",
    "until": "date32[day]",
    "text": "string",
    "more": "large_string",
    "tags": "list<item: string>",
    "flag": "bool",
    "money": "decimal128(9, 2)",
}


def rule(expect: str, **given: Any) -> Any:
    return TypeAdapter(RowRule).validate_python({"expect": expect, **given})


def compared(op: str, column: str = "n", other: str = "whole") -> Any:
    return rule("compare", column=column, op=op, other=other)


@pytest.mark.parametrize(
    ("held", "kind"),
    [
        ("double", NUMBER), ("float", NUMBER), ("halffloat", NUMBER), ("int8", NUMBER), ("uint64", NUMBER),
        ("decimal128(9, 2)", NUMBER), ("timestamp[us, tz=UTC]", TIME), ("date32[day]", TIME), ("string", TEXT),
        ("large_string", TEXT), ("list<item: string>", LIST), ("large_list<item: int64>", LIST),
        ("fixed_size_list<item: float>[3]", LIST), ("bool", OTHER), ("binary", OTHER), ("time64[us]", OTHER),
    ],
)  # fmt: skip
def test_types_are_of_a_kind(held: str, kind: str) -> None:
    assert kind_of(held) == kind


@pytest.mark.parametrize(
    ("asked", "words", "named", "shown"),
    [
        (rule("not_null", column="n"), "n is given", ["n"], ["n"]),
        (rule("between", column="n", min=-5, max=2.5), "n is at least -5 and at most 2.5", ["n"], ["n"]),
        (rule("between", column="n", min=0), "n is at least 0", ["n"], ["n"]),
        (rule("between", column="n", max=100000), "n is at most 100000", ["n"], ["n"]),
        (rule("one_of", column="n", values=[1, 2.5, "a"]), "n is one of 1, 2.5, a", ["n"], ["n"]),
        (rule("one_of", column="n", values=list("abcdefgh")), "n is one of a, b, c, d, e, f, g, h", ["n"], ["n"]),
        (rule("one_of", column="n", values=list("abcdefghi")), "n is one of a, b, c, d, e, f, g, h, …", ["n"], ["n"]),
        (rule("matches", column="text", pattern="[0-9]+"), "text matches [0-9]+", ["text"], ["text"]),
        (compared("<"), "n is below whole", ["n", "whole"], ["n < whole"]),
        (compared("<="), "n is at most whole", ["n", "whole"], ["n <= whole"]),
        (compared("=="), "n is equal to whole", ["n", "whole"], ["n == whole"]),
        (compared("!="), "n is other than whole", ["n", "whole"], ["n != whole"]),
        (compared(">="), "n is at least whole", ["n", "whole"], ["n >= whole"]),
        (compared(">"), "n is above whole", ["n", "whole"], ["n > whole"]),
    ],
)
def test_a_rule_says_what_it_asks_and_of_which_columns(
    asked: Any, words: str, named: list[str], shown: list[str]
) -> None:
    assert (asked.asks, asked.named, asked.shown) == (words, named, shown)
    assert (asked.severity, asked.mostly) == ("critical", 1.0)


BETWEEN = rule("between", column="n", min=1, max=3)
LETTERS = rule("one_of", column="text", values=["a", 1])


@pytest.mark.parametrize(
    ("asked", "row", "broken"),
    [
        (rule("not_null", column="n"), {"n": 0}, False),
        (rule("not_null", column="n"), {"n": None}, True),
        (rule("not_null", column="n"), {}, True),
        *((BETWEEN, {"n": n}, broken) for n, broken in ((0.9, True), (1, False), (3, False), (3.1, True))),
        (BETWEEN, {"n": None}, False),
        (BETWEEN, {}, False),
        (rule("between", column="n", min=1), {"n": 99}, False),
        (rule("between", column="n", max=3), {"n": -99}, False),
        (LETTERS, {"text": "a"}, False),
        (LETTERS, {"text": "1"}, False),  # texts are compared as texts
        (LETTERS, {"text": "b"}, True),
        (rule("one_of", column="n", values=[1, 2]), {"n": 2.0}, False),
        (rule("one_of", column="n", values=[1, 2]), {"n": 3}, True),
        (rule("matches", column="text", pattern="a|bc"), {"text": "a"}, False),
        (rule("matches", column="text", pattern="a|bc"), {"text": "abc"}, True),
        (rule("matches", column="text", pattern="a"), {"text": "a\n"}, True),
        *((compared("<"), {"n": n, "whole": 2}, broken) for n, broken in ((1, False), (2, True), (3, True))),
        *((compared("<="), {"n": n, "whole": 2}, broken) for n, broken in ((1, False), (2, False), (3, True))),
        *((compared("=="), {"n": n, "whole": 2}, broken) for n, broken in ((1, True), (2, False), (3, True))),
        *((compared(">="), {"n": n, "whole": 2}, broken) for n, broken in ((1, True), (2, False), (3, False))),
        *((compared(">"), {"n": n, "whole": 2}, broken) for n, broken in ((1, True), (2, True), (3, False))),
        (compared(">"), {"n": None, "whole": 2}, False),
        (compared(">"), {"n": 1, "whole": None}, False),
    ],
)
def test_a_row_keeps_to_a_rule_or_breaks_it(asked: Any, row: dict[str, Any], broken: bool) -> None:
    assert asked.broken_by(row) is broken


LISTS = "'tags' holds lists, of which only not_null can be asked"


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (rule("not_null", column="tags"), None),
        (rule("between", column="n", min=1), None),
        (rule("between", column="money", min=1), None),
        (rule("between", column="at", min=1), "asks for numbers and the column holds timestamp[us, tz=UTC]; "
         "use one_of or not_null"),
        (rule("between", column="tags", min=1), LISTS),
        (rule("one_of", column="text", values=["a"]), None),
        (rule("one_of", column="more", values=["a", 1]), None),
        (rule("one_of", column="text", values=[1]), None),
        (rule("one_of", column="n", values=[1]), None),
        (rule("one_of", column="n", values=[1, "a"]), "the column holds double; give numbers, not [1, 'a']"),
        (rule("one_of", column="tags", values=["a"]), LISTS),
        (rule("matches", column="text", pattern="a"), None),
        (rule("matches", column="n", pattern="a"), "asks for texts and the column holds double; use between"),
        (rule("matches", column="tags", pattern="a"), LISTS),
        (compared("<"), None),
        (compared(">", "at", "until"), None),
        (compared("==", "text", "more"), None),
        (compared("<", "text", "more"), "texts can only be equal or not; use op: '==' or '!=', or other columns "
         "than 'text'"),
        (compared("==", "flag", "flag2"), None),
        (compared("<", "n", "at"), "'n' holds double and 'at' holds timestamp[us, tz=UTC]; "
         "compare columns of one kind"),
        (compared("==", "tags", "tags2"), LISTS),
    ],
)  # fmt: skip
def test_a_rule_that_cannot_be_asked_of_a_column_says_why(asked: Any, told: str | None) -> None:
    held = HELD | {"flag2": "bool", "tags2": "list<item: string>"}
    assert asked.misfit(held) == told


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"expect": "between", "column": "n"}, "give min, max or both"),
        ({"expect": "between", "column": "n", "min": 3, "max": 2}, "min 3.0 is above max 2.0"),
        ({"expect": "between", "column": "n", "min": float("nan")}, "finite number"),
        ({"expect": "one_of", "column": "n", "values": []}, "at least 1 item"),
        ({"expect": "matches", "column": "n", "pattern": ""}, "at least 1 character"),
        ({"expect": "matches", "column": "n", "pattern": "a" * 501}, "at most 500 characters"),
        ({"expect": "matches", "column": "n", "pattern": "(a"}, "'(a' is no regular expression: missing )"),
        ({"expect": "matches", "column": "n", "pattern": "(?i)a"}, "'(?i)a' is no regular expression: global flags"),
        ({"expect": "compare", "column": "n", "op": "<", "other": "n"}, "'n' is compared with itself; name another"),
        (
            {"expect": "compare", "column": "n", "op": "<>", "other": "m"},
            "Input should be '<', '<=', '==', '!=', '>=' or '>'",
        ),
        ({"expect": "not_null", "column": "n", "mostly": 0}, "greater than 0"),
        ({"expect": "not_null", "column": "n", "mostly": 1.01}, "less than or equal to 1"),
        ({"expect": "not_null", "column": "n", "severity": "grave"}, "'critical', 'warning' or 'info'"),
        (
            {"expect": "nothing", "column": "n"},
            "'not_null', 'between', 'finite', 'one_of', 'matches', 'spelled', 'compare'",
        ),
    ],
)
def test_a_rule_that_says_nothing_is_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(told)):
        TypeAdapter(RowRule).validate_python(given)


@pytest.mark.parametrize(
    "given",
    [
        {"expect": "between", "column": "n", "min": 2, "max": 2},
        {"expect": "not_null", "column": "n", "mostly": 1},
        {"expect": "matches", "column": "n", "pattern": "a" * 500},
    ],
)
def test_a_rule_at_its_border_is_one(given: dict[str, Any]) -> None:
    TypeAdapter(RowRule).validate_python(given)


def test_a_whole_text_must_match_in_any_engine() -> None:
    assert rule("matches", column="text", pattern="a|b").whole == r"(?a)\A(?:a|b)\Z"


def test_a_rule_of_no_kind_asks_nothing() -> None:
    with pytest.raises(NotImplementedError):
        _ = Asked().asks
    assert (Asked().named, Asked().shown, Asked().misfit(HELD)) == ([], [], None)


@pytest.mark.parametrize("value", [1e12, -1e12, 0.0, 3, None])
def test_an_amount_up_to_its_bound_is_finite(value: float | None) -> None:
    rule = TypeAdapter(RowRule).validate_python({"expect": "finite", "column": "value"})
    assert not rule.broken_by({"value": value})


@pytest.mark.parametrize("value", [1.0000001e12, -1e39, float("inf"), float("-inf"), float("nan")])
def test_what_no_amount_can_be_breaks_the_rule(value: float) -> None:
    rule = TypeAdapter(RowRule).validate_python({"expect": "finite", "column": "value"})
    assert rule.broken_by({"value": value})
    assert rule.misfit({"value": "string"}) == "asks for numbers and the column holds string; use one_of or not_null"


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        *[(text, False) for text in ("buy", "add.to", "view", "buyer", "", "b u y", "two\nlines")],
        *[(text, True) for text in ("Buy", "BUY", " buy", "buy ", "buy\n", "Add.To")],
        ("addXto", False),
    ],
)
def test_a_word_is_spelled_as_declared_or_is_another_word(text: str, broken: bool) -> None:
    rule = TypeAdapter(RowRule).validate_python({"expect": "spelled", "column": "event", "values": ["buy", "add.to"]})
    assert rule.broken_by({"event": text}) is broken
    assert rule.asks == "event is spelled as declared: buy, add.to"
    assert rule.misfit({"event": "double"}) == "asks for texts and the column holds double; use one_of"

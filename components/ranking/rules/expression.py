"""The language of a rule's `where`: comparisons of an item's columns, joined by and, or, not. Typed; it runs no code.

    category in ['BEER', 'WINE'] and not (price < 2.5 or brand is unknown)

    either    := both ("or" both)*
    both      := one ("and" one)*
    one       := "not" one | "(" either ")" | column comparison
    comparison:= ("=" | "!=" | "<" | "<=" | ">" | ">=") value | ["not"] "in" "[" value ("," value)* "]"
               | "has" text | "starts" "with" text | "is" ("known" | "unknown")
    value     := 'text' | "text" | number | true | false

A column is a name, or any text between backticks. Of an unknown value every comparison is false, `!=` and `not in` too;
`not` turns the answer of what follows it. `masks.py` has the answers for a table of items.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from feature_repo.errors import nearest, shortened

LONGEST = 1000  # characters
DEEPEST = 16  # brackets and `not` within one another
MOST_VALUES = 200  # of one `in`
Value = str | float | bool
Kind = Literal["text", "number", "flag", "texts", "numbers", "time", "other"]  # of a column
Operator = Literal["=", "!=", "<", "<=", ">", ">=", "in", "not in", "has", "starts with", "is known", "is unknown"]
ORDERED: tuple[Operator, ...] = ("<", "<=", ">", ">=")
OPERATORS: dict[Kind, tuple[Operator, ...]] = {
    "text": ("=", "!=", "in", "not in", "starts with", "is known", "is unknown"),
    "number": ("=", "!=", *ORDERED, "in", "not in", "is known", "is unknown"),
    "flag": ("=", "!=", "is known", "is unknown"),
    "texts": ("has", "is known", "is unknown"),
    "numbers": ("has", "is known", "is unknown"),
    "time": ("is known", "is unknown"),
    "other": ("is known", "is unknown"),
}
TAKES: dict[Kind, tuple[type, str]] = {
    "text": (str, "a text in quotes"),
    "texts": (str, "a text in quotes"),
    "number": (float, "a number"),
    "numbers": (float, "a number"),
    "flag": (bool, "true or false"),
}
TOKEN = re.compile(
    r"\s*(?:(?P<text>'[^']*'|\"[^\"]*\")|(?P<number>-?\d+(?:\.\d+)?(?![\w.]))|(?P<column>`[^`]+`)"
    r"|(?P<word>[^\W\d]\w*)|(?P<sign><=|>=|!=|==|[=<>()\[\],]))"
)
WORDS = ("and", "or", "not", "in", "has", "starts", "with", "is", "known", "unknown", "true", "false")


@dataclass(frozen=True)
class Comparison:
    """One column beside a value, or several; none where it is asked whether it is known."""

    column: str
    operator: Operator
    values: tuple[Value, ...] = ()


@dataclass(frozen=True)
class Not:
    """The other items."""

    of: "Expression"


@dataclass(frozen=True)
class Both:
    """Items of which every part holds."""

    parts: tuple["Expression", ...]


@dataclass(frozen=True)
class Either:
    """Items of which one part holds or more."""

    parts: tuple["Expression", ...]


Expression = Comparison | Not | Both | Either


def parse(text: str) -> Expression:
    """Read an expression; ValueError says in one line where it breaks off and what may stand there.

    >>> parse("not category = 'BEER'")
    Not(of=Comparison(column='category', operator='=', values=('BEER',)))
    """
    if len(text) > LONGEST:
        raise ValueError(f"{len(text)} characters; allowed: at most {LONGEST}")
    reader = _Reader(text, list(_tokens(text)))
    found = reader.either(0)
    if reader.kind:
        raise reader.wrong("and, or, or the end")
    return found


def comparisons(expression: Expression) -> Iterator[Comparison]:
    """Yield the comparisons of an expression, in its order."""
    if isinstance(expression, Comparison):
        yield expression
    elif isinstance(expression, Not):
        yield from comparisons(expression.of)
    else:
        for part in expression.parts:
            yield from comparisons(part)


def require_fits(expression: Expression, kinds: Mapping[str, Kind]) -> None:
    """Refuse, by ValueError, a column that items lack, or a comparison that its values do not have."""
    for one in comparisons(expression):
        if one.column not in kinds:
            have = list(kinds)
            raise ValueError(f"items have no column '{one.column}'{nearest(one.column, have)}; have {', '.join(have)}")
        kind = kinds[one.column]
        if one.operator not in OPERATORS[kind]:
            allowed = ", ".join(OPERATORS[kind])
            raise ValueError(f"{one.column} {one.operator}: is not for a column of kind {kind}; allowed: {allowed}")
        for value in one.values:
            wanted, words = TAKES[kind]
            if not isinstance(value, wanted):
                raise ValueError(f"{one.column} {one.operator} {value!r}: is of another kind; allowed: {words}")


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    place, end = 0, len(text.rstrip())
    while place < end:
        found = TOKEN.match(text, place)
        if found is None:
            raise ValueError(f"'{shortened(text[place:].strip(), 20)}' is no part of an expression; {HELP}")
        place = found.end()
        kind = str(found.lastgroup)
        yield kind, found[kind]


HELP = "write such as: category = 'BEER' and price < 2.5"


class _Reader:
    """Reads tokens one after another; `kind` is '' at the end."""

    def __init__(self, text: str, tokens: Sequence[tuple[str, str]]) -> None:
        self._text, self._tokens, self._at = text, tokens, 0

    @property
    def kind(self) -> str:
        return self._tokens[self._at][0] if self._at < len(self._tokens) else ""

    @property
    def token(self) -> str:
        return self._tokens[self._at][1] if self._at < len(self._tokens) else ""

    def takes(self, *words: str) -> bool:
        """Pass over words, or signs, if they come next; quoted texts and columns are none."""
        ahead = self._tokens[self._at : self._at + len(words)]
        if [token for kind, token in ahead if kind in ("word", "sign")] != list(words):
            return False
        self._at += len(words)
        return True

    def wrong(self, allowed: str) -> ValueError:
        where = f"'{shortened(self.token, 30)}'" if self.kind else "the end"
        return ValueError(f"{where} after {self._at} words is not allowed in '{shortened(self._text, 60)}'; "
                          f"allowed: {allowed}")  # fmt: skip

    def either(self, depth: int) -> Expression:
        parts = [self.both(depth)]
        while self.takes("or"):
            parts.append(self.both(depth))
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def both(self, depth: int) -> Expression:
        parts = [self.one(depth)]
        while self.takes("and"):
            parts.append(self.one(depth))
        return parts[0] if len(parts) == 1 else Both(tuple(parts))

    def one(self, depth: int) -> Expression:
        if depth > DEEPEST:
            raise ValueError(f"brackets and not within one another: more than {DEEPEST}; write it flatter")
        if self.takes("not"):
            return Not(self.one(depth + 1))
        if self.takes("("):
            found = self.either(depth + 1)
            if not self.takes(")"):
                raise self.wrong(")")
            return found
        return self.comparison(self.column())

    def column(self) -> str:
        if self.kind == "column" or (self.kind == "word" and self.token not in WORDS):
            found = self.token.strip("`")
            self._at += 1
            return found
        raise self.wrong("a column, not, or (")

    def comparison(self, column: str) -> Comparison:
        for sign in ("=", "==", "!=", *ORDERED):
            if self.takes(sign):
                operator: Operator = "=" if sign == "==" else sign  # type: ignore[assignment]
                return Comparison(column, operator, (self.value(),))
        if self.takes("in"):
            return Comparison(column, "in", self.values())
        if self.takes("not", "in"):
            return Comparison(column, "not in", self.values())
        if self.takes("has"):
            return Comparison(column, "has", (self.value(),))
        if self.takes("starts", "with"):
            return Comparison(column, "starts with", (self.value(),))
        if self.takes("is", "known"):
            return Comparison(column, "is known")
        if self.takes("is", "unknown"):
            return Comparison(column, "is unknown")
        raise self.wrong("= != < <= > >=, in [...], not in [...], has, starts with, is known, is unknown")

    def values(self) -> tuple[Value, ...]:
        if not self.takes("["):
            raise self.wrong("[")
        found = [self.value()]
        while self.takes(","):
            found.append(self.value())
        if not self.takes("]"):
            raise self.wrong("a comma or ]")
        if len(found) > MOST_VALUES:
            raise ValueError(f"in: {len(found)} values; allowed: at most {MOST_VALUES}")
        return tuple(found)

    def value(self) -> Value:
        kind, token = self.kind, self.token
        if kind == "text":
            found: Value = token[1:-1]
        elif kind == "number":
            found = float(token)
        elif kind == "word" and token in ("true", "false"):
            found = token == "true"
        else:
            raise self.wrong("'text', a number, true or false")
        self._at += 1
        return found

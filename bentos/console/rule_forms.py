"""A rule as a form that needs no language: fields by kind, conditions as rows, times of the shop's own clock; and back.

`fields_of` and `document_of` are inverse: what a form of a rule shows and nobody touches is saved as it was. What a
form cannot show of a `where` stands in it as text.
"""

import csv
import datetime as dt
import decimal
import re
import zoneinfo
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bentos.console.forms import Form
from bentos.console.ports.rules import Column
from bentos.http.problems import Rejected, refused
from components.ranking.rules import expression
from components.ranking.rules.expression import Both, Comparison, Either, Expression
from feature_repo.errors import shortened

NUMBER = re.compile(r"-?\d+(\.\d+)?")
ROWS, MOST_ROWS = 3, 20  # conditions that a new form has, and at most
ALL, ANY = "all", "any"
OPERATORS = tuple(dict.fromkeys(one for kind in expression.OPERATORS.values() for one in kind))
BARE = ("is known", "is unknown")
LISTS = ("in", "not in")
WHERE: tuple[str, ...] = ("filter", "boost", "bury", "cap")  # kinds that have one
FIELDS: Mapping[str, tuple[str, ...]] = {  # of each kind, beside what all rules have and `where`
    "filter": (),
    "cap": ("column", "at_most"),
    "pin": ("item", "place"),
    "boost": ("places",),
    "bury": ("places",),
    "price": ("least", "most", "unknown"),
    "stock": ("column", "least", "unknown"),
    "bought": ("days", "event"),
    "shown": ("days",),
    "new": ("share", "days"),
}
WHOLE = ("at_most", "place", "places")
AMOUNTS = ("least", "most", "days", "share")
TIMES = ("start", "end")
HUNDRED = 100  # a share is typed in percent


@dataclass(frozen=True)
class Condition:
    """A row of the form: a column beside a value, as typed."""

    column: str = ""
    operator: str = "="
    value: str = ""


@dataclass(frozen=True)
class Fields:
    """What a form shows of a rule, all as typed."""

    kind: str
    name: str = ""
    values: Mapping[str, str] = field(default_factory=dict)  # by field of the kind
    join: str = ALL
    conditions: tuple[Condition, ...] = ()
    where: str = ""  # as text, where rows cannot say it
    placements: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    times: Mapping[str, str] = field(default_factory=dict)  # start and end, as the shop's clock shows them
    was: Mapping[str, str] = field(default_factory=dict)  # the times of a rule that is changed, with their offsets

    @property
    def rows(self) -> tuple[Condition, ...]:
        """Return its conditions with empty rows behind them."""
        more = max(ROWS - len(self.conditions), 1)
        return (*self.conditions, *[Condition()] * more)[:MOST_ROWS]


def fields_of(document: Mapping[str, Any], timezone: str) -> Fields:
    """Return what a form shows of a rule."""
    kind = str(document["kind"])
    join, conditions, where = _rows_of(document.get("where") or "")
    was = {name: str(document[name]) for name in TIMES if document.get(name)}
    return Fields(
        kind=kind,
        name=str(document["name"]),
        values={name: _typed(name, document[name]) for name in FIELDS[kind] if document.get(name) is not None},
        join=join,
        conditions=conditions,
        where=where,
        placements=tuple(document.get("placements", ())),
        segments=tuple(document.get("segments", ())),
        times={name: _local(text, timezone) for name, text in was.items()},
        was=was,
    )


def typed(form: Form) -> Fields:
    """Return what somebody typed, also where it is wrong."""
    kind = form.get("kind")
    rows = [
        Condition(form.get(f"column.{n}"), form.get(f"operator.{n}") or "=", form.get(f"value.{n}"))
        for n in range(MOST_ROWS)
    ]
    return Fields(
        kind=kind,
        name=form.get("name"),
        values={name: form.get(name) for name in FIELDS.get(kind, ())},
        join=form.get("join") or ALL,
        conditions=tuple(one for one in rows if one.column or one.value),
        where=form.get("where"),
        placements=tuple(form.all("placements")),
        segments=tuple(form.all("segments")),
        times={name: form.get(name) for name in TIMES},
        was={name: form.get(f"{name}.was") for name in TIMES if form.get(f"{name}.was")},
    )


def document_of(fields: Fields, columns: Sequence[Column], timezone: str) -> dict[str, Any]:
    """Return the rule that a form says; Rejected names the field that is wrong. Its fit to items is judged later."""
    if fields.kind not in FIELDS:
        raise refused("kind", f"'{fields.kind}' is no kind of rule", ", ".join(FIELDS))
    found: dict[str, Any] = {"kind": fields.kind, "name": fields.name}
    for name in FIELDS[fields.kind]:
        if text := fields.values.get(name, ""):
            found[name] = _value(name, text)
    if fields.kind in WHERE and (where := where_of(fields, columns)):
        found["where"] = where
    if fields.placements:
        found["placements"] = list(fields.placements)
    if fields.segments:
        found["segments"] = list(fields.segments)
    for name in TIMES:
        if text := fields.times.get(name, ""):
            was = fields.was.get(name, "")
            found[name] = was if was and text == _local(was, timezone) else _instant(name, text, timezone)
    return found


def where_of(fields: Fields, columns: Sequence[Column]) -> str:
    """Return the expression that conditions, or the text, stand for; '' for neither."""
    if fields.where and fields.conditions:
        raise refused("where", "there are conditions and a text", "one of the two: empty the other")
    if fields.where:
        return fields.where
    kinds = {one.name: one.kind for one in columns}
    parts = [_comparison(n, one, kinds) for n, one in enumerate(fields.conditions, start=1)]
    return (" or " if fields.join == ANY else " and ").join(parts)


def _comparison(number: int, row: Condition, kinds: Mapping[str, str]) -> str:
    place = f"condition {number}"
    if not row.column:
        raise refused(place, f"'{row.value}' stands beside no column", "a column, or no value")
    if row.column not in kinds:
        raise refused(place, f"items have no column '{row.column}'", ", ".join(kinds))
    column = row.column if re.fullmatch(r"[^\W\d]\w*", row.column) and _plain(row.column) else f"`{row.column}`"
    if row.operator in BARE:
        if row.value:
            raise refused(place, f"'{row.operator}' takes no value, and '{row.value}' was given", "no value")
        return f"{column} {row.operator}"
    if not row.value:
        raise refused(place, f"{row.column} {row.operator} what? The value is missing", "a value, or 'is unknown'")
    values = _listed(place, row.value) if row.operator in LISTS else [row.value]
    quoted = [_quoted(place, value, kinds[row.column]) for value in values]
    return (
        f"{column} {row.operator} [{', '.join(quoted)}]"
        if row.operator in LISTS
        else f"{column} {row.operator} {quoted[0]}"
    )


def _plain(name: str) -> bool:
    return name not in expression.WORDS


def _listed(place: str, text: str) -> list[str]:
    """Return the values of a list with commas between them; one that holds a comma stands in quotes."""
    try:
        return [one.strip() for one in next(csv.reader([text], skipinitialspace=True)) if one.strip()]
    except csv.Error as error:  # a line end in it, or a value of more characters than a rule may have
        raise refused(place, f"'{shortened(text, 40)}' is no list: {error}", "values with commas between") from None


def _quoted(place: str, value: str, kind: str) -> str:
    if kind in ("number", "numbers"):
        if not NUMBER.fullmatch(value):
            raise refused(place, f"'{value}' is no number", "a number such as 2.50")
        return value
    if kind == "flag":
        if value.lower() not in ("true", "false"):
            raise refused(place, f"'{value}' is neither true nor false", "true or false")
        return value.lower()
    quote = '"' if "'" in value else "'"
    if quote in value:
        raise refused(place, "the value has both kinds of quotes", "one kind of quotes in it")
    return f"{quote}{value}{quote}"


def _rows_of(where: str) -> tuple[str, tuple[Condition, ...], str]:
    """Return an expression as rows, or, where these would not say the very same, as the text that it is."""
    if not where:
        return ALL, (), ""
    try:
        found = expression.parse(where)
    except ValueError:
        return ALL, (), where
    join: str = ALL
    parts: tuple[Expression, ...] = (found,)
    if isinstance(found, Both | Either):
        join, parts = ANY if isinstance(found, Either) else ALL, found.parts
    if not all(isinstance(one, Comparison) for one in parts) or len(parts) >= MOST_ROWS:
        return ALL, (), where
    rows = tuple(_row(one) for one in parts if isinstance(one, Comparison))
    return (join, rows, "") if _same(rows, join, found) else (ALL, (), where)


def _row(one: Comparison) -> Condition:
    words = [_word(value) for value in one.values]
    if one.operator in LISTS:
        return Condition(one.column, one.operator, ", ".join(f'"{word}"' if "," in word else word for word in words))
    return Condition(one.column, one.operator, words[0] if words else "")


def _word(value: expression.Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return _digits(value) if isinstance(value, float) else value


def _same(rows: tuple[Condition, ...], join: str, found: Expression) -> bool:
    """Tell whether rows are read back as the expression that they were made of."""
    kinds = [Column(one.column, _kind_of(one.values), ()) for one in expression.comparisons(found)]
    try:
        return expression.parse(where_of(Fields("filter", join=join, conditions=rows), kinds)) == found
    except (ValueError, Rejected):
        return False


def _kind_of(values: tuple[expression.Value, ...]) -> str:
    first = values[0] if values else ""
    return "flag" if isinstance(first, bool) else "number" if isinstance(first, float) else "text"


def _typed(name: str, value: Any) -> str:
    """Write a value as a form has it."""
    if name == "share":
        return format((decimal.Decimal(repr(float(value))) * HUNDRED).normalize(), "f")
    return _digits(float(value)) if name in AMOUNTS else str(value)


def _digits(value: float) -> str:
    """Write a number with all its digits and no exponent.

    >>> _digits(2.5), _digits(3.0), _digits(1e-7)
    ('2.5', '3', '0.0000001')
    """
    text = format(decimal.Decimal(repr(value)), "f")
    return text.removesuffix(".0")


def _value(name: str, text: str) -> Any:
    if name in WHOLE:
        if not re.fullmatch(r"-?\d{1,9}", text):
            raise refused(name, f"'{text}' is no whole number", "a whole number, such as 3")
        return int(text)
    if name in AMOUNTS:
        if not NUMBER.fullmatch(text):
            raise refused(name, f"'{text}' is no number", "a number such as 2.50")
        return float(decimal.Decimal(text) / HUNDRED) if name == "share" else float(text)
    return text


def _local(text: str, timezone: str) -> str:
    """Write an instant as a clock in a time zone shows it, as browsers' forms take it."""
    local = dt.datetime.fromisoformat(text).astimezone(zoneinfo.ZoneInfo(timezone)).replace(tzinfo=None)
    return local.isoformat(timespec="minutes" if not (local.second or local.microsecond) else "auto")


def _instant(name: str, text: str, timezone: str) -> str:
    """Return the instant at which a clock shows a time; one that the clock leaves out in spring is refused."""
    try:
        local = dt.datetime.fromisoformat(text)
    except ValueError:
        raise refused(name, f"'{text}' is no time", "a date and a time, such as 2026-12-01T08:00") from None
    if local.tzinfo is not None:
        return local.isoformat()
    zone = zoneinfo.ZoneInfo(timezone)
    found = local.replace(tzinfo=zone)
    if found.astimezone(dt.UTC).astimezone(zone).replace(tzinfo=None) != local:
        raise refused(name, f"'{text}' is no time of {timezone}: clocks are put forward then", "an hour later")
    return found.isoformat()


def times_told(document: Mapping[str, Any], timezone: str) -> Iterator[tuple[str, str]]:
    """Yield when a rule starts and ends as the shop's clock shows it, with the offset."""
    zone = zoneinfo.ZoneInfo(timezone)
    for name in TIMES:
        if text := document.get(name):
            yield name, dt.datetime.fromisoformat(str(text)).astimezone(zone).strftime("%Y-%m-%d %H:%M %z")

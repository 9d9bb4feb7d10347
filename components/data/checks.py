"""What the contract asks, as checks: the spec's rules and those that hold for every recommender.

A check has two forms of one meaning: an expectation of Great Expectations, which gives the verdict, and
SQL that holds for a bad row, which finds the rows to quarantine. `quarantine` compares their counts.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from components.data.database import name, text
from components.data.spec import Between, Data, NotNull, OneOf, Rows, Rule, Severity, TableName, Unique
from feature_repo import columns
from feature_repo.errors import SpecError, nearest

FUTURE_MOSTLY = 0.999  # a few clocks are always wrong; more than that, and a time zone is
ITEM_KNOWN, USER_KNOWN, ROW_HASH = "item_known", "user_known", "row_hash"  # `quarantine` adds them to events
ADDED = {"events": (ITEM_KNOWN, USER_KNOWN, ROW_HASH), "items": (), "users": ()}


@dataclass(frozen=True)
class Meaning:
    """What a rule asks, three times: for people, for Great Expectations, and as SQL of a bad row."""

    asks: str  # 'quantity is at most 100'
    expectation: str  # Great Expectations' type
    kwargs: dict[str, Any]
    bad: str | None = None  # over the table's columns and source_row; None where no row is to blame


@dataclass(frozen=True)
class Check:
    """One rule, compiled for one table."""

    name: str  # 'between(quantity)'
    table: TableName
    severity: Severity
    mostly: float
    meaning: Meaning

    @property
    def repeats(self) -> bool:
        """Tell whether rows are bad only beside others: then the first of them is kept."""
        return self.meaning.expectation.endswith("_to_be_unique")

    @property
    def columns(self) -> set[str]:
        """The columns of the frame that it reads."""
        kwargs = self.meaning.kwargs
        return {column for column in (kwargs.get("column"), *kwargs.get("column_list", ())) if column}


def compile_checks(data: Data, table: TableName, schema: pa.Schema, *, now: dt.datetime) -> list[Check]:
    """Compile a table's rules; SpecError where a rule names a column that it cannot be asked of."""
    rules = list(data.contract.get(table, []))
    given = {label(rule) for rule in rules}
    rules += [rule for rule in _always(table) if label(rule) not in given]
    fields = {field.name: field.type for field in schema}
    checks = [_compile(rule, called, table, fields) for rule, called in zip(rules, names(rules), strict=True)]
    if table == "events":
        checks += [
            Check("not_in_future(timestamp)", "events", "critical", FUTURE_MOSTLY, _not_in_future(now)),
            Check("known(item_id)", "events", "warning", 1.0, _known(columns.ITEM_ID, ITEM_KNOWN, "items")),
            Check("known(user_id)", "events", "warning", 1.0, _known(columns.USER_ID, USER_KNOWN, "users")),
        ]
    return checks


def label(rule: Rule) -> str:
    """Name a rule as the verdict does.

    >>> label(Between(expect="between", column="quantity", min=0)), label(Rows(expect="rows"))
    ('between(quantity)', 'rows')
    """
    named = ["row"] if tuple(rule.named) == columns.EVENTS else rule.named
    return f"{rule.expect}({', '.join(named)})" if named else rule.expect


def names(rules: list[Rule]) -> list[str]:
    """Name rules so that two of one kind on the same columns differ.

    >>> names([Between(expect="between", column="value", min=0), Between(expect="between", column="value", max=9)])
    ['between(value)', 'between(value) #2']
    """
    labels = [label(rule) for rule in rules]
    again = [labels[:position].count(told) for position, told in enumerate(labels)]
    return [f"{told} #{count + 1}" if count else told for told, count in zip(labels, again, strict=True)]


def _always(table: TableName) -> list[Rule]:
    """List what holds for every recommender; a rule of the spec on the same columns takes its place."""
    if table == "events":
        return [
            Rows(expect="rows"),
            *(NotNull(expect="not_null", column=column) for column in columns.EVENTS_REQUIRED),
            Unique(expect="unique", columns=list(columns.EVENTS), severity="warning"),
            Between(expect="between", column=columns.QUANTITY, min=0, severity="warning"),
        ]
    key = columns.ITEM_ID if table == "items" else columns.USER_ID
    return [
        Rows(expect="rows"),
        NotNull(expect="not_null", column=key),
        Unique(expect="unique", columns=[key], severity="warning"),
    ]


def _compile(rule: Rule, called: str, table: TableName, fields: dict[str, pa.DataType]) -> Check:
    place = f"data.contract.{table}: {called}"
    for column in rule.named:
        if column not in fields:
            have = ", ".join(fields)
            raise SpecError(f"{place}: no column '{column}'; have {have}{nearest(column, list(fields))}")
        if pa.types.is_list(fields[column]) and not isinstance(rule, NotNull):
            raise SpecError(f"{place}: '{column}' holds lists, of which only not_null can be asked")
    return Check(called, table, rule.severity, rule.mostly, _meaning(rule, place, fields))


def _meaning(rule: Rule, place: str, fields: dict[str, pa.DataType]) -> Meaning:
    match rule:
        case NotNull(column=column):
            kind = "expect_column_values_to_not_be_null"
            return Meaning(f"{column} is given", kind, {"column": column}, f"{name(column)} IS NULL")
        case Between(column=column):
            if not (pa.types.is_floating(fields[column]) or pa.types.is_integer(fields[column])):
                held = fields[column]
                raise SpecError(f"{place}: asks for numbers and the column holds {held}; use one_of or not_null")
            return _between(rule)
        case OneOf(column=column):
            worded = pa.types.is_string(fields[column]) or pa.types.is_large_string(fields[column])
            if not worded and any(isinstance(value, str) for value in rule.values):
                raise SpecError(f"{place}: the column holds {fields[column]}; give numbers, not {rule.values}")
            return _one_of(rule, worded=worded)
        case Unique():
            return _unique(rule)
        case Rows():
            most = f" and at most {rule.max:,}" if rule.max else ""
            asks = f"there are at least {rule.min:,}{most} rows" if rule.min > 1 or most else "there is a row"
            kwargs = {"min_value": rule.min, "max_value": rule.max}
            return Meaning(asks, "expect_table_row_count_to_be_between", kwargs)


def _between(rule: Between) -> Meaning:
    asks, limits = [], []
    if rule.min is not None:
        asks.append(f"at least {rule.min:g}")
        limits.append(f"{name(rule.column)} < {rule.min!r}")
    if rule.max is not None:
        asks.append(f"at most {rule.max:g}")
        limits.append(f"{name(rule.column)} > {rule.max!r}")
    kwargs = {"column": rule.column, "min_value": rule.min, "max_value": rule.max}
    told = f"{rule.column} is {' and '.join(asks)}"
    return Meaning(told, "expect_column_values_to_be_between", kwargs, " OR ".join(limits))


def _one_of(rule: OneOf, *, worded: bool) -> Meaning:
    values = [str(value) if worded else value for value in rule.values]
    shown = ", ".join(map(str, values[:8])) + (", …" if len(values) > 8 else "")
    listed = ", ".join(text(value) if isinstance(value, str) else repr(value) for value in values)
    kwargs = {"column": rule.column, "value_set": values}
    bad = f"{name(rule.column)} NOT IN ({listed})"
    return Meaning(f"{rule.column} is one of {shown}", "expect_column_values_to_be_in_set", kwargs, bad)


def _unique(rule: Unique) -> Meaning:
    """Ask that keys do not repeat; of rows that share one, those after the first are the bad ones."""
    whole = tuple(rule.columns) == columns.EVENTS
    # Whole rows are compared by their hash: nine columns of text would take Great Expectations seconds.
    asked = [ROW_HASH] if whole else rule.columns
    asks = f"no {'row' if whole else ' + '.join(rule.columns)} occurs twice"
    keys = ", ".join(name(column) for column in rule.columns)
    empty = " AND ".join(f"{name(column)} IS NULL" for column in rule.columns)
    bad = f"row_number() OVER (PARTITION BY {keys} ORDER BY source_row) > 1 AND NOT ({empty})"
    if len(asked) == 1:
        return Meaning(asks, "expect_column_values_to_be_unique", {"column": asked[0]}, bad)
    kwargs = {"column_list": asked, "ignore_row_if": "all_values_are_missing"}
    return Meaning(asks, "expect_compound_columns_to_be_unique", kwargs, bad)


def _not_in_future(now: dt.datetime) -> Meaning:
    asks = f"timestamp is not after {now.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC, when this was checked"
    kwargs = {"column": columns.TIMESTAMP, "max_value": now.timestamp()}
    return Meaning(
        asks, "expect_column_values_to_be_between", kwargs, f"epoch({columns.TIMESTAMP}) > {now.timestamp()!r}"
    )


def _known(column: str, flag: str, table: str) -> Meaning:
    kwargs = {"column": flag, "value_set": [True]}
    return Meaning(
        f"{column} is among the good rows of {table}", "expect_column_values_to_be_in_set", kwargs, f"NOT {flag}"
    )

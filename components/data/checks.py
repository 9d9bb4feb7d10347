"""The contract as checks: each rule of a table in two forms of one meaning.

An expectation of Great Expectations gives the verdict, and SQL that holds for a bad row finds the rows to quarantine;
`quarantine` compares their counts. A rule about a whole table has no bad rows: `measures` measures a number for it,
and its expectation is about that number.
"""

import datetime as dt
import json
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from components.data.database import name, text
from components.data.derived import contract_of
from components.data.row_rules import (
    LARGEST_AMOUNT,
    Between,
    Compare,
    Finite,
    Matches,
    NotNull,
    OneOf,
    Severity,
    Spelled,
)
from components.data.rules import (
    Described,
    Fresh,
    Known,
    LearntVolume,
    Near,
    NotInFuture,
    OneUser,
    Present,
    Rows,
    Rule,
    SetAside,
    Steady,
    TableName,
    Unique,
    Volume,
    misplaced,
)
from components.data.snapshot import FAR
from components.data.spec import Data
from feature_repo import columns
from feature_repo.errors import SpecError

ITEM_KNOWN, USER_KNOWN, ROW_HASH = "item_known", "user_known", "row_hash"  # `quarantine` adds them to a table
KNOWN = {columns.ITEM_ID: ITEM_KNOWN, columns.USER_ID: USER_KNOWN}
ADDED: dict[str, tuple[str, ...]] = {"events": (ITEM_KNOWN, USER_KNOWN, ROW_HASH), "offers": (ITEM_KNOWN,)}
Around = tuple[dt.datetime, dt.datetime]
BETWEEN, IN_SET, REGEX = (f"expect_column_values_to_{what}" for what in ("be_between", "be_in_set", "match_regex"))
APART = "expect_select_column_values_to_be_unique_within_record"


@dataclass(frozen=True)
class Meaning:
    """What a rule asks: of Great Expectations, and as SQL of a bad row."""

    expectation: str  # Great Expectations' type
    kwargs: dict[str, Any]
    bad: str | None = None  # over the table's columns and source_row; None where no row is to blame
    pattern: str | None = None  # instead of SQL: Python's regular expression that a good value matches


@dataclass(frozen=True)
class Check:
    """One rule, compiled for one table."""

    name: str  # 'between(quantity)'
    table: TableName
    rule: Rule
    asks: str  # 'quantity is at most 100'
    meaning: Meaning
    derived: bool = False  # it holds for every recommender, the spec does not say it

    @property
    def severity(self) -> Severity:
        """How grave it is when it does not hold."""
        return self.rule.severity

    @property
    def mostly(self) -> float:
        """Share of rows that must hold."""
        return self.rule.mostly

    @property
    def blames(self) -> bool:
        """Tell whether rows can be to blame."""
        return bool(self.meaning.bad or self.meaning.pattern)

    @property
    def measured(self) -> bool:
        """Tell whether it asks about a number that is measured first."""
        return isinstance(self.rule, Present | Fresh | Volume | LearntVolume | OneUser | Described | SetAside | Steady)

    @property
    def afterwards(self) -> bool:
        """Tell whether it asks about what other rules found: it is judged when they are."""
        return isinstance(self.rule, SetAside | Steady)

    @property
    def repeats(self) -> bool:
        """Tell whether rows are bad only beside others: then the first of them is kept."""
        return isinstance(self.rule, Unique)

    @property
    def columns(self) -> set[str]:
        """The columns of the frame that it reads."""
        kwargs = self.meaning.kwargs
        several = (kwargs.get(key) for key in ("column", "column_A", "column_B"))
        kinds = [columns.EVENT] * ("row_condition" in kwargs)
        return {column for column in (*several, *kwargs.get("column_list", ()), *kinds) if column}


def compile_checks(
    data: Data, table: TableName, schema: pa.Schema, *, now: dt.datetime, around: Around | None = None
) -> list[Check]:
    """Compile a table's rules; SpecError where a rule names a column that it cannot be asked of.

    `around` is what nearly all events lie between, None where nothing says so.
    """
    held = {field.name: str(field.type) for field in schema}
    checks = []
    for asked in contract_of(data.contract, table):
        rule = asked.rule
        if wrong := misplaced(rule, table, held):
            raise SpecError(f"data.contract.{table}: {asked.name}: {wrong}")
        meaning, asks = _meaning(rule, asked.name, held, now, around), rule.asks
        if isinstance(rule, NotInFuture):
            asks = f"timestamp is not after {now.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC, when this was checked"
        if isinstance(rule, Near) and around:
            asks = f"timestamp is near all others, which are of {around[0]:%Y-%m-%d} to {around[1]:%Y-%m-%d}"
        checks.append(Check(asked.name, table, rule, asks, meaning, asked.derived))
    return checks


def _meaning(rule: Rule, called: str, held: dict[str, str], now: dt.datetime, around: Around | None) -> Meaning:
    match rule:
        case NotNull():
            return _not_null(rule)
        case Between():
            return _between(rule)
        case OneOf():
            return _one_of(rule, worded="string" in held[rule.column])
        case Finite(column=column):
            kwargs = {"column": column, "min_value": -LARGEST_AMOUNT, "max_value": LARGEST_AMOUNT}
            return Meaning(BETWEEN, kwargs, f"abs({name(column)}) > {_number(LARGEST_AMOUNT)}")
        case Matches(column=column) | Spelled(column=column):
            return Meaning(REGEX, {"column": column, "regex": rule.whole}, pattern=rule.whole)
        case Compare():
            return _compare(rule)
        case Unique():
            return _unique(rule)
        case Known(column=column):
            kwargs = {"column": KNOWN[column], "value_set": [True]}
            return Meaning(IN_SET, kwargs, f"NOT {KNOWN[column]}")
        case NotInFuture(column=column):
            latest = now.timestamp()
            return Meaning(BETWEEN, {"column": column, "max_value": latest}, f"epoch({name(column)}) > {latest!r}")
        case Near(column=column):
            return _near(column, around)
        case Rows():
            return Meaning("expect_table_row_count_to_be_between", {"min_value": rule.min, "max_value": rule.max})
        case Present():
            return Meaning(BETWEEN, {"column": called, "max_value": 0})  # kinds that are missing
        case LearntVolume():
            return Meaning(BETWEEN, {"column": called, "max_value": 0})  # groups that are far from usual
        case Fresh():
            return Meaning(BETWEEN, {"column": called, "max_value": rule.limit_days})
        case Volume(tolerance=within):
            return Meaning(BETWEEN, {"column": called, "min_value": 1 - within, "max_value": 1 + within})
        case OneUser() | SetAside():
            return Meaning(BETWEEN, {"column": called, "max_value": rule.max})
        case Described():
            return Meaning(BETWEEN, {"column": called, "min_value": rule.min})
        case Steady():
            return Meaning(BETWEEN, {"column": called, "max_value": rule.times})


def _not_null(rule: NotNull) -> Meaning:
    kwargs, bad = {"column": rule.column}, f"{name(rule.column)} IS NULL"
    if rule.unless:  # rows of other kinds are asked alone
        listed = ", ".join(text(kind) for kind in rule.unless)
        bad += f" AND NOT coalesce({name(columns.EVENT)} IN ({listed}), false)"
        kwargs |= {"row_condition": f"{columns.EVENT} not in {json.dumps(rule.unless)}", "condition_parser": "pandas"}
    return Meaning("expect_column_values_to_not_be_null", kwargs, bad)


def _near(column: str, around: Around | None) -> Meaning:
    """Ask that times lie between the others, or near them: a clock that is days ahead is another rule's business."""
    first, last = around or (dt.datetime.min.replace(tzinfo=dt.UTC), dt.datetime.max.replace(tzinfo=dt.UTC))
    low = first.timestamp()
    high = min(last.timestamp() + FAR.total_seconds(), dt.datetime.max.replace(tzinfo=dt.UTC).timestamp())
    bad = f"epoch({name(column)}) < {low!r} OR epoch({name(column)}) > {high!r}"
    return Meaning(BETWEEN, {"column": column, "min_value": low, "max_value": high}, bad)


def _between(rule: Between) -> Meaning:
    limits = [(rule.min, "<"), (rule.max, ">")]
    bad = " OR ".join(f"{name(rule.column)} {sign} {_number(limit)}" for limit, sign in limits if limit is not None)
    return Meaning(BETWEEN, {"column": rule.column, "min_value": rule.min, "max_value": rule.max}, bad)


def _one_of(rule: OneOf, *, worded: bool) -> Meaning:
    values = [str(value) if worded else value for value in rule.values]
    listed = ", ".join(text(value) if isinstance(value, str) else _number(value) for value in values)
    return Meaning(IN_SET, {"column": rule.column, "value_set": values}, f"{name(rule.column)} NOT IN ({listed})")


def _compare(rule: Compare) -> Meaning:
    """Ask it of the pair: Great Expectations knows 'greater' and 'equal', so 'less' turns the pair round."""
    bad = f"NOT ({name(rule.column)} {rule.op} {name(rule.other)})"
    if rule.op == "!=":
        return Meaning(APART, {"column_list": [rule.column, rule.other], "ignore_row_if": "any_value_is_missing"}, bad)
    pair = (rule.column, rule.other) if rule.op in ("==", ">", ">=") else (rule.other, rule.column)
    kwargs: dict[str, Any] = {"column_A": pair[0], "column_B": pair[1], "ignore_row_if": "either_value_is_missing"}
    if rule.op == "==":
        return Meaning("expect_column_pair_values_to_be_equal", kwargs, bad)
    kind = "expect_column_pair_values_a_to_be_greater_than_b"
    return Meaning(kind, kwargs | {"or_equal": rule.op in ("<=", ">=")}, bad)


def _unique(rule: Unique) -> Meaning:
    """Ask that keys do not repeat; of rows that share one, those after the first are the bad ones."""
    # Whole rows are compared by their hash: nine columns of text would take Great Expectations seconds.
    asked = [ROW_HASH] if rule.whole else rule.columns
    keys = ", ".join(name(column) for column in rule.columns)
    empty = " AND ".join(f"{name(column)} IS NULL" for column in rule.columns)
    bad = f"row_number() OVER (PARTITION BY {keys} ORDER BY source_row) > 1 AND NOT ({empty})"
    if len(asked) == 1:
        return Meaning("expect_column_values_to_be_unique", {"column": asked[0]}, bad)
    kwargs = {"column_list": asked, "ignore_row_if": "all_values_are_missing"}
    return Meaning("expect_compound_columns_to_be_unique", kwargs, bad)


def _number(value: float) -> str:
    """Write a number as the double it is; a plain literal would be a decimal, and be rounded on its way to one."""
    return f"CAST('{float(value)!r}' AS DOUBLE)"

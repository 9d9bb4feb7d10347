"""Rules as SQL of a bad row, asked of a few rows in a real DuckDB."""

import datetime as dt
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from components.data.checks import compile_checks
from components.data.spec import Data
from feature_repo import columns
from feature_repo.errors import SpecError

NOW = dt.datetime(2024, 3, 1, 12, 30, tzinfo=dt.timezone(dt.timedelta(hours=1)))
SOURCE = {"type": "csv", "events": {"path": "events.csv"}, "items": {"path": "items.csv"}}
ITEMS = pa.table(
    {
        "source_row": [1, 2, 3, 4, 5],
        "item_id": ["tea", "milk", "milk", None, None],
        "title": ["Tea", "Milk", "Milk", "O'Neill", None],
        "size": pa.array([1, 2, 3, None, 5], pa.int64()),
        "weight": [0.1, 0.3, None, 0.1 + 0.2, 2.5],
    }
)
TIME = pa.timestamp("us", tz="UTC")
TYPES = {
    "quantity": pa.float64(),
    "value": pa.float64(),
    "discount": pa.float64(),
    "timestamp": TIME,
    "created_at": TIME,
}


def checks(*rules: dict[str, Any]) -> list[Any]:
    """Compile rules about items; those that hold for everybody are left out."""
    data = Data.model_validate({"source": SOURCE, "contract": {"items": list(rules)}})
    schema = pa.schema([field for field in ITEMS.schema if field.name != "source_row"] + [("price", pa.float64())])
    return [one for one in compile_checks(data, "items", schema, now=NOW) if not one.derived]


@pytest.mark.parametrize(
    ("asked", "bad"),
    [
        ({"expect": "not_null", "column": "item_id"}, [4, 5]),
        ({"expect": "between", "column": "size", "min": 2}, [1]),
        ({"expect": "between", "column": "size", "max": 3}, [5]),
        ({"expect": "between", "column": "weight", "min": 0.3, "max": 0.3}, [1, 4, 5]),  # 0.1 + 0.2 is not 0.3
        ({"expect": "one_of", "column": "size", "values": [1, 2.5, 3]}, [2, 5]),
        ({"expect": "one_of", "column": "weight", "values": [0.1, 0.3, 2.5]}, [4]),
        ({"expect": "one_of", "column": "title", "values": ["Tea", "O'Neill", 5]}, [2, 3]),
        ({"expect": "compare", "column": "size", "op": ">", "other": "weight"}, []),
        ({"expect": "compare", "column": "size", "op": "<=", "other": "weight"}, [1, 2, 5]),
        ({"expect": "compare", "column": "size", "op": "!=", "other": "weight"}, []),
        ({"expect": "unique", "columns": ["item_id"]}, [3]),
        ({"expect": "unique", "columns": ["item_id", "size"]}, []),
    ],
)
def test_bad_rows_are_found(asked: dict[str, Any], bad: list[int]) -> None:
    (check,) = checks(asked)
    with duckdb.connect() as db:
        db.register("items", ITEMS)
        query = (
            f"SELECT source_row FROM (SELECT *, {check.meaning.bad} AS bad FROM items) WHERE bad ORDER BY source_row"
        )
        assert [row for (row,) in db.execute(query).fetchall()] == bad
    assert check.blames


def test_a_pattern_is_pythons() -> None:
    (check,) = checks({"expect": "matches", "column": "title", "pattern": "M.*"})
    assert (check.meaning.bad, check.meaning.pattern, check.blames) == (None, r"(?a)\A(?:M.*)\Z", True)


def test_a_check_keeps_what_its_rule_says() -> None:
    size, rows = checks(
        {"expect": "between", "column": "size", "max": 3, "severity": "warning", "mostly": 0.5},
        {"expect": "rows", "min": 3},
    )
    assert (size.name, size.table, size.asks) == ("between(size)", "items", "size is at most 3")
    assert (size.severity, size.mostly, size.columns) == ("warning", 0.5, {"size"})
    assert (size.measured, size.repeats, size.derived) == (False, False, False)
    assert (rows.blames, rows.columns, rows.meaning.kwargs["min_value"]) == (False, set(), 3)


def test_the_future_begins_when_the_check_is_made() -> None:
    times = [dt.datetime(2024, 3, 1, 11, 30), dt.datetime(2024, 3, 1, 11, 30, 1), None]
    events = pa.table({"source_row": [1, 2, 3], "timestamp": pa.array(times, pa.timestamp("us", tz="UTC"))})
    schema = pa.schema([(name, TYPES.get(name, pa.string())) for name in columns.EVENTS])
    found = compile_checks(Data.model_validate({"source": SOURCE}), "events", schema, now=NOW)
    (check,) = (one for one in found if one.name == "not_in_future(timestamp)")
    assert check.asks == "timestamp is not after 2024-03-01 11:30 UTC, when this was checked"
    assert check.derived
    with duckdb.connect() as db:
        db.register("events", events)
        assert db.execute(f"SELECT source_row FROM events WHERE {check.meaning.bad}").fetchall() == [(2,)]


@pytest.mark.parametrize(
    ("op", "pair", "kind", "more"),
    [
        ("==", ("size", "weight"), "expect_column_pair_values_to_be_equal", {}),
        (">", ("size", "weight"), "expect_column_pair_values_a_to_be_greater_than_b", {"or_equal": False}),
        (">=", ("size", "weight"), "expect_column_pair_values_a_to_be_greater_than_b", {"or_equal": True}),
        ("<", ("weight", "size"), "expect_column_pair_values_a_to_be_greater_than_b", {"or_equal": False}),
        ("<=", ("weight", "size"), "expect_column_pair_values_a_to_be_greater_than_b", {"or_equal": True}),
    ],
)
def test_less_is_greater_turned_round(op: str, pair: tuple[str, str], kind: str, more: dict[str, bool]) -> None:
    (check,) = checks({"expect": "compare", "column": "size", "op": op, "other": "weight"})
    names = {"column_A": pair[0], "column_B": pair[1], "ignore_row_if": "either_value_is_missing"}
    assert (check.meaning.expectation, check.meaning.kwargs) == (kind, names | more)
    assert check.columns == {"size", "weight"}


def test_a_rule_about_a_column_that_is_not_there_is_told_with_its_place() -> None:
    with pytest.raises(SpecError) as error:
        checks({"expect": "not_null", "column": "weigth"})
    assert str(error.value).startswith("data.contract.items: not_null(weigth): no column 'weigth'; have item_id, ")
    assert str(error.value).endswith("did you mean 'weight'?")

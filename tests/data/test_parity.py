"""One meaning, three forms: Great Expectations, SQL and the door's request model judge every row alike."""

import datetime as dt
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from bentos.recommender.logs.event_rules import EventRules
from components.data import expectations
from components.data.checks import Check, compile_checks
from components.data.contract import checked_frame
from components.data.derived import rules_at_the_door, unknown_items, with_kinds
from components.data.quarantine import bad_rows_sql, create_checked
from components.data.rules import Known, Rule, TableName
from components.data.spec import Data
from components.data.table_spec import CANONICAL_TYPES
from feature_repo import columns

pytestmark = pytest.mark.world

AT = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
TIMES = ("timestamp", "created_at")
TYPES = {"string": pa.string(), "double": pa.float64()}
SCHEMA = pa.schema(
    [(name, pa.timestamp("us", tz="UTC") if name in TIMES else TYPES[CANONICAL_TYPES[name]]) for name in columns.EVENTS]
)

WORDS = st.one_of(st.sampled_from(["a", "a1", "b", "view", "1", "A"]), st.text("ab1 \n\tä٣A-", min_size=1, max_size=4))
NUMBERS = st.one_of(
    st.none(),
    st.integers(-3, 3).map(float),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.1 + 0.2, 1e12, 1e39]),
)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "item_id": st.none() | WORDS,
            "event": st.none() | WORDS,
            "session_id": WORDS,
            "quantity": NUMBERS,
            "value": NUMBERS,
            "discount": NUMBERS,
        }
    ),
    min_size=1,
    max_size=12,
)
AMOUNT, NAME = st.sampled_from(["quantity", "value", "discount"]), st.sampled_from(["item_id", "event", "session_id"])
LIMIT = NUMBERS.filter(lambda limit: limit is not None)
PATTERNS = ["a.*", "[ab]\\d?", "\\w+", "(a|b)+1", "a$", "^\\S+$", "[^a]", "\\s.|view"]
RULES = st.one_of(
    st.builds(lambda c: {"expect": "not_null", "column": c}, AMOUNT | st.sampled_from(["item_id", "event"])),
    st.builds(
        lambda c, a, b: {"expect": "between", "column": c, "min": min(a, b), "max": max(a, b)}, AMOUNT, LIMIT, LIMIT
    ),
    st.builds(lambda c, v: {"expect": "one_of", "column": c, "values": v}, NAME, st.lists(WORDS, min_size=1)),
    st.builds(lambda c, v: {"expect": "one_of", "column": c, "values": v}, AMOUNT, st.lists(LIMIT, min_size=1)),
    st.builds(lambda c: {"expect": "finite", "column": c}, AMOUNT),
    st.builds(lambda c, v: {"expect": "spelled", "column": c, "values": v}, NAME, st.lists(WORDS, min_size=1)),
    st.builds(lambda c, p: {"expect": "matches", "column": c, "pattern": p}, NAME, st.sampled_from(PATTERNS)),
    st.builds(
        lambda pair, op: {"expect": "compare", "column": pair[0], "op": op, "other": pair[1]},
        st.lists(AMOUNT, min_size=2, max_size=2, unique=True),
        st.sampled_from(["<", "<=", "==", "!=", ">=", ">"]),
    ),
    st.builds(
        lambda op: {"expect": "compare", "column": "item_id", "op": op, "other": "event"}, st.sampled_from(["==", "!="])
    ),
)


def by_great_expectations(db: duckdb.DuckDBPyConnection, check: Check) -> set[int]:
    """The rows that the verdict counts."""
    wanted = {"type": check.meaning.expectation, "kwargs": check.meaning.kwargs, "meta": {}}
    frame = checked_frame(db, "events", [check])
    (result,) = expectations.run([wanted], frame, table="events", result_format="COMPLETE")
    assert result.result, result.exception_info
    return set(result.result["unexpected_index_list"])


def by_sql(db: duckdb.DuckDBPyConnection, check: Check) -> set[int]:
    """The rows that go to quarantine."""
    bad = bad_rows_sql(db, check)
    return {row for (row,) in db.execute(f"SELECT source_row - 1 FROM checked_events WHERE {bad}").fetchall()}


def by_the_door(rule: Rule, rows: list[dict[str, object]]) -> set[int]:
    """The events that /events refuses because of the rule (a null item or kind it does not even read)."""
    asks, found = EventRules([rule]).request, set()
    for place, row in enumerate(rows):
        event = {"user_id": "ann"} | {name: value for name, value in row.items() if value is not None}
        try:
            asks.model_validate_json(to_json({"events": [event]}))
        except ValidationError as error:
            kinds = {(e["type"], e["loc"][-1]) for e in error.errors()}
            missing = {name for kind, name in kinds if kind == "missing"}
            no_amount = {name for kind, name in kinds if kind in ("less_than_equal", "greater_than_equal")}
            if any(kind == "rule_broken" for kind, _ in kinds) or (
                rule.expect == "not_null" and rule.column in missing
            ):
                found.add(place)
            elif missing or no_amount:  # judged beside what is there, as a batch row with a null would be
                found |= {place} if rule.broken_by(row) else set()
            else:
                raise
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("parity")


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=RULES, rows=ROWS)
def test_a_row_that_the_batch_sets_aside_is_a_row_that_the_door_refuses(folder, asked, rows):
    rule = TypeAdapter(Rule).validate_python(asked)
    data = Data.model_validate(
        {"source": {"type": "csv", "events": {"path": "x.csv"}}, "contract": {"events": [asked]}}
    )
    assert rule in rules_at_the_door(data.contract)
    whole = [{"user_id": "u", "timestamp": AT, "created_at": AT} | row for row in rows]
    path = folder / "events.parquet"
    pq.write_table(pa.Table.from_pylist(whole, SCHEMA), path)
    check = next(c for c in compile_checks(data, "events", SCHEMA, now=AT) if c.rule == rule)
    with duckdb.connect() as db:
        db.execute("CREATE TABLE good_items AS SELECT 'a' AS item_id; CREATE TABLE good_users AS SELECT 'u' AS user_id")
        create_checked(db, "events", path)
        sql, engine = by_sql(db, check), by_great_expectations(db, check)
    assert engine == sql == by_the_door(rule, rows)


KINDS = ["view", "purchase"]
ARRIVALS = st.lists(
    st.fixed_dictionaries(
        {
            "item_id": st.sampled_from(["a", "b", "A", "gone"]),
            "event": st.sampled_from(["view", "purchase", "View", " purchase", "VIEW\n", "rate", "viewed"]),
            "quantity": st.sampled_from([None, 0.0, 1.0, -1.0, 1e12, 1e13]),
            "value": st.sampled_from([None, 3.5, -0.5, 1e39, 2e12]),
        }
    ),
    min_size=1,
    max_size=12,
)


@pytest.mark.parametrize("declared", [[], [{"expect": "one_of", "column": "event", "values": KINDS}]])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ARRIVALS)
def test_the_batch_and_the_door_keep_the_same_events(folder, declared, rows):
    contract = with_kinds(TypeAdapter(dict[TableName, list[Rule]]).validate_python({"events": declared}), KINDS)
    data = Data.model_validate({"source": {"type": "csv", "events": {"path": "x.csv"}}, "contract": contract})
    empty = {"session_id": "s", "discount": 0.0, "user_id": "u", "timestamp": AT, "created_at": AT}
    path = folder / "events.parquet"
    pq.write_table(pa.Table.from_pylist([empty | row for row in rows], SCHEMA), path)
    at_the_door = rules_at_the_door(contract)
    with duckdb.connect() as db:
        db.execute("CREATE TABLE good_items AS FROM (VALUES ('a'), ('b')) t(item_id)")
        db.execute("CREATE TABLE good_users AS SELECT 'u' AS user_id")
        create_checked(db, "events", path)
        checks = compile_checks(data, "events", SCHEMA, now=AT)
        of_a_row = [c for c in checks if c.rule in at_the_door or isinstance(c.rule, Known)]
        aside = set().union(*(by_sql(db, check) for check in of_a_row))
    rules = EventRules(
        at_the_door, known=lambda item: item in ("a", "b"), unknown=unknown_items(contract, own_table=True)
    )
    kept = set()
    for place, row in enumerate(rows):
        event = {"user_id": "ann"} | {name: value for name, value in row.items() if value is not None}
        try:
            asked = rules.request.model_validate_json(to_json({"events": [event]}))
        except ValidationError:
            continue
        kept |= {place} if not rules.set_aside(asked.events) else set()
    assert kept == {*range(len(rows))} - aside

"""Rows that break a rule go aside with the rule's name and reason; rows that are no behaviour are dropped.

Works on relations in a database: `checked_<table>` (as ingested, numbered) gives `bad_<table>` and
`good_<table>`; the clean section of the spec then gives `kept_events`. Judges nothing by itself.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from components.data.checks import ADDED, ITEM_KNOWN, ROW_HASH, USER_KNOWN, Check
from components.data.database import name, text, write_parquet
from components.data.expectations import Finding
from components.data.snapshot import LISTED_USERS
from components.data.spec import Clean
from feature_repo import columns
from feature_repo.errors import SpecError, nearest

SAMPLES = 5


@dataclass(frozen=True)
class Quarantine:
    """What was set aside from one table."""

    checked: int  # rows of the table
    rows: int
    by_rule: dict[str, int]  # a row counts for each rule that it breaks
    samples: dict[str, list[dict[str, Any]]]  # by rule


def create_checked(db: duckdb.DuckDBPyConnection, table: str, path: Path) -> None:
    """Create the numbered relation of a table, with what is known of the items and users that it names."""
    flags = {
        ITEM_KNOWN: "coalesce(item_id IN (SELECT item_id FROM good_items WHERE item_id IS NOT NULL), true)",
        USER_KNOWN: f"coalesce(user_id IN (SELECT user_id FROM {_listed(path)} WHERE user_id IS NOT NULL), true)",
        ROW_HASH: f"CAST(hash({', '.join(columns.EVENTS)}) >> 1 AS BIGINT)",
    }
    added = "".join(f", {flags[flag]} AS {flag}" for flag in ADDED.get(table, ()))
    db.execute(f"""
        CREATE VIEW checked_{table} AS SELECT * EXCLUDE (file_row_number), file_row_number + 1 AS source_row{added}
        FROM read_parquet({text(path)}, file_row_number = true)""")


def _listed(path: Path) -> str:
    """Return the relation of users that events are looked up in: the source's own table of users, if it has one."""
    listed = path.with_name(LISTED_USERS)
    return f"read_parquet({text(listed)})" if listed.is_file() else "good_users"


def set_aside(db: duckdb.DuckDBPyConnection, table: str, findings: list[Finding], *, folder: Path) -> Quarantine:
    """Split a checked table into good and bad rows; write the bad ones to `folder`/<table>.parquet."""
    checked = findings[0].checked if findings else 0
    blamed = [f for f in findings if f.check.blames and f.unexpected and f.check.severity != "info" and not f.note]
    if not blamed:
        db.execute(f"CREATE VIEW good_{table} AS FROM checked_{table}")
        return Quarantine(checked, 0, {}, {})
    broken = ", ".join(f"coalesce({bad_rows_sql(db, f.check)}, false) AS b{i}" for i, f in enumerate(blamed))
    flags = [f"b{i}" for i in range(len(blamed))]
    db.execute(f"""
        CREATE TABLE bad_{table} AS SELECT * FROM (SELECT source_row, {broken} FROM checked_{table})
        WHERE {" OR ".join(flags)}""")
    db.execute(f"CREATE VIEW good_{table} AS FROM checked_{table} ANTI JOIN bad_{table} USING (source_row)")
    _write(db, table, blamed, folder)
    counts = db.execute(f"SELECT {', '.join(f'count_if({b})' for b in flags)}, count(*) FROM bad_{table}").fetchone()
    assert counts is not None
    by_rule = {f.check.name: int(n) for f, n in zip(blamed, counts, strict=False)}
    _require_agreement(blamed, by_rule)
    samples = {f.check.name: _samples(db, folder / f"{table}.parquet", f.check) for f in blamed}
    return Quarantine(checked, int(counts[-1]), by_rule, samples)


def bad_rows_sql(db: duckdb.DuckDBPyConnection, check: Check) -> str:
    """Return SQL of a bad row; regular expressions are Python's, as in the verdict, asked once a distinct value."""
    if check.meaning.pattern is None:
        return str(check.meaning.bad)
    (column,), matches = check.columns, re.compile(check.meaning.pattern).search
    distinct = db.execute(f"SELECT DISTINCT {name(column)} FROM checked_{check.table} WHERE {name(column)} IS NOT NULL")
    wrong = [value for (value,) in distinct.fetchall() if not matches(value)]
    relation = f"mismatch {check.table} {check.name}"
    db.register(relation, pa.table({"value": pa.array(wrong, pa.string())}))
    return f"{name(column)} IN (SELECT value FROM {name(relation)})"


def create_kept(db: duckdb.DuckDBPyConnection, clean: Clean, *, bare: Sequence[str] = ()) -> dict[str, int]:
    """Create `kept_events`, the good events that the spec's clean section leaves; count the others by reason.

    Events of the kinds `bare` that have no item lack nothing of it.
    """
    fields = {row[0]: row[1] for row in db.execute("DESCRIBE good_items").fetchall() if row[0] != "source_row"}
    reasons = _reasons(clean, fields, bare)
    if not reasons:
        db.execute("CREATE VIEW kept_events AS FROM good_events")
        return {}
    cases = " ".join(f"WHEN {holds} THEN {text(reason)}" for reason, holds in reasons.items())
    db.execute(f"""
        CREATE TABLE dropped AS SELECT source_row, reason FROM (
            SELECT e.source_row, CASE {cases} END AS reason
            FROM good_events e LEFT JOIN good_items i ON i.item_id = e.item_id)
        WHERE reason IS NOT NULL""")
    db.execute("CREATE VIEW kept_events AS FROM good_events ANTI JOIN dropped USING (source_row)")
    counted = dict(db.execute("SELECT reason, count(*) FROM dropped GROUP BY reason").fetchall())
    return {reason: int(counted[reason]) for reason in reasons if reason in counted}


def _reasons(clean: Clean, fields: dict[str, str], bare: Sequence[str]) -> dict[str, str]:
    """Say when an event `e` of an item `i` is dropped: reason -> SQL, in the order they are looked at."""
    for column in (*clean.require, *clean.exclude):
        if column not in fields:
            where = "require" if column in clean.require else "exclude"
            raise SpecError(
                f"data.clean.{where}: no column '{column}' in the items table; have {', '.join(fields)}"
                f"{nearest(column, list(fields))}"
            )
    kinds = ", ".join(text(kind) for kind in bare)
    named = f" AND NOT (e.item_id IS NULL AND coalesce(e.event IN ({kinds}), false))" if bare else ""
    reasons = {f"{column} is missing": f"i.{name(column)} IS NULL{named}" for column in clean.require}
    if clean.min_quantity > 0:
        reasons[f"quantity is below {clean.min_quantity:g}"] = f"e.{columns.QUANTITY} < {clean.min_quantity!r}"
    for column, values in clean.exclude.items():
        listed = "[" + ", ".join(text(value) for value in values) + "]"
        own = f"i.{name(column)}"
        several = fields[column].endswith("[]")
        held = f"list_has_any({own}, {listed})" if several else f"list_contains({listed}, CAST({own} AS VARCHAR))"
        reasons[f"{column} is excluded"] = held
    return reasons


def _write(db: duckdb.DuckDBPyConnection, table: str, blamed: list[Finding], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    first = " ".join(f"WHEN b{i} THEN {i}" for i in range(len(blamed)))
    names = "[" + ", ".join(text(f.check.name) for f in blamed) + "]"
    reasons = "[" + ", ".join(text(f"not so: {f.check.asks}") for f in blamed) + "]"
    added = ", ".join((*ADDED.get(table, ()), "source_row"))
    query = f"""
        SELECT c.* EXCLUDE ({added}), {names}[1 + CASE {first} END] AS rule, {reasons}[1 + CASE {first} END] AS reason
        FROM checked_{table} c JOIN bad_{table} USING (source_row) ORDER BY source_row"""
    write_parquet(db, query, folder / f"{table}.parquet")


def _samples(db: duckdb.DuckDBPyConnection, path: Path, check: Check) -> list[dict[str, Any]]:
    """Read a few of the rows that a rule set aside, the columns that it names first."""
    own = ", ".join(name(column) for column in check.rule.named)
    told = f"{own}, * EXCLUDE ({own}, rule, reason)"
    found = db.execute(f"SELECT {told} FROM {text(path)} WHERE rule = ? LIMIT {SAMPLES}", [check.name])
    heads = [column[0] for column in found.description or ()]
    return [{h: _plain(v) for h, v in zip(heads, row, strict=True)} for row in found.fetchall()]


def _plain(value: Any) -> Any:
    """Make a value fit for JSON and short enough to read."""
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):  # which JSON has no number for
        return str(value)
    return value[:80] if isinstance(value, str) else value


def _require_agreement(blamed: list[Finding], by_rule: dict[str, int]) -> None:
    """Check that the verdict and the quarantine speak of the same rows."""
    for finding in blamed:
        mine = by_rule[finding.check.name]
        if mine != finding.unexpected and not finding.check.repeats:
            raise RuntimeError(
                f"{finding.check.table}.{finding.check.name}: great_expectations found {finding.unexpected} rows "
                f"and the quarantine {mine}"
            )

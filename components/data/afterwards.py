"""What is judged once the rules about rows have been: the newest week by itself, how much is set aside, and the past.

Reads `checked_events` and, where rows were set aside, `bad_events`; the verdicts before are in the state folder's
`contract/history.json`. `contract` asks it after the rows are split; it sets nothing aside itself.
"""

import datetime as dt
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb

from components.data.checks import KNOWN, Check
from components.data.expectations import Finding
from components.data.measures import Activity, Measurement
from components.data.quarantine import Quarantine, bad_rows_sql
from components.data.rules import Known, SetAside, Steady
from feature_repo import columns, files

HISTORY = "history.json"
KEPT = 12  # verdicts
LEAST_VERDICTS = 3  # before, without which nothing is usual
FEW = 100  # events: shares of fewer are chance
FEW_BROKEN = 20  # rows: fewer double by chance
Shares = dict[str, float]  # by rule: share of rows that broke it
Week = tuple[dt.datetime, dt.datetime]


def newest_week(activity: Activity) -> Week:
    """Return when the last week that is over began and ended."""
    calendar, week = activity.calendar, activity.last_week
    return calendar.start(week), calendar.start(week + 1)


def judge_newest(db: duckdb.DuckDBPyConnection, findings: Sequence[Finding], week: Week) -> list[Finding]:
    """Fail the rules about rows that hold over all of them, as `mostly` allows some, but not in the newest week."""
    return [_in_the_newest(db, finding, week) if _tolerates(finding) else finding for finding in findings]


def _tolerates(finding: Finding) -> bool:
    check = finding.check
    return finding.success and check.blames and not check.repeats and check.mostly < 1 and finding.unexpected > 0


def _in_the_newest(db: duckdb.DuckDBPyConnection, finding: Finding, week: Week) -> Finding:
    bad = bad_rows_sql(db, finding.check)
    rows, broken = _counted(db, f"count(*), count_if(coalesce({bad}, false))", "checked_events", week)
    allowed = (1 - finding.check.mostly) * rows
    if rows < FEW or broken <= allowed + 3 * math.sqrt(allowed):  # past three deviations it is no chance
        return finding
    found = (
        f"{broken:,} of the {rows:,} rows of the newest week, from {week[0]:%Y-%m-%d}, are not so; over all it holds, "
        f"with {finding.unexpected:,} of {finding.checked:,}"
    )
    return replace(finding, success=False, found=found)


def with_both_forms(db: duckdb.DuckDBPyConnection, finding: Finding) -> Finding:
    """Show an id of either table where most of one are not in the other: they may be written in two forms."""
    rule, table = finding.check.rule, finding.check.table
    if not isinstance(rule, Known) or rule.column != columns.ITEM_ID or finding.unexpected * 2 <= finding.checked:
        return finding
    ids = [
        db.execute(f"SELECT min(item_id) FROM {relation}").fetchall()[0][0]
        for relation in (f"checked_{table} WHERE NOT {KNOWN[rule.column]}", "good_items")
    ]
    rows = f"{finding.unexpected:,} of {finding.checked:,} rows"
    found = f"{table} have ids such as '{ids[0]}' where items have '{ids[1]}' ({rows})"
    return replace(finding, found=found)


def measure_afterwards(
    db: duckdb.DuckDBPyConnection,
    checks: Sequence[Check],
    findings: Sequence[Finding],
    aside: Quarantine,
    week: Week,
    *,
    shares: Shares,
    before: Sequence[Mapping[str, float]],
) -> dict[str, Measurement]:
    """Measure what checks ask about what the other rules found; `shares` by rule now, and of verdicts `before`."""
    found = {}
    for check in checks:
        if isinstance(check.rule, SetAside):
            found[check.name] = _set_aside(db, findings, aside, week)
        elif isinstance(check.rule, Steady):
            found[check.name] = _steady(shares, before, rows=aside.checked)
    return found


def _set_aside(
    db: duckdb.DuckDBPyConnection, findings: Sequence[Finding], aside: Quarantine, week: Week
) -> Measurement:
    """Tell the larger of two shares that are set aside: of all events, and of the newest week's."""
    if not aside.rows:
        return Measurement(0, "none is")
    (rows,) = _counted(db, "count(*)", "checked_events", week)
    (bad,) = _counted(db, "count(*)", "(FROM checked_events SEMI JOIN bad_events USING (source_row))", week)
    periods = [("all events", aside.rows, aside.checked), (f"the week from {week[0]:%Y-%m-%d}", bad, rows)]
    judged = [(n / of, f"{n:,} of {of:,} events of {what}") for what, n, of in periods if of >= FEW]
    if not judged:
        return Measurement(None, "", f"so few are chance: {FEW} events or more are judged")
    share, found = max(judged)
    rule = max(aside.by_rule, key=lambda name: aside.by_rule[name])
    forms = next((f": {f.found}" for f in findings if f.check.name == rule and f.found), "")
    return Measurement(share, f"{found} are set aside, {share * 100:.1f} %, most of all by {rule}{forms}")


def _steady(shares: Shares, before: Sequence[Mapping[str, float]], *, rows: int) -> Measurement:
    """Tell how many times its usual share the rule is broken by whose share has grown most."""
    if len(before) < LEAST_VERDICTS:
        return Measurement(None, "", f"only {len(before)} verdicts before to compare with, {LEAST_VERDICTS} are needed")
    grown = []
    for rule, share in shares.items():
        usual = statistics.median(one.get(rule, 0.0) for one in before)
        if (share - usual) * rows >= FEW_BROKEN:
            times = share / max(usual, 1 / rows)
            grown.append((times, f"{rule} is broken by {share * 100:.2f} % of rows, usually {usual * 100:.2f} %"))
    return Measurement(*max(grown)) if grown else Measurement(1, "no rule is")


def shares_of(findings: Sequence[Finding]) -> Shares:
    """Return by rule the share of rows that break it."""
    return {f"{f.check.table}.{f.check.name}": f.unexpected / max(f.checked, 1) for f in findings if f.check.blames}


def verdicts_before(home: Path | None, digest: str) -> list[Shares]:
    """Read the shares of earlier verdicts about other data, the oldest first."""
    return [entry["shares"] for entry in _history(home) if entry["data"] != digest]


def remember(home: Path, digest: str, shares: Shares, *, at: str) -> None:
    """Put a verdict's shares on record, once for the same data."""
    kept = [entry for entry in _history(home) if entry["data"] != digest]
    files.write_json(home / "contract" / HISTORY, [*kept, {"data": digest, "at": at, "shares": shares}][-KEPT:])


def _history(home: Path | None) -> list[dict[str, Any]]:
    path = home / "contract" / HISTORY if home else None
    return list(files.read_json(path)) if path and path.is_file() else []


def _counted(db: duckdb.DuckDBPyConnection, counts: str, relation: str, week: Week) -> tuple[int, ...]:
    query = f"SELECT {counts} FROM {relation} WHERE timestamp >= ? AND timestamp < ?"
    return tuple(int(n) for n in db.execute(query, list(week)).fetchone() or ())

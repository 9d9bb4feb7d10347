"""What is judged once the rules about rows have been: the newest week by itself, how much is set aside, and the past.

A share of all rows is counted, so it has no interval. A week is a sample of what its users do: its share is judged as a
gate is (components.verdicts), by an interval over users and on a least number of rows and users.

Reads `checked_events` and, where rows were set aside, `bad_events`; the verdicts before are in the state folder's
`contract/history.json`. `contract` asks it after the rows are split; it sets nothing aside itself.
"""

import datetime as dt
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from components import verdicts
from components.data.checks import KNOWN, Check
from components.data.expectations import Finding
from components.data.measures import Activity, Measurement
from components.data.quarantine import Quarantine, bad_rows_sql
from components.data.rules import Known, SetAside, Steady
from components.verdicts import PASSED, REFUSED, Least, Sample
from feature_repo import columns, files

HISTORY = "history.json"
KEPT = 12  # verdicts
LEAST_VERDICTS = 3  # before, without which nothing is usual
LEAST = Least(rows=100, users=20)  # shares of fewer are chance
GROUPS, RESAMPLES = 2048, 200  # users are drawn in so many groups at most, so that memory does not grow with them
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
    sample, broken = _share(db, bad, week)
    judged = verdicts.within(sample, 1 - finding.check.mostly, lower=True, least=LEAST)
    if judged.word == PASSED or not broken:
        return finding
    ends = judged.interval and " to ".join(f"{max(end, 0.0) * 100:.2f} %" for end in judged.interval)
    week_said = f"the newest week, from {week[0]:%Y-%m-%d}"
    told = f"{broken:,} of the {sample.rows:,} rows of {week_said}" + (f" (interval {ends})" if ends else "")
    if judged.word == REFUSED:
        over_all = f"over all it holds, with {finding.unexpected:,} of {finding.checked:,}"
        return replace(finding, success=False, found=f"{told}, are not so; {over_all}")
    why = judged.why or "the interval has the allowed share within it"
    note = f"{told}, are not so, and whether that is chance is undecided: {why}"
    return replace(finding, note="; ".join(filter(None, (finding.note, note))))


def _share(db: duckdb.DuckDBPyConnection, bad: str, week: Week) -> tuple[Sample, int]:
    """Return the share of the week's rows that are bad, with resamples of its users, and how many are."""
    who = "coalesce(user_id, 'row ' || source_row)"  # rows of nobody are each of somebody else
    query = f"""SELECT count(*), count_if(coalesce({bad}, false)), count(DISTINCT {who})
        FROM checked_events WHERE timestamp >= ? AND timestamp < ? GROUP BY hash({who}) % {GROUPS} ORDER BY ALL"""
    counted = np.array(db.execute(query, list(week)).fetchall(), dtype=np.int64).reshape(-1, 3)
    rows, broken, users = (int(total) for total in counted.sum(axis=0))
    if not rows:
        return Sample(None, None, 0, 0), 0
    drawn = verdicts.draws(len(counted), resamples=RESAMPLES)
    return Sample(broken / rows, verdicts.means(counted[:, 1], counted[:, 0], drawn), rows, users), broken


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
    few = [verdicts.too_little(Sample(None, None, of), LEAST) for _, _, of in periods]
    judged = [
        (n / of, f"{n:,} of {of:,} events of {what}")
        for (what, n, of), why in zip(periods, few, strict=True)
        if not why
    ]
    if not judged:
        return Measurement(None, "", f"so few are chance: {few[0]}")
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

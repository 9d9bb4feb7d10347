"""Measure the rule `learnt_volume`: whether the newest week's volume, of each group of events, is as its past says.

Reads `checked_events`, joined with the good items or users where groups are values of theirs. What is usual is
components/volumes.py's. Weeks that a declared occasion touches are neither judged nor a reference.
"""

import datetime as dt
import itertools

import duckdb
import numpy as np

from components import occasions, volumes
from components.data.database import name, text
from components.data.measures import Activity, Measurement
from components.data.rules import LearntVolume
from components.volumes import Volume
from feature_repo import columns
from feature_repo.errors import SpecError, nearest

SHOWN = 3  # groups that moved which are told one by one
ALL = "events"  # the group of all of them


def measure(db: duckdb.DuckDBPyConnection, rule: LearntVolume, activity: Activity, *, called: str) -> Measurement:
    """Tell how many groups' newest week is far from what is usual; None where nothing can be judged."""
    last, starts = activity.last_week, activity.calendar.start
    days = [activity.calendar.day(starts(week)) for week in range(2, last + 2)]  # week 1 may be cut
    spared = [occasions.touching(rule.occasions or (), first, end) for first, end in itertools.pairwise(days)]
    if not spared:
        return Measurement(None, "", f"only {max(last - 1, 0)} whole weeks, {volumes.LEAST + 1} are needed")
    if spared[-1]:
        return Measurement(None, "", f"{spared[-1]} (monitoring.calendar) explains whatever week {last} has")
    since = -1 if rule.since is None else sum(first < rule.since for first in days[:-1])
    names, counts, users = _counted(db, rule, activity, days, called=called)
    kept = slice(max(since, 0), None)
    found = volumes.newest(counts[kept], users[kept], np.asarray([bool(one) for one in spared])[kept])
    if not found:
        return Measurement(None, "", f"{len(counts[kept])} weeks of enough users are no past to compare with; "
                           f"{volumes.LEAST} with {volumes.LEAST_BEHIND} users are needed")  # fmt: skip
    moved = sorted((one for one in found if one.is_large), key=lambda one: -abs(one.effect))
    if not moved:
        return Measurement(0, f"week {last} is as usual in {len(found)} of {len(names)} groups that can be judged")
    told = "; ".join(_said(names[one.group], one) for one in moved[:SHOWN])
    more = f"; and {len(moved) - SHOWN} more" if len(moved) > SHOWN else ""
    return Measurement(len(moved), f"week {last}: {told}{more}")


def _said(group: str, one: Volume) -> str:
    return f"{group} has {one.value:,.0f}, {one.usual:,.0f} are usual ({one.low:,.0f} to {one.high:,.0f})"


def _counted(
    db: duckdb.DuckDBPyConnection, rule: LearntVolume, activity: Activity, days: list[dt.date], *, called: str
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return the groups, and events and users by week and group, [P, G]; the first group is all events."""
    zone = text(activity.calendar.timezone)
    day = f"CAST(e.timestamp AT TIME ZONE {zone} AS DATE)"
    kind = "" if rule.event is None else f"AND e.event = {text(rule.event)}"
    where = f"{day} >= DATE '{days[0]}' AND {day} < DATE '{days[-1]}' {kind}"
    week = f"date_diff('day', DATE '{days[0]}', {day}) // 7"
    counted = f"count(*), count(DISTINCT e.{columns.USER_ID})"
    lines = [(ALL, *one) for one in db.execute(
        f"SELECT {week}, {counted} FROM checked_events e WHERE {where} GROUP BY ALL").fetchall()]  # fmt: skip
    for by in rule.by:
        value, join = _group(db, by, called)
        lines += db.execute(
            f"""SELECT {text(by)} || ' ' || CAST({value} AS VARCHAR), {week}, {counted} FROM checked_events e {join}
            WHERE {where} AND {value} IS NOT NULL GROUP BY ALL ORDER BY ALL"""
        ).fetchall()
    names = list(dict.fromkeys([ALL, *(line[0] for line in lines)]))
    place = {group: n for n, group in enumerate(names)}
    counts, users = (np.zeros((len(days) - 1, len(names))) for _ in range(2))
    for group, row, events, people in lines:
        counts[row, place[group]], users[row, place[group]] = events, people
    return names, counts, users


def _group(db: duckdb.DuckDBPyConnection, by: str, called: str) -> tuple[str, str]:
    """Return the expression of a group's value, and the join that it needs; refuse a column that is not there."""
    if by == columns.EVENT:
        return "e.event", ""
    table, _, column = by.partition(".")
    key = columns.ITEM_ID if table == "items" else columns.USER_ID
    described = db.execute(f"DESCRIBE good_{table}").fetchall()
    held = {row[0]: row[1] for row in described if row[0] not in (key, "source_row")}
    if column not in held:
        raise SpecError(
            f"data.contract.events: {called}: by: no column '{column}' in {table}; have {', '.join(held) or 'none'}"
            f"{nearest(column, list(held))}"
        )
    if held[column].endswith("[]"):
        raise SpecError(f"data.contract.events: {called}: by: '{by}' holds lists; name a column of single values")
    one = f"(SELECT {key}, any_value({name(column)}) AS value FROM good_{table} GROUP BY {key})"
    return "g.value", f"JOIN {one} g USING ({key})"

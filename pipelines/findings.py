"""What the events of a user's own files hold, measured before anything is trained; and the sizes that follow from it.

`init` says these lines and writes these sizes. Minutes are an estimate: rows by a rate measured on two busy cores.
"""

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

import duckdb

from components.data.snapshot import Period, period
from components.data.source_spec import Files
from components.data.spec import Data
from feature_repo import columns
from feature_repo.errors import DataError

LEAST_WEEKS = 4  # one each to warm up, train, validate and test
SUPPORT = ((20, 5), (5, 3), (2, 2), (1, 1))  # sessions and users that an item needs, strictest first
ENOUGH_ITEMS = 50
FEW_ROWS, MANY_ROWS, MOST_ROWS = 20_000, 100_000, 150_000  # training rows of the intent model
FEW_ACTIVE = 300  # active users a week: fewer, and the ranker learns from more weeks
FEW_JUDGED = 100  # active user-weeks in the test weeks: fewer, and verdicts will hardly tell
START_S, ROW_MS = 120.0, 1.5  # of a first run, and of one training row; measured on two cores under load
NO_REPEATS = 0.02  # share of events that repeat: below it nobody wants an item twice
PEOPLE = 0.5  # share of the items that have ids of users, at least, where items are people
BY_CHANCE = 10.0  # events of users with themselves that ids of two kinds would make, and still make ten times as many
FAR_OFF = 0.5  # share of the span that the first or the last percent of events may take


@dataclass(frozen=True)
class Facts:
    """What the files hold, read through the guess."""

    period: Period
    rows: int
    kinds: tuple[str, ...]  # most frequent first
    users: int
    items: int
    levels: int  # distinct values of the level
    support: tuple[int, int]
    supported: int  # items that have it
    missing: dict[str, int]  # required column: rows without
    blank: int  # rows that lack every required column
    active: dict[int, int]  # week: users with an event
    joined: dict[int, int]  # week: users whose first event is in it
    returning: int  # users with events in two weeks or more
    repeats: float  # share of events of an item that the user had before
    lifetime_weeks: float  # median, from an item's first event to its last
    core: tuple[dt.datetime, dt.datetime]  # when the middle 98 % of events happened
    made: bool = False  # times are made by order
    kinds_are_items: bool = False
    people: float = 0.0  # share of the items that have a user's id, where ids are of one kind; else 0


@dataclass(frozen=True)
class Sizes:
    """Sizes of the models for the data."""

    rows: int  # training rows of the intent model, about
    minutes: float
    intent: dict[str, Any]
    ranking: dict[str, Any]
    train_users: int | None = None
    why: dict[str, str] = field(default_factory=dict)  # field of the spec: why it was set


def facts(db: duckdb.DuckDBPyConnection, data: Data, level: str, *, label: str, pair: bool = False) -> Facts:
    """Measure `source_events` and `source_items`; DataError where the weeks are too few.

    `pair` tells that the columns are named as who acts on whom.
    """
    span = period(db, "source_events", data=data, now=dt.datetime.now(dt.UTC))
    if span.weeks < LEAST_WEEKS:
        raise DataError(f"{label}: {span.weeks} weeks of events; at least {LEAST_WEEKS} are needed")
    week = f"(CAST(timestamp AT TIME ZONE '{data.timezone}' AS DATE) - DATE '{span.calendar.first_day}') // 7 + 1"
    db.execute(f"""
        CREATE TEMP TABLE seen AS SELECT user_id, item_id, event, timestamp, session_id, {week} AS week
        FROM source_events WHERE user_id IS NOT NULL AND item_id IS NOT NULL AND timestamp IS NOT NULL""")
    shares = ", ".join(f"count_if({column} IS NULL)" for column in columns.EVENTS_REQUIRED)
    blank = " AND ".join(f"{column} IS NULL" for column in columns.EVENTS_REQUIRED)
    rows, none, *lacking = _rows(db, f"SELECT count(*), count_if({blank}), {shares} FROM source_events")[0]
    kinds = _rows(db, "SELECT event FROM source_events GROUP BY event ORDER BY count(*) DESC, event")
    users, items, same = _rows(
        db, "SELECT count(DISTINCT user_id), count(DISTINCT item_id), bool_and(event = item_id) FROM seen"
    )[0]
    support, supported = _support(db)
    low, high = _rows(db, "SELECT quantile_disc(timestamp, [0.01, 0.99]) FROM seen")[0][0]
    return Facts(
        period=span,
        rows=rows,
        kinds=tuple(kind for (kind,) in kinds),
        users=users,
        items=items,
        levels=_levels(db, level),
        support=support,
        supported=supported,
        missing={c: n for c, n in zip(columns.EVENTS_REQUIRED, lacking, strict=True) if n},
        blank=none,
        active=dict(_rows(db, "SELECT week, count(DISTINCT user_id) FROM seen GROUP BY week ORDER BY week")),
        joined=dict(_rows(db, f"SELECT week, count(*) FROM ({FIRST}) GROUP BY week ORDER BY week")),
        returning=_rows(db, f"SELECT count_if(weeks > 1) FROM ({FIRST})")[0][0],
        repeats=1 - _rows(db, "SELECT count(DISTINCT (user_id, item_id)) / count(*) FROM seen")[0][0],
        lifetime_weeks=_rows(db, f"SELECT median(life) FROM ({LIFE})")[0][0],
        core=(low, high),
        made=isinstance(data.source, Files) and data.source.made_times is not None,
        kinds_are_items=bool(same),
        people=_people(db, pair=pair),
    )


FIRST = "SELECT user_id, min(week) AS week, count(DISTINCT week) AS weeks FROM seen GROUP BY user_id"
LIFE = "SELECT (epoch(max(timestamp)) - epoch(min(timestamp))) / 604800 AS life FROM seen GROUP BY item_id"


def _people(db: duckdb.DuckDBPyConnection, *, pair: bool) -> float:
    """Return which share of the items are users; 0 where ids only look alike, as the numbers of two lists do.

    People hardly act on themselves. Where user 7 and item 7 have nothing in common, 7 acts on 7 as often as by chance.
    """
    shared, chance, selves = _rows(
        db,
        """
        WITH users AS (SELECT user_id AS id, count(*) AS n FROM seen GROUP BY ALL),
             items AS (SELECT item_id AS id, count(*) AS n FROM seen GROUP BY ALL)
        SELECT count(users.id) / count(*), coalesce(sum(users.n * items.n), 0) / (SELECT count(*) FROM seen),
               (SELECT count_if(user_id = item_id) FROM seen)
        FROM items LEFT JOIN users USING (id)""",
    )[0]
    apart = chance >= BY_CHANCE and selves * BY_CHANCE <= chance
    return float(shared) if shared >= PEOPLE and (pair or apart) else 0.0


def _levels(db: duckdb.DuckDBPyConnection, level: str) -> int:
    column = level.removeprefix("items.")
    kind = {row[0]: row[1] for row in _rows(db, "DESCRIBE source_items")}[column]
    value = f'unnest("{column}")' if kind.endswith("[]") else f'"{column}"'
    return int(_rows(db, f"SELECT count(DISTINCT v) FROM (SELECT {value} AS v FROM source_items)")[0][0])


def _support(db: duckdb.DuckDBPyConnection) -> tuple[tuple[int, int], int]:
    """Choose the strictest support that leaves items enough to recommend, and count them."""
    session = "coalesce(session_id, concat(user_id, CAST(timestamp AS DATE)))"
    counted = f"SELECT count(DISTINCT {session}) AS s, count(DISTINCT user_id) AS u FROM seen GROUP BY item_id"
    for sessions, users in SUPPORT:
        wide, held = _rows(db, f"SELECT count(*), count_if(s >= {sessions} AND u >= {users}) FROM ({counted})")[0]
        if held >= min(ENOUGH_ITEMS, (wide + 1) // 2):
            return (sessions, users), held
    return SUPPORT[-1], wide


def sizes(found: Facts, split: dict[str, int], *, strength: str = "", of_users: bool = False) -> Sizes:
    """Size the models for the rows that they learn from; `strength` names the column that says how strong one is.

    `of_users`: the spec says `items: {from: users}`.
    """
    train = range(split["warmup_weeks"] + 1, found.period.weeks - split["validate_weeks"] - split["test_weeks"] + 1)
    rows = sum(users * sum(week > joined for week in train) for joined, users in found.joined.items())
    why: dict[str, str] = {}
    intent: dict[str, Any] = {"architecture": "transformer"}
    ranking: dict[str, Any] = {}
    train_users = None
    if rows > MOST_ROWS and found.users > 100:
        train_users = max(100, int(found.users * MOST_ROWS / rows))
        why["train_users"] = f"of {found.users:,} users: all would make {rows:,} training rows; left out: all"
        rows = int(rows * train_users / found.users)
    if rows < FEW_ROWS:
        intent |= {"width": 32, "layers": 1, "dropout": 0.2}
        why["architecture"] = (
            f"small for about {rows:,} training rows; the defaults are width 64, layers 2, dropout 0.1"
        )
    elif rows > MANY_ROWS:
        intent |= {"epochs": 2}
        why["architecture"] = f"two epochs for about {rows:,} training rows; the default is 3"
    mean = sum(found.active.values()) / max(1, found.period.weeks)
    if mean < FEW_ACTIVE and len(train) > 8:
        ranking["train_weeks"] = min(len(train), 26)
        why["train_weeks"] = f"{mean:,.0f} users a week are active: the ranker learns from more weeks than 8"
    if split["test_weeks"] >= 8:
        ranking["test_every_weeks"] = 2
    if found.repeats < NO_REPEATS:
        ranking["repeat"] = "forbid"
        why["repeat"] = (
            f"{found.repeats:.1%} of events repeat an item that the user had: only new ones are shown, and judged; "
            "left out: allow"
        )
    if found.people:
        alike = f"{found.people:.0%} of the items have a user's id"
        ranking |= {} if of_users else {"exclude_self": True}
        why |= {
            "from": f"{alike}: both ends of an event get one pseudonym, and who wrote to a user, and whom both know, "
            "are candidates",
            "exclude_self": f"{alike}: nobody is recommended to themselves; left out: false",
        }
    if strength:
        ranking["weight"] = {"of": strength, "scale": "rank" if strength == columns.STRENGTH else "log"}
        why["weight"] = f"what had more {strength} is wanted more; left out: every row counts alike"
    if found.items < 150:
        old = () if "repeat" in ranking else (("history", 150),)
        ranking["candidates"] = {s: min(found.items, n) for s, n in (*old, ("neighbours", 100), ("popular", 50))}
        why["candidates"] = f"no more than the {found.items:,} items there are"
    return Sizes(rows, (START_S + rows * ROW_MS / 1000) / 60, intent, ranking, train_users, why)


def lines(found: Facts, size: Sizes, split: dict[str, int]) -> tuple[str, ...]:
    """Say what was seen, then what will not work."""
    first, last = found.period.first.date(), found.period.last.date()
    seen = sum(found.active.values())
    told = [
        f"{found.rows:,} rows of {found.users:,} users and {found.items:,} items, {found.period.weeks} weeks "
        + (f"made by order, not measured ({first} to {last})" if found.made else f"({first} to {last})"),
        f"{found.rows / max(1, found.users) / found.period.weeks:.2g} events a user a week; "
        f"{found.repeats:.0%} of events repeat an item that the user had before",
        f"{found.returning:,} of {found.users:,} users ({_share(found.returning, found.users)}) come back in another "
        f"week; {seen / found.period.weeks:,.0f} users a week are active",
        f"half of the items are seen over {found.lifetime_weeks:.1f} weeks or less; {found.supported:,} of "
        f"{found.items:,} items have {found.support[0]} sessions of {found.support[1]} users and can be recommended",
        f"about {size.rows:,} training rows and {max(1, round(size.minutes))} minutes for a first run (an estimate: "
        f"{START_S:.0f} s and {ROW_MS} ms a row, on two busy cores)",
    ]
    return (*told, *_missing(found), *_warnings(found, split))


def _missing(found: Facts) -> list[str]:
    if found.blank and set(found.missing.values()) == {found.blank}:
        share = _share(found.blank, found.rows)
        return [f"{found.blank:,} of {found.rows:,} rows ({share}) are blank: the contract sets them aside and says so"]
    return [
        f"{count:,} of {found.rows:,} rows ({_share(count, found.rows)}) have no {column}: the contract sets them "
        "aside and says so"
        for column, count in found.missing.items()
    ]


def _warnings(found: Facts, split: dict[str, int]) -> list[str]:
    told = []
    weeks = found.period.weeks
    if found.made:
        told.append("the data has no times: nothing that is measured says when something happens, only what comes last")
    if found.returning == 0:
        told.append(
            "WILL NOT WORK: no user comes back in another week, so there is nothing to learn from the past of one; "
            "check user_id (is it a session's or an order's id?), or bring more weeks"
        )
    elif found.returning < 0.05 * found.users:
        told.append(
            f"weak: {_share(found.returning, found.users)} of users come back; most answers will be the popular"
        )
    judged = sum(users for week, users in found.active.items() if week > weeks - split["test_weeks"])
    if judged < FEW_JUDGED:
        told.append(f"weak: {judged:,} active user-weeks in the test weeks; verdicts will hardly tell models apart")
    if weeks < 2 * LEAST_WEEKS:
        told.append(f"weak: {weeks} weeks; habits need some 12 weeks to be seen, and drift about as many")
    if found.items < 2:
        told.append("WILL NOT WORK: there is one item; nothing can be ranked")
    whole = (found.period.last - found.period.first).total_seconds()
    for edge, low, high in (("first", found.period.first, found.core[0]), ("last", found.core[1], found.period.last)):
        if whole and not found.made and (high - low).total_seconds() > FAR_OFF * whole:
            told.append(
                f"look: the {edge} 1 % of events take over half of the time ({low.date()} to {high.date()}); these may "
                "be wrong times, or move the split's weeks"
            )
    return told


def _share(part: int, whole: int) -> str:
    return f"{100 * part / max(1, whole):.1f} %"


def _rows(db: duckdb.DuckDBPyConnection, query: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in db.execute(query).fetchall()]

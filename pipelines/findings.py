"""What the events of a user's own files hold, measured before anything is trained; and the sizes that follow from it.

`init` says these lines and writes these sizes. Minutes are an estimate: rows by a rate measured on two busy cores.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb

from components.data.database import text
from components.data.guess_kinds import FOLLOWED, Kinds, is_, sign_of
from components.data.snapshot import Period, period
from components.data.source_spec import Files
from components.data.spec import Data
from feature_repo import columns
from feature_repo.clock import DAY, DAY_S, HOUR, HOUR_S, WEEK, Step
from feature_repo.errors import DataError

LEAST_WEEKS = 4  # one each to warm up, train, validate and test
RARE_DAYS = 2  # median of days between two of a user's days: who comes less often has no rhythm within a week
DAILY_DAYS = 1.5  # the same: who comes so often has one within a day
HOURLY_SPAN_DAYS, DAILY_SPAN_DAYS = 28, 400  # longer data has too many steps: rows are of users and steps
LEAST_HOURLY_DAYS, LEAST_DAILY_DAYS = 4, 14  # shorter data has too few of them
JUDGED_STEPS: dict[Step, int] = {WEEK: 8, DAY: 28, HOUR: 72}  # to test on, at most
RANKED_STEPS: dict[Step, int] = {WEEK: 26, DAY: 60, HOUR: 168}  # that a ranker with few rows learns from, at most
SUPPORT = ((20, 5), (5, 3), (2, 2), (1, 1))  # sessions and users that an item needs, strictest first
ENOUGH_ITEMS = 50
FEW_ROWS, MANY_ROWS, MOST_ROWS = 20_000, 50_000, 150_000  # training rows of the intent model
FEW_ACTIVE = 300  # active users a week: fewer, and the ranker learns from more weeks
START_S, ROW_MS = 120.0, 1.5  # of a first run, and of one training row; measured on two cores under load
NO_REPEATS = 0.02  # share of events that repeat: below it nobody wants an item twice
PEOPLE = 0.5  # share of the items that have ids of users, at least, where items are people
BARE = 0.9  # share of a kind's events without an item, from which on the kind has none
BY_CHANCE = 10.0  # events of users with themselves that ids of two kinds would make, and still make ten times as many


@dataclass(frozen=True)
class Facts:
    """What the files hold, read through the guess."""

    period: Period
    rows: int
    kinds: dict[str, int]  # rows by kind of event, most frequent first
    users: int
    items: int
    levels: int  # distinct values of the level
    support: tuple[int, int]
    supported: int  # items that have it
    missing: dict[str, int]  # required column: rows without
    blank: int  # rows that lack every required column
    active: dict[int, int]  # week: users with an event
    joined: dict[int, int]  # week: users whose first event is in it
    possible: dict[int, int]  # week: training rows that it could have
    kept: dict[int, int]  # week: those kept where rows of silent users are thinned
    returning: int  # users with events in two weeks or more
    repeats: float  # share of events of an item that the user had before
    lifetime_weeks: float  # median, from an item's first event to its last
    core: tuple[dt.datetime, dt.datetime]  # when the middle 98 % of events happened
    made: bool = False  # times are made by order
    kinds_are_items: bool = False
    people: float = 0.0  # share of the items that have a user's id, where ids are of one kind; else 0
    bare: tuple[str, ...] = ()  # kinds of events that have no item
    session_events: float = 0.0  # events a session, on the average; 0 where no column names sessions
    per_step: float = 0.0  # events of a user in a step in which there are any, on the average

    @property
    def step(self) -> Step:
        """The clock's step, in which `week`, `weeks` and `active` count."""
        return self.period.calendar.step


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
        raise DataError(
            f"{label}: {span.calendar.pace.counted(span.weeks)} of events; at least {LEAST_WEEKS} are needed"
        )
    week = step_number(span, data)
    db.execute(f"""
        CREATE TEMP TABLE seen AS SELECT user_id, item_id, event, timestamp, session_id, {week} AS week
        FROM source_events WHERE user_id IS NOT NULL AND item_id IS NOT NULL AND timestamp IS NOT NULL""")
    kinds = dict(_rows(db, "SELECT event, count(*) FROM source_events GROUP BY event ORDER BY count(*) DESC, event"))
    bare = _bare(db, kinds)
    rows, none, *lacking = _rows(db, _lacking(bare))[0]
    users, items, same = _rows(
        db, "SELECT count(DISTINCT user_id), count(DISTINCT item_id), bool_and(event = item_id) FROM seen"
    )[0]
    support, supported = _support(db)
    low, high = _rows(db, "SELECT quantile_disc(timestamp, [0.01, 0.99]) FROM seen")[0][0]
    return Facts(
        period=span,
        rows=rows,
        kinds=kinds,
        users=users,
        items=items,
        levels=_levels(db, level),
        support=support,
        supported=supported,
        missing={c: n for c, n in zip(columns.EVENTS_REQUIRED, lacking, strict=True) if n},
        blank=none,
        active=dict(_rows(db, "SELECT week, count(DISTINCT user_id) FROM seen GROUP BY week ORDER BY week")),
        joined=dict(_rows(db, f"SELECT week, count(*) FROM ({FIRST}) GROUP BY week ORDER BY week")),
        **_training_rows(db, span.weeks, span.calendar.pace.silent),
        returning=_rows(db, f"SELECT count_if(weeks > 1) FROM ({FIRST})")[0][0],
        repeats=1 - _rows(db, "SELECT count(DISTINCT (user_id, item_id)) / count(*) FROM seen")[0][0],
        lifetime_weeks=_rows(db, f"SELECT median(life) FROM ({LIFE})")[0][0],
        core=(low, high),
        made=isinstance(data.source, Files) and data.source.made_times is not None,
        kinds_are_items=bool(same),
        people=_people(db, pair=pair),
        bare=bare,
        session_events=_rows(db, "SELECT coalesce(count(*) / nullif(count(DISTINCT session_id), 0), 0) FROM seen")[0][
            0
        ],
        per_step=_rows(db, "SELECT coalesce(count(*) / nullif(count(DISTINCT (user_id, week)), 0), 0) FROM seen")[0][0],
    )


def _bare(db: duckdb.DuckDBPyConnection, kinds: Mapping[str, int]) -> tuple[str, ...]:
    """List the kinds of several that hardly ever have an item, and whose words do not say that one was wanted."""
    share = f"SELECT event FROM source_events GROUP BY event HAVING avg(CAST(item_id IS NULL AS INTEGER)) >= {BARE}"
    without = {kind for (kind,) in _rows(db, share)}
    found = [kind for kind in kinds if kind in without and not ((sign := sign_of(kind)) and sign.weight)]
    return tuple(found) if len(found) < len(kinds) else ()


def _lacking(bare: Sequence[str]) -> str:
    """Return the query that counts rows, blank ones, and those that lack what an event must have."""
    kinds = ", ".join(text(kind) for kind in bare)
    lacks = {column: f"{column} IS NULL" for column in columns.EVENTS_REQUIRED}
    blank = " AND ".join(lacks.values())
    lacks[columns.ITEM_ID] += f" AND coalesce(event NOT IN ({kinds}), true)" if bare else ""
    shares = ", ".join(f"count_if({lack})" for lack in lacks.values())
    return f"SELECT count(*), count_if({blank}), {shares} FROM source_events"


def _training_rows(db: duckdb.DuckDBPyConnection, weeks: int, silent: int) -> dict[str, dict[int, int]]:
    """Count the training rows of each week, by the rule of the profiles step: those possible, and those kept."""
    import ibis

    from components.profiles.build import training_rows

    db.execute(f"""
        CREATE OR REPLACE TEMP TABLE active_weeks AS
        SELECT DISTINCT dense_rank() OVER (ORDER BY user_id)::INTEGER AS user_id, week::INTEGER AS week,
            week::INTEGER + 1 AS known FROM seen;
        CREATE OR REPLACE TEMP TABLE cut_weeks AS SELECT unnest(range(1, {weeks + 1}))::INTEGER AS week""")
    engine = ibis.duckdb.from_connection(db)
    events, cuts = engine.table("active_weeks"), engine.table("cut_weeks")
    thinned = training_rows.chosen(events, cuts, one_in=training_rows.tried("auto"), silent=silent)
    pairs = {"possible": training_rows.possible(events, cuts), "kept": thinned}
    return {
        name: dict(_rows(db, f"SELECT week, count(*) FROM ({ibis.to_sql(table)}) GROUP BY week ORDER BY week"))
        for name, table in pairs.items()
    }


def step_of(db: duckdb.DuckDBPyConnection, data: Data) -> Step:
    """Propose the clock's step from how often users of `source_events` come, and over how long."""
    if isinstance(data.source, Files) and data.source.made_times is not None:
        return WEEK
    local = f"timestamp AT TIME ZONE '{data.timezone}'"
    gap, span_days, times = _rows(
        db,
        f"""
        WITH days AS (SELECT DISTINCT user_id, CAST({local} AS DATE) AS day FROM source_events
                      WHERE user_id IS NOT NULL AND timestamp IS NOT NULL),
             gaps AS (SELECT day - lag(day) OVER (PARTITION BY user_id ORDER BY day) AS gap FROM days)
        SELECT (SELECT median(gap) FROM gaps WHERE gap IS NOT NULL), (SELECT max(day) - min(day) + 1 FROM days),
               (SELECT count(DISTINCT CAST({local} AS TIME)) FROM source_events)""",
    )[0]
    return proposed(gap_days=gap, span_days=span_days or 0, times_of_day=times)


def proposed(*, gap_days: float | None, span_days: int, times_of_day: int) -> Step:
    """Choose the step: hours for short data of daily users, days for data of frequent ones, else weeks.

    `gap_days` is the median of days between two days of one user, None where nobody came on two; `times_of_day` counts
    the distinct ones: a single one is no clock of hours.

    >>> proposed(gap_days=1, span_days=20, times_of_day=900), proposed(gap_days=2, span_days=200, times_of_day=1)
    ('hour', 'day')
    >>> proposed(gap_days=7, span_days=200, times_of_day=900), proposed(gap_days=1, span_days=3000, times_of_day=900)
    ('week', 'week')
    """
    if gap_days is None or gap_days > RARE_DAYS or span_days > DAILY_SPAN_DAYS:
        return WEEK
    if gap_days <= DAILY_DAYS and times_of_day > 1 and LEAST_HOURLY_DAYS <= span_days < HOURLY_SPAN_DAYS:
        return HOUR
    return DAY if span_days >= LEAST_DAILY_DAYS else WEEK


def step_number(span: Period, data: Data) -> str:
    """Return the SQL of an event's step."""
    calendar = span.calendar
    if calendar.step == HOUR:
        return f"CAST(floor((epoch(timestamp) - {calendar.start(1).timestamp():.0f}) / {HOUR_S}) AS BIGINT) + 1"
    days = f"(CAST(timestamp AT TIME ZONE '{data.timezone}' AS DATE) - DATE '{calendar.first_day}')"
    return f"{days} // {calendar.pace.seconds // DAY_S} + 1"


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


def sizes(
    found: Facts, split: dict[str, int], *, kinds: Kinds | None = None, strength: str = "", of_users: bool = False
) -> Sizes:
    """Size the models for the rows that they learn from; `strength` names the column that says how strong one is.

    `kinds` are those with weights, which take the strength's place. `of_users`: the spec says `items: {from: users}`.
    """
    warmup, validate, test = split.values()
    train = range(warmup + 1, found.period.weeks - validate - test + 1)
    rows = _rows_of(found, train)
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
        ranking["train_weeks"] = min(len(train), RANKED_STEPS[found.step])
        why["train_weeks"] = (
            f"{mean:,.0f} users a {found.step} are active: the ranker learns from more {found.step}s than 8"
        )
    if test >= JUDGED_STEPS[found.step]:
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
    if kinds:
        ranking |= kinds.fields()
        once = {kind: "forbid" for kind in kinds.weights if of_users and is_(kind, FOLLOWED)}
        if once and "repeat" not in ranking:
            ranking["repeat"] = once
            why["repeat"] = "whom one follows already is not shown, until it is taken back; kinds left out are allowed"
    elif strength:
        ranking["weight"] = {"of": strength, "scale": "rank" if strength == columns.STRENGTH else "log"}
        why["weight"] = f"what had more {strength} is wanted more; left out: every row counts alike"
    if found.items < 150:
        old = () if "repeat" in ranking else (("history", 150),)
        ranking["candidates"] = {s: min(found.items, n) for s, n in (*old, ("neighbours", 100), ("popular", 50))}
        why["candidates"] = f"no more than the {found.items:,} items there are"
    return Sizes(rows, (START_S + rows * ROW_MS / 1000) / 60, intent, ranking, train_users, why)


def _rows_of(found: Facts, weeks: range) -> int:
    """Return how many training rows these weeks have: fewer than possible, where most are of silent users."""
    from components.profiles.build import training_rows

    possible, kept = (sum(by_week.get(week, 0) for week in weeks) for by_week in (found.possible, found.kept))
    return possible if training_rows.one_in("auto", possible=possible, kept=kept) == 1 else kept


def _rows(db: duckdb.DuckDBPyConnection, query: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in db.execute(query).fetchall()]

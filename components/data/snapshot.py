"""What a folder of canonical tables holds: counts, first and last instant, calendar, digest of its data.

Written beside the tables as `snapshot.json`, by ingest over what the source gave and by validate over
what the contract let through. Reads tables through DuckDB; changes none.
"""

import datetime as dt
import statistics
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from components.data.spec import PARTS, Data
from feature_repo import files
from feature_repo.calendar import Calendar
from feature_repo.clock import DAY, DAY_S, HOUR, HOUR_S, WEEK, Step
from feature_repo.errors import DataError

FILE = "snapshot.json"
LISTED_USERS = "listed_users.parquet"  # whom the source's own table of users names; only where there is one
FAR = dt.timedelta(days=366)  # without an event: what lies past it, and past the span of the others, is far from them
# A complete step has events in as many of these parts as is usual.
PARTS_S: dict[Step, int] = {HOUR: 60, DAY: HOUR_S, WEEK: DAY_S}
ON: dict[Step, str] = {HOUR: "at", DAY: "of a"}
NEARLY_ALL = 0.8  # share of the events that the others must have


@dataclass(frozen=True)
class Period:
    """When the events of a source happened."""

    first: dt.datetime
    last: dt.datetime
    calendar: Calendar
    weeks: int
    last_week_complete: bool


@dataclass(frozen=True)
class Snapshot:
    """The facts that later steps need before they open a table."""

    source: str
    digest: str  # 12 hex digits
    rows: dict[str, int]  # by table
    first: str  # ISO, UTC
    last: str  # ISO, UTC
    calendar: Calendar
    weeks: int  # number of the last week
    last_week_complete: bool
    key: str = ""  # fingerprint of the key that users' pseudonyms were made under
    repeats: int = 0  # events left out at ingest, since another file had brought them
    late: int = 0  # events that came after the first delivery
    users_of_events: int = 0
    users_listed: int | None = None  # of them, in the source's table of users; None: it has none
    items_undated: int | None = None  # whose first_seen the source left out; None: written before it was counted

    @classmethod
    def of(cls, period: Period, *, source: str, digest: str, rows: dict[str, int], key: str) -> "Snapshot":
        """Join what is known of a period with what is known of the rows."""
        return cls(
            source=source,
            digest=digest,
            rows=rows,
            first=period.first.astimezone(dt.UTC).isoformat(),
            last=period.last.astimezone(dt.UTC).isoformat(),
            calendar=period.calendar,
            weeks=period.weeks,
            last_week_complete=period.last_week_complete,
            key=key,
        )

    def save(self, folder: Path) -> None:
        """Write snapshot.json into a folder."""
        files.write_json(folder / FILE, asdict(self) | {"calendar": self.calendar.document()})

    @classmethod
    def load(cls, folder: Path) -> "Snapshot":
        """Read what `save` wrote."""
        stored = files.read_json(folder / FILE)
        return cls(**{**stored, "calendar": Calendar(**stored["calendar"])})


def around(db: duckdb.DuckDBPyConnection, events: str, *, now: dt.datetime) -> tuple[dt.datetime, dt.datetime] | None:
    """Find what nearly all events lie between where some lie years away from them, such as an epoch of 0; else None."""
    days = db.execute(
        f"""SELECT min(timestamp), max(timestamp), count(*) FROM {events} WHERE timestamp <= ?
        GROUP BY CAST(timestamp AT TIME ZONE 'UTC' AS DATE) ORDER BY 1""",
        [now],
    ).fetchall()
    groups: list[tuple[dt.datetime, dt.datetime, int]] = []
    for first, last, events_of_day in days:
        if groups and first - groups[-1][1] <= FAR:
            groups[-1] = (groups[-1][0], last, groups[-1][2] + events_of_day)
        else:
            groups.append((first, last, events_of_day))
    if len(groups) < 2:
        return None
    place, (first, last, most) = max(enumerate(groups), key=lambda group: group[1][2])
    gaps = [after - before for before, after in _gaps(groups, place)]
    few = most < NEARLY_ALL * sum(count for _first, _last, count in groups)
    return None if few or min(gaps) <= last - first else (first, last)


def _gaps(groups: list[tuple[dt.datetime, dt.datetime, int]], place: int) -> list[tuple[dt.datetime, dt.datetime]]:
    """Return the spans without events on either side of a group."""
    before = [(groups[place - 1][1], groups[place][0])] if place else []
    after = [(groups[place][1], groups[place + 1][0])] if place + 1 < len(groups) else []
    return before + after


def period(
    db: duckdb.DuckDBPyConnection, events: str, *, data: Data, now: dt.datetime, far_out: bool = False
) -> Period:
    """Measure the period of a relation of events; rows after `now` say nothing about it.

    Nor do rows that lie years away from all others, but with `far_out`.
    """
    near = None if far_out else around(db, events, now=now)
    if near is not None:
        db.execute(
            f"CREATE OR REPLACE TEMP VIEW near_events AS FROM {events} WHERE timestamp BETWEEN "
            f"TIMESTAMPTZ '{near[0].isoformat()}' AND TIMESTAMPTZ '{near[1].isoformat()}'"
        )
        events = "near_events"
    first, last = _one(db, f"SELECT min(timestamp), max(timestamp) FROM {events} WHERE timestamp <= ?", now)
    if first is None:
        # Written by DuckDB, whose years go past Python's 9999.
        said = "strftime(min(timestamp) AT TIME ZONE 'UTC', '%Y-%m-%d %H:%M')"
        earliest, rows = _one(db, f"SELECT {said}, count(*) FROM {events}")
        if earliest is None:
            what = "no rows" if rows == 0 else f"no timestamp in any of its {rows:,} rows"
            raise DataError(f"data.source: events have {what}; nothing can be learnt from them")
        raise DataError(
            f"data.source: every timestamp is in the future (the earliest is {earliest} UTC); "
            "check the column, its format and its time zone"
        )
    calendar = Calendar.starting(first, timezone=data.timezone, week_start=data.week_start, pace=data.pace)
    _require_fine_times(db, events, calendar, now=now)
    parts = _parts_by_step(db, events, calendar, now=now)
    weeks = max(parts)
    earlier = [parts.get(week, 0) for week in range(2, weeks)]  # step 1 may be cut as well
    usual = statistics.median(earlier) if earlier else calendar.pace.seconds // PARTS_S[calendar.step]
    return Period(first, last, calendar, weeks, last_week_complete=parts[weeks] >= usual)


def require_weeks(weeks: int, data: Data, *, horizon: int = 1) -> None:
    """Refuse data that ends before the split's first test step could be learnt for.

    `horizon` is how many steps the longest label looks ahead: each part ends so many before the next begins.
    """
    warmup, validate, test = data.split.lengths().values()
    ahead = 3 * (horizon - 1)
    needed, unit = warmup + 1 + validate + test + ahead, f"{data.step}s"
    if weeks < needed:
        names = [f"{part}_{'weeks' if data.step == WEEK else 'steps'}" for part in PARTS]
        raise DataError(
            f"data.split: the events span {data.pace.counted(weeks)} and the split needs {needed} ({warmup} warm-up "
            f"+ at least 1 train + {validate} validate + {test} test"
            + (f" + {ahead} for labels of {data.pace.counted(horizon)}" if ahead else "")
            + f"); lower {names[0]}, {names[1]} or {names[2]}"
            + (", or the intents' horizons" if ahead else "")
            + f", or bring more {unit}"
        )


def _require_fine_times(db: duckdb.DuckDBPyConnection, events: str, calendar: Calendar, *, now: dt.datetime) -> None:
    """Refuse steps that are finer than the times: of hours where all are at one time of day, of days where of a week.

    A single step could not hold two events then, and most steps would be empty whatever users do.
    """
    if calendar.step == WEEK:
        return
    local = f"timestamp AT TIME ZONE '{calendar.timezone}'"
    part, coarser = ("CAST({} AS TIME)", DAY) if calendar.step == HOUR else ("dayofweek({})", WEEK)
    kinds, days, first = _one(
        db,
        f"""SELECT count(DISTINCT {part.format(local)}), count(DISTINCT CAST({local} AS DATE)),
        strftime(min({local}), {"'%H:%M'" if calendar.step == HOUR else "'%A'"}) FROM {events} WHERE timestamp <= ?""",
        now,
    )
    if kinds == 1 and days > 1:
        raise DataError(
            f"data.step: {calendar.step} is finer than the data's clock: every timestamp is {ON[calendar.step]} "
            f"{first} ({calendar.timezone}); use {coarser}, or map a column of full times"
        )


def _parts_by_step(
    db: duckdb.DuckDBPyConnection, events: str, calendar: Calendar, *, now: dt.datetime
) -> dict[int, int]:
    """Count by step the parts of it that have events: days of a week, hours of a day, minutes of an hour."""
    if calendar.step == WEEK:
        query = f"SELECT DISTINCT CAST(timestamp AT TIME ZONE ? AS DATE) FROM {events} WHERE timestamp <= ?"
        days = db.execute(query, [calendar.timezone, now]).fetchall()
        starts = [int(calendar.midnight(day).timestamp()) for (day,) in days]
    else:
        size = PARTS_S[calendar.step]
        query = f"SELECT DISTINCT CAST(floor(epoch(timestamp) / {size}) AS BIGINT) FROM {events} WHERE timestamp <= ?"
        starts = [part * size for (part,) in db.execute(query, [now]).fetchall()]
    steps, counts = np.unique(calendar.weeks(np.asarray(starts, dtype=np.int64)), return_counts=True)
    return dict(zip(steps.tolist(), counts.tolist(), strict=True))


def _one(db: duckdb.DuckDBPyConnection, query: str, *values: Any) -> tuple[Any, ...]:
    row = db.execute(query, list(values)).fetchone()
    assert row is not None  # an aggregate always yields a row
    return tuple(row)

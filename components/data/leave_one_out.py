"""SQL of a clock of places instead of days: published leave-one-out protocols, as `data.split.leave_one_out` asks.

Such a protocol tests on the last event of each user and learns from all before it, whatever the day. So a user's last
event is put into the last step, the one before it into the step before, and so on; what is older than all training
steps is spread over the warm-up steps, in its order. Then every part of the product works as it does by time: a row
knows what comes before its step. What it knows of others, such as what is popular, is of their earlier places and may
be of later days; that is what such protocols allow and why they are no way to judge what serves. Steps are days, the
last one the day on which the data ends.
"""

import duckdb

from components.data.database import text
from components.data.spec import Split

FIRST_HOUR, HOURS = 3, 20  # of a day: between the hours at which clocks change


def create(db: duckdb.DuckDBPyConnection, split: Split, *, timezone: str) -> None:
    """Move the rows of `arrived_events` to their places; a row without a user or a time stays where it is.

    By then what another file repeats is dropped: a copy is known by its time, and would else get a place of its own.
    """
    db.execute("ALTER VIEW arrived_events RENAME TO timed_events")
    assert split.leave_one_out is not None, "asked for by the spec"
    warmup, validate, test = split.lengths().values()
    zone, newest = text(timezone), split.leave_one_out + validate + test
    drawn = f"(('0x' || left(md5(concat(user_id, '/', step)), 12))::UBIGINT / {16**12}.0)"  # [0, 1): all hours of a day
    hours = (
        f"{FIRST_HOUR} + {HOURS} * (row_number() OVER placed - {drawn}) / count(*) OVER (PARTITION BY user_id, step)"
    )
    day = f"(SELECT max(CAST(timestamp AT TIME ZONE {zone} AS DATE)) FROM timed_events)"
    steps = warmup + newest
    moment = f"({day} - CAST({steps} - step AS INTEGER) + to_microseconds(CAST(({hours}) * 3600e6 AS BIGINT)))"
    db.execute(f"""
        CREATE TABLE arrived_events AS
        WITH ordered AS (
            SELECT *, row_number() OVER byuser AS place, count(*) OVER (PARTITION BY user_id) AS n FROM timed_events
            WHERE user_id IS NOT NULL AND timestamp IS NOT NULL
            WINDOW byuser AS (PARTITION BY user_id ORDER BY timestamp, source_row)
        ), stepped AS (
            SELECT * EXCLUDE (place, n), place, CASE
                WHEN n - place < {newest} THEN {steps} - (n - place)
                WHEN n - {newest} <= {warmup} THEN {steps} - (n - place)
                ELSE CAST(ceil(place * {warmup} / (n - {newest})) AS BIGINT) END AS step
            FROM ordered
        ), moved AS (
            SELECT * EXCLUDE (place, step), {moment} AT TIME ZONE {zone} AS instant FROM stepped
            WINDOW placed AS (PARTITION BY user_id, step ORDER BY place)
        )
        SELECT * EXCLUDE (instant) REPLACE (instant AS timestamp, instant AS created_at) FROM moved
        UNION ALL BY NAME
        SELECT * FROM timed_events WHERE user_id IS NULL OR timestamp IS NULL""")

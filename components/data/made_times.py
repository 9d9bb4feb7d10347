"""SQL of times for events that have none: made by order, declared in the spec (`made_times`), never measured.

Each user's n rows are spread evenly over the made-up weeks; row i of n falls into the i-th of n equal parts, at a
moment drawn from the row's place in the file, and the last row of every user into the last week at the earliest.
"""

import duckdb

from components.data.database import text
from components.data.source_spec import MadeTimes

WEEK_US = 7 * 86_400_000_000


def create(db: duckdb.DuckDBPyConnection, made: MadeTimes) -> None:
    """Give the rows of `source_events`, whose times are null, their made ones."""
    (is_view,) = db.execute("SELECT count(*) FROM duckdb_views() WHERE view_name = 'source_events'").fetchall()[0]
    db.execute(f"ALTER {'VIEW' if is_view else 'TABLE'} source_events RENAME TO untimed_events")
    moment = instant(made)
    db.execute(f"""
        CREATE TABLE source_events AS
        SELECT * REPLACE ({moment} AS timestamp, {moment} AS created_at) FROM untimed_events""")


def instant(made: MadeTimes) -> str:
    """Return the SQL of a row's time."""
    drawn = f"(('0x' || left(md5(concat({made.seed}, ':', source_row)), 12))::UBIGINT / {16**12}.0)"  # [0, 1)
    moment = drawn.replace("':'", "'/'")  # drawn apart, so that it does not follow from the place in a random order
    order = "source_row" if made.order == "rows" else f"{drawn}, source_row"
    place = f"row_number() OVER (PARTITION BY user_id ORDER BY {order})"
    part = f"({made.weeks * WEEK_US}::DOUBLE / count(*) OVER (PARTITION BY user_id))"
    start = f"epoch_us(TIMESTAMPTZ {text(f'{made.start} 00:00:00+00')})"
    return (
        f"make_timestamptz({start} + CAST(floor({place} * {part} - {moment} * least({part}, {WEEK_US})) AS BIGINT) - 1)"
    )

"""SQL of times for events that have none: made by order, declared in the spec (`made_times`), never measured.

Each user's n rows are spread evenly over the made-up weeks; row i of n falls into the i-th of n equal parts, at a
moment drawn from the row's place in the file, and the last row of every user into the last week at the earliest.
"""

from components.data.database import text
from components.data.source_spec import MadeTimes

WEEK_US = 7 * 86_400_000_000


def instant(made: MadeTimes, user: str) -> str:
    """Return the SQL of a row's time; `user` is the SQL of its user id."""
    drawn = f"(('0x' || left(md5(concat({made.seed}, ':', source_row)), 12))::UBIGINT / {16**12}.0)"  # [0, 1)
    order = "source_row" if made.order == "rows" else f"{drawn}, source_row"
    place = f"row_number() OVER (PARTITION BY {user} ORDER BY {order})"
    part = f"({made.weeks * WEEK_US}::DOUBLE / count(*) OVER (PARTITION BY {user}))"
    offset = f"{place} * {part} - {_other(drawn)} * least({part}, {WEEK_US})"
    start = f"epoch_us(TIMESTAMPTZ {text(f'{made.start} 00:00:00+00')})"
    return f"make_timestamptz({start} + CAST(floor({offset}) AS BIGINT) - 1)"


def _other(drawn: str) -> str:
    """Draw a moment within a part that does not follow from the place in a random order."""
    return drawn.replace("':'", "'/'")

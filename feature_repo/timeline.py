"""What holds at a cutoff: running sums repeated over the cutoffs, decay by age, and sums that add in any order.

Ibis expressions that the features are made of (`transforms.py`, whose tables these are). A row changes its user's
state once, and the state holds until the next change: `running` and `until` say so, `held` repeats it.
"""

from typing import Any

import ibis
from ibis import _

from feature_repo import columns
from feature_repo.clock import Pace

Table = Any  # ibis ships no types that a strict checker can follow

WEEKLY = Pace()
FIXED_POINT = 1e9


def keyed(events: Table, *, late: bool) -> Table:
    """Sum up by user, key and week; `new` marks the row by which a week became known, so that it counts once."""
    keys = ["user_id", "key", columns.WEEK]
    if not late:
        found = events.group_by(keys).agg(first_at=_.at.min(), last_at=_.at.max())
        return found.mutate(known=found.week, new=ibis.literal(1, "int64"))
    found = events.group_by([*keys, "known"]).agg(first_at=_.at.min(), last_at=_.at.max())
    return marked_new(found, keys)


def marked_new(table: Table, keys: list[str]) -> Table:
    """Mark the rows by which their keys became known (`new`, 1 or 0)."""
    first = table.known.min().over(ibis.window(group_by=keys))
    return table.mutate(new=(table.known == first).cast("int64"))


def running(table: Table, *keys: str) -> Any:
    """Return the window of all that was known of the keys with a row or before it."""
    return ibis.cumulative_window(group_by=[table[k] for k in keys], order_by=[table.known, table.week])


def until(table: Table, *keys: str) -> Any:
    """Return the last cutoff for which a row's running sums hold: that at the next row's own week; null for ever."""
    order = ibis.window(group_by=[table[k] for k in keys], order_by=[table.known, table.week])
    return table.known.lead().over(order)


def held(changes: Table, cutoffs: Table, *more: str, pace: Pace = WEEKLY) -> Table:
    """Repeat each row at every cutoff in (known, until], null for no end; `more` names columns of the cutoffs.

    Adds what makes sums over `grown` weeks decay to the cutoff: slow_shrunk and fast_shrunk. Cutoffs
    with a user_id are those of that user alone.
    """
    if "user_id" in cutoffs.columns:
        return _held_of_user(changes, cutoffs, *more, pace=pace)
    bounds = cutoffs.agg(first_cutoff=_.week.min(), last_cutoff=_.week.max())
    bounded = changes.cross_join(bounds)
    bounded = bounded.mutate(
        since=ibis.greatest(bounded.known + 1, bounded.first_cutoff),
        until=ibis.least(bounded.until.fill_null(bounded.last_cutoff), bounded.last_cutoff),
    ).filter(_.since <= _.until)
    repeated = bounded.mutate(cutoff=ibis.range(bounded.since, bounded.until + 1).unnest())
    marks = cutoffs.select(columns.STATE_AT, *more, **_marks(cutoffs, pace))
    return repeated.drop("known", "until", "since", "first_cutoff", "last_cutoff").join(marks, "cutoff")


def _held_of_user(changes: Table, cutoffs: Table, *more: str, pace: Pace) -> Table:
    """Repeat each row at the cutoffs of its own user: costs as much as these are, however many weeks there are."""
    marks = cutoffs.select(columns.STATE_AT, *more, owner="user_id", **_marks(cutoffs, pace))
    joined = changes.join(
        marks,
        [
            changes.user_id == marks.owner,
            changes.known < marks.cutoff,
            changes.until.isnull() | (marks.cutoff <= changes.until),
        ],
    )
    return joined.drop("known", "until", "owner")


def _marks(cutoffs: Table, pace: Pace) -> dict[str, Any]:
    return {
        "cutoff": cutoffs.week,
        "slow_shrunk": _shrunk(pace.slow, cutoffs.week),
        "fast_shrunk": _shrunk(pace.fast, cutoffs.week),
    }


def before(table: Table, cutoffs: Table) -> Table:
    """Pair each row with every cutoff after its week known; `age` is in steps, >= 1. For few rows."""
    marks = cutoffs.rename(cutoff=columns.WEEK)
    joined = table.join(marks, table.known < marks.cutoff)
    return joined.mutate(age=joined.cutoff - joined.week) if columns.WEEK in table.columns else joined


def total(value: Any, *, over: Any = None) -> Any:
    """Add up in fixed point, nine decimals: floats added in another order differ, and engines add as threads come.

    Holds sums up to nine billion.
    """
    found = fixed(value).sum()
    return unfixed(found if over is None else found.over(over))


def fixed(value: Any) -> Any:
    """Return a number as an integer of billionths."""
    return (value * FIXED_POINT).round().cast("int64")


def unfixed(whole: Any) -> Any:
    """Return an integer of billionths as a double."""
    return whole.cast("float64") / FIXED_POINT


def decay(per_week: float) -> Any:
    """Weigh a row by its column `age`, in steps."""
    return per_week**_.age


def grown(per_week: float, week: Any) -> Any:
    """Weigh a step so that `_shrunk` at a cutoff makes it decay by its age; doubles hold `Pace.most_steps` of them."""
    return ibis.literal(1.0 / per_week) ** week.cast("float64")


def _shrunk(per_week: float, cutoff: Any) -> Any:
    return ibis.literal(per_week) ** cutoff.cast("float64")

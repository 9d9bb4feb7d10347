"""Intervals between purchases: how many weeks usually pass until a key, an item or a target, is taken again.

Ibis expressions beside transforms.py. A user's own intervals need no table: the lists of the user row hold the weeks,
the first and the last time of each key.
"""

from typing import Any

import ibis
from ibis import _

from feature_repo import columns, timeline

Table = Any


def steps(keyed: Table, *, late: bool = True) -> Table:
    """Sum up by key and week known the weeks between two weeks of one user with it; sums add up.

    A week that became known late parts an interval in two: what it takes away and adds is counted when it is known.
    """
    weeks = keyed.filter(_.new == 1).select("user_id", "key", columns.WEEK, "known")
    own = ibis.window(group_by=["user_id", "key"], order_by=columns.WEEK)
    found = weeks.mutate(before=weeks.week.lag().over(own), after=ibis.null("int64")) if not late else _between(weeks)
    before, after = found.week - found.before, found.after - found.week  # weeks, null where there is none
    whole = before + after
    gap = ibis.coalesce(before, 0) + ibis.coalesce(after, 0) - ibis.coalesce(whole, 0)
    square = ibis.coalesce(before * before, 0) + ibis.coalesce(after * after, 0) - ibis.coalesce(whole * whole, 0)
    moved = found.mutate(gap=gap, square=square).filter(_.before.notnull() | _.after.notnull())
    return moved.group_by("key", "known").agg(times=_.count(), gap=_.gap.sum(), square=_.square.sum())


def _between(weeks: Table) -> Table:
    """Give each week its neighbours among those of the same user and key that were known before it."""
    others = weeks.select("user_id", "key", other=columns.WEEK, other_known="known")
    pairs = weeks.join(others, ["user_id", "key"])
    sooner = (_.other_known < _.known) | ((_.other_known == _.known) & (_.other < _.week))
    near = pairs.mutate(
        before=(sooner & (_.other < _.week)).ifelse(_.other, ibis.null("int64")),
        after=(sooner & (_.other > _.week)).ifelse(_.other, ibis.null("int64")),
    )
    return near.group_by("user_id", "key", columns.WEEK, "known").agg(before=_.before.max(), after=_.after.min())


def gaps(steps: Table, cutoffs: Table) -> Table:
    """Give each key at each cutoff the mean and the spread of the weeks between two weeks of one user with it.

    `steps` is what the function of this name returns, added up over all users. A key that nobody took twice has no row.
    """
    running = ibis.cumulative_window(group_by="key", order_by="known")
    order = ibis.window(group_by="key", order_by="known")
    sums = steps.select(
        "key",
        "known",
        until=steps.known.lead().over(order),
        **{name: steps[name].sum().over(running).cast("float64") for name in ("times", "gap", "square")},
    )
    held = timeline.held(sums, cutoffs)
    mean = held.gap / held.times
    variance = ibis.greatest(held.square / held.times - mean * mean, ibis.literal(0.0))
    return held.select("cutoff", "key", gap_weeks=mean.cast("float32"), gap_spread=variance.sqrt().cast("float32"))

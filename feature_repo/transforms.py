"""The features, written once as ibis expressions: events and cutoffs in, feature rows out.

DuckDB runs them on one machine; the same expressions run on any engine ibis speaks to. A cutoff is the start
of a week; its row holds what happened before it. Ages are whole calendar weeks, `cutoff week - event week`,
at least 1. Nothing here reads files or the clock.

Tables by their columns:
  events   user_id, item_id, event, timestamp, session_id, quantity, value, discount
  days     day (number), starts, ends, week, weekend          one row a local day
  cutoffs  week, state_at, end_day (last day that a row of this cutoff may see)
  keyed    user_id, key, week, first_at, last_at              one row a user, key and week
"""

from functools import reduce
from typing import Any

import ibis
from ibis import _

from feature_repo import columns
from feature_repo.columns import EVENING_HOUR, FAST_DECAY, SLOW_DECAY, windowed

Table = Any  # ibis ships no types that a strict checker can follow

FIXED_POINT = 1e9


def dated(events: Table, days: Table) -> Table:
    """Give every event its local day, week, weekend flag and evening flag."""
    joined = events.join(days, [events.timestamp >= days.starts, events.timestamp < days.ends])
    hour = (joined.timestamp.epoch_seconds() - joined.starts.epoch_seconds()) // 3600
    return joined.mutate(evening=(hour >= EVENING_HOUR).cast("int64"), at=_.timestamp.epoch_seconds()).drop(
        "starts", "ends"
    )


def of_items(dated_events: Table, item_index: Table) -> Table:
    """Key events by item position: the item's first and last instant per user and week."""
    return _keyed(dated_events.join(item_index, "item_id").mutate(key=_.item_index))


def of_targets(dated_events: Table, item_targets: Table, everywhere: Table) -> Table:
    """Key events by target: those of the item (`item_targets`) and those that any item fulfils (`everywhere`).

    Both tables carry `kind`, the event kind that counts, '' for any.
    """
    by_item = dated_events.join(item_targets, "item_id")
    anywhere = dated_events.cross_join(everywhere)
    wanted = ("user_id", "week", "at", "event", "kind", "target_id")
    both = by_item.select(*wanted).union(anywhere.select(*wanted))
    return _keyed(both.filter((_.kind == "") | (_.kind == _.event)).mutate(key=_.target_id))


def _keyed(events: Table) -> Table:
    return events.group_by("user_id", "key", "week").agg(first_at=_.at.min(), last_at=_.at.max())


def state(keyed: Table, cutoffs: Table) -> Table:
    """Sum up what is known of each user and key at each cutoff: weeks, decayed weeks, first and last time."""
    seen = _before(keyed, cutoffs)
    return seen.group_by("user_id", "cutoff", "state_at", "key").agg(
        weeks=_.count().cast("float32"),
        slow=_sum(_decay(SLOW_DECAY)).cast("float32"),
        fast=_sum(_decay(FAST_DECAY)).cast("float32"),
        first_at=_.first_at.min(),
        last_at=_.last_at.max(),
    )


def as_lists(state: Table, names: tuple[str, ...], *, limit: int | None = None) -> Table:
    """Fold a user's keys at a cutoff into parallel lists named `names`, largest slow sum first.

    `names` are those of key, weeks, slow, fast, first_at and last_at, in this order.
    """
    fields = ("key", "weeks", "slow", "fast", "first_at", "last_at")
    kinds = ("int32", "float32", "float32", "float32", "int64", "int64")
    packed = state.mutate(row=ibis.struct({f: state[f].cast(k) for f, k in zip(fields, kinds, strict=True)}))
    order = [ibis.desc("slow"), ibis.asc("key")]
    # One sorted list of structs, taken apart afterwards: sorting six lists alike costs twice as much.
    rows = packed.group_by("user_id", "cutoff", "state_at").agg(rows=packed.row.collect(order_by=order))
    kept = rows.rows if limit is None else rows.rows[:limit]
    lists = {name: kept.map(lambda row, field=field: row[field]) for name, field in zip(names, fields, strict=True)}
    return rows.select("user_id", "cutoff", "state_at", **lists)


def recent(keyed: Table, cutoffs: Table, *, weeks: int = columns.RECENT_WEEKS) -> Table:
    """List the (key, week) pairs of the last `weeks` weeks, oldest first."""
    seen = _before(keyed, cutoffs).filter(_.age <= weeks)
    order = [ibis.asc("week"), ibis.asc("key")]
    packed = seen.mutate(row=ibis.struct({"key": seen.key.cast("int32"), "week": seen.week.cast("int32")}))
    rows = packed.group_by("user_id", "cutoff").agg(rows=packed.row.collect(order_by=order))
    keys, dates = columns.RECENT_LISTS
    return rows.select(
        "user_id",
        "cutoff",
        **{keys: rows.rows.map(lambda row: row["key"]), dates: rows.rows.map(lambda row: row["week"])},
    )


def daily_lists(dated_events: Table, cutoffs: Table, *, windows_days: tuple[int, ...]) -> Table:
    """List the sums of each day that some window holds, oldest first: what moves windows on without a batch."""
    seen = _before(daily(dated_events), cutoffs)
    seen = seen.filter(seen.day > seen.end_day - max(windows_days))
    fields = ("day", "events", "sessions", "quantity", "value", "discount")
    kinds = ("int32", "float32", "float32", "float32", "float32", "float32")
    packed = seen.mutate(row=ibis.struct({f: seen[f].cast(k) for f, k in zip(fields, kinds, strict=True)}))
    rows = packed.group_by("user_id", "cutoff", "state_at").agg(rows=packed.row.collect(order_by=[ibis.asc("day")]))
    lists = {
        name: rows.rows.map(lambda row, field=field: row[field])
        for name, field in zip(columns.DAILY_LISTS, fields, strict=True)
    }
    return rows.select("user_id", "cutoff", "state_at", **lists)


def last_session(dated_events: Table, cutoffs: Table) -> Table:
    """Name the session each user was in last before each cutoff."""
    seen = _before(daily(dated_events), cutoffs)
    return seen.group_by("user_id", "cutoff", "state_at").agg(last_session_id=_.last_session.argmax(_.last_at))


def profile(dated_events: Table, cutoffs: Table, *, windows_days: tuple[int, ...]) -> Table:
    """Sum up each user at each cutoff: lifetime totals, shares, decayed sums and windows of days."""
    seen = _before(daily(dated_events), cutoffs)
    windows = {
        windowed(name, days): _within(name, days).cast("float64") for days in windows_days for name in columns.WINDOWED
    }
    sessions = _.sessions.sum()
    totals = seen.group_by("user_id", "cutoff", "state_at").agg(
        first_at=_.first_at.min(),
        last_at=_.last_at.max(),
        events_total=_.events.sum().cast("float64"),
        sessions_total=sessions.cast("float64"),
        weeks_total=_.week.nunique().cast("float64"),
        quantity_total=_sum(_.quantity),
        value_total=_sum(_.value),
        discount_total=_sum(_.discount),
        weekend_share=(_.sessions * _.weekend).sum() / sessions,
        evening_share=_.evening_sessions.sum() / sessions,
        sessions_slow=_sum(_decay(SLOW_DECAY) * _.sessions),
        value_slow=_sum(_decay(SLOW_DECAY) * _.value),
        **windows,
    )
    items = _distinct_items(dated_events, cutoffs)
    return totals.join(items, ["user_id", "cutoff"])


def daily(dated_events: Table) -> Table:
    """Sum up each user's local day; a session counts on the day it starts."""
    keys = ["user_id", "day", "week", "weekend"]
    sums = dated_events.group_by(keys).agg(
        events=_.count(),
        quantity=_sum(_.quantity),
        value=_sum(_.value),
        discount=_sum(_.discount),
        first_at=_.at.min(),
        last_at=_.at.max(),
        last_session=_.session_id.argmax(_.at),
    )
    starts = dated_events.group_by("user_id", "session_id").agg(day=_.day.min(), evening=_.evening.argmin(_.at))
    sessions = starts.group_by("user_id", "day").agg(sessions=_.count(), evening_sessions=_.evening.sum())
    joined = sums.left_join(sessions, ["user_id", "day"])
    return joined.mutate(sessions=_.sessions.fill_null(0), evening_sessions=_.evening_sessions.fill_null(0)).drop(
        "user_id_right", "day_right"
    )


def _distinct_items(dated_events: Table, cutoffs: Table) -> Table:
    """Count the distinct items each user had before each cutoff."""
    first = dated_events.group_by("user_id", "item_id").agg(week=_.week.min())
    new = first.group_by("user_id", "week").agg(items=_.count())
    return _before(new, cutoffs).group_by("user_id", "cutoff").agg(items_total=_.items.sum().cast("float64"))


def shares(keyed: Table, active: Table, cutoffs: Table) -> Table:
    """Give each key at each cutoff its share of the active users: last week, last four, and slowly decayed.

    `active` is one row a week with `users`, the users with any event in it.
    """
    per_week = keyed.group_by("key", "week").agg(users=_.count())
    mine = _before(per_week, cutoffs).group_by("cutoff", "state_at", "key").agg(**_share_sums("users"))
    all_users = _before(active, cutoffs).group_by("cutoff").agg(**_share_sums("users", prefix="all_"))
    joined = mine.join(all_users, "cutoff")
    return joined.select(
        "cutoff",
        "state_at",
        "key",
        **{name: (joined[name] / _at_least_one(joined[f"all_{name}"])).cast("float32") for name in columns.SHARES},
    )


def _share_sums(column: str, *, prefix: str = "") -> dict[str, Any]:
    users = _[column].cast("float64")
    last, four, slow = (prefix + name for name in columns.SHARES)
    return {
        last: (_.age <= 1).ifelse(users, 0.0).sum(),
        four: (_.age <= 4).ifelse(users, 0.0).sum(),
        slow: _sum(_decay(SLOW_DECAY) * users),
    }


def _at_least_one(value: Any) -> Any:
    return ibis.greatest(value, ibis.literal(1.0))


def item_numbers(dated_events: Table, item_index: Table, keyed: Table, cutoffs: Table) -> Table:
    """Give each item at each cutoff its recent unit price and the share of its user-weeks that were repeats."""
    sold = dated_events.join(item_index, "item_id").filter(_.quantity > 0)
    weekly = sold.group_by("item_index", "week").agg(value=_sum(_.value), quantity=_sum(_.quantity))
    price = (
        _before(weekly, cutoffs)
        .group_by("cutoff", key=_.item_index)
        .agg(price=(_sum(_decay(FAST_DECAY) * _.value) / _sum(_decay(FAST_DECAY) * _.quantity)).cast("float32"))
    )
    first = keyed.group_by("user_id", "key").agg(first_week=_.week.min())
    marked = keyed.join(first, ["user_id", "key"]).mutate(repeat=(_.week > _.first_week).cast("int64"))
    per_week = marked.group_by("key", "week").agg(repeats=_.repeat.sum(), user_weeks=_.count())
    repeat = (
        _before(per_week, cutoffs)
        .group_by("cutoff", "key")
        .agg(repeat_share=(_.repeats.sum() / _.user_weeks.sum()).cast("float32"))
    )
    return repeat.left_join(price, ["cutoff", "key"]).drop("cutoff_right", "key_right")


def _before(table: Table, cutoffs: Table) -> Table:
    """Pair each weekly row with every cutoff after it; `age` is in weeks, >= 1."""
    marks = cutoffs.rename(cutoff="week")
    joined = table.join(marks, table.week < marks.cutoff)
    return joined.mutate(age=joined.cutoff - joined.week)


def _within(column: str, days: int) -> Any:
    return _sum((_.day > _.end_day - days).ifelse(_[column], 0))


def _sum(value: Any) -> Any:
    """Add up in fixed point, nine decimals: floats added in another order differ, and engines add as threads come.

    Holds sums up to nine billion.
    """
    return (value * FIXED_POINT).round().cast("int64").sum().cast("float64") / FIXED_POINT


def _decay(per_week: float) -> Any:
    return per_week**_.age


def joined_on_user(tables: list[Table]) -> Table:
    """Join tables on user and cutoff, keeping every row of the first."""
    keys = ["user_id", "cutoff"]
    return reduce(lambda left, right: left.left_join(right, keys).drop("user_id_right", "cutoff_right"), tables)

"""The features, written once as ibis expressions: events and cutoffs in, feature rows out.

DuckDB runs them on one machine; the same expressions run on any engine ibis speaks to. A cutoff is the start of a
week; its row holds what was known before it: an event counts from the first cutoff after both its timestamp and its
`created_at`. A week is a step of the spec's clock (`clock.py`), be it an hour, a day or a week; `Pace` says how long
it is. Ages are whole steps, `cutoff week - event week`, at least 1, of late events too. Nothing here reads files or
the time, and nothing makes lists: lists are rows here, packed where they are written.

Tables by their columns:
  events   user_id, item_id, event, timestamp, created_at, session_id, quantity, value, discount
  days     day (number), starts, ends, week, weekend          one row a span: a local day, or an hour of an hourly clock
           midnight                                           where spans are hours: when their local day starts
  cutoffs  week, state_at, end_day (last span that a row of this cutoff may see)
  keyed    user_id, key, week, known, new, first_at, last_at  one row a user, key, week and week `known`

Why windows and not a join with the cutoffs: a row changes its user's state once, and the state holds until the next
change, so running sums over (known, week) cost as much as there are rows, and repeating a state over the cutoffs that
it holds for costs as much as there is to write (`timeline.py`). `late=False` promises that every row was known in its
own week: the same rows for less work.
"""

from typing import Any

import ibis
from ibis import _

from feature_repo import columns, timeline
from feature_repo.clock import Pace
from feature_repo.columns import EVENING_HOUR, windowed
from feature_repo.signs import NONE, Signs
from feature_repo.timeline import WEEKLY, Table

SLOT_S = 900  # local days start at a quarter of an hour in every zone of today


def dated(events: Table, days: Table, *, late: bool = True) -> Table:
    """Give every event its local day, week, weekend flag and evening flag, and the week in which it was known.

    `known` is the week of created_at, or of the timestamp if that is later: a cutoff sees the event if known < cutoff.
    """
    # Days as slots of a quarter of an hour: an equality, which engines join many times faster than a range.
    slots = days.mutate(slot=ibis.range(_slot(days.starts), _slot(days.ends)).unnest())
    midnight = slots.midnight if "midnight" in slots.columns else slots.starts
    slots = slots.mutate(evening=((slots.slot - _slot(midnight)) >= EVENING_HOUR * 3600 // SLOT_S).cast("int64"))
    mine = slots.select("slot", "day", columns.WEEK, "weekend", "evening")
    marked = events.mutate(at=events.timestamp.epoch_seconds().cast("int64"), slot=_slot(events.timestamp))
    if not late:
        found = marked.drop("created_at").join(mine, "slot").drop("slot")
        return found.mutate(known=found.week)
    theirs = slots.select(known_slot="slot", known=columns.WEEK)
    created = ibis.greatest(events.created_at.fill_null(events.timestamp), events.timestamp)
    marked = marked.mutate(known_slot=_slot(created)).drop("created_at")
    return marked.join(mine, "slot").join(theirs, "known_slot").drop("slot", "known_slot")


def _slot(instant: Any) -> Any:
    return (instant.epoch_seconds() // SLOT_S).cast("int64")


def of_items(dated_events: Table, item_index: Table, *, late: bool = True) -> Table:
    """Key events by item position: the item's first and last instant per user and week."""
    return timeline.keyed(dated_events.join(item_index, "item_id").mutate(key=_.item_index), late=late)


def of_targets(
    dated_events: Table, item_targets: Table, everywhere: Table, *, signs: Signs = NONE, late: bool = True
) -> Table:
    """Key events by target: those of the item (`item_targets`) and those that any item fulfils (`everywhere`).

    Both tables carry `kind`, the event kind that counts, '' for any; of an item, any that shows interest.
    """
    by_item = dated_events.join(item_targets, "item_id")
    if signs:
        by_item = by_item.filter((_.kind != "") | _.event.isin(list(signs.wanted)))
    anywhere = dated_events.cross_join(everywhere)
    wanted = ("user_id", columns.WEEK, "known", "at", "event", "kind", "target_id")
    both = by_item.select(*wanted).union(anywhere.select(*wanted))
    return timeline.keyed(both.filter((_.kind == "") | (_.kind == _.event)).mutate(key=_.target_id), late=late)


def state(keyed: Table, cutoffs: Table, pace: Pace = WEEKLY) -> Table:
    """Sum up what is known of each user and key at each cutoff: weeks, decayed weeks, first and last time."""
    running = timeline.running(keyed, "user_id", "key")
    changes = keyed.select(
        "user_id",
        "key",
        "known",
        until=timeline.until(keyed, "user_id", "key"),
        weeks=keyed.new.sum().over(running),
        slow=(keyed.new * timeline.grown(pace.slow, keyed.week)).sum().over(running),
        fast=(keyed.new * timeline.grown(pace.fast, keyed.week)).sum().over(running),
        first_at=keyed.first_at.min().over(running),
        last_at=keyed.last_at.max().over(running),
    )
    held = timeline.held(changes, cutoffs, pace=pace)
    return held.select(
        "user_id",
        "cutoff",
        columns.STATE_AT,
        "key",
        weeks=held.weeks.cast("float32"),
        slow=(held.slow * held.slow_shrunk).cast("float32"),
        fast=(held.fast * held.fast_shrunk).cast("float32"),
        first_at=held.first_at,
        last_at=held.last_at,
    )


def recent(keyed: Table, cutoffs: Table, *, weeks: int = WEEKLY.recent) -> Table:
    """List the (key, week) pairs of the last `weeks` weeks before each cutoff, one row a pair."""
    pairs = keyed.filter(_.new == 1).select("user_id", "key", columns.WEEK, "known", until=_.week + weeks)
    return timeline.held(pairs, cutoffs).select("user_id", "cutoff", columns.STATE_AT, "key", columns.WEEK)


def daily(dated_events: Table, *, late: bool = True) -> Table:
    """Sum up each user's local day by the week in which it was known; a session counts on the day it starts.

    Rows add up: a session that turns out to have begun earlier is taken from its old day and given to the new one.
    """
    keys = ["user_id", "day", columns.WEEK, "weekend", "known"]
    sums = {name: timeline.total(_[name]) for name in ("quantity", "value", "discount")}
    days = dated_events.group_by(keys).agg(
        events=_.count(),
        discounted=(_.discount.fill_null(0.0) > 0).cast("int64").sum(),
        **sums,
        first_at=_.at.min(),
        last_at=_.at.max(),
    )
    starts = _starts_as_known(dated_events) if late else _starts(dated_events)
    starts = starts.group_by(keys).agg(sessions=_.count_.sum(), evening_sessions=(_.count_ * _.evening).sum())
    joined = days.outer_join(starts, keys) if late else days.left_join(starts, keys)
    counts = ("events", "discounted", "sessions", "evening_sessions", "quantity", "value", "discount")
    return joined.select(
        **{name: ibis.coalesce(joined[name], joined[f"{name}_right"]) if late else joined[name] for name in keys},
        **{name: joined[name].fill_null(0) for name in counts},
        first_at=joined.first_at,
        last_at=joined.last_at,
    )


def _starts(dated_events: Table) -> Table:
    """Give every session one row where it starts."""
    found = dated_events.group_by("user_id", "session_id").agg(
        day=_.day.min(), week=_.week.min(), weekend=_.weekend.argmin(_.at), evening=_.evening.argmin(_.at)
    )
    return found.mutate(known=found.week, count_=ibis.literal(1, "int64"))


def _starts_as_known(dated_events: Table) -> Table:
    """Give every session a row where it was first known to start; a start that moves, one more and one less."""
    places = ("day", columns.WEEK, "weekend", "evening")
    found = dated_events.group_by("user_id", "session_id", "known").agg(
        at=_.at.min(),
        day=_.day.min(),
        week=_.week.min(),
        weekend=_.weekend.argmin(_.at),
        evening=_.evening.argmin(_.at),
    )
    earlier = ibis.window(group_by=["user_id", "session_id"], order_by="known", rows=(None, -1))
    moved = found.mutate(before=found["at"].min().over(earlier)).filter(_.before.isnull() | (_["at"] < _.before))
    order = ibis.window(group_by=["user_id", "session_id"], order_by="known")
    moved = moved.mutate(**{f"old_{name}": moved[name].lag().over(order) for name in places})
    begun = moved.select("user_id", "known", *places, count_=ibis.literal(1, "int64"))
    left = moved.filter(_.old_day.notnull())
    left = left.select(
        "user_id", "known", **{name: left[f"old_{name}"] for name in places}, count_=ibis.literal(-1, "int64")
    )
    return begun.union(left)


def firsts(dated_events: Table, signs: Signs = NONE) -> Table:
    """Count by user and week the items that became known of the user in it; of declared kinds, those wanted.

    Then every user has a row at the first week known: it may hold nothing that was wanted.
    """
    wanted = dated_events.filter(_.event.isin(list(signs.wanted))) if signs else dated_events
    wanted = wanted.filter(_.item_id.notnull()) if signs.bare else wanted
    first = wanted.group_by("user_id", "item_id").agg(known=_.known.min())
    found = first.group_by("user_id", "known").agg(items=_.count())
    if not signs.declared:
        return found
    begun = dated_events.group_by("user_id").agg(known=_.known.min()).mutate(items=ibis.literal(0, "int64"))
    return found.union(begun.select(*found.columns)).group_by("user_id", "known").agg(items=_["items"].sum())


def recent_days(daily: Table, cutoffs: Table, *, windows_days: tuple[float, ...], pace: Pace = WEEKLY) -> Table:
    """List the sums of each span (a day, or an hour) that some window holds at a cutoff, one row a span.

    They are what windows are sums of, and what moves windows on without a batch.
    """
    sums = {name: timeline.unfixed(_[name].sum()) for name in columns.WINDOWED}
    return _days(daily, cutoffs, windows_days, pace).group_by("user_id", "cutoff", "day").agg(**sums)


def _days(daily: Table, cutoffs: Table, windows_days: tuple[float, ...], pace: Pace) -> Table:
    """Repeat each span over the cutoffs that have it in their widest window; its sums as integers of fixed point."""
    widest, steps = pace.spans(max(windows_days)), pace.steps(max(windows_days))
    sums = {name: timeline.fixed(daily[name]) for name in columns.WINDOWED}
    days = daily.select("user_id", "day", "known", until=_.week + steps + 1, **sums)
    return timeline.held(days, cutoffs, "end_day").filter(_.day > _.end_day - widest)


def last_session(dated_events: Table, cutoffs: Table) -> Table:
    """Name the session each user was in last before each cutoff; of two at one instant, the last by name."""
    marked = dated_events.mutate(mark=ibis.struct({"at": dated_events["at"], "session_id": dated_events.session_id}))
    held = timeline.before(marked.group_by("user_id", "known").agg(mark=_.mark.max()), cutoffs)
    found = held.group_by("user_id", "cutoff", columns.STATE_AT).agg(mark=_.mark.max())
    return found.select("user_id", "cutoff", columns.STATE_AT, last_session_id=found.mark["session_id"])


def profile(
    daily: Table, firsts: Table, cutoffs: Table, *, windows_days: tuple[float, ...], pace: Pace = WEEKLY
) -> Table:
    """Sum up each user at each cutoff: lifetime totals, shares, decayed sums and windows of days.

    `daily` and `firsts` are what the functions of these names return.
    """
    keys = ["user_id", "cutoff"]
    windows = {
        windowed(name, days): timeline.unfixed((_.day > _.end_day - pace.spans(days)).ifelse(_[name], 0).sum())
        for days in windows_days
        for name in columns.WINDOWED
    }
    recently = _days(daily, cutoffs, windows_days, pace).group_by(keys).agg(**windows)
    totals = _totals(daily, cutoffs, pace).join(_items_total(firsts, cutoffs), keys)
    joined = totals.left_join(recently, keys).drop("user_id_right", "cutoff_right")
    return joined.mutate(**{name: joined[name].fill_null(0.0) for name in windows})


def _totals(daily: Table, cutoffs: Table, pace: Pace) -> Table:
    """Sum up each user's whole past at each cutoff."""
    money, counts = ("quantity", "value", "discount"), ("events", "discounted", "sessions")
    weekly = daily.group_by("user_id", columns.WEEK, "known").agg(
        first_at=_.first_at.min(),
        last_at=_.last_at.max(),
        weekend=(_.sessions * _.weekend).sum(),
        evening=_.evening_sessions.sum(),
        **{name: _[name].sum() for name in counts},
        **{name: timeline.total(_[name]) for name in money},
    )
    weekly = timeline.marked_new(weekly, ["user_id", columns.WEEK])
    running, grown = timeline.running(weekly, "user_id"), timeline.grown(pace.slow, weekly.week)
    changes = weekly.select(
        "user_id",
        "known",
        until=timeline.until(weekly, "user_id"),
        first_at=weekly.first_at.min().over(running),
        last_at=weekly.last_at.max().over(running),
        weeks=weekly.new.sum().over(running),
        sessions_slow=(weekly.sessions * grown).sum().over(running),
        value_slow=(weekly.value * grown).sum().over(running),
        **{name: weekly[name].sum().over(running) for name in (*counts, "weekend", "evening")},
        **{name: timeline.total(weekly[name], over=running) for name in money},
    )
    held = timeline.held(changes, cutoffs, pace=pace)
    return held.select(
        "user_id",
        "cutoff",
        columns.STATE_AT,
        "first_at",
        "last_at",
        weekend_share=held.weekend / held.sessions,
        evening_share=held.evening / held.sessions,
        sessions_slow=held.sessions_slow * held.slow_shrunk,
        value_slow=held.value_slow * held.slow_shrunk,
        **{f"{name}_total": held[name].cast("float64") for name in (*counts, "weeks", *money)},
    )


def _items_total(firsts: Table, cutoffs: Table) -> Table:
    """Count the distinct items that were known of each user before each cutoff."""
    running = ibis.cumulative_window(group_by="user_id", order_by="known")
    changes = firsts.select(
        "user_id",
        "known",
        until=firsts.known.lead().over(ibis.window(group_by="user_id", order_by="known")),
        items=firsts["items"].sum().over(running),
    )
    held = timeline.held(changes, cutoffs)
    return held.select("user_id", "cutoff", items_total=held["items"].cast("float64"))


def per_week(keyed: Table) -> Table:
    """Count by key and week the users, and by the week known those who were new to the key; counts add up."""
    order = ibis.window(group_by=["user_id", "key"], order_by=["known", columns.WEEK])
    marked = keyed.mutate(first=(ibis.row_number().over(order) == 0).cast("int64"))
    if "worth" in keyed.columns:  # users count for what the week was worth
        sums = {"users": timeline.total(_.worth), "firsts": timeline.total(_["first"] * _.worth)}
        return marked.group_by("key", columns.WEEK, "known").agg(**sums)
    return marked.group_by("key", columns.WEEK, "known").agg(users=_.new.sum(), firsts=_["first"].sum())


def active(daily: Table) -> Table:
    """Count by week the users with any event in it; counts add up."""
    weeks = daily.group_by("user_id", columns.WEEK).agg(known=_.known.min())
    return weeks.group_by(columns.WEEK, "known").agg(users=_.count())


def sold(dated_events: Table, item_index: Table) -> Table:
    """Sum up by item and week what was paid for how many; sums add up."""
    mine = dated_events.join(item_index, "item_id").filter(_.quantity > 0)
    return mine.group_by(columns.WEEK, "known", key=_.item_index).agg(
        value=timeline.total(_.value), quantity=timeline.total(_.quantity)
    )


def shares(per_week: Table, active: Table, cutoffs: Table, pace: Pace = WEEKLY) -> Table:
    """Give each key at each cutoff its share of the active users: last step, last four, and slowly decayed.

    `per_week` and `active` are what the functions of these names return, added up over all users.
    """
    last, four, slow = columns.SHARES
    running = timeline.running(per_week, "key")
    changes = per_week.select(
        "key",
        "known",
        until=timeline.until(per_week, "key"),
        slow=(per_week.users * timeline.grown(pace.slow, per_week.week)).sum().over(running),
    )
    held = timeline.held(changes, cutoffs, pace=pace)
    mine = held.select("key", "cutoff", columns.STATE_AT, **{slow: held.slow * held.slow_shrunk})
    newest = timeline.held(per_week.mutate(until=_.week + 4), cutoffs).mutate(age=_.cutoff - _.week)
    newest = newest.group_by("key", "cutoff").agg(**_share_sums("users", (last, four), pace))
    everyone = (
        timeline.before(active, cutoffs)
        .group_by("cutoff")
        .agg(**_share_sums("users", columns.SHARES, pace, prefix="all_"))
    )
    joined = mine.left_join(newest, ["key", "cutoff"]).drop("key_right", "cutoff_right").join(everyone, "cutoff")
    return joined.select(
        "cutoff",
        columns.STATE_AT,
        "key",
        **{n: (joined[n].fill_null(0.0) / _at_least_one(joined[f"all_{n}"])).cast("float32") for n in columns.SHARES},
    )


def _share_sums(column: str, names: tuple[str, ...], pace: Pace, *, prefix: str = "") -> dict[str, Any]:
    users = _[column].cast("float64")
    last, four, slow = columns.SHARES
    sums = {
        last: (_.age <= 1).ifelse(users, 0.0).sum(),
        four: (_.age <= 4).ifelse(users, 0.0).sum(),
        slow: timeline.total(timeline.decay(pace.slow) * users),
    }
    return {prefix + name: sums[name] for name in names}


def _at_least_one(value: Any) -> Any:
    return ibis.greatest(value, ibis.literal(1.0))


def item_numbers(per_week: Table, sold: Table, cutoffs: Table, pace: Pace = WEEKLY) -> Table:
    """Give each item at each cutoff its recent and usual unit price, and the share of its user-weeks that were repeats.

    A user's first week with an item is the one that is no repeat, so the users tell how many there are.
    """
    running = timeline.running(per_week, "key")
    repeats = per_week.select(
        "key",
        "known",
        until=timeline.until(per_week, "key"),
        weeks=per_week.users.sum().over(running),
        users=per_week.firsts.sum().over(running),
    )
    repeats = timeline.held(repeats, cutoffs)
    repeats = repeats.select("cutoff", "key", repeat_share=((_.weeks - _.users) / _.weeks).cast("float32"))
    running = timeline.running(sold, "key")
    grown = {"price": timeline.grown(pace.fast, sold.week), "price_usual": timeline.grown(pace.slow, sold.week)}
    prices = sold.select(
        "key",
        "known",
        until=timeline.until(sold, "key"),
        # The decay to the cutoff divides out.
        **{n: (sold.value * w).sum().over(running) / (sold.quantity * w).sum().over(running) for n, w in grown.items()},
    )
    prices = timeline.held(prices, cutoffs).select("cutoff", "key", **{name: _[name].cast("float32") for name in grown})
    return repeats.left_join(prices, ["cutoff", "key"]).drop("cutoff_right", "key_right")

"""The state of items and targets at every cutoff: shares of users, prices, intervals, offers.

The expressions are in feature_repo; this module joins them into the two tables that models read beside user rows.
A source without offers gives the same columns, all zero.
"""

import datetime as dt
import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa

from components.profiles.build import engine
from components.profiles.build.plan import CUTOFFS, Weeks
from feature_repo import columns, intervals, offers, transforms
from feature_repo.calendar import Calendar
from feature_repo.clock import Pace

FILE = "offers.parquet"
Table = Any
KEYS = ["cutoff", "key"]
WEEKLY = Pace()


def weekly_offers(
    connection: Any, clean: Path, item_index: Table, calendar: Calendar, weeks: Weeks, *, data_end: dt.datetime
) -> Table | None:
    """Store each item's offers by week, as known when the week began; None where the source has none."""
    if not (clean / FILE).is_file():
        return None
    spans = engine.stored(connection, "offer_weeks", offer_weeks(calendar, weeks, data_end=data_end))
    found = connection.read_parquet(str(clean / FILE))
    return engine.stored(connection, "weekly_offers", offers.weekly(found, item_index, spans))


def offer_weeks(calendar: Calendar, weeks: Weeks, *, data_end: dt.datetime) -> pa.Table:
    """List the weeks whose offers some cutoff looks at, and by when an offer must have been known."""
    numbers = range(weeks.cutoffs[0] - offers.USUAL_WEEKS, weeks.last + 1)
    instant = pa.timestamp("us", tz="UTC")
    return pa.table(
        {
            columns.WEEK: pa.array(numbers, pa.int64()),
            "starts": pa.array([calendar.start(w) for w in numbers], instant),
            "ends": pa.array([calendar.start(w + 1) for w in numbers], instant),
            "known_by": pa.array([min(calendar.start(w), data_end) for w in numbers], instant),
        }
    )


SUMS = {
    "items_weeks": {"key": "int32", columns.WEEK: "int64", "known": "int64", "users": "int64", "firsts": "int64"},
    "items_steps": {"key": "int32", "known": "int64", "times": "int64", "gap": "int64", "square": "int64"},
    "active": {columns.WEEK: "int64", "known": "int64", "users": "int64"},
    "sold": {columns.WEEK: "int64", "known": "int64", "key": "int32", "value": "float64", "quantity": "float64"},
}
SUMS["shown_weeks"] = SUMS["items_weeks"]  # only where impressions are logged
SUMS |= {f"targets_{name}": SUMS[f"items_{name}"] for name in ("weeks", "steps")}
OFFERED = {"item_index": "int32", columns.WEEK: "int64"} | dict.fromkeys(columns.OFFER_KINDS, "float64")


@functools.cache
def compiled(*, offers: bool, shown: bool = False, pace: Pace = WEEKLY) -> dict[str, str]:
    """Compile both states to DuckDB's SQL over tables of these names, once a process."""
    sums = {name: ibis.table(schema, name=name) for name, schema in SUMS.items()}
    cutoffs = ibis.table(CUTOFFS, name="cutoffs")
    index = ibis.table({"item_id": "string", "item_index": "int32"}, name="item_index")
    pairs = ibis.table({"item_id": "string", "target_id": "int32", "kind": "string"}, name="item_targets")
    weekly = ibis.table(OFFERED, name="weekly_offers") if offers else None
    items = item_state(sums, cutoffs, weekly, pace, shown=shown).order_by("cutoff", "item_index")
    targets = target_state(sums, cutoffs, weekly, index, pairs, pace).order_by("cutoff", "target_id")
    both = {"item_state": items, "target_state": targets}
    return {name: ibis.to_sql(state, dialect="duckdb") for name, state in both.items()}


def item_state(
    sums: Mapping[str, Table], cutoffs: Table, weekly: Table | None, pace: Pace = WEEKLY, *, shown: bool = False
) -> Table:
    """Give every item with a user or an offer at a cutoff all of `columns.ITEM_NUMBERS`, and who was shown it.

    `sums` holds what blocks of users add up to, by name.
    """
    shares = transforms.shares(sums["items_weeks"], sums["active"], cutoffs, pace)
    numbers = transforms.item_numbers(sums["items_weeks"], sums["sold"], cutoffs, pace)
    parts = [shares, numbers, intervals.gaps(sums["items_steps"], cutoffs)]
    if weekly is not None:
        parts.append(offers.of_items(weekly, cutoffs))
    if shown:
        impressions = transforms.shares(sums["shown_weeks"], sums["active"], cutoffs, pace)
        parts.append(impressions.select("cutoff", "key", **{columns.SHOWN_SLOW: impressions[columns.SHARES[2]]}))
    joined, more = _joined(parts, cutoffs), (columns.SHOWN_SLOW,) * shown
    return _complete(joined, (*columns.ITEM_NUMBERS, *more)).rename(item_index="key")


def target_state(
    sums: Mapping[str, Table],
    cutoffs: Table,
    weekly: Table | None,
    item_index: Table,
    item_targets: Table,
    pace: Pace = WEEKLY,
) -> Table:
    """Give every target with a user at a cutoff all of `columns.TARGET_NUMBERS`."""
    parts = [
        transforms.shares(sums["targets_weeks"], sums["active"], cutoffs, pace),
        intervals.gaps(sums["targets_steps"], cutoffs),
    ]
    if weekly is not None:
        sold = transforms.shares(sums["items_weeks"], sums["active"], cutoffs, pace)
        of_items = offers.of_items(weekly, cutoffs)
        parts.append(offers.of_targets(of_items, sold, item_index, item_targets))
    return _complete(_joined(parts, cutoffs), columns.TARGET_NUMBERS).rename(target_id="key")


def _joined(parts: list[Table], cutoffs: Table) -> Table:
    """Join tables on cutoff and key, keeping every pair that any of them has."""
    bare = [part.drop(columns.STATE_AT) if columns.STATE_AT in part.columns else part for part in parts]
    pairs = ibis.union(*(part.select(**{k: part[k].cast("int64") for k in KEYS}) for part in bare), distinct=True)
    joined = pairs.join(cutoffs.select(columns.STATE_AT, cutoff=columns.WEEK), "cutoff")
    for part in bare:
        joined = joined.left_join(part, KEYS).drop("cutoff_right", "key_right")
    return joined.mutate(key=joined.key.cast("int32"))


def _complete(table: Table, names: Iterable[str]) -> Table:
    """Select the columns; what is absent is zero, but what nothing is known of (price, intervals) stays null."""
    zero = ibis.literal(0.0).cast("float32")
    unknown = {columns.PRICE, "price_usual", *columns.GAPS}
    values = {
        name: zero if name not in table.columns else table[name] if name in unknown else table[name].fill_null(zero)
        for name in names
    }
    return table.select("cutoff", columns.STATE_AT, "key", **values)

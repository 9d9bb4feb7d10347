"""What the feature tables are made of: the weeks, the small tables beside the events, and the plan of expressions.

The expressions are in `feature_repo/transforms.py`; a plan names the tables that they run over, `blocks.py` runs it on
an engine, block of users by block of users, and `feature_files.py` writes what comes out.
"""

import datetime as dt
import functools
from dataclasses import dataclass
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
from ibis import _

from components.profiles.build import training_rows
from feature_repo import columns, interest, intervals, last_events, transforms
from feature_repo.calendar import Calendar
from feature_repo.clock import HOUR, Pace
from feature_repo.errors import DataError
from feature_repo.signs import NONE, Signs
from feature_repo.vocabulary import Vocabulary

Table = Any
WEEKLY = Pace()
# Events as a plan sees them: users and items by their position, an instant by its day and week.
EVENTS = {
    "user_id": "int32",
    "item_id": "int32",
    "event": "string",
    "session_id": "string",
    "quantity": "float64",
    "value": "float64",
    "discount": "float64",
    "at": "int64",
    "day": "int64",
    columns.WEEK: "int64",
    "weekend": "int64",
    "evening": "int64",
    "known": "int64",
}
OF_TEXTS = EVENTS | {columns.TEXT: "string"}  # where memories hold what users wrote
CUTOFFS = {columns.WEEK: "int64", columns.STATE_AT: "timestamp('UTC', 6)", "end_day": "int64"}


@dataclass(frozen=True)
class Weeks:
    """Which weeks have which part; a label week w is predicted from the cutoff at its start."""

    train: tuple[int, ...]
    validate: tuple[int, ...]
    test: tuple[int, ...]
    last: int  # the week after the data's end, which serving predicts
    horizon: int = 1  # steps that the longest label looks ahead; parts end so many before the next begins

    @property
    def cutoffs(self) -> tuple[int, ...]:
        """Every week whose start is a cutoff."""
        return (*self.train, *self.validate, *self.test, self.last)


def days(calendar: Calendar, weeks: int) -> pa.Table:
    """List the spans of weeks 1..weeks, local days or hours, with the instants at which they start and end."""
    starts = calendar.span_starts(weeks)
    local = [calendar.day(start) for start in starts[:-1]]
    for start in starts:
        if start.timestamp() % transforms.SLOT_S:
            raise DataError(
                f"data.timezone: a day of {calendar.timezone} starts at {start:%Y-%m-%d %H:%M:%S} UTC, not at a "
                "quarter of an hour; name a zone with today's rules, such as UTC"
            )
    numbers, instant = range(len(local)), pa.timestamp("us", tz="UTC")
    found = {
        "day": pa.array(numbers, pa.int64()),
        "starts": pa.array(starts[:-1], instant),
        "ends": pa.array(starts[1:], instant),
        columns.WEEK: pa.array([calendar.step_of_span(n) for n in numbers], pa.int64()),
        "weekend": pa.array([int(day.weekday() >= 5) for day in local], pa.int64()),
    }
    if calendar.step == HOUR:
        midnights = {day: calendar.midnight(day) for day in local}
        found["midnight"] = pa.array([midnights[day] for day in local], instant)
    return pa.table(found)


def cutoffs(calendar: Calendar, weeks: tuple[int, ...], *, data_end: dt.datetime) -> pa.Table:
    """List the cutoffs: the start of each week, and for the last one the end of the data."""
    at = [min(calendar.start(w), data_end) for w in weeks]
    end_days = [calendar.span(instant - dt.timedelta(seconds=1)) for instant in at]
    return pa.table(
        {
            columns.WEEK: pa.array(weeks, pa.int64()),
            columns.STATE_AT: pa.array(at, pa.timestamp("us", tz="UTC")),
            "end_day": pa.array(end_days, pa.int64()),
        }
    )


def keys(vocabulary: Vocabulary, item_ids: pa.Array) -> dict[str, pa.Table]:
    """Name the tables that key events by item and target, and order items by id; items by their place in `item_ids`."""
    anywhere = [(i, t.event or "") for i, t in enumerate(vocabulary.targets) if t.column is None]

    def placed(table: pa.Table, column: str) -> pa.Table:
        place = pa.compute.index_in(table["item_id"], item_ids).cast(pa.int32())
        return table.select([column]).add_column(0, "item_id", place)

    rank = np.empty(len(item_ids), np.int64)
    rank[pa.compute.sort_indices(item_ids).to_numpy()] = np.arange(len(item_ids))
    return {
        "item_order": pa.table({"item_id": pa.array(np.arange(len(rank), dtype=np.int32)), "place": pa.array(rank)}),
        "item_index": placed(vocabulary.items, "item_index"),
        "item_targets": placed(vocabulary.item_targets, "target_id").append_column(
            "kind", vocabulary.item_targets["kind"]
        ),
        "everywhere": pa.table(
            {
                "target_id": pa.array([i for i, _k in anywhere], pa.int32()),
                "kind": pa.array([k for _i, k in anywhere], pa.string()),
            }
        ),
    }


@dataclass(frozen=True, eq=False)
class Plan:
    """Expressions over named tables: `stages` are kept under their names, in order; `rows` come out.

    Plans are made once a process, and compiled once (`blocks.compiled`): both take longer than a small block.
    """

    stages: dict[str, Table]
    rows: dict[str, Table]


@functools.cache
def plan(
    *,
    late: bool,
    windows_days: tuple[float, ...],
    item_event: str | None,
    users: int | None,
    training: bool,
    sampled: bool,
    one_in: int,
    from_week: int,
    pace: Pace = WEEKLY,
    memories: bool = False,
    signs: Signs = NONE,
    people: bool = False,
    texts: bool = False,
) -> Plan:
    """Plan a block of users' rows: at the newest cutoff, at the cutoffs before it, and its share of all sums.

    `late`: some event was known after its week. `users`: those placed below it have rows, None: all. `from_week`: the
    first week whose labels are wanted. `memories`: rows of the training cutoffs have an event memory, as the newest
    ones always have; with `texts` its events say what users wrote. In the training weeks only users of the table
    `sampled` have rows, where `sampled`, and of silent rows `one_in`; then the weeks that judge are planned apart.
    """
    schema = OF_TEXTS if texts else EVENTS
    events = ibis.table(schema, name="events")
    index = ibis.table({"item_id": "int32", "item_index": "int32"}, name="item_index")
    pairs = ibis.table({"item_id": "int32", "target_id": "int32", "kind": "string"}, name="item_targets")
    anywhere = ibis.table({"target_id": "int32", "kind": "string"}, name="everywhere")
    counted = events if item_event is None else events.filter(_.event == item_event)
    stages = {
        "keyed_items": interest.of_records(events, index, signs, late=late)
        if signs
        else transforms.of_items(counted, index, late=late),
        "keyed_targets": transforms.of_targets(events, pairs, anywhere, signs=signs, late=late),
        "daily": transforms.daily(events, late=late),
        "firsts": transforms.firsts(events, signs),
    }
    if signs:  # what rows hold by item and kind is one thing, what was wanted of an item another
        stages["interest"] = interest.wanted(events, index, signs, late=late)
    if signs.shown:
        stages["shown"] = transforms.of_items(events.filter(_.event == signs.shown), index, late=late)
    if people:  # what was done to the block's users, with who did it as the item
        received = ibis.table(schema, name="received_events")
        received = received if item_event is None else received.filter(_.event == item_event)
        stages["keyed_received"] = transforms.of_items(received, index, late=late)
    everyone = {name: ibis.table(stage.schema(), name=name) for name, stage in stages.items()}
    kept = everyone if users is None else {name: t.filter(_.user_id < users) for name, t in everyone.items()}
    mine = events if users is None else events.filter(_.user_id < users)
    newest = ibis.table(CUTOFFS, name="newest")
    rows = _user_rows("newest", kept, newest, newest, windows_days=windows_days, pace=pace)
    days = transforms.recent_days(kept["daily"], newest, windows_days=windows_days, pace=pace)
    rows["newest_days"] = days.order_by("cutoff", "user_id", "day")
    rows["newest_session"] = transforms.last_session(mine, newest).order_by("cutoff", "user_id")
    rows["newest_memory"] = _memory(mine, newest, late=late)
    rows["active"] = transforms.active(everyone["daily"])
    rows["sold"] = transforms.sold(events.filter(_.event.isin(signs.priced)) if signs else events, index)
    for name, stage in (("targets", "keyed_targets"), ("items", "interest" if signs else "keyed_items")):
        keyed = everyone[stage]
        rows[f"{name}_weeks"] = transforms.per_week(keyed)
        rows[f"{name}_steps"] = intervals.steps(keyed, late=late)
        labels = kept[stage].filter(_.week >= from_week)
        if "worth" in labels.columns:
            labels = interest.labels(labels)
        else:
            labels = labels.filter(_.new == 1).select("user_id", "key", columns.WEEK)
        rows[f"label_{name}"] = labels.order_by("user_id", columns.WEEK, "key")
    if signs.shown:
        rows["shown_weeks"] = transforms.per_week(everyone["shown"])
        shown = kept["shown"].filter((_.new == 1) & (_.week >= from_week)).select("user_id", "key", columns.WEEK)
        rows["label_shown"] = shown.order_by("user_id", columns.WEEK, "key")
    if not training:
        return Plan(stages, rows)
    cuts, ranking = (ibis.table(CUTOFFS, name=name) for name in ("training", "training_ranking"))
    kept |= {"events": mine} if memories else {}

    def user_rows(prefix: str, *cuts: Table) -> dict[str, Table]:
        found = _user_rows(prefix, kept, *cuts, windows_days=windows_days, pace=pace)
        more = {f"{prefix}_memory": _memory(kept["events"], cuts[0], late=late)} if memories else {}
        return found | more

    if not sampled and one_in == 1:
        return Plan(stages, rows | user_rows("training", cuts, ranking))
    rows |= user_rows("judging", *(ibis.table(CUTOFFS, name=name) for name in ("judging", "judging_ranking")))
    if sampled:
        kept = {name: _of_sampled(table) for name, table in kept.items()}
    if one_in > 1:
        chosen = training_rows.chosen(kept["daily"], cuts, one_in=one_in, silent=pace.silent)
        stages["chosen"] = chosen.select("user_id", *CUTOFFS, "weight")
        cuts = ibis.table(stages["chosen"].schema(), name="chosen")
        rows["row_weights"] = (
            cuts.filter(_.weight > 1).select("user_id", columns.WEEK, "weight").order_by(columns.WEEK, "user_id")
        )
        ranking = cuts.semi_join(ranking, columns.WEEK)
    return Plan(stages, rows | user_rows("training", cuts, ranking))


@functools.cache
def count_plan(*, users: int | None, sampled: bool, one_in: int, pace: Pace = WEEKLY) -> Plan:
    """Plan the counts that bound the training rows: how many there could be, and how many are kept."""
    events = ibis.table(EVENTS, name="events")
    mine = events if users is None else events.filter(_.user_id < users)
    mine = _of_sampled(mine) if sampled else mine
    cuts = ibis.table(CUTOFFS, name="training")
    return Plan({}, {"row_counts": training_rows.counted(mine, cuts, one_in=one_in, silent=pace.silent)})


def _of_sampled(table: Table) -> Table:
    # A filter and no semi-join: ibis loses a relation where a join's left side is a semi-join (see _held_of_user).
    return table.filter(table.user_id.isin(ibis.table({"user_id": "int32"}, name="sampled").user_id))


def _memory(events: Table, cuts: Table, *, late: bool) -> Table:
    order = ibis.table({"item_id": "int32", "place": "int64"}, name="item_order")
    found = last_events.last_events(events, order, cuts, late=late)
    more = [name for name in (columns.TEXT,) if name in found.columns]
    return found.order_by("cutoff", "user_id", *last_events.ORDER, *more)


def _user_rows(
    prefix: str,
    kept: dict[str, Table],
    cuts: Table,
    history_cuts: Table,
    *,
    windows_days: tuple[float, ...],
    pace: Pace,
) -> dict[str, Table]:
    """Order the user rows of some cutoffs as lists want them. History is the largest: only ranking reads it."""
    order = ["cutoff", "user_id", ibis.desc("slow"), "key"]
    profile = transforms.profile(kept["daily"], kept["firsts"], cuts, windows_days=windows_days, pace=pace)
    targets = transforms.state(kept["keyed_targets"], cuts, pace).drop(columns.STATE_AT)
    recent = transforms.recent(kept["keyed_targets"], cuts, weeks=pace.recent).drop(columns.STATE_AT)
    history = transforms.state(kept["keyed_items"], history_cuts, pace).drop(columns.STATE_AT)
    received = {}
    if "keyed_received" in kept:
        state = transforms.state(kept["keyed_received"], history_cuts, pace)
        received = {f"{prefix}_received": state.drop(columns.STATE_AT).order_by(order)}
    return received | {
        f"{prefix}_profile": profile.order_by("cutoff", "user_id"),
        f"{prefix}_targets": targets.order_by(order),
        f"{prefix}_recent": recent,  # in no order
        f"{prefix}_history": history.order_by(order),
    }

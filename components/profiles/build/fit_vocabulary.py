"""Fit the vocabularies on training weeks: the targets of each intent and the items that can be recommended."""

import datetime as dt
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from ibis import _

from components.profiles.build.plan import EVENTS, Plan
from feature_repo import columns
from feature_repo.errors import DataError, SpecError, nearest
from feature_repo.signs import NONE, Signs
from feature_repo.vocabulary import Target, Vocabulary, hashed

Table = Any


@dataclass(frozen=True)
class IntentTargets:
    """What of an intent the vocabulary needs: its name, the event kind and the item column of its level."""

    name: str
    event: str | None
    column: str | None
    top: int
    horizon: int = 1  # steps of the clock


@dataclass(frozen=True)
class ItemRule:
    """Which items can be recommended: enough sessions and users in training weeks, of one event kind or any."""

    event: str | None
    min_sessions: int
    min_users: int
    signs: Signs = NONE  # where kinds are declared, those that show interest count
    later: bool = False  # items that came after the training weeks as well, whatever their sessions


def levels(items: Table, intents: Sequence[IntentTargets], item_ids: pa.Array) -> tuple[pa.Table, list[str]]:
    """Pair items with the labels of each intent's level: intent, item_id (its place), kind, label (its place).

    Also returns the labels by place.
    """
    parts, labels = [], set()
    for number, intent in enumerate(intents):
        if intent.column is None:
            continue
        if intent.column not in items.columns:
            have = [c for c in items.columns if c != columns.ITEM_ID]
            raise SpecError(
                f"intents.{intent.name}.level: items have no column '{intent.column}'; have {', '.join(have)}"
                + nearest(intent.column, have)
            )
        pairs = leveled(items, intent.column).to_pyarrow()
        labels |= set(pc.unique(pairs["label"]).to_pylist())
        parts.append((number, intent.event or "", pairs))
    ordered = sorted(labels)
    places = pa.array(ordered, pa.string())
    tables = [
        pa.table(
            {
                "intent": pa.array([number] * pairs.num_rows, pa.int32()),
                "item_id": pc.index_in(pairs["item_id"], item_ids).cast(pa.int32()),
                "kind": pa.array([kind] * pairs.num_rows, pa.string()),
                "label": pc.index_in(pairs["label"], places).cast(pa.int32()),
            }
        )
        for number, kind, pairs in parts
    ]
    empty = pa.schema([("intent", pa.int32()), ("item_id", pa.int32()), ("kind", pa.string()), ("label", pa.int32())])
    return pa.concat_tables([empty.empty_table(), *tables]), ordered


def require_dated(rule: ItemRule, undated: int | None) -> None:
    """Refuse later items that came by what became of them: where no first_seen is told, it is the first event.

    Of an item that is shown before it is chosen, the first event is an impression; then that tells nothing. `undated`
    counts the items without a first_seen of their own; None: nobody counted.
    """
    if rule.later and undated and not rule.signs.shown:
        raise DataError(
            f"models.ranking.later_items: the source has no first_seen of {undated:,} items, so they would come later "
            "by being chosen in the weeks that judge; map first_seen of every item, name impressions in "
            "models.ranking.impression, or leave later_items out"
        )


@functools.cache
def counting(rule: ItemRule, *, until_week: int) -> Plan:
    """Plan what to count of a block of users, in weeks <= `until_week` as known then; counts add up over blocks."""
    events = ibis.table(EVENTS, name="events").filter(_.known <= until_week)
    pairs = ibis.table({"intent": "int32", "item_id": "int32", "kind": "string", "label": "int32"}, name="levels")
    of_any = _.event.isin(list(rule.signs.wanted)) if rule.signs else ibis.literal(True)
    fulfilled = events.join(pairs, "item_id").filter(((_.kind == "") & of_any) | (_.kind == _.event))
    weeks = fulfilled.select("user_id", columns.WEEK, "intent", "label").distinct()
    counted = events if rule.event is None else events.filter(_.event == rule.event)
    counted = counted.filter(_.event.isin(list(rule.signs.wanted))) if rule.signs else counted
    counted = counted.filter(_.item_id.notnull()) if rule.signs.bare else counted
    sessions = counted.select("user_id", "item_id", "session_id").distinct()
    mine = sessions.group_by("user_id", "item_id").agg(sessions=_.count())
    return Plan(
        {},
        {
            "labels": weeks.group_by("intent", "label").agg(n=_.count()),
            "items": mine.group_by("item_id").agg(users=_.count(), sessions=_.sessions.sum()),
        },
    )


def fit(
    counts: Mapping[str, pa.Table],
    items: Table,
    intents: Sequence[IntentTargets],
    rule: ItemRule,
    *,
    labels: Sequence[str],
    item_ids: pa.Array,
    trained: dt.datetime,
) -> Vocabulary:
    """Fit targets and items on what `counting` counted of weeks before `trained`, added up over blocks."""
    found = counts["labels"].to_pylist()
    targets: list[Target] = []
    for number, intent in enumerate(intents):
        if intent.column is None:
            targets.append(Target(intent.name, None, intent.event, None, intent.horizon))
            continue
        mine = sorted((-row["n"], labels[row["label"]]) for row in found if row["intent"] == number)
        targets += [
            Target(intent.name, label, intent.event, intent.column, intent.horizon) for _n, label in mine[: intent.top]
        ]
    if not targets:
        raise DataError("intents: no event of the training weeks fulfils any of them; check intents.event and .level")
    common = _items(counts["items"], items, rule, item_ids, trained=trained)
    return Vocabulary(tuple(targets), common, item_targets(items, targets), known_items=_known(items))


def _known(items: Table) -> np.ndarray:
    """Name every item of the catalogue, by hash, for the door: the batch sets aside events of any other."""
    ids = items.filter(_.item_id.notnull()).select("item_id").to_pyarrow()["item_id"]
    return hashed(str(item) for item in ids.to_pylist())


def seen_until(connection: Any, events: Path, instant: dt.datetime) -> pa.Array:
    """Name the users of whom an event was known before an instant."""
    raw = connection.read_parquet(str(events))
    known = ibis.greatest(raw.timestamp, raw.created_at.fill_null(raw.timestamp))
    found = raw.filter(known < ibis.literal(instant)).select("user_id").distinct()
    return found.to_pyarrow()["user_id"].combine_chunks()


def leveled(items: Table, column: str) -> Table:
    """Pair items with the values of a column as text; a list column gives several pairs an item."""
    pairs = items.select("item_id", label=items[column])
    if pairs.label.type().is_array():
        pairs = pairs.mutate(label=_.label.unnest())
    return pairs.mutate(label=_.label.cast("string")).filter(_.label.notnull())


def _items(counts: pa.Table, items: Table, rule: ItemRule, item_ids: pa.Array, *, trained: dt.datetime) -> pa.Table:
    """Select the items that are common enough, most users first, with their attributes; then, if asked, later ones.

    Later ones are ordered by when they came: nothing of what became of them takes part.
    """
    enough = pc.and_(
        pc.greater_equal(counts["sessions"], rule.min_sessions), pc.greater_equal(counts["users"], rule.min_users)
    )
    common = counts.filter(enough)
    named = pa.table({"item_id": item_ids.take(common["item_id"].combine_chunks()), "users": common["users"]})
    table = items.join(ibis.memtable(named), "item_id").order_by([ibis.desc("users"), "item_id"]).drop("users")
    found: pa.Table = table.to_pyarrow()
    if found.num_rows == 0:
        raise DataError(
            f"models.ranking: no item has {rule.min_sessions} sessions of {rule.min_users} users in the training "
            "weeks; lower min_item_sessions or min_item_users"
        )
    if rule.later:
        came = items.filter(_.first_seen >= ibis.literal(trained)).order_by(["first_seen", "item_id"]).to_pyarrow()
        came = came.filter(pc.invert(pc.is_in(came["item_id"], value_set=found["item_id"].combine_chunks())))
        if came.num_rows == 0:
            raise DataError(
                f"models.ranking.later_items: no item has a first_seen of {trained:%Y-%m-%d %H:%M} UTC, where training "
                "weeks end, or later; leave later_items out, or map first_seen of items"
            )
        found = pa.concat_tables([found, came.select(found.column_names)])
    index = pa.array(range(found.num_rows), pa.int32())
    return found.add_column(0, columns.ITEM_INDEX, index)


def item_targets(items: Table, targets: Sequence[Target]) -> pa.Table:
    """Pair every item with the leveled targets its events can fulfil: item_id, target_id, kind ('' for any)."""
    parts = []
    for column in sorted({t.column for t in targets if t.column is not None}):
        mine = [(i, t) for i, t in enumerate(targets) if t.column == column]
        lookup = ibis.memtable(
            pa.table(
                {
                    "label": [t.value for _i, t in mine],
                    "target_id": pa.array([i for i, _t in mine], pa.int32()),
                    "kind": [t.event or "" for _i, t in mine],
                }
            )
        )
        parts.append(leveled(items, column).join(lookup, "label").select("item_id", "target_id", "kind").to_pyarrow())
    empty = pa.table(
        {"item_id": pa.array([], pa.string()), "target_id": pa.array([], pa.int32()), "kind": pa.array([], pa.string())}
    )
    return pa.concat_tables([part.cast(empty.schema) for part in parts]) if parts else empty

"""Fit the vocabularies on training weeks: the targets of each intent and the items that can be recommended."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ibis
import pyarrow as pa
from ibis import _

from feature_repo import columns
from feature_repo.errors import DataError, SpecError, nearest
from feature_repo.vocabulary import Target, Vocabulary

Table = Any


@dataclass(frozen=True)
class IntentTargets:
    """What of an intent the vocabulary needs: its name, the event kind and the item column of its level."""

    name: str
    event: str | None
    column: str | None
    top: int


@dataclass(frozen=True)
class ItemRule:
    """Which items can be recommended: enough sessions and users in training weeks, of one event kind or any."""

    event: str | None
    min_sessions: int
    min_users: int


def fit(
    events: Table, items: Table, intents: Sequence[IntentTargets], rule: ItemRule, *, until_week: int
) -> Vocabulary:
    """Fit targets and items on the dated `events` of weeks <= `until_week`."""
    past = events.filter(_.week <= until_week)
    targets = tuple(target for intent in intents for target in _targets(past, items, intent))
    if not targets:
        raise DataError("intents: no event of the training weeks fulfils any of them; check intents.event and .level")
    return Vocabulary(targets, _items(past, items, rule), item_targets(items, targets))


def _targets(past: Table, items: Table, intent: IntentTargets) -> list[Target]:
    """Name the values of an intent's level that most user-weeks fulfil, most first."""
    past = past if intent.event is None else past.filter(_.event == intent.event)
    if intent.column is None:
        return [Target(intent.name, None, intent.event, None)]
    if intent.column not in items.columns:
        have = [c for c in items.columns if c != columns.ITEM_ID]
        raise SpecError(
            f"intents.{intent.name}.level: items have no column '{intent.column}'; have {', '.join(have)}"
            + nearest(intent.column, have)
        )
    values = leveled(items, intent.column)
    weeks = past.join(values, "item_id").select("user_id", "week", "label").distinct()
    counts = weeks.group_by("label").agg(n=_.count()).order_by([ibis.desc("n"), "label"]).limit(intent.top)
    return [Target(intent.name, str(v), intent.event, intent.column) for v in counts.to_pyarrow()["label"].to_pylist()]


def leveled(items: Table, column: str) -> Table:
    """Pair items with the values of a column as text; a list column gives several pairs an item."""
    pairs = items.select("item_id", label=items[column])
    if pairs.label.type().is_array():
        pairs = pairs.mutate(label=_.label.unnest())
    return pairs.mutate(label=_.label.cast("string")).filter(_.label.notnull())


def _items(past: Table, items: Table, rule: ItemRule) -> pa.Table:
    """Select the items that are common enough, most users first, with their attributes."""
    past = past if rule.event is None else past.filter(_.event == rule.event)
    counts = past.group_by("item_id").agg(sessions=_.session_id.nunique(), users=_.user_id.nunique())
    common = counts.filter((_.sessions >= rule.min_sessions) & (_.users >= rule.min_users))
    table = items.join(common, "item_id").order_by([ibis.desc("users"), "item_id"]).drop("sessions", "users")
    found: pa.Table = table.to_pyarrow()
    if found.num_rows == 0:
        raise DataError(
            f"models.ranking: no item has {rule.min_sessions} sessions of {rule.min_users} users in the training "
            "weeks; lower min_item_sessions or min_item_users"
        )
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

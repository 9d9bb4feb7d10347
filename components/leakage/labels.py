"""What happened in a week, from its events alone, by a second hand: for checking the labels of training rows.

Training takes labels from the keyed tables that features come from; this derives them from clean events and the
vocabulary, with no code in common.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.leakage.compare import LABELS, WEEK
from feature_repo import columns
from feature_repo.calendar import Calendar
from feature_repo.signs import Signs
from feature_repo.vocabulary import Vocabulary

FULFILLED, BOUGHT = LABELS


def of_week(
    events: pa.Table,
    users: pa.Array,
    *,
    week: int,
    calendar: Calendar,
    vocabulary: Vocabulary,
    item_event: str | None,
    items_ahead: int = 1,
) -> pa.Table:
    """Return user_id, week, label_ids and bought of `users` from one week on: sorted lists, empty where nothing was.

    Targets count to the end of their own horizon, items to the end of `items_ahead` weeks, each judged by itself.
    """
    seconds = events[columns.TIMESTAMP].cast(pa.timestamp("s", tz="UTC"), safe=False).cast(pa.int64()).to_numpy()
    ahead = [target.horizon for target in vocabulary.targets]
    ends = {steps: int(calendar.start(week + steps).timestamp()) for steps in {*range(1, items_ahead + 1), *ahead}}
    within = pa.array((seconds >= int(calendar.start(week).timestamp())) & (seconds < max(ends.values())))
    mask = pc.and_(within, pc.is_in(events[columns.USER_ID], users))
    mine = events.filter(mask)
    fulfilled: dict[str, set[int]] = {user: set() for user in users.to_pylist()}
    bought: dict[str, set[int]] = {user: set() for user in fulfilled}
    seen: dict[str, list[set[tuple[int, str]]]] = {user: [set() for _ in range(items_ahead)] for user in fulfilled}
    kinds = mine[columns.EVENT].to_pylist() if columns.EVENT in mine.column_names else [None] * mine.num_rows
    at = seconds[np.asarray(mask)].tolist()
    for user, item, kind, second in zip(
        mine[columns.USER_ID].to_pylist(), mine[columns.ITEM_ID].to_pylist(), kinds, at, strict=True
    ):
        fulfilled[user] |= {t for t in vocabulary.fulfilled(item, kind) if second < ends[ahead[t]]}
        index = vocabulary.index_of_item.get(item)
        if index is not None and item_event in (None, kind) and second < ends[items_ahead]:
            bought[user].add(index)
            seen[user][sum(second >= ends[steps] for steps in range(1, items_ahead))].add((index, kind))
    if vocabulary.signs:
        bought = {
            user: set().union(*(_wanted(found, vocabulary.signs) for found in steps)) for user, steps in seen.items()
        }
    return pa.table(
        {
            columns.USER_ID: pa.array(list(fulfilled), pa.string()),
            WEEK: np.full(len(fulfilled), week, dtype=np.int64),
            FULFILLED: pa.array([sorted(found) for found in fulfilled.values()], pa.list_(pa.int64())),
            BOUGHT: pa.array([sorted(found) for found in bought.values()], pa.list_(pa.int64())),
        }
    )


def _wanted(seen: set[tuple[int, str]], signs: Signs) -> set[int]:
    """Return the items that a kind of the week says were wanted, unless the same week took that back.

    >>> shop = Signs((("buy", 1.0), ("return", -1.0)), undoes=(("return", "buy"),))
    >>> _wanted({(1, "buy"), (2, "buy"), (2, "return"), (3, "return")}, shop)
    {1}
    """
    back = {(item, undone) for undoing, undone in signs.undoes for item, kind in seen if kind == undoing}
    return {item for item, kind in seen - back if kind in signs.wanted}

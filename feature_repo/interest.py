"""What events of declared kinds say of items, as expressions beside transforms.py: records by kind, interest, labels.

The kinds and what each says are in signs.py; tables are those of transforms.py.
"""

from typing import Any

import ibis
from ibis import _

from feature_repo import columns, timeline
from feature_repo.signs import STRIDE, Signs

Table = Any


def of_records(dated_events: Table, item_index: Table, signs: Signs, *, late: bool = True) -> Table:
    """Key events by item position and kind, as `Signs.key` does; kinds that say nothing of an item are left out."""
    numbers = [(dated_events.event == kind, number * STRIDE) for kind, number in signs.numbers.items()]
    mine = dated_events.mutate(base=ibis.cases(*numbers, else_=ibis.null("int32")).cast("int32"))
    mine = mine.filter(_.base.notnull()).join(item_index, "item_id")
    return timeline.keyed(mine.mutate(key=_.base + _.item_index), late=late)


def wanted(dated_events: Table, item_index: Table, signs: Signs, *, late: bool = True) -> Table:
    """Key what users wanted by item position: `worth` of a week is the largest share of its kinds, less what it undid.

    Rows of a week that became known in parts add up: one that takes something back has a `worth` below 0. `new` marks
    the row by which a week first showed interest.
    """
    undone = {kind: [undoing for undoing, one in signs.undoes if one == kind] for kind in signs.wanted}
    acting = sorted({*signs.wanted, *(kind for kinds in undone.values() for kind in kinds)})
    keys = ["user_id", "key", columns.WEEK]
    mine = dated_events.filter(_.event.isin(acting)).join(item_index, "item_id").mutate(key=_.item_index)
    names = {kind: f"had_{place}" for place, kind in enumerate(acting)}
    had = {name: (_.event == kind).cast("int64").max() for kind, name in names.items()}
    found = mine.group_by([*keys, "known"] if late else keys).agg(**had)
    if late:
        window = ibis.cumulative_window(group_by=keys, order_by="known")
        found = found.mutate(**{name: found[name].max().over(window) for name in names.values()})
    shares = []
    for kind, share in signs.wanted.items():
        back = sum((found[names[undoing]] for undoing in undone[kind]), ibis.literal(0, "int64"))
        shares.append(((found[names[kind]] == 1) & (back == 0)).ifelse(share, 0.0).cast("float64"))
    found = found.mutate(total=ibis.greatest(*shares) if len(shares) > 1 else shares[0])
    if not late:
        found = found.filter(_.total > 0).mutate(known=_[columns.WEEK], new=ibis.literal(1, "int64"))
        return found.select(*keys, "known", "new", worth="total")
    order = ibis.window(group_by=keys, order_by="known")
    before = ibis.window(group_by=keys, order_by="known", rows=(None, -1))
    found = found.mutate(
        worth=found.total - found.total.lag().over(order).fill_null(0.0),
        new=((found.total > 0) & (found.total.max().over(before).fill_null(0.0) == 0)).cast("int64"),
    )
    return found.filter(_.worth != 0).select(*keys, "known", "new", "worth")


def labels(keyed: Table) -> Table:
    """List what users wanted by item and week: what was taken back in the same week is nothing wanted."""
    found = keyed.group_by("user_id", "key", columns.WEEK).agg(worth=timeline.total(_.worth))
    return found.filter(_.worth > 0)

"""The last events of each user at each cutoff, as an ibis expression: what `memory.py` folds, from whole histories.

An event is in the memory of the cutoffs from when it was known until so many later ones were. Nothing here makes texts:
`components/profiles/build/memories.py` packs the rows.

Tables by their columns:
  dated       user_id, item_id, event, session_id, value, at, known, as transforms.py has them, items by position; and
              text, where memories hold what users wrote
  item_order  item_id, place (of the item's id among all ids, sorted): ties go by id, which positions do not follow
"""

from typing import Any

import ibis
from ibis import _

from feature_repo import columns, timeline
from feature_repo.columns import MEMORY_EVENTS

Table = Any
ORDER = ("at", "session_id", "place", "event", "value")  # as memory.Remembered has it


def last_events(dated: Table, item_order: Table, cutoffs: Table, *, late: bool = True) -> Table:
    """List the events that a memory holds at each cutoff, one row an event.

    `late=False` promises that every event was known in its own week.
    """
    texts = {columns.TEXT: dated.text.fill_null("")} if columns.TEXT in dated.columns else {}
    order_by = (*ORDER, *texts)
    mine = dated.join(item_order, "item_id").select(
        "user_id",
        "item_id",
        "place",
        "at",
        "known",
        session_id=dated.session_id.fill_null(""),
        event=dated.event.fill_null(""),
        value=dated.value.fill_null(0.0),
        **texts,
    )
    order = ibis.window(group_by=mine.user_id, order_by=[mine[name] for name in order_by])
    following = mine.known.lead(MEMORY_EVENTS).over(order)
    if late:  # the last of the following to be known; before that some cutoffs know too few of them
        ahead = ibis.window(group_by=mine.user_id, order_by=[mine[name] for name in order_by], rows=(1, MEMORY_EVENTS))
        following = following.isnull().ifelse(ibis.null("int64"), mine.known.max().over(ahead))
    held = timeline.held(mine.mutate(until=following), cutoffs)
    if late:
        newest = ibis.window(
            group_by=[held.user_id, held.cutoff], order_by=[ibis.desc(held[name]) for name in order_by]
        )
        held = held.mutate(newer=ibis.row_number().over(newest)).filter(_.newer < MEMORY_EVENTS)
    return held.select("user_id", "cutoff", "item_id", *order_by)

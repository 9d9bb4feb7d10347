"""Turn what happened in a step into labels: from which cutoffs a target's horizon reaches it.

A label of a cutoff at step w with a horizon of h steps counts what happened in steps w to w + h - 1, which is the time
[cutoff, cutoff + horizon). Training rows and the fallback's rates read labels made here; leak checks make their own.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from feature_repo import columns

FOLDED_ROWS = 4_000_000  # copies that are held before those of one label are folded into one


def within_horizon(happened: pa.Table, horizons: np.ndarray) -> pa.Table:
    """Give each (user_id, key, week) that happened a row at every cutoff whose horizon holds it, once.

    `horizons` are steps by key, [C].

    >>> one = pa.table({"user_id": ["u"], "key": [0], "week": [9]})
    >>> within_horizon(one, np.array([3]))["week"].to_pylist()
    [9, 8, 7]
    """
    if not (horizons > 1).any():
        return happened
    ahead = horizons[happened["key"].to_numpy()]  # [N]
    row = np.repeat(np.arange(len(ahead)), ahead)
    back = np.arange(len(row)) - np.repeat(np.cumsum(ahead) - ahead, ahead)
    found = happened.take(pa.array(row))
    week = pa.array(found[columns.WEEK].to_numpy() - back, pa.int64())
    found = found.set_column(found.schema.get_field_index(columns.WEEK), columns.WEEK, week)
    return found.group_by(found.column_names, use_threads=False).aggregate([])


def within_steps(happened: pa.Table, steps: int, *, weeks: Sequence[int] | None = None) -> pa.Table:
    """Do the same for one horizon of all keys; of other columns, such as what a label is worth, the largest counts.

    `weeks` are the cutoffs that are wanted, None for all: a week of hours is 168 copies, of which most are of no row.
    With one step nothing is copied, and all cutoffs are returned.

    >>> one = pa.table({"user_id": ["u", "u"], "key": [0, 0], "week": [9, 8], "worth": [0.5, 1.0]})
    >>> within_steps(one, 2).sort_by("week").to_pydict()
    {'user_id': ['u', 'u', 'u'], 'key': [0, 0, 0], 'week': [7, 8, 9], 'worth': [1.0, 1.0, 0.5]}
    """
    if steps == 1:
        return happened
    wanted = None if weeks is None else np.unique(np.asarray(weeks, dtype=np.int64))
    at, place = happened[columns.WEEK].to_numpy(), happened.schema.get_field_index(columns.WEEK)
    found = happened.slice(0, 0)
    parts, rows = [found], 0
    for back in range(steps):
        mine = np.arange(len(at)) if wanted is None else np.flatnonzero(np.isin(at - back, wanted))
        shifted = happened.take(pa.array(mine)).set_column(place, columns.WEEK, pa.array(at[mine] - back, pa.int64()))
        parts, rows = [*parts, shifted], rows + len(mine)
        if rows > max(FOLDED_ROWS, found.num_rows):  # no more than twice the labels, and so many rows, are held
            found = _largest(pa.concat_tables(parts))
            parts, rows = [found], 0
    return _largest(pa.concat_tables(parts))


def _largest(labels: pa.Table) -> pa.Table:
    """Return each (user_id, key, week) once, in the order in which they came, with the largest of other columns."""
    keys = [columns.USER_ID, "key", columns.WEEK]
    others = [name for name in labels.column_names if name not in keys]
    found = labels.group_by(keys, use_threads=False).aggregate([(name, "max") for name in others])
    return found.rename_columns([*keys, *others]).select(labels.column_names)

"""How strong each label of the ranker is: a number of its events (stars, plays, money) in the label week.

Read from the clean events, not from the feature tables: what happened in the week that is predicted is no feature.
Counts of several events add up, grades do not: of these the largest counts.

Letters: E events, N labels over all rows, B rows.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from feature_repo import columns
from feature_repo.calendar import Calendar
from feature_repo.errors import DataError
from feature_repo.rows import Ragged


def with_strengths(
    rows: pa.Table,
    events: Path,
    item_ids: list[str],
    calendar: Calendar,
    *,
    labels: str,
    column: str,
    add_up: bool,
    event: str | None,
) -> pa.Table:
    """Add a list beside the list `labels` (user_id, week): the strength of each label by a column of the events.

    `event` is the kind that counts, None for any.
    """
    held = pq.read_schema(events).names
    if column not in held:
        raise DataError(
            f"models.ranking.weight: the events hold no {column}; have {', '.join(held)}; map it in "
            "data.source.events.columns, and run from ingest on"
        )
    users = pc.unique(rows[columns.USER_ID])
    weeks = np.unique(rows[columns.WEEK].to_numpy())
    happened = _happened(events, calendar, weeks, column=column, event=event)
    key, n_items = _keys(happened, users, weeks, pa.array(item_ids)), len(item_ids)
    code, strength = _together(key, happened[column].to_numpy(), add_up=add_up)
    wanted = Ragged.from_arrow(rows[labels].combine_chunks(), np.int64)
    row = wanted.row_of_value()
    mine = np.asarray(pc.index_in(rows[columns.USER_ID], users), dtype=np.int64) * len(weeks)
    mine += np.searchsorted(weeks, rows[columns.WEEK].to_numpy())
    asked = mine[row] * n_items + wanted.values  # [N]
    place = np.minimum(np.searchsorted(code, asked), max(len(code) - 1, 0))
    if len(asked) and (not len(code) or (code[place] != asked).any()):
        raise DataError(f"{events}: events of some labels are not there; build the profiles of these events again")
    offsets = pa.array(wanted.offsets, pa.int32())
    lists = pa.ListArray.from_arrays(offsets, pa.array(strength[place] if len(asked) else [], pa.float64()))
    return rows.append_column(columns.LABEL_STRENGTH, lists)


def _happened(events: Path, calendar: Calendar, weeks: np.ndarray, *, column: str, event: str | None) -> pa.Table:
    """Read the events of the weeks that count; `week` is added, a strength that is missing is 0."""
    starts = [calendar.start(int(week)) for week in (*weeks, weeks[-1] + 1)]
    within = (pc.field(columns.TIMESTAMP) >= starts[0]) & (pc.field(columns.TIMESTAMP) < starts[-1])
    names = [columns.USER_ID, columns.ITEM_ID, columns.TIMESTAMP, column]
    kind = True if event is None else pc.field(columns.EVENT) == event
    table = pq.read_table(events, columns=names, filters=within & kind)
    every = np.arange(weeks[0], weeks[-1] + 2)
    edges = np.asarray([int(calendar.start(int(week)).timestamp()) for week in every])
    at = table[columns.TIMESTAMP].cast(pa.timestamp("s", tz="UTC"), safe=False).cast(pa.int64()).to_numpy()
    week = every[np.searchsorted(edges, at, "right") - 1]
    filled = pc.fill_null(table[column].cast(pa.float64()), 0.0)
    table = table.set_column(table.column_names.index(column), column, filled)
    return table.append_column(columns.WEEK, pa.array(week, pa.int64()))


def _keys(happened: pa.Table, users: pa.Array, weeks: np.ndarray, item_ids: pa.Array) -> np.ndarray:
    """Number (user, week, item), int64 [E]; -1 for what no row or vocabulary knows."""
    user, item = (
        np.asarray(pc.fill_null(pc.index_in(happened[name], known), -1), dtype=np.int64)
        for name, known in ((columns.USER_ID, users), (columns.ITEM_ID, item_ids))
    )
    week = happened[columns.WEEK].to_numpy()
    place = np.minimum(np.searchsorted(weeks, week), len(weeks) - 1)
    known = (user >= 0) & (item >= 0) & (weeks[place] == week)
    return np.where(known, (user * len(weeks) + place) * len(item_ids) + item, -1)


def _together(key: np.ndarray, strength: np.ndarray, *, add_up: bool) -> tuple[np.ndarray, np.ndarray]:
    """Join the strengths of one key: their sum, or the largest.

    >>> [v.tolist() for v in _together(np.array([7, -1, 7, 3]), np.array([1.0, 9.0, 2.0, 5.0]), add_up=True)]
    [[3, 7], [5.0, 3.0]]
    """
    key, strength = key[key >= 0], strength[key >= 0]
    code, place = np.unique(key, return_inverse=True)
    if add_up:
        return code, np.bincount(place, strength, minlength=len(code))
    largest = np.full(len(code), -np.inf)
    np.maximum.at(largest, place, strength)
    return code, largest

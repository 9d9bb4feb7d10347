"""The clean events as a frame, in the order of the periods that they lie in.

Letters: N events.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo import columns
from feature_repo.calendar import Calendar
from monitoring.drift import column_arrays


@dataclass(frozen=True)
class EventTable:
    """Events by period; users and items are codes, whose ids lie by code beside them."""

    events: pd.DataFrame  # [N] as `Observed` has them
    period: np.ndarray  # int64 [N], ascending
    users: pa.Array
    items: pa.Array


def read(path: Path, calendar: Calendar) -> EventTable:
    """Read the events whole into memory."""
    table = pq.read_table(path)
    seconds = column_arrays.seconds(table[columns.TIMESTAMP])
    period = calendar.weeks(seconds)
    order = np.argsort(period, kind="stable")
    users, items = (column_arrays.codes(table[name]) for name in (columns.USER_ID, columns.ITEM_ID))
    frame = pd.DataFrame(
        {
            "user": users[0],
            "item": items[0],
            "event": pd.Categorical(table[columns.EVENT].to_pandas()) if columns.EVENT in table.column_names else "",
            "at": seconds,
            "local_s": local_seconds(seconds, calendar.timezone),
            "session": column_arrays.codes(table[columns.SESSION_ID])[0]
            if columns.SESSION_ID in table.column_names
            else -1,
            **{
                name: table[name].to_numpy().astype(np.float64) if name in table.column_names else np.nan
                for name in (columns.QUANTITY, columns.VALUE, columns.DISCOUNT)
            },
        }
    )
    return EventTable(frame.iloc[order].reset_index(drop=True), period[order], users[1], items[1])


def local_seconds(seconds: np.ndarray, timezone: str) -> np.ndarray:
    """Return epoch seconds [N] as the seconds that a clock on the wall has counted, int64 [N].

    >>> local_seconds(np.array([0, 86_400 * 182]), "America/New_York").tolist()  # winter, then summer
    [-18000, 15710400]
    """
    hours, place = np.unique(np.asarray(seconds) // 900, return_inverse=True)
    local = pd.to_datetime(hours * 900, unit="s", utc=True).tz_convert(timezone).tz_localize(None)
    offset = (local - pd.Timestamp(0)) // pd.Timedelta(seconds=1) - hours * 900
    return np.asarray(seconds + np.asarray(offset)[place], dtype=np.int64)

"""User rows as data frames: how MLflow hands a registered model its input, and an example of that input.

The pyfunc models and the register step share this module, so a model loaded from the registry reads exactly the
rows it was signed for. It knows no MLflow store and no model.
"""

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from feature_repo import columns
from feature_repo.calendar import Calendar
from feature_repo.rows import LIST_TYPES, UserRows

if TYPE_CHECKING:
    from mlflow.types import Schema

NOW = "now"  # when the question is asked
STATE_AT = columns.STATE_AT  # the row holds what was known before it; missing for a user without a row
PROBABILITIES = "probabilities"  # by target, in the vocabulary's order
TIMES = (NOW, STATE_AT)
MODEL = "model"  # the artifact that holds the model folder: `artifacts/model` of a logged model
DEFAULT_K = 10  # items, where the parameter `k` is not given
INTENT_LISTS = columns.TARGET_LISTS + columns.RECENT_LISTS
RANKING_LISTS = INTENT_LISTS + columns.HISTORY_LISTS
DAY = dt.timedelta(days=1)


def user_rows(frame: pd.DataFrame) -> UserRows:
    """Read user rows from a data frame, as UserRows reads them from Arrow.

    >>> frame = pd.DataFrame({"user_id": ["a"], "now": ["2017-12-31"], "state_at": [None], "target_ids": [[3]]})
    >>> rows = user_rows(frame)
    >>> bool(rows.known[0]), rows.lists["target_ids"].row(0).tolist()
    (False, [3])
    """
    names = [str(name) for name in frame.columns if name != PROBABILITIES]
    return UserRows.from_arrow(pa.table({name: _column(name, frame[name]) for name in names}))


def probabilities(frame: pd.DataFrame) -> np.ndarray:
    """Return the frame's column of intent probabilities as float32 [B, C]."""
    return np.stack([np.asarray(row, dtype=np.float32) for row in frame[PROBABILITIES]])


def example(
    *, lists: Sequence[str], windows_days: Sequence[int], last: dt.datetime, calendar: Calendar
) -> pd.DataFrame:
    """Make two rows by hand: a user with a short history before `last`, and one that the store does not know.

    No real user's row is kept in the registry as an example.
    """
    week = calendar.week(last)
    first_at, last_at = int((last - 28 * DAY).timestamp()), int((last - DAY).timestamp())
    numbers = dict.fromkeys(columns.profile_columns(tuple(windows_days)), 2.0) | {
        "first_at": first_at,
        "last_at": last_at,
    }
    known: dict[str, Any] = {name: float(value) for name, value in numbers.items()} | {columns.SEGMENT: 0}
    ids = {
        "target_ids": [0],
        "history_items": [0],
        "received_items": [0],
        "recent_targets": [0],
        "recent_weeks": [week],
        "event_at": [last_at],
        "event_items": [0],
        "event_targets": [0],
    }
    for name in lists:
        by_end = first_at if name.endswith("first_at") else last_at if name.endswith("last_at") else 1.0
        known[name] = np.asarray(ids.get(name, [by_end]), dtype=LIST_TYPES[name])
    unknown = {name: np.empty(0, LIST_TYPES[name]) if name in LIST_TYPES else 0 for name in known}
    now = pd.Timestamp(last).tz_convert("UTC").tz_localize(None).floor("s")
    keys = {columns.USER_ID: ["known", "unknown"], NOW: [now, now], STATE_AT: [now, pd.NaT]}
    return pd.DataFrame(keys | {name: [known[name], unknown[name]] for name in known})


def schema(frame: pd.DataFrame) -> "Schema":
    """Return the MLflow schema of a frame of rows."""
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import Array

    def spec(name: str) -> ColSpec:
        if name == columns.USER_ID:
            return ColSpec(DataType.string, name)
        if name in TIMES:
            return ColSpec(DataType.datetime, name, required=name == NOW)
        if name == PROBABILITIES:
            return ColSpec(Array(DataType.double), name)
        if name in LIST_TYPES:
            return ColSpec(Array(DataType.long if _whole(name) else DataType.double), name)
        return ColSpec(DataType.long if name == columns.SEGMENT else DataType.double, name)

    return Schema([spec(str(name)) for name in frame.columns])


def _whole(name: str) -> bool:
    return bool(np.issubdtype(LIST_TYPES[name], np.integer))


def _column(name: str, values: "pd.Series[Any]") -> pa.Array:
    if name == columns.USER_ID:
        return pa.array(values.astype(str), type=pa.string())
    if name in TIMES:
        return pa.array(
            pd.to_datetime(values, utc=True).astype("datetime64[us, UTC]"), type=pa.timestamp("us", tz="UTC")
        )
    if name in LIST_TYPES:
        kind = pa.from_numpy_dtype(LIST_TYPES[name])
        rows = [None if row is None or np.ndim(row) == 0 else np.asarray(row, LIST_TYPES[name]) for row in values]
        return pa.array(rows, type=pa.list_(kind))
    return pa.array(pd.to_numeric(values).astype("float64"), type=pa.float64(), from_pandas=True)

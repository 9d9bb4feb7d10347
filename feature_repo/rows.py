"""User rows as arrays: the one form that training (Arrow from Feast's offline store) and serving (a dict
from Feast's online store) share before `encode`. Built by name, since Feast's column order varies.

Letters: B rows, N list elements over all rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from feature_repo import columns

KEYS = ("target_ids", "history_items", "received_items")
LIST_TYPES = (
    {
        name: np.int64 if name.endswith("_at") else np.int32 if name in KEYS else np.float32
        for name in columns.TARGET_LISTS + columns.HISTORY_LISTS + columns.RECEIVED_LISTS
    }
    | dict.fromkeys(columns.RECENT_LISTS, np.int32)
    | dict.fromkeys(columns.DAILY_LISTS, np.float32)
    | {"daily_days": np.int32, columns.ATTRIBUTES: np.int32}
    | dict.fromkeys(columns.EVENT_LISTS + columns.EVENT_TEXT_LISTS, np.int32)
    | {"event_at": np.int64, "event_kinds": np.int64, "event_values": np.float32}
)
DAY_S = 86_400


@dataclass(frozen=True)
class Ragged:
    """Lists of differing length: row b owns `values[offsets[b]:offsets[b + 1]]`."""

    values: np.ndarray  # [N]
    offsets: np.ndarray  # [B + 1] int64

    def row(self, b: int) -> np.ndarray:
        """Return the list of row b."""
        return self.values[self.offsets[b] : self.offsets[b + 1]]

    def row_of_value(self) -> np.ndarray:
        """Return for each value the row that owns it, int64 [N]."""
        if len(self.offsets) == 2:  # of one row, as a service reads it
            return np.zeros(int(self.offsets[1] - self.offsets[0]), dtype=np.int64)
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    @classmethod
    def from_arrow(cls, column: pa.Array, kind: Any) -> "Ragged":
        """Read a list column as values of a numpy type; a null list is empty, a null value 0.

        >>> Ragged.from_arrow(pa.array([[1, 2], None, [3]]), np.int32).offsets.tolist()
        [0, 2, 2, 3]
        """
        lengths = np.asarray(_filled(pa.compute.list_value_length(column)), dtype=np.int64)
        flat = column.flatten()
        flat = flat.cast(pa.int32()) if pa.types.is_null(flat.type) else flat  # only empty lists
        return cls(np.asarray(_filled(flat), dtype=kind), np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))

    def take(self, index: np.ndarray) -> "Ragged":
        """Return the lists of the rows in `index`, in its order."""
        lengths = np.diff(self.offsets)[index]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        starts = np.repeat(self.offsets[index] - offsets[:-1], lengths)
        return Ragged(self.values[starts + np.arange(offsets[-1])], offsets)


@dataclass(frozen=True)
class UserRows:
    """Rows of users as known at `state_at`, asked about at `now`.

    A user without a row (new, or unknown to the store) has `known` False, zeros and empty lists.
    """

    user_id: np.ndarray  # [B] str
    now: np.ndarray  # [B] int64, epoch seconds: when the question is asked (the cutoff, in training)
    state_at: np.ndarray  # [B] int64, epoch seconds: the row holds what was known before it
    known: np.ndarray  # [B] bool
    numbers: Mapping[str, np.ndarray]  # each [B] float64; the profile columns and the segment
    lists: Mapping[str, Ragged]  # target_*, history_*, recent_*

    def __len__(self) -> int:
        return len(self.user_id)

    def take(self, index: np.ndarray) -> "UserRows":
        """Return the rows in `index`, in its order."""
        return UserRows(
            user_id=self.user_id[index],
            now=self.now[index],
            state_at=self.state_at[index],
            known=self.known[index],
            numbers={k: v[index] for k, v in self.numbers.items()},
            lists={k: v.take(index) for k, v in self.lists.items()},
        )

    def windowed(self, name: str, days: float) -> np.ndarray:
        """Return a count over the last `days` days, float64 [B]: 0 where the row is older than that.

        A window ends where the state does. Of a row that is older than the window nothing lies within it any more.
        """
        lapsed = self.now - self.state_at >= days * DAY_S
        return np.asarray(np.where(lapsed, 0.0, self.numbers[columns.windowed(name, days)]))

    @classmethod
    def joined(cls, one: "UserRows", other: "UserRows") -> "UserRows":
        """Return the rows of one, then those of the other; both hold the same names."""
        lists = {}
        for name, first in one.lists.items():
            second = other.lists[name]
            offsets = np.concatenate([first.offsets, first.offsets[-1] + second.offsets[1:]])
            lists[name] = Ragged(np.concatenate([first.values, second.values]), offsets)
        return cls(
            user_id=np.concatenate([one.user_id, other.user_id]),
            now=np.concatenate([one.now, other.now]),
            state_at=np.concatenate([one.state_at, other.state_at]),
            known=np.concatenate([one.known, other.known]),
            numbers={name: np.concatenate([values, other.numbers[name]]) for name, values in one.numbers.items()},
            lists=lists,
        )

    @classmethod
    def unknown(
        cls, user_ids: Sequence[str], *, now: int, windows_days: tuple[float, ...] = columns.WINDOWS_DAYS
    ) -> "UserRows":
        """Return the rows of users of whom nothing is known, as `from_online` reads them.

        >>> rows = UserRows.unknown(["a", "b"], now=60)
        >>> rows.known.tolist(), rows.numbers["events_7d"].tolist(), rows.lists["target_ids"].offsets.tolist()
        ([False, False], [0.0, 0.0], [0, 0, 0])
        """
        n = len(user_ids)
        named = (*columns.profile_columns(windows_days), columns.SEGMENT)
        families = (*columns.TARGET_LISTS, *columns.RECENT_LISTS, columns.ATTRIBUTES, *columns.HISTORY_LISTS)
        return cls(
            user_id=np.asarray(user_ids, dtype=object),
            now=np.full(n, now, dtype=np.int64),
            state_at=np.zeros(n, dtype=np.int64),
            known=np.zeros(n, dtype=bool),
            numbers={name: np.zeros(n) for name in named},
            lists={name: Ragged(np.empty(0, LIST_TYPES[name]), np.zeros(n + 1, dtype=np.int64)) for name in families},
        )

    @classmethod
    def from_arrow(cls, table: pa.Table) -> "UserRows":
        """Read rows from a table with user_id, now, state_at (timestamps or epoch seconds) and features."""
        n = table.num_rows
        state = table[columns.STATE_AT].combine_chunks()
        skip = {columns.USER_ID, "now", columns.STATE_AT, columns.ROW_WEIGHT}
        numbers, lists = {}, {}
        for name in table.column_names:
            kind = table.schema.field(name).type
            if name in skip:
                continue
            if pa.types.is_list(kind) or pa.types.is_large_list(kind):
                lists[name] = Ragged.from_arrow(table[name].combine_chunks(), LIST_TYPES[name])
            elif pa.types.is_floating(kind) or pa.types.is_integer(kind):
                numbers[name] = _filled(table[name]).astype(np.float64)
        return cls(
            user_id=np.asarray(table[columns.USER_ID].to_pylist(), dtype=object) if n else np.empty(0, object),
            now=_seconds(table["now"]),
            state_at=_seconds(table[columns.STATE_AT]),
            known=np.asarray(state.is_valid().to_numpy(zero_copy_only=False), dtype=bool),
            numbers=numbers,
            lists=lists,
        )

    @classmethod
    def from_online(cls, answer: Mapping[str, Sequence[Any]], *, now: int) -> "UserRows":
        """Read rows from the dict of Feast's get_online_features; `state_at` travels as a feature.

        >>> rows = UserRows.from_online({"user_id": ["a"], "state_at": [None], "target_ids": [None]}, now=60)
        >>> bool(rows.known[0]), len(rows.lists["target_ids"].row(0))
        (False, 0)
        """
        state = answer[columns.STATE_AT]
        numbers, lists = {}, {}
        for name, values in answer.items():
            if name in (columns.USER_ID, columns.STATE_AT, "now", *columns.TEXTS):
                continue
            if name in LIST_TYPES:
                rows = [np.asarray(v if v is not None else (), dtype=LIST_TYPES[name]) for v in values]
                offsets = np.concatenate([[0], np.cumsum([len(r) for r in rows])]).astype(np.int64)
                lists[name] = Ragged(np.concatenate(rows), offsets)
            else:
                numbers[name] = np.asarray([0.0 if v is None else float(v) for v in values])
        return cls(
            user_id=np.asarray(answer[columns.USER_ID], dtype=object),
            now=np.full(len(state), now, dtype=np.int64),
            state_at=np.asarray([0 if s is None else int(s) for s in state], dtype=np.int64),
            known=np.asarray([s is not None for s in state]),
            numbers=numbers,
            lists=lists,
        )


def _filled(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    filled = pa.compute.fill_null(column, 0)
    return np.asarray(
        filled.to_numpy() if isinstance(filled, pa.ChunkedArray) else filled.to_numpy(zero_copy_only=False)
    )


def _seconds(column: pa.ChunkedArray) -> np.ndarray:
    """Return timestamps or integers as epoch seconds, nulls as 0."""
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("s", tz=column.type.tz), safe=False).cast(pa.int64())
    return _filled(column).astype(np.int64)
